/*
 * What the parts of agentctl share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CTL_OK		0
#define CTL_FAIL	1
#define CTL_USAGE	2

struct json_object;
struct sse_event;

struct ctl {
	const char	*socket;	/* of agentd */
	const char	*url;		/* instead of the socket, or NULL */
	char		*token;		/* owned; "Bearer ..." or NULL */
	bool		 json;		/* print what the API said, as it is */
	bool		 color;		/* standard output is a terminal */
};

/* One row of the table of subcommands. argv[0] is the first argument. */
struct verb {
	const char	*noun;		/* "agent" */
	const char	*verb;		/* "deploy"; NULL: the noun is all */
	const char	*args;		/* for usage */
	const char	*help;
	int		 min, max;	/* arguments; max -1: checks them itself */
	int		 (*run)(struct ctl *, int, char **);
};

/* Prints the usage of the verb that runs; returns CTL_USAGE. */
int	 ctl_usage(void);

/* ---- rest.c ---- */

struct reply {
	long			 status;	/* 0: no answer */
	char			*body;		/* owned, NUL-terminated */
	size_t			 len;
	struct json_object	*doc;		/* owned; NULL: no JSON */
};

void	 rest_init(void);
void	 reply_free(struct reply *);

/*
 * One request; body may be NULL, key is an Idempotency-Key or NULL. 0 on a
 * 2xx with a document; else -1, and why has been printed. reply_free() in
 * both cases.
 */
int	 rest_call(struct ctl *, const char *method, const char *path,
	    const char *body, const char *key, struct reply *);
int	 rest_get(struct ctl *, const char *path, struct reply *);

/* Silent: the status, 0 when there is no answer. */
long	 rest_try(struct ctl *, const char *path, struct reply *);

/* GET over another Unix socket (Incus), silent, a document or NULL. */
struct json_object *rest_unix(const char *socket, const char *path);

/*
 * PUT or POST of a file with progress on a terminal; headers: NULL, or "Name:
 * value" until a NULL. As rest_call().
 */
int	 rest_upload(struct ctl *, const char *method, const char *path,
	    const char *const *headers, const char *file, struct reply *);
/*
 * GET of a file, handed over as it comes; data() returns -1 to stop, having
 * said why. 0 when all of it was good.
 */
int	 rest_download(struct ctl *, const char *path,
	    int (*data)(void *, const void *, size_t), void *);

/*
 * An event stream. opened (may be NULL) runs once the server has accepted
 * it, event for each event; non-zero ends the stream. last_id: 0 or where to
 * resume. STREAM_ENDED: a callback ended it.
 */
enum stream_end { STREAM_ENDED, STREAM_LOST, STREAM_REFUSED };

struct stream {
	int	(*opened)(void *);
	int	(*event)(void *, const struct sse_event *);
	void	*arg;
	uint64_t last_id;	/* in and out */
	bool	 quiet;		/* say nothing of a refusal */
};

enum stream_end rest_stream(struct ctl *, const char *path, struct stream *);

/* Appends a percent-encoded value to a path: "?key=value" or "&key=value". */
int	 path_query(char *path, size_t size, const char *key,
	    const char *value);
/* A name as one segment: false when it holds what a segment must not. */
bool	 path_segment_ok(const char *);

/* ---- out.c ---- */

/* Text that others wrote: control bytes are escaped. lines: LF and TAB stay. */
void	 out_text(const char *, size_t, bool lines);
void	 out_str(const char *);		/* one line of such text; NULL is "" */
/* As out_str, at most so many columns, "..." when cut. */
void	 out_short(const char *, size_t len, size_t columns);
void	 out_color(const struct ctl *, const char *sgr);	/* NULL = off */
void	 out_json(const struct reply *);

/* "agentctl: ..." on standard error, as safe as out_str. */
void	 complain(const char *, ...)
	    __attribute__((__format__(printf, 1, 2)));

/* "3d 4h", "12m 5s"; "1.5 GiB"; into buf, which is returned. */
const char *fmt_span(char *buf, size_t size, double seconds);
const char *fmt_size(char *buf, size_t size, double bytes);
const char *fmt_time(char *buf, size_t size, double epoch);

struct table;
struct table *table_new(unsigned columns);
void	 table_cell(struct table *, const char *, ...)
	    __attribute__((__format__(printf, 2, 3)));
void	 table_print(const struct ctl *, struct table *);	/* and frees it */

/* ---- list.c ---- */

/*
 * Is there an answer to be shown in words?  With --json it is printed as it
 * came instead; ret is that of the call.
 */
bool	 out_words(struct ctl *, int ret, const struct reply *);
/* The exit status of that call; frees the reply. */
int	 reply_exit(int ret, struct reply *);
/* "NAME: STATUS" of a document. */
void	 out_status(const char *name, struct json_object *);

/* An array as a table with these heads (NULL ends them). */
void	 out_rows(struct ctl *, struct json_object *,
	    const char *const *heads,
	    void (*row)(struct table *, struct json_object *));
/*
 * The array at that path as a table with these heads (NULL ends them), each
 * element filled in by row(); or as it came with --json.  An exit status.
 */
int	 out_list(struct ctl *, const char *path, const char *const *heads,
	    void (*row)(struct table *, struct json_object *));

struct jbuf;
/* A member that is an array of strings. */
void	 jb_strings(struct jbuf *, const char *key, const char *const *,
	    size_t n);

/* Members of a document; the default when absent or of another type. */
const char *jstr(struct json_object *, const char *);		/* "" */
double	 jnum(struct json_object *, const char *, double);
bool	 jbool(struct json_object *, const char *);
struct json_object *jget(struct json_object *, const char *);	/* or NULL */
/* Element i of an array, or NULL. */
struct json_object *jat(struct json_object *, size_t);

/* ---- image_file.c ---- */

/* Who vouches for an image that is to be imported. */
struct vouch {
	const char	*sig;		/* file; NULL: FILE.minisig if there */
	const char	*trust;		/* NULL, "built" or "unsigned" */
};

/* An exit status; the words have been said. */
int	 image_upload(struct ctl *, const char *alias, const char *file,
	    const struct vouch *);

/* ---- fetch.c ---- */

/*
 * Downloads url to file, which must come to that SHA-256 (64 hex digits).  A
 * part that is there from an earlier try is continued.  0, or -1 and why has
 * been said.
 */
int	 fetch(const char *url, const char *sha256, const char *file);
/* A small file, whole: its length, or -1 and why has been said. */
int	 fetch_small(const char *url, char *buf, size_t size);

/* ---- cmd_agent.c ---- */

#define AGENT_PATH	256
/* Says so when it is none. */
bool	 agent_name_ok(const char *);
/* "/api/agents/NAME" + tail; -1 and a message when it is no name. */
int	 agent_path(char path[AGENT_PATH], const char *name,
	    const char *tail);

/* ---- cmd_agent_act.c ---- */

/* A word, if that agent did not finish in time; NULL: nobody was asked. */
void	 print_report(struct json_object *report, const char *name);

/* ---- cmd_agent_deploy.c ---- */

/* Shows a deploy, from its 202 to its end if wait is set.  An exit status. */
int	 deploy_follow(struct ctl *, const struct reply *, bool wait);

/* ---- the verbs ---- */

int	 cmd_status(struct ctl *, int, char **);
int	 cmd_log_level(struct ctl *, int, char **);
int	 cmd_logs(struct ctl *, int, char **);
int	 cmd_framework_list(struct ctl *, int, char **);
int	 cmd_pool(struct ctl *, int, char **);
int	 cmd_agent_idle(struct ctl *, int, char **);
int	 cmd_catalog_list(struct ctl *, int, char **);
int	 cmd_catalog_show(struct ctl *, int, char **);
int	 cmd_agent_deploy(struct ctl *, int, char **);
int	 cmd_agent_list(struct ctl *, int, char **);
int	 cmd_agent_show(struct ctl *, int, char **);
int	 cmd_agent_rm(struct ctl *, int, char **);
int	 cmd_agent_archive(struct ctl *, int, char **);
int	 cmd_agent_rebuild(struct ctl *, int, char **);
int	 cmd_agent_fork(struct ctl *, int, char **);
int	 cmd_archive_list(struct ctl *, int, char **);
int	 cmd_archive_show(struct ctl *, int, char **);
int	 cmd_archive_restore(struct ctl *, int, char **);
int	 cmd_archive_purge(struct ctl *, int, char **);
int	 cmd_snapshot_list(struct ctl *, int, char **);
int	 cmd_snapshot_make(struct ctl *, int, char **);
int	 cmd_snapshot_restore(struct ctl *, int, char **);
int	 cmd_snapshot_rm(struct ctl *, int, char **);
int	 cmd_snapshot_schedule(struct ctl *, int, char **);
int	 cmd_agent_export(struct ctl *, int, char **);
int	 cmd_agent_import(struct ctl *, int, char **);
int	 cmd_agent_start(struct ctl *, int, char **);
int	 cmd_agent_stop(struct ctl *, int, char **);
int	 cmd_agent_restart(struct ctl *, int, char **);
int	 cmd_agent_limits(struct ctl *, int, char **);
int	 cmd_agent_network(struct ctl *, int, char **);
int	 cmd_agent_allow(struct ctl *, int, char **);
int	 cmd_agent_deny(struct ctl *, int, char **);
int	 cmd_agent_denied(struct ctl *, int, char **);
int	 cmd_agent_disk(struct ctl *, int, char **);
int	 cmd_agent_pause(struct ctl *, int, char **);
int	 cmd_agent_resume(struct ctl *, int, char **);
int	 cmd_agent_rename(struct ctl *, int, char **);
int	 cmd_agent_set(struct ctl *, int, char **);
int	 cmd_agent_exec(struct ctl *, int, char **);
int	 cmd_agent_shell(struct ctl *, int, char **);
int	 cmd_agent_logs(struct ctl *, int, char **);
int	 cmd_recycle_list(struct ctl *, int, char **);
int	 cmd_recycle_restore(struct ctl *, int, char **);
int	 cmd_recycle_purge(struct ctl *, int, char **);
int	 cmd_chat(struct ctl *, int, char **);
int	 cmd_trace(struct ctl *, int, char **);
int	 cmd_provider_add(struct ctl *, int, char **);
int	 cmd_provider_list(struct ctl *, int, char **);
int	 cmd_provider_rm(struct ctl *, int, char **);
int	 cmd_image_build(struct ctl *, int, char **);
int	 cmd_image_sbom(struct ctl *, int, char **);
int	 cmd_image_compare(struct ctl *, int, char **);
int	 cmd_image_import(struct ctl *, int, char **);
int	 cmd_image_list(struct ctl *, int, char **);
int	 cmd_image_verify(struct ctl *, int, char **);
int	 cmd_image_rm(struct ctl *, int, char **);
int	 cmd_image_prune(struct ctl *, int, char **);
int	 cmd_image_preload(struct ctl *, int, char **);
int	 cmd_doctor(struct ctl *, int, char **);

#endif /* CTL_H */

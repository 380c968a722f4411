/*
 * What the modules of the trace worker share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: keeper, gateway, front.
 *
 * An event comes in as TRACE_EVENT or TRACE_POST (main.c, post.c), becomes a
 * struct tev (event.c), waits in the queue and is committed into the bucket
 * of its agent and hour (store.c, bucket.c), or, when SQLite fails, into a
 * .jsonl file beside it (fallback.c); only then is it acknowledged.  Queries
 * and live tails (query.c, tail.c) read the same handles, in slices.
 */
#ifndef TRACE_H
#define TRACE_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jbuf.h"
#include "msg.h"

struct db;
struct event_base;

#define TRACE_DIGEST	16		/* bytes */
#define TRACE_PAYLOAD	(1024 * 1024)	/* most bytes of one payload */
#define TRACE_QUEUE	(32U * 1024 * 1024)	/* bytes of waiting events */
/* One envelope as text; half of front's queue takes it in any case. */
#define TRACE_JSON_MAX	(3U * 1024 * 1024)

/* ---- event.c ---- */

struct tev;
/* Called once, when an event is stored (202) or cannot be (4xx, 5xx). */
typedef void (*tev_done)(const struct tev *, unsigned int status,
	    const char *error);

/* An event on its way into a bucket; owned by the queue. */
struct tev {
	TAILQ_ENTRY(tev) entry;
	tev_done	 done;		/* NULL: nobody waits */
	enum proc	 from;		/* who waits for the answer... */
	uint32_t	 gen;		/* ... on which connection of his */
	uint64_t	 request;
	size_t		 size;		/* bytes it holds */
	int64_t		 hour;		/* of the bucket */
	bool		 moved;		/* created_at is not the caller's */
	bool		 minted;	/* the id is ours: no other has it */
	bool		 imported;	/* not stored if the id is there */
	unsigned int	 status;	/* 0: not yet decided */
	uint8_t		 digest[TRACE_DIGEST];	/* of what was sent */
	char		 agent_id[33];
	char		 agent_name[53];
	char		 id[65];
	double		 created_at;	/* whole microseconds */
	double		 asked_at;	/* as it was sent */
	int64_t		 duration_ms, tokens_in, tokens_out, cost_pico;
	const char	*trace_id, *parent_id, *kind, *channel_id, *thread_id;
	const char	*backend_name, *model, *error, *source;
	char		*payload;	/* owned: a JSON object */
	char		 text[];
};

/* Envelope v1 as it is shown: borrowed strings, "" is null. */
struct envelope {
	const char	*id, *trace_id, *parent_id, *agent_name, *kind;
	const char	*channel_id, *thread_id, *backend_name, *model;
	const char	*error, *source, *payload;
	const char	*digest;	/* NULL: not shown */
	double		 created_at;
	int64_t		 duration_ms, tokens_in, tokens_out, cost_pico;
};

/* Is this one of the kinds of contract 6.1? */
bool	tev_kind(const char *);
/* NULL if the fields are sound, else a sentence for a 400. */
const char	*tev_check(const struct m_trace_event *);
/*
 * A copy of the message with the whole payload (consumed, malloc'd, len bytes
 * and a NUL), ready to be stored as of now.  NULL if memory is out.
 */
struct tev	*tev_new(const struct m_trace_event *, const char *name,
		    char *payload, size_t len, double now);
/*
 * The same for an event of another server: it keeps its time, its source says
 * that it was imported.
 */
struct tev	*tev_imported(struct m_trace_event *, const char *name,
		    char *payload, size_t len);
void		 tev_free(struct tev *);
/* A different event under an id that is taken: give it one of its own. */
void		 tev_conflict(struct tev *);
void		 tev_envelope(const struct tev *, struct envelope *);
/* Writes the envelope as one line of JSON. */
void		 envelope_json(struct jbuf *, const struct envelope *);

/* ---- bucket.c ---- */

#define BUCKETS_OPEN	16
#define HOUR_NAME	14	/* "2026-11-22T15" and a NUL */

/* Fatal if the directory cannot be used. */
void	 bucket_init(const char *state_dir);
/*
 * The database of an hour, open until the next call.  NULL with errno;
 * ENOENT if there is none and make is false.
 */
struct db *bucket_get(const char *agent_id, int64_t hour, bool make);
/* After an error of the disk: never write to it again in this process. */
void	 bucket_suspect(const char *agent_id, int64_t hour);
/* Closes it, if open, and removes its files: number of files, or -1. */
int	 bucket_remove(const char *agent_id, int64_t hour);
/* Closes what was not used for that long. */
void	 bucket_idle(uint64_t ms);
void	 bucket_close_all(void);
size_t	 bucket_open_count(void);
/* The agent's directory, to be closed; -1 with errno. */
int	 bucket_dir(const char *agent_id, bool make);
/* The state directory's descriptor, not to be closed. */
int	 bucket_root(void);
void	 bucket_name(char [HOUR_NAME], int64_t hour);
/* Hour of a file name, its suffix in *suffix; -1 if it is no bucket. */
int64_t	 bucket_hour(const char *file, const char **suffix);
int64_t	 hour_of(double);

/* ---- hours.c ---- */

#define HOURS_MAX	20000		/* of one agent */

/* The agent's hours in that time, newest first, each once; to be freed. */
int	 hours_list(const char *agent_id, double since, double until,
	    int64_t **, size_t *);

/* ---- where events are, which are wanted ---- */

struct filter {
	const char	*kind, *channel_id, *trace_id;	/* "": any */
	double		 since, until;
};

/* Where one stored event is. */
struct ref {
	int64_t		 hour;
	int64_t		 pos;		/* seq, or offset in the .jsonl */
	double		 created_at;
	bool		 fallback;
	uint8_t		 digest[TRACE_DIGEST];	/* in a fallback */
};

bool	 filter_match(const struct filter *, const struct envelope *);

/* ---- fallback.c: the .jsonl of an hour ---- */

/* Appends and syncs events of one agent and hour; their places in pos. */
int	 fallback_write(struct tev *const *, size_t n, int64_t *pos);
/* Calls back for each line that matches, with its place and its id. */
int	 fallback_scan(const char *agent_id, int64_t hour,
	    const struct filter *, int (*fn)(void *, const struct ref *,
	    const char *), void *);
/* Reads the line at that place into the buffer: 0 or -1. */
int	 fallback_read(const char *agent_id, int64_t hour, int64_t pos,
	    struct jbuf *);

/* ---- store.c ---- */

void	 store_init(struct event_base *);
/* Takes the event; -1 (then it is freed) if the queue is full. */
int	 store_add(struct tev *);
/* Commits all that waits, now. */
void	 store_flush(void);
size_t	 store_waiting(void);		/* bytes */
/* Flushes for the last time. */
void	 store_close(void);

/* ---- agents.c ---- */

struct agent {
	char	id[33];
	char	slug[53];
	char	owner[65];
};

void	 agents_init(const char *state_dir);
void	 agents_close(void);
int	 agents_put(const char *id, const char *slug, const char *owner);
/* By id, or by slug (the newest of that slug): 1, 0 unknown, -1. */
int	 agents_find(const char *id_or_slug, struct agent *);
int	 agents_by_id(const char *id, struct agent *);

/* ---- query.c and tail.c ---- */

#define QUERIES_MAX	256	/* under way at one time, tails included */
#define QUERIES_OF_ONE	32	/* of one principal */
#define TAIL_PENDING	1000	/* events that a tail may be behind */
#define QUERY_LIMIT	1000

void	 query_init(struct event_base *);
/*
 * Starts a query; answers by out_row() and out_end().  NULL, or the sentence
 * of a 503.
 */
const char *query_start(uint64_t id, const char *principal,
	    const char *agent_id, const struct filter *, unsigned int limit,
	    bool follow);
void	 query_cancel(uint64_t id);
void	 query_cancel_all(void);
/* There is room again in the queue to front. */
void	 query_resume(void);
size_t	 query_count(void);
/* Writes one stored event as JSON: 0, or -1 if it is not there. */
int	 query_read(struct db *, int64_t seq, struct jbuf *);
/* An event has been committed: tails may want it. */
void	 query_publish(const struct tev *, const struct ref *);

/* ---- out.c: answers to front ---- */

bool	 out_room(void);
/* A row; event is "" for a plain row.  -1: it could not be queued. */
int	 out_row(uint64_t id, const char *event, const char *json, size_t len);
/* The end; error NULL: a plain one. */
void	 out_end(uint64_t id, unsigned int status, const char *error);
/* A single document as the whole answer. */
void	 out_doc(uint64_t id, unsigned int status, const char *json);

/* ---- sweep.c ---- */

void	 sweep_init(struct event_base *);
/* Days to keep, 0 for ever; sweeps at once. */
void	 sweep_conf(uint32_t days);

#endif /* TRACE_H */

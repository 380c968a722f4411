/*
 * What the modules of front offer each other.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients, keeper, proxy, trace.
 */
#ifndef FRONT_H
#define FRONT_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "httpd.h"
#include "json.h"
#include "msg.h"
#include "peer.h"

struct call;
struct evbuffer;
struct bins;
struct exec;
struct jbuf;
struct upload;
struct download;

#define FRONT_LIST_MAX	(16 * 1024 * 1024)	/* bytes of one list */
#define FRONT_HELD_MAX	(64 * 1024 * 1024)	/* of all unfinished lists */
#define FRONT_ROW_MAX	(8 * 1024 * 1024)	/* of one row in parts */
#define FRONT_DEPTH	32			/* of a JSON body */

/* ---- routes*.c: the table from which everything about the API comes ---- */

enum who { WHO_PUBLIC, WHO_USER, WHO_ADMIN };

enum where { AT_PATH, AT_QUERY, AT_BODY, AT_HEADER, AT_FIXED };

/* How a value is written by the client, and the payload's field it fills. */
enum ftype {
	FT_STR,		/* text; F_STR */
	FT_SLUG,	/* name of an agent; F_STR */
	FT_ID,		/* 32 hex digits; F_STR */
	FT_LINES,	/* array of text, one a line; F_STR */
	FT_ARGV,	/* array of text, each ended by NUL; F_BYTES */
	FT_OBJECT,	/* any JSON object, as text; F_STR */
	FT_SECRET,	/* text that is wiped everywhere; F_STR */
	FT_U32,		/* integer; F_U32 */
	FT_BOOL,	/* F_U32 */
	FT_GIVEN,	/* 1 if the body has this member (AT_FIXED); F_U32 */
	FT_LEVEL,	/* error, warn, info, debug; F_U32 */
	FT_FOLLOW,	/* 1 when the client accepts an event stream; F_U32 */
	FT_U64,		/* integer; F_U64 */
	FT_SIZE,	/* bytes, or text like "2GB" and "512MiB"; F_U64 */
	FT_I64,		/* integer, -1 when absent; F_I64 */
	FT_COST,	/* US dollars, -1 when absent; F_I64 pico-dollars */
	FT_TIME		/* seconds since the epoch; F_F64 */
};

struct field {
	const char	*name;
	enum where	 at;
	enum ftype	 type;
	bool		 required;
	int64_t		 min, max;	/* of a length or of a value */
	size_t		 off;		/* in the payload */
	const char	*dflt;		/* when absent; NULL: zero or "" */
	const char	*help;
};

enum answer {
	ANS_DOC,	/* one document */
	ANS_LIST,	/* rows, made into an array */
	ANS_SSE,	/* rows, sent as events */
	ANS_DOC_SSE,	/* as the client's Accept says, also below */
	ANS_LIST_SSE
};

struct route {
	struct httpd_route	 http;		/* first: see httpd_route() */
	enum who		 who;
	uint32_t		 msg;		/* MSG_NONE: front answers */
	enum proc		 to;
	enum answer		 answer;
	unsigned		 timeout_ms;	/* to the first frame */
	const struct field	*fields;
	size_t			 nfields;
	/* Instead of reading a body and sending msg; may be NULL. */
	void			(*own)(struct call *);
	/* An array is the member of that name; NULL: the array alone. */
	const char		*key;
	int			 status;	/* of success, for the reader */
	const char		*summary;
	const char		*returns;
};

#define ROUTES_MAX	160

/* Once, at the start: puts the tables together. */
void	routes_init(void);
extern struct route	routes[ROUTES_MAX];
extern size_t		nroutes;

/* ---- fields.c: values of a request into a message ---- */

/* Where the values come from; tests play it. */
struct source {
	const char	*query;		/* raw, NULL if none */
	const char	*(*param)(const void *, const char *);
	const char	*(*header)(const void *, const char *);
	const void	*arg;
	bool		 follow;
	char		*body;		/* secrets in it are overwritten */
	size_t		 len;
};

#define FIELDS_OWN	12

struct args {
	union msg_any		 u;
	struct json_object	*doc;
	/* Text that was made here; wiped and freed. */
	char			*own[FIELDS_OWN];
	unsigned		 nown;
};

/* 0, or the status to refuse with; *err names the field. */
int	 fields_read(const struct route *, const struct source *,
	    struct args *, struct json_err *);
void	 fields_free(struct args *);
/* Bytes of "512MiB" or "2GB", 0; -1 if it is not a size. */
int	 fields_size(const char *, uint64_t *);

/* ---- guard.c: which names and pages may be used to reach us ---- */

/* Names besides localhost, one a line. */
void	 guard_hosts(const char *);
bool	 guard_host_ok(const char *);
/* The page that sends this is ours, or it is no page at all. */
bool	 guard_origin_ok(const char *host, const char *origin,
	    const char *site);

/* ---- auth.c: who is this? ---- */

struct ident {
	uint32_t	 keeper_gen;	/* passes of another keeper are void */
	uint32_t	 role;
	uint64_t	 expires_ms;
	char		 principal[65];
	uint8_t		 pass[3][192];	/* keeper, trace, proxy */
	size_t		 passlen[3];
};

/*
 * Makes c->ident good for the next seconds, then calls back; else it has
 * replied and c is gone.
 */
void	 auth_start(struct call *, void (*)(struct call *));
/* Forget what was cached: the audience did not take the pass. */
void	 auth_drop(struct call *);
void	 auth_keeper_gone(void);
bool	 auth_fresh(const struct ident *);
/* The bearer token of a request, or NULL. */
const char *auth_bearer(const struct httpd_req *);
void	 auth_refuse(struct call *, int);

/* ---- call.c: one request from head to answer ---- */

struct call {
	TAILQ_ENTRY(call)	 entry;
	struct httpd_req	*req;
	const struct route	*route;		/* NULL until authenticated */
	struct ident		 ident;
	void			(*authed)(struct call *);
	struct peer		*peer;		/* of the open request */
	uint64_t		 id;		/* 0: none */
	char			*body;		/* of the request; httpd's */
	size_t			 len;
	bool			 unix_peer;
	bool			 follow;
	bool			 asked;		/* msg was sent */
	bool			 retried;
	bool			 sse;		/* the stream is open */
	struct evbuffer		*rows;		/* owned */
	size_t			 nrows, held;	/* rows, and bytes of them */
	struct evbuffer		*part;		/* owned: start of a row */
	struct upload		*upload;	/* owned */
	struct download		*download;	/* owned */
	struct exec		*exec;		/* owned */
	struct bins		*bins;		/* owned */
};

enum listener { LISTEN_HTTP, LISTEN_UNIX };

void	 call_start(struct httpd_req *, void *);
/* The reply has been given: frees it. */
void	 call_end(struct call *);
void	 call_error(struct call *, int, const char *, ...)
	    __attribute__((__format__(printf, 3, 4)));
/* 503 with Retry-After. */
void	 call_unavailable(struct call *, const char *);
/* The last reply of the peer did not come; errno says why. */
void	 call_lost(struct call *, int error);
struct msg_bytes call_pass(struct call *, enum proc);
/*
 * The route's fields, and the pass, as a message: 0, and fields_free() when it
 * is sent; -1 when the client got its refusal.
 */
int	 call_args(struct call *, struct args *);
void	 call_send(struct call *);
/* Ends event streams, so that a drain comes to its end. */
void	 call_end_streams(void);

/* ---- answer.c: frames into replies ---- */

void	 answer_frame(struct msg *, void *);	/* arg: the call */
void	 answer_free(struct call *);

/* ---- upload.c: PUT of an image ---- */

void	 upload_start(struct call *);
void	 upload_free(struct upload *);

/* ---- download.c: GET of an agent's file ---- */

void	 download_start(struct call *);
void	 download_free(struct download *);
/* ---- exec.c: what needs a command in a container ---- */

/* False: it replied that the client must speak our protocol. */
bool	 exec_wanted(struct call *);
/* A socket pair; the end for the message, or -1. */
int	 exec_socket(struct call *);
void	 exec_begin(struct call *);	/* the command runs */
void	 exec_free(struct exec *);

/* ---- bins.c: the recycle bins of all agents ---- */

void	 bins_start(struct call *);
void	 bins_free(struct bins *);

/* ---- local.c, openapi.c: what front answers itself ---- */

void	 local_health(struct call *);
void	 local_openapi(struct call *);
void	 openapi_write(struct jbuf *, const struct route *, size_t);

#endif

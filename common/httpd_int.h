/*
 * Private parts of the HTTP server: its structs and what its files share.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway. Talks to: clients and agents.
 */
#ifndef HTTPD_INT_H
#define HTTPD_INT_H

#include <sys/queue.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "httpd.h"

#define HTTPD_BODY_WINDOW	65536	/* unread body bytes we take in */
#define HTTPD_STREAM_CAP	(1024 * 1024)
#define HTTPD_PROGRESS		1024	/* bytes that count as progress */
#define HTTPD_LINGER_MS		3000
/* Many clients read no answer before they have sent all of a body. */
#define HTTPD_LINGER_MAX	(32 * 1024 * 1024)

struct httpd_listener {
	TAILQ_ENTRY(httpd_listener)	 entry;
	struct httpd			*srv;
	struct event			*ev;	/* NULL: httpd_attach() */
	int				 fd;
	void				*arg;
	unsigned			 nconns;
	bool				 paused;
	bool				 gone;	/* free with the last conn */
};

enum conn_state {
	CONN_HEAD,	/* between requests, or reading a head */
	CONN_REQUEST,	/* the application has a request */
	CONN_FLUSH,	/* reply complete, not all written yet */
	CONN_LINGER,	/* closed our side, dropping what still comes */
	CONN_DEAD	/* freed by the next kick */
};

enum body_state {
	BODY_UNDECIDED,	/* nothing is read until the application says */
	BODY_COLLECT,
	BODY_STREAM,
	BODY_DONE
};

enum reply_state { REPLY_NONE, REPLY_STREAM, REPLY_RAW, REPLY_DONE };

struct httpd_req {
	struct httpd_conn	*conn;
	char			*buf;		/* owned: the head */
	size_t			 have, size;
	struct http_head	 head;
	char			*path;		/* owned: decoded */
	struct httpd_params	 params;
	char			*param[HTTPD_MAX_PARAMS]; /* owned */
	uint64_t		 started;
	void			*data;

	enum body_state		 body;
	bool			 body_paused;
	bool			 body_ended;	/* on_end or done was called */
	uint64_t		 body_max, body_got, body_mark;
	struct http_chunk	 chunk;
	char			*collect;	/* owned */
	size_t			 collect_len, collect_size;
	void			(*on_done)(struct httpd_req *, char *, size_t,
				    void *);
	const struct httpd_body_ops *ops;
	void			*body_arg;

	enum reply_state	 reply;
	int			 status;
	struct evbuffer		*fields;	/* owned, may be NULL */
	bool			 bad_field;
	bool			 has_cache;	/* Cache-Control was set */
	bool			 head_only;
	bool			 notify;	/* on_close is due */
	bool			 told;		/* ... and was called */
	size_t			 cap;
	size_t			 low;
	bool			 sse_tick;
	void			(*on_writable)(struct httpd_req *, void *);
	void			*writable_arg;
	void			(*on_raw)(struct httpd_req *,
				    struct evbuffer *, void *);
	void			*raw_arg;
	void			(*on_close)(struct httpd_req *, void *);
	void			*close_arg;
};

struct httpd_conn {
	TAILQ_ENTRY(httpd_conn)	 entry;
	TAILQ_ENTRY(httpd_conn)	 idle_entry;
	struct httpd		*srv;
	struct httpd_listener	*l;
	struct bufferevent	*bev;		/* owns fd */
	int			 fd;
	uint64_t		 id;
	enum conn_state		 state;
	bool			 idle;		/* on the idle list */
	bool			 close;		/* after this reply */
	bool			 eof;
	struct event		 timer;		/* head, idle, body, linger */
	struct event		 wtimer;	/* write progress, SSE tick */
	struct event		 kick;		/* deferred work */
	uint64_t		 sent, sent_mark;
	bool			 drained;	/* queue was empty meanwhile */
	size_t			 lingered;
	struct httpd_req	*req;		/* owned, NULL when idle */
	void			*data;
	void			(*data_free)(void *);
	char			 peer[48];
};

struct httpd {
	struct event_base	*base;
	struct httpd_conf	 conf;
	int			 max_fd;
	struct event		 retry;		/* listen again */
	TAILQ_HEAD(, httpd_listener) listeners;
	TAILQ_HEAD(, httpd_conn) conns;
	TAILQ_HEAD(, httpd_conn) idle;		/* oldest first */
	unsigned		 nconns;
	uint64_t		 next_id;
	bool			 draining;
	void			(*drained)(void *);
	void			*drained_arg;
	struct httpd_listener	*attached;	/* for httpd_attach() */
};

/* httpd.c */
uint64_t httpd_now_ms(void);
void	 httpd_conn_gone(struct httpd_conn *);	/* counts; wakes listeners */

/* httpd_conn.c */
int	 httpd_conn_new(struct httpd *, struct httpd_listener *, int);
void	 httpd_conn_free(struct httpd_conn *);
void	 httpd_conn_kill(struct httpd_conn *);	/* now dead, freed later */
void	 httpd_conn_kick(struct httpd_conn *);
void	 httpd_conn_refuse(struct httpd_conn *, int, const char *);
void	 httpd_arm(struct event *, unsigned);	/* ms; 0 disarms */

/* httpd_body.c */
void	 httpd_body_start(struct httpd_req *);
void	 httpd_body_pump(struct httpd_conn *);
bool	 httpd_body_progress(struct httpd_req *);
void	 httpd_body_stop(struct httpd_req *);
void	 httpd_body_drop(struct httpd_req *);
void	 httpd_input_drain(struct evbuffer *, size_t);

/* httpd_reply.c */
void	 httpd_reply_own(struct httpd_req *, int, const char *);
void	 httpd_reply_tick(struct httpd_req *);
bool	 httpd_may_end(struct httpd_req *);
void	 httpd_reply_done(struct httpd_req *);

/* httpd_raw.c */
void	 httpd_raw_pump(struct httpd_conn *);

/* httpd_req.c */
void	 httpd_req_free(struct httpd_req *);

#endif

/*
 * Strict HTTP/1.1 server on libevent, for front and gateway.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway. Talks to: clients and agents.
 *
 * Life of a request: on_head is called once the head is complete. Nothing of
 * the body is read until the application decides, now or later, with one of
 *	httpd_req_collect()	read the whole body, then call me
 *	httpd_req_stream()	hand me the body as it comes
 *	a reply			(what the client still sends is dropped)
 * The application owns the request until it ends the reply (httpd_reply*,
 * httpd_error, httpd_stream_end, httpd_abort) or its on_close is called
 * because the client went away or broke the rules. After either one the
 * pointer is dead; exactly one of the two happens. on_close never runs
 * inside a call that the application makes.
 *
 * One request at a time per connection: reading stops until the reply is
 * complete. A client that closes its sending side is taken to have left.
 */
#ifndef HTTPD_H
#define HTTPD_H

#include <sys/types.h>
#include <sys/socket.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http.h"

struct evbuffer;
struct event_base;
struct httpd;
struct httpd_req;

#define HTTPD_SSE_CAP	(256 * 1024)	/* queued bytes of an SSE stream */

struct httpd_conf {
	unsigned	max_conns;	/* over all listeners */
	unsigned	max_conns_each;	/* of one listener */
	unsigned	fd_reserve;	/* fds kept free for other uses */
	unsigned	head_ms;	/* from the first byte to a full head */
	unsigned	body_ms;	/* at least 1 KiB in each such span */
	unsigned	idle_ms;	/* keep-alive, and before first byte */
	unsigned	write_ms;	/* without any progress */
	void		(*on_head)(struct httpd_req *, void *);
	/* May be NULL; status and bytes sent, once per request. */
	void		(*on_access)(struct httpd_req *, int, uint64_t, void *);
	void		*arg;
};

/* Defaults: 512, 512, 32 and 10 s, 5 s, 60 s, 15 s. */
void	 httpd_conf_init(struct httpd_conf *);

/* NULL with errno on failure. Reads RLIMIT_NOFILE once. */
struct httpd *httpd_new(struct event_base *, const struct httpd_conf *);
void	 httpd_free(struct httpd *);	/* cuts everything, no callbacks */

/*
 * Serve a listening socket; takes the fd. httpd_unlisten() closes it and
 * cuts its connections: on_close runs from the event loop, so the argument
 * must live until the requests of this listener are over.
 */
int	 httpd_listen(struct httpd *, int, void *);
int	 httpd_unlisten(struct httpd *, int);

/* Accept no more from this one, but serve the connections it has. */
int	 httpd_retire(struct httpd *, int);

/* Serve one connected socket; takes the fd, closes it on failure. */
int	 httpd_attach(struct httpd *, int, void *);

/* Stop accepting, close idle connections, call back when none is left. */
void	 httpd_drain(struct httpd *, void (*)(void *), void *);
unsigned httpd_connections(const struct httpd *);

/* The request. Strings live as long as the request. */
const char *httpd_req_method(const struct httpd_req *);
const char *httpd_req_path(const struct httpd_req *);	/* decoded */
const char *httpd_req_target(const struct httpd_req *);	/* raw */
const char *httpd_req_header(const struct httpd_req *, const char *);
const struct http_head *httpd_req_head(const struct httpd_req *);
/* 1 found, 0 absent, -1 given twice, broken or too long for the buffer. */
int	 httpd_req_query(const struct httpd_req *, const char *, char *,
	    size_t);
int64_t	 httpd_req_length(const struct httpd_req *); /* body; -1 chunked */
uint64_t httpd_req_conn_id(const struct httpd_req *);
uint64_t httpd_req_age(const struct httpd_req *);	/* ms */
int	 httpd_req_fd(const struct httpd_req *);	/* borrowed */
void	*httpd_req_listener(const struct httpd_req *);	/* its arg */
/* Peer address as text, "unix" for Unix sockets. */
const char *httpd_req_peer(const struct httpd_req *);

/* One pointer per request and one per connection (freed by its function). */
void	 httpd_req_set(struct httpd_req *, void *);
void	*httpd_req_get(const struct httpd_req *);
void	 httpd_conn_set(struct httpd_req *, void *, void (*)(void *));
void	*httpd_conn_get(const struct httpd_req *);

/* What to call when the client is gone before the reply was complete. */
void	 httpd_req_on_close(struct httpd_req *,
	    void (*)(struct httpd_req *, void *), void *);

/*
 * Read the body. A body that is, or grows, over max is answered 413 by the
 * server: then httpd_req_collect/stream return -1, or on_close runs, and the
 * request is dead. The collected body is NUL-terminated, writable, and
 * wiped and freed with the request.
 */
int	 httpd_req_collect(struct httpd_req *, size_t,
	    void (*)(struct httpd_req *, char *, size_t, void *), void *);

struct httpd_body_ops {
	void	(*on_body)(struct httpd_req *, const void *, size_t, void *);
	void	(*on_end)(struct httpd_req *, void *);
};
int	 httpd_req_stream(struct httpd_req *, uint64_t,
	    const struct httpd_body_ops *, void *);
void	 httpd_req_pause(struct httpd_req *);	/* at most 64 KiB come still */
void	 httpd_req_resume(struct httpd_req *);

/*
 * Replies. Headers are added before the reply starts; one with a control
 * byte turns the reply into a 500. Data is copied. Every reply says nosniff,
 * and no-store unless Cache-Control was added.
 */
void	 httpd_add_header(struct httpd_req *, const char *, const char *);
void	 httpd_close_after(struct httpd_req *);	/* Connection: close */
void	 httpd_reply(struct httpd_req *, int, const char *, const void *,
	    size_t);
/* Takes the contents of the evbuffer, not the evbuffer. */
void	 httpd_reply_evbuffer(struct httpd_req *, int, const char *,
	    struct evbuffer *);
/* {"error": "..."} */
void	 httpd_error(struct httpd_req *, int, const char *, ...)
	    __attribute__((__format__(printf, 3, 4)));
void	 httpd_abort(struct httpd_req *);	/* cut the connection */

/*
 * Takes the connection over, with whatever came behind the head, for what is
 * HTTP no longer (101): the request is dead, the bufferevent is the caller's
 * and has no callbacks. Not after a reply has begun.
 */
struct bufferevent;
struct bufferevent *httpd_req_take(struct httpd_req *);

/*
 * Streamed reply (chunked). When more than cap bytes are queued the client
 * is cut off: write returns -1, on_close follows from the event loop, and
 * the request stays valid (writes do nothing) until then. cap 0: 1 MiB.
 */
void	 httpd_stream_start(struct httpd_req *, int, const char *, size_t);
int	 httpd_stream_write(struct httpd_req *, const void *, size_t);
size_t	 httpd_stream_queued(const struct httpd_req *);
void	 httpd_stream_set_cap(struct httpd_req *, size_t);
/* Call back each time the queue falls to low bytes or fewer. */
void	 httpd_stream_on_writable(struct httpd_req *, size_t,
	    void (*)(struct httpd_req *, void *), void *);
void	 httpd_stream_end(struct httpd_req *);

/*
 * Another protocol from here on (101). Only once the body was collected.
 * on_raw runs when the client has sent something; what is read is taken out
 * of the evbuffer in (at most 64 KiB are taken in ahead); what is written
 * goes into httpd_raw_out(), httpd_stream_on_writable() works. There is no
 * time limit but the application's. httpd_raw_end() closes when all is
 * written.
 */
void	 httpd_upgrade(struct httpd_req *, const char *,
	    void (*)(struct httpd_req *, struct evbuffer *, void *), void *);
struct evbuffer *httpd_raw_out(const struct httpd_req *);
void	 httpd_raw_read(struct httpd_req *, bool);	/* take in, or wait */
void	 httpd_raw_end(struct httpd_req *);

/*
 * Server-Sent Events over a streamed reply. id and event name may be NULL;
 * data may hold line breaks. cap 0: HTTPD_SSE_CAP. tick: send an event
 * "tick" with {"ts": seconds} every write_ms (15 s by default).
 */
void	 httpd_sse_start(struct httpd_req *, size_t, bool);
int	 httpd_sse_event(struct httpd_req *, const char *, const char *,
	    const void *, size_t);
int	 httpd_sse_comment(struct httpd_req *, const char *);

/*
 * Routes: patterns are "/a/{name}/b"; {name} matches one non-empty segment.
 * The table may be of a larger struct that starts with this one: stride is
 * its size.
 */
#define HTTPD_MAX_PARAMS	4
#define HTTPD_ROUTE_RAW		0x1	/* any content type */

struct httpd_route {
	const char	*method;
	const char	*pattern;
	uint64_t	 max_body;	/* 0: takes no body */
	unsigned	 flags;
};

/*
 * IO-free: 0 and *out, or 404, or 405 with the methods in allow (for the
 * header of that name). params (may be NULL) get the segments.
 */
struct httpd_params {
	unsigned	 n;
	struct {
		const char	*name;	/* points into the pattern */
		size_t		 namelen;
		const char	*value;	/* points into the path */
		size_t		 len;
	} p[HTTPD_MAX_PARAMS];
};
int	 httpd_route_find(const void *, size_t, size_t, const char *,
	    const char *, const struct httpd_route **, struct httpd_params *,
	    char *, size_t);

/*
 * Find the route of a request and keep its parameters. NULL: no route, and
 * 404, 405, 413 or 415 has been replied.
 */
const void *httpd_route(struct httpd_req *, const void *, size_t, size_t);
const char *httpd_req_param(const struct httpd_req *, const char *);

#endif

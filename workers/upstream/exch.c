/*
 * One HTTP exchange with a provider, for a stream.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: providers.
 *
 * The body goes out as it comes, the reply comes back as it comes; what the
 * gateway has no room for stays in the socket.
 */
#include <sys/types.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "conn.h"
#include "exch.h"
#include "httpc.h"
#include "log.h"
#include "request.h"

#define GRANT_STEP	32768	/* credit is not given back in crumbs */

struct exch {
	struct stream		*stream;
	struct conn		*conn;
	struct httpc		 parser;
	struct event		*timer;
	size_t			 head_len;
	uint64_t		 put;		/* bytes given to the bev */
	uint64_t		 granted;	/* of the body */
	struct evbuffer		*keep;		/* body so far, or NULL */
	bool			 started;	/* the head is out */
	bool			 eof;
	bool			 done;
	uint64_t		 total;		/* bytes of the reply */
	unsigned		 refuse;	/* status, with why: ours */
	char			 why[256];
	/* Reply bytes on their way into one frame. */
	size_t			 pending;
};

/* One reply is parsed at a time, so they share the space for a frame. */
static struct {
	struct event_base	*base;
	unsigned char		 frame[STREAM_FRAME];
} self;

static void	exch_open(struct stream *);
static void	exch_body(struct stream *);
static void	exch_room(struct stream *);
static void	exch_close(struct stream *);
static void	c_ready(void *);
static void	c_failed(void *, unsigned, const char *);
static void	c_readable(void *);
static void	c_written(void *);
static void	c_eof(void *);
static void	begin(struct exch *);
static void	put_body(struct exch *);
static void	grant(struct exch *);
static bool	pump(struct exch *);
static void	flush(struct exch *);
static void	finish(struct exch *);
static bool	retry(struct exch *);
static void	broken(struct exch *);
static int	p_head(void *, const struct http_head *);
static int	p_body(void *, const void *, size_t);
static int	p_end(void *);
static int	refuse(struct exch *, unsigned, const char *, ...)
		    __attribute__((format(printf, 3, 4)));
static void	clean(char *, size_t, const char *, const char *);
static void	on_timer(evutil_socket_t, short, void *);
static void	set_timer(struct exch *);

const struct stream_ops exch_ops = {
	.open = exch_open,
	.body = exch_body,
	.room = exch_room,
	.close = exch_close,
};

static const struct conn_ops conn_callbacks = {
	.ready = c_ready,
	.failed = c_failed,
	.readable = c_readable,
	.written = c_written,
	.eof = c_eof,
};

static const struct httpc_cb parser_callbacks = {
	.on_head = p_head,
	.on_body = p_body,
	.on_end = p_end,
};

void
exch_init(struct event_base *base)
{
	self.base = base;
}

/* ---- the stream's side ---- */

static void
exch_open(struct stream *s)
{
	struct exch *e;

	if ((e = calloc(1, sizeof(*e))) == NULL ||
	    (e->timer = evtimer_new(self.base, on_timer, e)) == NULL)
		fatalx("out of memory");
	e->stream = s;
	s->ctx = e;
	httpc_init(&e->parser, false, &parser_callbacks, e);
	e->conn = conn_open(s->route, false, &conn_callbacks, e);
	if (conn_is_reused(e->conn) && (e->keep = evbuffer_new()) == NULL)
		fatalx("out of memory");
	if (conn_is_ready(e->conn))
		begin(e);
}

static void
exch_body(struct stream *s)
{
	struct exch *e = s->ctx;

	if (e->started)
		put_body(e);
}

static void
exch_room(struct stream *s)
{
	struct exch *e = s->ctx;

	if (e->started)
		(void)pump(e);
}

static void
exch_close(struct stream *s)
{
	struct exch *e = s->ctx;

	/* After a complete reply the connection is in the pool already. */
	conn_close(e->conn);
	httpc_free(&e->parser);
	event_free(e->timer);
	if (e->keep != NULL)
		evbuffer_free(e->keep);
	free(e);
}

/* ---- the connection's side ---- */

static void
c_ready(void *arg)
{
	begin(arg);
}

static void
c_failed(void *arg, unsigned status, const char *why)
{
	struct exch *e = arg;
	struct stream *s = e->stream;

	if (!e->started) {
		/* The dialer's 403 would look like a word of the provider. */
		stream_fail(s, status == 403 ? 502 : status, "provider %s "
		    "cannot be reached: %s", s->route->name, why);
		return;
	}
	/* What was read before may be a whole reply. */
	e->eof = true;
	(void)refuse(e, status, "failed: %s", why);
	(void)pump(e);
}

static void
c_readable(void *arg)
{
	(void)pump(arg);
}

static void
c_written(void *arg)
{
	struct exch *e = arg;

	grant(e);
	set_timer(e);
}

static void
c_eof(void *arg)
{
	struct exch *e = arg;

	e->eof = true;
	(void)pump(e);
}

static void
begin(struct exch *e)
{
	struct stream *s = e->stream;
	ssize_t len;

	e->started = true;
	len = request_head(s->route, s->path, s->sse, s->length,
	    bufferevent_get_output(conn_bev(e->conn)));
	if (len == -1) {
		stream_fail(s, 502, "provider %s: its key has characters that "
		    "a header cannot hold", s->route->name);
		return;
	}
	e->put = e->head_len = (size_t)len;
	put_body(e);
	set_timer(e);
}

static void
put_body(struct exch *e)
{
	struct evbuffer *body = e->stream->body;
	size_t len = evbuffer_get_length(body);

	if (len == 0)
		return;
	if (e->keep != NULL &&
	    evbuffer_get_length(e->keep) + len > EXCH_KEEP) {
		evbuffer_free(e->keep);
		e->keep = NULL;
	}
	if (e->keep != NULL &&
	    evbuffer_add(e->keep, evbuffer_pullup(body, -1), len) == -1)
		fatalx("out of memory");
	e->put += len;
	if (bufferevent_write_buffer(conn_bev(e->conn), body) == -1)
		fatalx("out of memory");
}

/* Gives the gateway credit for what has left the buffer. */
static void
grant(struct exch *e)
{
	uint64_t sent;

	sent = e->put - evbuffer_get_length(
	    bufferevent_get_output(conn_bev(e->conn)));
	/* After a retry bytes go a second time: they earn nothing. */
	if (sent < e->head_len + e->granted + GRANT_STEP)
		return;
	sent -= e->head_len + e->granted;
	e->granted += sent;
	stream_taken(e->stream, (size_t)sent);
}

/* ---- the reply ---- */

/* Passes on what there is room for. False if the stream has ended. */
static bool
pump(struct exch *e)
{
	struct evbuffer *in = bufferevent_get_input(conn_bev(e->conn));
	struct evbuffer_iovec v;
	size_t room, n;
	ssize_t used;

	while (evbuffer_get_length(in) > 0 &&
	    (room = stream_room(e->stream)) > e->pending &&
	    evbuffer_peek(in, -1, NULL, &v, 1) >= 1) {
		n = v.iov_len < room - e->pending ? v.iov_len :
		    room - e->pending;
		used = httpc_feed(&e->parser, v.iov_base, n);
		if (used == -1) {
			broken(e);
			return false;
		}
		e->total += (uint64_t)used;
		if (evbuffer_drain(in, (size_t)used) == -1)
			fatalx("evbuffer_drain");
		if (e->done) {
			finish(e);
			return false;
		}
	}
	flush(e);
	if (e->eof && evbuffer_get_length(in) == 0) {
		if (e->refuse == 0 && httpc_eof(&e->parser) == 0)
			finish(e);
		else if (!retry(e))
			broken(e);
		return false;
	}
	set_timer(e);
	return true;
}

static void
flush(struct exch *e)
{
	size_t n = e->pending;

	e->pending = 0;
	if (n > 0)
		stream_data(e->stream, self.frame, n);
}

static void
finish(struct exch *e)
{
	struct stream *s = e->stream;

	flush(e);
	/* A reply that came before the request was out ends its use. */
	if (e->parser.keepalive && !e->eof && stream_body_done(s)) {
		conn_release(e->conn);
		e->conn = NULL;
	}
	stream_end(s);
}

/*
 * A pooled connection may have been closed by the other side just as it was
 * taken. If not one byte came back, the call goes out again, once, on a new
 * connection.
 */
static bool
retry(struct exch *e)
{
	struct stream *s = e->stream;

	if (e->keep == NULL || !e->started || e->total > 0 ||
	    evbuffer_get_length(bufferevent_get_input(conn_bev(e->conn))) > 0)
		return false;
	log_debug("provider %s: the kept connection was stale",
	    s->route->name);
	conn_close(e->conn);
	if (evbuffer_prepend_buffer(s->body, e->keep) == -1)
		fatalx("out of memory");
	evbuffer_free(e->keep);
	e->keep = NULL;
	e->started = e->eof = false;
	httpc_free(&e->parser);
	httpc_init(&e->parser, false, &parser_callbacks, e);
	e->conn = conn_open(s->route, true, &conn_callbacks, e);
	return true;
}

static void
broken(struct exch *e)
{
	struct stream *s = e->stream;

	flush(e);
	if (e->refuse != 0)
		stream_fail(s, e->refuse, "provider %s %s", s->route->name,
		    e->why);
	else if (e->total == 0 && e->eof)
		stream_fail(s, 502, "provider %s closed the connection "
		    "without a reply", s->route->name);
	else if (e->eof)
		stream_fail(s, 502, "provider %s: the reply was cut short",
		    s->route->name);
	else
		stream_fail(s, 502, "provider %s: the reply is not valid "
		    "HTTP: %s", s->route->name, e->parser.why);
}

static int
p_head(void *arg, const struct http_head *h)
{
	struct exch *e = arg;
	const char *coding, *type, *after;
	char t[129], a[65];

	if (h->code >= 300 && h->code < 400)
		return refuse(e, 502, "answered with a redirect (%d), which "
		    "is not followed", h->code);
	/*
	 * It is agentd's key that is wrong, not the agent's; and what is
	 * said about it may quote it.
	 */
	if (h->code == 401 || h->code == 403)
		return refuse(e, 502, "refused agentd's key or "
		    "account (%d)", h->code);
	coding = http_head_field(h, "Content-Encoding");
	if (coding != NULL && strcasecmp(coding, "identity") != 0)
		return refuse(e, 502, "sent an encoding nobody asked for");
	type = http_head_field(h, "Content-Type");
	after = http_head_field(h, "Retry-After");
	clean(t, sizeof(t), type, "application/octet-stream");
	clean(a, sizeof(a), after, "");
	stream_head(e->stream, (unsigned)h->code, t, a);
	return 0;
}

static int
p_body(void *arg, const void *data, size_t len)
{
	struct exch *e = arg;
	const unsigned char *p = data;
	size_t n;

	if (e->total > EXCH_REPLY_MAX)
		return refuse(e, 502, "sent more than %llu bytes",
		    EXCH_REPLY_MAX);
	while (len > 0) {
		n = sizeof(self.frame) - e->pending;
		if (n > len)
			n = len;
		memcpy(self.frame + e->pending, p, n);
		e->pending += n;
		p += n;
		len -= n;
		if (e->pending == sizeof(self.frame))
			flush(e);
	}
	return 0;
}

static int
p_end(void *arg)
{
	struct exch *e = arg;

	e->done = true;
	return 0;
}

static int
refuse(struct exch *e, unsigned status, const char *fmt, ...)
{
	va_list ap;

	e->refuse = status;
	va_start(ap, fmt);
	(void)vsnprintf(e->why, sizeof(e->why), fmt, ap);
	va_end(ap);
	return -1;
}

/* Copies a value of printable ASCII that fits, or what stands for it. */
static void
clean(char *dst, size_t size, const char *value, const char *other)
{
	const char *p = value;

	while (p != NULL && isprint((unsigned char)*p))
		p++;
	if (p == NULL || *p != '\0' || (size_t)(p - value) >= size)
		value = other;
	(void)snprintf(dst, size, "%s", value);
}

/* ---- time ---- */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct exch *e = arg;
	struct stream *s = e->stream;

	(void)fd;
	(void)what;
	if (!s->head_sent)
		stream_fail(s, 504, "provider %s did not answer in time",
		    s->route->name);
	else if (stream_room(s) > 0)
		stream_cut(s, "provider %s: no more of the reply in time",
		    s->route->name);
	else
		stream_cut(s, "the agent did not take the reply in time");
}

static void
set_timer(struct exch *e)
{
	unsigned ms = EXCH_FIRST_MS;
	struct timeval tv;

	if (e->stream->head_sent)
		ms = stream_room(e->stream) > 0 ? EXCH_IDLE_MS :
		    EXCH_STALL_MS;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = 0;
	if (evtimer_add(e->timer, &tv) == -1)
		fatalx("cannot set a timer");
}

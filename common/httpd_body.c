/*
 * HTTP server: reading request bodies, whole or as a stream.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway. Talks to: clients and agents.
 */
#include <stdlib.h>
#include <string.h>

#include "httpd_int.h"

/* Bodies and heads may hold secrets and libevent frees without wiping. */
void
httpd_input_drain(struct evbuffer *in, size_t len)
{
	struct evbuffer_iovec v;
	size_t n;

	while (len > 0 && evbuffer_peek(in, (ssize_t)len, NULL, &v, 1) > 0) {
		if ((n = v.iov_len) > len)
			n = len;
		if (n == 0)
			break;
		explicit_bzero(v.iov_base, n);
		(void)evbuffer_drain(in, n);
		len -= n;
	}
}

static int
collect(struct httpd_req *r, const char *data, size_t len)
{
	size_t want = r->collect_len + len + 1, size;
	char *p;

	if (want > r->collect_size) {
		size = r->collect_size == 0 ? 1024 : r->collect_size;
		while (size < want)
			size *= 2;
		p = recallocarray(r->collect, r->collect_size, size, 1);
		if (p == NULL)
			return (-1);
		r->collect = p;
		r->collect_size = size;
	}
	if (len > 0)
		memcpy(r->collect + r->collect_len, data, len);
	r->collect_len += len;
	r->collect[r->collect_len] = '\0';
	return (0);
}

static void
deliver(struct httpd_req *r, const char *data, size_t len)
{
	if (len == 0)
		return;
	r->body_got += len;
	if (r->body_got > r->body_max) {
		httpd_conn_refuse(r->conn, 413, "request body too large");
		return;
	}
	if (r->body == BODY_STREAM)
		r->ops->on_body(r, data, len, r->body_arg);
	else if (collect(r, data, len) == -1)
		httpd_conn_refuse(r->conn, 503, "out of memory");
}

/* Take one contiguous run of input; false when there is nothing to do. */
static bool
pump_once(struct httpd_conn *c)
{
	struct httpd_req *r = c->req;
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct evbuffer_iovec v;
	const char *data, *body;
	size_t len, bodylen;
	ssize_t used;

	if (evbuffer_peek(in, -1, NULL, &v, 1) < 1 || v.iov_len == 0)
		return (false);
	data = v.iov_base;
	len = v.iov_len;
	if (r->head.chunked) {
		used = http_chunk_next(&r->chunk, data, len, &body, &bodylen);
		if (used == -1) {
			httpd_conn_refuse(c, 400, "broken chunk");
			return (false);
		}
	} else {
		if (len > (uint64_t)r->head.content_length - r->body_got)
			len = (size_t)((uint64_t)r->head.content_length -
			    r->body_got);
		body = data;
		bodylen = len;
		used = (ssize_t)len;
	}
	deliver(r, body, bodylen);
	/* The application may have ended the request, not freed it. */
	httpd_input_drain(in, (size_t)used);
	return (true);
}

static bool
body_complete(const struct httpd_req *r)
{
	if (r->head.chunked)
		return (http_chunk_done(&r->chunk));
	return (r->body_got >= (uint64_t)(r->head.content_length > 0 ?
	    r->head.content_length : 0));
}

static void
body_end(struct httpd_req *r)
{
	struct httpd_conn *c = r->conn;

	r->body_ended = true;
	httpd_arm(&c->timer, 0);
	bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_MAX_HEAD);
	if (r->body == BODY_STREAM) {
		r->body = BODY_DONE;
		if (r->ops->on_end != NULL)
			r->ops->on_end(r, r->body_arg);
		return;
	}
	r->body = BODY_DONE;
	if (collect(r, "", 0) == -1)
		httpd_conn_refuse(c, 503, "out of memory");
	else
		r->on_done(r, r->collect, r->collect_len, r->body_arg);
}

void
httpd_body_pump(struct httpd_conn *c)
{
	struct httpd_req *r = c->req;

	while (c->state == CONN_REQUEST && !r->body_paused &&
	    !r->body_ended && (r->body == BODY_COLLECT ||
	    r->body == BODY_STREAM)) {
		if (body_complete(r)) {
			body_end(r);
			return;
		}
		if (!pump_once(c))
			return;
	}
}

static int
body_start(struct httpd_req *r, uint64_t max, enum body_state mode)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct httpd_conn *c = r->conn;

	if (r->head.content_length > 0 &&
	    (uint64_t)r->head.content_length > max) {
		c->close = true;
		httpd_error(r, 413, "request body too large");
		return (-1);
	}
	r->body_max = max;
	if (r->body != BODY_DONE) {
		if (r->head.expect_100 && evbuffer_get_length(
		    bufferevent_get_input(c->bev)) == 0)
			(void)bufferevent_write(c->bev, go_on,
			    sizeof(go_on) - 1);
		bufferevent_setwatermark(c->bev, EV_READ, 0,
		    HTTPD_BODY_WINDOW);
		httpd_arm(&c->timer, c->srv->conf.body_ms);
	}
	r->body = mode;
	/* What is already here is handed over from the event loop. */
	httpd_conn_kick(c);
	return (0);
}

int
httpd_req_collect(struct httpd_req *r, size_t max,
    void (*cb)(struct httpd_req *, char *, size_t, void *), void *arg)
{
	r->on_done = cb;
	r->body_arg = arg;
	return (body_start(r, max, BODY_COLLECT));
}

int
httpd_req_stream(struct httpd_req *r, uint64_t max,
    const struct httpd_body_ops *ops, void *arg)
{
	r->ops = ops;
	r->body_arg = arg;
	return (body_start(r, max, BODY_STREAM));
}

void
httpd_req_pause(struct httpd_req *r)
{
	r->body_paused = true;
}

void
httpd_req_resume(struct httpd_req *r)
{
	if (!r->body_paused)
		return;
	r->body_paused = false;
	r->body_mark = r->body_got;
	if (r->body != BODY_DONE)
		httpd_arm(&r->conn->timer, r->conn->srv->conf.body_ms);
	httpd_conn_kick(r->conn);
}

/* Did enough of the body come since the last call? */
bool
httpd_body_progress(struct httpd_req *r)
{
	bool ok = r->body_got - r->body_mark >= HTTPD_PROGRESS;

	r->body_mark = r->body_got;
	return (ok);
}

static bool
rest_is_here(const struct httpd_req *r)
{
	uint64_t left;

	if (r->head.chunked)
		return (false);
	left = (uint64_t)r->head.content_length - r->body_got;
	return (left <= evbuffer_get_length(
	    bufferevent_get_input(r->conn->bev)));
}

/*
 * The reply is complete before the body was read. What is all here can be
 * dropped later; else the connection cannot be used again.
 */
void
httpd_body_stop(struct httpd_req *r)
{
	if (r->body != BODY_DONE && !body_complete(r) && !rest_is_here(r))
		r->conn->close = true;
}

void
httpd_body_drop(struct httpd_req *r)
{
	if (r->body == BODY_DONE || body_complete(r))
		return;
	if (rest_is_here(r))
		httpd_input_drain(bufferevent_get_input(r->conn->bev),
		    (size_t)((uint64_t)r->head.content_length - r->body_got));
	else
		r->conn->close = true;
}

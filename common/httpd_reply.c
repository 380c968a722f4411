/*
 * HTTP server: replies, whole, streamed, and as Server-Sent Events.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway. Talks to: clients and agents.
 */
#include <sys/time.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "httpd_int.h"
#include "jbuf.h"
#include "sse.h"

static struct evbuffer *
output(const struct httpd_req *r)
{
	return (bufferevent_get_output(r->conn->bev));
}

/*
 * May the application still end this request? If the server has ended it
 * meanwhile, the application has now let go too: on_close is not due any
 * more.
 */
bool
httpd_may_end(struct httpd_req *r)
{
	if (r->conn->state == CONN_REQUEST)
		return (true);
	r->told = true;
	return (false);
}

void
httpd_add_header(struct httpd_req *r, const char *name, const char *value)
{
	if (!http_is_token(name, strlen(name)) || !http_is_value(value) ||
	    (r->fields == NULL && (r->fields = evbuffer_new()) == NULL) ||
	    evbuffer_add_printf(r->fields, "%s: %s\r\n", name, value) == -1)
		r->bad_field = true;
	if (strcasecmp(name, "Cache-Control") == 0)
		r->has_cache = true;
}

void
httpd_close_after(struct httpd_req *r)
{
	r->conn->close = true;
}

/* The head up to, not including, the fields that frame the body. */
static int
put_head(struct httpd_req *r, struct evbuffer *out, int status,
    const char *type)
{
	r->status = status;
	if (evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\n", status,
	    http_reason(status)) == -1)
		return (-1);
	if (type != NULL &&
	    evbuffer_add_printf(out, "Content-Type: %s\r\n", type) == -1)
		return (-1);
	if (!r->has_cache && evbuffer_add_printf(out,
	    "Cache-Control: no-store\r\n") == -1)
		return (-1);
	if (evbuffer_add_printf(out,
	    "X-Content-Type-Options: nosniff\r\n%s",
	    r->conn->close ? "Connection: close\r\n" : "") == -1)
		return (-1);
	if (r->fields != NULL && evbuffer_add_buffer(out, r->fields) == -1)
		return (-1);
	return (0);
}

void
httpd_reply_done(struct httpd_req *r)
{
	struct httpd_conn *c = r->conn;

	r->reply = REPLY_DONE;
	c->state = CONN_FLUSH;
	r->on_writable = NULL;
	httpd_arm(&c->timer, 0);
	httpd_arm(&c->wtimer, c->srv->conf.write_ms);
	httpd_conn_kick(c);
}

/* Send one complete reply; body may be NULL, its contents are taken. */
static void
send_whole(struct httpd_req *r, int status, const char *type,
    struct evbuffer *body)
{
	struct httpd_conn *c = r->conn;
	struct evbuffer *out = output(r);
	size_t len = body != NULL ? evbuffer_get_length(body) : 0;
	size_t before = evbuffer_get_length(out);
	int n;

	httpd_body_stop(r);
	if (put_head(r, out, status, type) == -1) {
		httpd_conn_kill(c);
		return;
	}
	/* RFC 9110: no Content-Length in a 204. */
	n = status == 204 ? evbuffer_add(out, "\r\n", 2) :
	    evbuffer_add_printf(out, "Content-Length: %zu\r\n\r\n", len);
	if (n == -1 || (len > 0 && !r->head_only && status != 204 &&
	    evbuffer_add_buffer(out, body) == -1)) {
		httpd_conn_kill(c);
		return;
	}
	c->sent += evbuffer_get_length(out) - before;
	httpd_reply_done(r);
}

static void
send_error(struct httpd_req *r, int status, const char *text)
{
	struct evbuffer *body;
	struct jbuf j;
	const char *json;
	size_t len;

	jbuf_init(&j, 4096);
	jb_obj(&j);
	jb_kstr(&j, "error", text);
	jb_end(&j);
	json = jbuf_text(&j, &len);
	body = evbuffer_new();
	if (json == NULL || body == NULL ||
	    evbuffer_add(body, json, len) == -1 ||
	    evbuffer_add(body, "\n", 1) == -1)
		httpd_conn_kill(r->conn);
	else
		send_whole(r, status, "application/json", body);
	if (body != NULL)
		evbuffer_free(body);
	jbuf_free(&j);
}

/* An error of the server itself: the caller has set who hears of it. */
void
httpd_reply_own(struct httpd_req *r, int status, const char *text)
{
	send_error(r, status, text);
}

void
httpd_error(struct httpd_req *r, int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!httpd_may_end(r))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (r->reply != REPLY_NONE)
		httpd_abort(r);
	else
		send_error(r, status, text);
}

void
httpd_reply_evbuffer(struct httpd_req *r, int status, const char *type,
    struct evbuffer *body)
{
	if (!httpd_may_end(r))
		return;
	if (r->reply != REPLY_NONE)
		httpd_abort(r);
	else if (r->bad_field) {
		if (r->fields != NULL)
			(void)evbuffer_drain(r->fields,
			    evbuffer_get_length(r->fields));
		send_error(r, 500, "reply header with a control byte");
	} else
		send_whole(r, status, type, body);
}

void
httpd_reply(struct httpd_req *r, int status, const char *type,
    const void *data, size_t len)
{
	struct evbuffer *body;

	if (!httpd_may_end(r))
		return;
	if ((body = evbuffer_new()) == NULL ||
	    (len > 0 && evbuffer_add(body, data, len) == -1))
		httpd_abort(r);
	else
		httpd_reply_evbuffer(r, status, type, body);
	if (body != NULL)
		evbuffer_free(body);
}

void
httpd_abort(struct httpd_req *r)
{
	if (!httpd_may_end(r))
		return;
	r->told = true;
	httpd_conn_kill(r->conn);
}

void
httpd_stream_start(struct httpd_req *r, int status, const char *type,
    size_t cap)
{
	struct httpd_conn *c = r->conn;
	struct evbuffer *out = output(r);
	size_t before = evbuffer_get_length(out);

	if (c->state != CONN_REQUEST || r->reply != REPLY_NONE)
		return;
	r->cap = cap != 0 ? cap : HTTPD_STREAM_CAP;
	r->reply = REPLY_STREAM;
	if (r->bad_field || put_head(r, out, status, type) == -1 ||
	    evbuffer_add_printf(out,
	    "Transfer-Encoding: chunked\r\n\r\n") == -1) {
		httpd_conn_kill(c);
		return;
	}
	c->sent += evbuffer_get_length(out) - before;
	httpd_arm(&c->wtimer, c->srv->conf.write_ms);
}

int
httpd_stream_write(struct httpd_req *r, const void *data, size_t len)
{
	struct httpd_conn *c = r->conn;
	struct evbuffer *out = output(r);
	size_t before = evbuffer_get_length(out);

	if (c->state != CONN_REQUEST || r->reply != REPLY_STREAM)
		return (-1);
	/* A zero chunk would end the body. */
	if (len == 0 || r->head_only)
		return (0);
	if (before + len > r->cap ||
	    evbuffer_add_printf(out, "%zx\r\n", len) == -1 ||
	    evbuffer_add(out, data, len) == -1 ||
	    evbuffer_add(out, "\r\n", 2) == -1) {
		httpd_conn_kill(c);
		return (-1);
	}
	c->sent += evbuffer_get_length(out) - before;
	return (0);
}

size_t
httpd_stream_queued(const struct httpd_req *r)
{
	return (evbuffer_get_length(output(r)));
}

void
httpd_stream_set_cap(struct httpd_req *r, size_t cap)
{
	r->cap = cap;
}

void
httpd_stream_on_writable(struct httpd_req *r, size_t low,
    void (*cb)(struct httpd_req *, void *), void *arg)
{
	r->low = low;
	r->on_writable = cb;
	r->writable_arg = arg;
	bufferevent_setwatermark(r->conn->bev, EV_WRITE, low, 0);
}

void
httpd_stream_end(struct httpd_req *r)
{
	struct httpd_conn *c = r->conn;

	if (!httpd_may_end(r))
		return;
	if (r->reply != REPLY_STREAM) {
		httpd_abort(r);
		return;
	}
	httpd_body_stop(r);
	if (!r->head_only &&
	    evbuffer_add(output(r), "0\r\n\r\n", 5) == -1) {
		httpd_abort(r);
		return;
	}
	c->sent += r->head_only ? 0 : 5;
	bufferevent_setwatermark(c->bev, EV_WRITE, 0, 0);
	httpd_reply_done(r);
}

void
httpd_sse_start(struct httpd_req *r, size_t cap, bool tick)
{
	httpd_add_header(r, "Cache-Control", "no-cache");
	httpd_add_header(r, "X-Accel-Buffering", "no");
	r->sse_tick = tick;
	httpd_stream_start(r, 200, "text/event-stream",
	    cap != 0 ? cap : HTTPD_SSE_CAP);
}

int
httpd_sse_event(struct httpd_req *r, const char *id, const char *name,
    const void *data, size_t len)
{
	size_t size = sse_bound(id, name, data, len);
	ssize_t n;
	char *buf;
	int ret;

	if ((buf = malloc(size)) == NULL)
		return (-1);
	n = sse_write(buf, size, id, name, data, len);
	ret = n == -1 ? -1 : httpd_stream_write(r, buf, (size_t)n);
	free(buf);
	return (ret);
}

int
httpd_sse_comment(struct httpd_req *r, const char *text)
{
	char buf[128];
	int n;

	if (!http_is_value(text))
		return (-1);
	n = snprintf(buf, sizeof(buf), ": %s\n\n", text);
	if (n < 0 || (size_t)n >= sizeof(buf))
		return (-1);
	return (httpd_stream_write(r, buf, (size_t)n));
}

/* Called every write_ms while a request is open. */
void
httpd_reply_tick(struct httpd_req *r)
{
	struct timeval tv;
	char buf[64];
	int n;

	if (!r->sse_tick || r->reply != REPLY_STREAM)
		return;
	(void)gettimeofday(&tv, NULL);
	n = snprintf(buf, sizeof(buf), "{\"ts\":%lld.%03ld}",
	    (long long)tv.tv_sec, (long)tv.tv_usec / 1000);
	(void)httpd_sse_event(r, NULL, "tick", buf, (size_t)n);
}

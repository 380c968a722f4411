/*
 * HTTP server: connections that were upgraded to another protocol.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients.
 */
#include "httpd_int.h"

void
httpd_upgrade(struct httpd_req *r, const char *proto,
    void (*on_raw)(struct httpd_req *, struct evbuffer *, void *), void *arg)
{
	struct httpd_conn *c = r->conn;
	struct evbuffer *out = bufferevent_get_output(c->bev);
	size_t before = evbuffer_get_length(out);

	if (c->state != CONN_REQUEST || r->reply != REPLY_NONE)
		return;
	if (evbuffer_add_printf(out, "HTTP/1.1 101 Switching Protocols\r\n"
	    "Connection: Upgrade\r\nUpgrade: %s\r\n\r\n", proto) == -1) {
		httpd_conn_kill(c);
		return;
	}
	c->sent += evbuffer_get_length(out) - before;
	c->close = true;
	r->status = 101;
	r->reply = REPLY_RAW;
	r->on_raw = on_raw;
	r->raw_arg = arg;
	httpd_arm(&c->timer, 0);
	httpd_arm(&c->wtimer, 0);
	bufferevent_setwatermark(c->bev, EV_READ, 0, HTTPD_BODY_WINDOW);
	(void)bufferevent_enable(c->bev, EV_READ);
	/* What came with the request. */
	httpd_conn_kick(c);
}

void
httpd_raw_pump(struct httpd_conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	if (evbuffer_get_length(in) > 0 &&
	    (bufferevent_get_enabled(c->bev) & EV_READ))
		c->req->on_raw(c->req, in, c->req->raw_arg);
}

struct evbuffer *
httpd_raw_out(const struct httpd_req *r)
{
	return (bufferevent_get_output(r->conn->bev));
}

void
httpd_raw_read(struct httpd_req *r, bool on)
{
	struct httpd_conn *c = r->conn;

	if (c->state != CONN_REQUEST || r->reply != REPLY_RAW)
		return;
	if (on) {
		(void)bufferevent_enable(c->bev, EV_READ);
		httpd_conn_kick(c);
	} else
		(void)bufferevent_disable(c->bev, EV_READ);
}

void
httpd_raw_end(struct httpd_req *r)
{
	if (!httpd_may_end(r))
		return;
	if (r->reply != REPLY_RAW) {
		httpd_abort(r);
		return;
	}
	bufferevent_setwatermark(r->conn->bev, EV_WRITE, 0, 0);
	httpd_reply_done(r);
}

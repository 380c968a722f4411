/*
 * GET of a file that somebody else writes: it comes through a socket pair.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients, keeper (which hands the socket on).
 *
 * keeper's first frame says that it begins, the last one that all of it was
 * good. If that does not come the connection is cut, so that the client sees
 * a body without its end.
 */
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "front.h"
#include "log.h"
#include "worker.h"

#define CAP		(4 * 1024 * 1024)
#define HIGH_WATER	(1024 * 1024)
#define LOW_WATER	(256 * 1024)
#define PIECE		65536

struct download {
	struct call		*call;
	struct bufferevent	*bev;	/* NULL: it has ended */
	bool			 open;	/* the reply has begun */
	bool			 good;	/* the last frame was */
};

void
download_free(struct download *d)
{
	if (d == NULL)
		return;
	if (d->bev != NULL)
		bufferevent_free(d->bev);
	free(d);
}

static void
look(struct download *d)
{
	struct call *c = d->call;

	if (d->bev != NULL || !d->good || !d->open)
		return;
	httpd_stream_end(c->req);
	call_end(c);
}

static void
cut(struct call *c)
{
	httpd_abort(c->req);
	call_end(c);
}

static void
pass_on(struct download *d)
{
	struct evbuffer *in = bufferevent_get_input(d->bev);
	unsigned char *p;
	size_t n;

	while ((n = evbuffer_get_length(in)) > 0 &&
	    httpd_stream_queued(d->call->req) < HIGH_WATER) {
		if (n > PIECE)
			n = PIECE;
		if ((p = evbuffer_pullup(in, (ssize_t)n)) == NULL ||
		    httpd_stream_write(d->call->req, p, n) == -1)
			return;		/* on_close follows */
		(void)evbuffer_drain(in, n);
	}
	if (n > 0)
		(void)bufferevent_disable(d->bev, EV_READ);
}

static void
on_data(struct bufferevent *bev, void *arg)
{
	struct download *d = arg;

	(void)bev;
	/* What comes before keeper has said yes waits. */
	if (d->open)
		pass_on(d);
	else
		(void)bufferevent_disable(bev, EV_READ);
}

static void
on_room(struct httpd_req *req, void *arg)
{
	struct download *d = arg;

	(void)req;
	if (d->bev == NULL)
		return;
	pass_on(d);
	if (evbuffer_get_length(bufferevent_get_input(d->bev)) == 0)
		(void)bufferevent_enable(d->bev, EV_READ);
}

static void
on_end(struct bufferevent *bev, short what, void *arg)
{
	struct download *d = arg;

	(void)what;
	/* Reading stops while something waits: so this is all. */
	bufferevent_free(bev);
	d->bev = NULL;
	look(d);
}

static void
begin(struct download *d)
{
	struct call *c = d->call;
	char name[128];

	if (d->open)
		return;
	d->open = true;
	(void)snprintf(name, sizeof(name), "attachment; filename=\"%s.agentd\"",
	    httpd_req_param(c->req, "slug"));
	httpd_add_header(c->req, "Content-Disposition", name);
	httpd_stream_start(c->req, 200, "application/octet-stream", CAP);
	httpd_stream_on_writable(c->req, LOW_WATER, on_room, d);
	on_room(c->req, d);
}

static void
on_frame(struct msg *m, void *arg)
{
	struct call *c = arg;
	struct download *d = c->download;
	int saved = errno;

	if (m == NULL) {
		c->id = 0;
		errno = saved;
		if (d->open)
			cut(c);
		else
			call_lost(c, saved);
	} else if (m->type == MSG_RESULT && m->more)
		begin(d);
	else if (!d->open)
		answer_frame(m, c);
	else {
		c->id = 0;
		d->good = m->type == MSG_RESULT && m->u.result.status < 300;
		if (d->good)
			look(d);
		else
			cut(c);
	}
}

void
download_start(struct call *c)
{
	struct download *d;
	struct args a;
	int saved, sv[2];

	if (strcmp(httpd_req_method(c->req), "GET") != 0) {
		httpd_add_header(c->req, "Allow", "GET");
		call_error(c, 405, "its length is known only at its end");
		return;
	}
	if (call_args(c, &a) == -1)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1) {
		fields_free(&a);
		call_unavailable(c, "a socket");
		return;
	}
	if ((d = c->download = calloc(1, sizeof(*d))) == NULL ||
	    evutil_make_socket_nonblocking(sv[0]) == -1 ||
	    (d->bev = bufferevent_socket_new(worker_base(), sv[0],
	    BEV_OPT_CLOSE_ON_FREE)) == NULL) {
		(void)close(sv[0]);
		(void)close(sv[1]);
		fields_free(&a);
		call_unavailable(c, "memory");
		return;
	}
	d->call = c;
	bufferevent_setcb(d->bev, on_data, NULL, on_end, d);
	bufferevent_setwatermark(d->bev, EV_READ, 0, HIGH_WATER);
	(void)bufferevent_enable(d->bev, EV_READ);
	c->peer = worker_peer(PROC_KEEPER);
	c->id = peer_request_hold(c->peer, MSG_AGENT_EXPORT, &a.u, sv[1],
	    (int)c->route->timeout_ms, on_frame, c);
	saved = errno;
	fields_free(&a);
	if (c->id == 0)
		call_lost(c, saved);
}

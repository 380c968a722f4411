/*
 * PUT of an image, POST of an agent: the body goes through a socket pair to who stores it.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients, keeper (which hands the socket on).
 */
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "front.h"
#include "log.h"
#include "worker.h"

#define HIGH_WATER	(1024 * 1024)
#define STALL_S		120	/* the reader takes nothing for so long */

struct upload {
	struct call		*call;
	struct bufferevent	*bev;	/* NULL: the reader has closed */
	bool			 paused;
	bool			 ended;	/* the body is complete */
};

void
upload_free(struct upload *u)
{
	if (u == NULL)
		return;
	if (u->bev != NULL)
		bufferevent_free(u->bev);
	free(u);
}

static void
written(struct bufferevent *bev, void *arg)
{
	struct upload *u = arg;
	size_t left = evbuffer_get_length(bufferevent_get_output(bev));

	if (u->paused && left < HIGH_WATER / 2) {
		u->paused = false;
		httpd_req_resume(u->call->req);
	}
	/* The end of the file is the end of what can be read. */
	if (u->ended && left == 0)
		(void)shutdown(bufferevent_getfd(bev), SHUT_WR);
}

/*
 * The reader has closed or does not read. It will say why in its answer; what
 * still comes from the client is dropped meanwhile.
 */
static void
failed(struct bufferevent *bev, short what, void *arg)
{
	struct upload *u = arg;

	(void)what;
	bufferevent_free(bev);
	u->bev = NULL;
	if (u->paused) {
		u->paused = false;
		httpd_req_resume(u->call->req);
	}
}

static void
on_body(struct httpd_req *req, const void *data, size_t len, void *arg)
{
	struct upload *u = arg;

	if (u->bev == NULL)
		return;
	if (bufferevent_write(u->bev, data, len) == -1) {
		failed(u->bev, BEV_EVENT_ERROR, u);
		return;
	}
	if (evbuffer_get_length(bufferevent_get_output(u->bev)) >
	    HIGH_WATER) {
		u->paused = true;
		httpd_req_pause(req);
	}
}

static void
on_end(struct httpd_req *req, void *arg)
{
	struct upload *u = arg;

	(void)req;
	u->ended = true;
	if (u->bev != NULL)
		written(u->bev, u);
}

static const struct httpd_body_ops body_ops = { on_body, on_end };

static struct upload *
upload_new(struct call *c, int fd)
{
	const struct timeval stall = { STALL_S, 0 };
	struct upload *u;

	if ((u = calloc(1, sizeof(*u))) == NULL)
		return (NULL);
	u->call = c;
	if (evutil_make_socket_nonblocking(fd) == -1 ||
	    (u->bev = bufferevent_socket_new(worker_base(), fd,
	    BEV_OPT_CLOSE_ON_FREE)) == NULL) {
		free(u);
		return (NULL);
	}
	bufferevent_setcb(u->bev, NULL, written, failed, u);
	(void)bufferevent_set_timeouts(u->bev, NULL, &stall);
	/* Reading is how the other side's end is seen. */
	(void)bufferevent_enable(u->bev, EV_READ | EV_WRITE);
	return (u);
}

void
upload_start(struct call *c)
{
	int64_t size = httpd_req_length(c->req);
	struct args a;
	int saved, sv[2];

	if (size <= 0) {
		call_error(c, 411, "a file needs a Content-Length");
		return;
	}
	if (call_args(c, &a) == -1)
		return;
	if (c->route->msg == MSG_AGENT_IMPORT)
		a.u.agent_import.size = (uint64_t)size;
	else
		a.u.image_put.size = (uint64_t)size;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1) {
		fields_free(&a);
		call_unavailable(c, "a socket");
		return;
	}
	if ((c->upload = upload_new(c, sv[0])) == NULL) {
		(void)close(sv[0]);
		(void)close(sv[1]);
		fields_free(&a);
		call_unavailable(c, "memory");
		return;
	}
	c->peer = worker_peer(PROC_KEEPER);
	c->id = peer_request_hold(c->peer, c->route->msg, &a.u, sv[1],
	    (int)c->route->timeout_ms, answer_frame, c);
	saved = errno;
	fields_free(&a);
	if (c->id == 0) {
		call_lost(c, saved);
		return;
	}
	if (httpd_req_stream(c->req, c->route->http.max_body, &body_ops,
	    c->upload) == -1)
		call_end(c);
}

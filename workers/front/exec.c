/*
 * Commands in an agent's container, over a socket pair that keeper hands on.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients; by a socket pair, container.
 *
 * A person's command: the connection is upgraded, and bytes are copied both
 * ways unread. A command of ours (logs, recycle bin): its output is hostile,
 * and is collected to be made into JSON.
 */
#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "exec.h"
#include "log.h"
#include "worker.h"
#include "xframe.h"

#define HIGH_WATER	(128 * 1024)
#define LOGS_MAX	(1024 * 1024)	/* the newest of them */
#define LIST_MAX	(8 * 1024 * 1024)
#define ERR_MAX		4096

void
exec_free(struct exec *x)
{
	if (x == NULL)
		return;
	if (x->bev != NULL)
		bufferevent_free(x->bev);
	if (x->hup != NULL)
		event_free(x->hup);
	if (x->out != NULL)
		evbuffer_free(x->out);
	if (x->err != NULL)
		evbuffer_free(x->err);
	free(x);
}

static void
over(struct exec *x)
{
	if (x->bev != NULL)
		bufferevent_free(x->bev);
	x->bev = NULL;
}

/* ---- a person's command: copies ---- */

static void
raw_cut(struct exec *x)
{
	httpd_abort(x->call->req);
	call_end(x->call);
}

/* The client has taken what there was. */
static void
raw_writable(struct httpd_req *req, void *arg)
{
	struct exec *x = arg;

	if (x->bev != NULL) {
		(void)bufferevent_enable(x->bev, EV_READ);
		bufferevent_trigger(x->bev, EV_READ,
		    BEV_TRIG_DEFER_CALLBACKS);
	} else if (evbuffer_get_length(httpd_raw_out(req)) == 0) {
		httpd_raw_end(req);
		call_end(x->call);
	}
}

static void
raw_from_client(struct httpd_req *req, struct evbuffer *in, void *arg)
{
	struct exec *x = arg;
	struct evbuffer *out;

	if (x->bev == NULL) {
		(void)evbuffer_drain(in, evbuffer_get_length(in));
		return;
	}
	out = bufferevent_get_output(x->bev);
	if (evbuffer_remove_buffer(in, out, evbuffer_get_length(in)) == -1) {
		raw_cut(x);
		return;
	}
	if (evbuffer_get_length(out) > HIGH_WATER)
		httpd_raw_read(req, false);
}

static bool
raw_from_command(struct exec *x)
{
	struct evbuffer *in = bufferevent_get_input(x->bev);
	struct evbuffer *out = httpd_raw_out(x->call->req);

	if (evbuffer_remove_buffer(in, out, evbuffer_get_length(in)) == -1) {
		raw_cut(x);
		return (false);
	}
	if (evbuffer_get_length(out) > HIGH_WATER)
		(void)bufferevent_disable(x->bev, EV_READ);
	return (true);
}

/* Also seen while nothing is read of the client. */
static void
raw_hup(evutil_socket_t fd, short what, void *arg)
{
	struct exec *x = arg;

	(void)fd;
	(void)what;
	raw_cut(x);
}

static void
raw_open(struct exec *x)
{
	struct httpd_req *req = x->call->req;

	x->hup = event_new(worker_base(), httpd_req_fd(req), EV_CLOSED,
	    raw_hup, x);
	if (x->hup == NULL || event_add(x->hup, NULL) == -1) {
		call_unavailable(x->call, "memory");
		return;
	}
	httpd_upgrade(req, XF_PROTO, raw_from_client, x);
	httpd_stream_on_writable(req, HIGH_WATER / 4, raw_writable, x);
	(void)bufferevent_enable(x->bev, EV_READ | EV_WRITE);
}

/* The command's side is closed: what is left goes to the client first. */
static void
raw_over(struct exec *x)
{
	struct httpd_req *req = x->call->req;
	size_t left;

	if (!raw_from_command(x))
		return;
	over(x);
	left = evbuffer_get_length(httpd_raw_out(req));
	if (left == 0) {
		httpd_raw_end(req);
		call_end(x->call);
	} else
		httpd_stream_on_writable(req, 0, raw_writable, x);
}

/* ---- a command of ours: frames ---- */

static int
keep(struct evbuffer **b, const struct xf *f, size_t max, bool newest)
{
	size_t len;

	if (*b == NULL && (*b = evbuffer_new()) == NULL)
		return (-1);
	len = evbuffer_get_length(*b);
	if (len + f->len > max && !newest)
		return (-1);
	if (evbuffer_add(*b, f->data, f->len) == -1)
		return (-1);
	if (len + f->len > max)
		(void)evbuffer_drain(*b, len + f->len - max);
	return (0);
}

static int
take(struct exec *x, const struct xf *f)
{
	bool logs = x->call->route->msg == MSG_AGENT_LOGS;

	switch (f->stream) {
	case XF_STDOUT:
		return (keep(&x->out, f, logs ? LOGS_MAX : LIST_MAX, logs));
	case XF_STDERR:
		return (keep(&x->err, f, ERR_MAX, true));
	case XF_EXIT:
		x->ended = true;
		return (xf_get_exit(f, &x->status));
	case XF_ERROR:
		x->ended = x->failed = true;
		return (keep(&x->err, f, ERR_MAX, true));
	default:
		return (-1);
	}
}

static void
done(struct exec *x)
{
	struct call *c = x->call;

	over(x);
	if (c->sse) {
		exec_logs_lines(x, true);
		httpd_stream_end(c->req);
		call_end(c);
	} else if (c->bins != NULL)
		bins_took(x, x->ended ? NULL : "the command in its container "
		    "was cut off");
	else if (!x->ended)
		call_error(c, 502, "the command in the container was cut "
		    "off");
	else if (x->call->route->msg == MSG_AGENT_LOGS)
		exec_logs_done(x);
	else
		exec_recycle_done(x);
}

/* -1: it does not speak the protocol, or says too much. */
static int
frames(struct exec *x)
{
	struct evbuffer *in = bufferevent_get_input(x->bev);
	unsigned char *p;
	struct xf f;
	ssize_t n;

	while (!x->ended && evbuffer_get_length(in) > 0) {
		if ((p = evbuffer_pullup(in, -1)) == NULL)
			return (-1);
		n = xf_read(p, evbuffer_get_length(in), &f);
		if (n == 0)
			break;
		if (n == -1 || take(x, &f) == -1)
			return (-1);
		(void)evbuffer_drain(in, (size_t)n);
	}
	return (0);
}

static void
from_command(struct bufferevent *bev, void *arg)
{
	struct exec *x = arg;
	struct call *c = x->call;

	(void)bev;
	if (x->raw) {
		(void)raw_from_command(x);
		return;
	}
	if (frames(x) == -1) {
		over(x);
		if (c->sse) {
			httpd_stream_end(c->req);
			call_end(c);
		} else if (c->bins != NULL)
			bins_took(x, "the command in its container says too "
			    "much");
		else
			call_error(c, 502, "the command in the container says "
			    "too much");
		return;
	}
	if (x->ended) {
		done(x);
		return;
	}
	if (!c->sse)
		return;
	exec_logs_lines(x, false);
	if (httpd_stream_queued(c->req) > HIGH_WATER)
		(void)bufferevent_disable(x->bev, EV_READ);
}

/* Follows logs: the client has taken what there was. */
static void
sse_writable(struct httpd_req *req, void *arg)
{
	struct exec *x = arg;

	(void)req;
	if (x->bev != NULL)
		(void)bufferevent_enable(x->bev, EV_READ);
}

static void
to_command(struct bufferevent *bev, void *arg)
{
	struct exec *x = arg;

	(void)bev;
	if (x->raw)
		httpd_raw_read(x->call->req, true);
}

static void
command_event(struct bufferevent *bev, short what, void *arg)
{
	struct exec *x = arg;

	(void)bev;
	/* It reads no more; what it has said is still to come. */
	if (what & BEV_EVENT_WRITING) {
		struct evbuffer *out = bufferevent_get_output(x->bev);

		(void)evbuffer_unfreeze(out, 1);
		(void)evbuffer_drain(out, evbuffer_get_length(out));
		(void)evbuffer_freeze(out, 1);
		return;
	}
	if (x->raw)
		raw_over(x);
	else
		done(x);
}

/* ---- begin ---- */

int
exec_socket(struct call *c)
{
	struct exec *x;
	int sv[2];

	exec_free(c->exec);
	c->exec = NULL;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	    sv) == -1)
		return (-1);
	if ((x = calloc(1, sizeof(*x))) == NULL ||
	    (x->bev = bufferevent_socket_new(worker_base(), sv[0],
	    BEV_OPT_CLOSE_ON_FREE)) == NULL) {
		free(x);
		(void)close(sv[0]);
		(void)close(sv[1]);
		return (-1);
	}
	x->call = c;
	x->raw = c->route->msg == MSG_AGENT_EXEC;
	bufferevent_setcb(x->bev, from_command, to_command, command_event, x);
	bufferevent_setwatermark(x->bev, EV_READ, 0, XF_MAX * 2);
	bufferevent_setwatermark(x->bev, EV_WRITE, HIGH_WATER / 4, 0);
	c->exec = x;
	return (sv[1]);
}

void
exec_begin(struct call *c)
{
	struct exec *x = c->exec;

	if (x->raw) {
		raw_open(x);
		return;
	}
	if (c->follow) {
		c->sse = true;
		httpd_sse_start(c->req, 4 * LOGS_MAX, true);
		httpd_stream_on_writable(c->req, HIGH_WATER / 4, sse_writable,
		    x);
	}
	(void)bufferevent_enable(x->bev, EV_READ | EV_WRITE);
}

bool
exec_wanted(struct call *c)
{
	const char *up = httpd_req_header(c->req, "upgrade");
	const char *conn = httpd_req_header(c->req, "connection");

	if (c->route->msg != MSG_AGENT_EXEC || (up != NULL && conn != NULL &&
	    strcmp(up, XF_PROTO) == 0 && http_list_has(conn, "upgrade")))
		return (true);
	httpd_add_header(c->req, "Upgrade", XF_PROTO);
	httpd_add_header(c->req, "Connection", "Upgrade");
	call_error(c, 426, "this needs the protocol " XF_PROTO
	    ": agentctl agent exec speaks it");
	return (false);
}

/*
 * One request of a client, from its head to the message that it becomes.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients, keeper, proxy, trace.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "front.h"
#include "log.h"
#include "text.h"
#include "worker.h"

static struct {
	TAILQ_HEAD(, call) list;
	bool	 ready;
} calls;

static void
call_free(struct call *c)
{
	TAILQ_REMOVE(&calls.list, c, entry);
	upload_free(c->upload);
	download_free(c->download);
	exec_free(c->exec);
	bins_free(c->bins);
	answer_free(c);
	freezero(c, sizeof(*c));
}

void
call_end(struct call *c)
{
	if (c->id != 0)
		peer_forget(c->peer, c->id, false);
	call_free(c);
}

/* The client has left: whoever works for it may stop. */
static void
closed(struct httpd_req *req, void *arg)
{
	struct call *c = arg;

	(void)req;
	if (c->id != 0)
		peer_forget(c->peer, c->id, true);
	call_free(c);
}

void
call_error(struct call *c, int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_clean(text);
	httpd_error(c->req, status, "%s", text);
	call_end(c);
}

void
call_unavailable(struct call *c, const char *who)
{
	httpd_add_header(c->req, "Retry-After", "1");
	call_error(c, 503, "%s is not available, try again", who);
}

static void	ask(struct call *);

/* What changes nothing may be asked again of a worker that was restarted. */
static bool
may_repeat(const struct call *c)
{
	const char *method = httpd_req_method(c->req);

	if (c->retried || c->sse || c->upload != NULL ||
	    c->download != NULL || c->nrows > 0 ||
	    c->part != NULL)
		return (false);
	return (!c->asked || strcmp(method, "GET") == 0 ||
	    strcmp(method, "HEAD") == 0);
}

void
call_lost(struct call *c, int error)
{
	const char *who = proc_name(peer_proc(c->peer));

	c->id = 0;
	if (error == ECONNRESET && may_repeat(c)) {
		c->retried = true;
		auth_drop(c);
		auth_start(c, c->asked ? ask : c->authed);
	} else if (c->sse) {
		/* The stream ends well: the client comes back with the id
		 * of the last event. */
		httpd_stream_end(c->req);
		call_end(c);
	} else if (error == ETIMEDOUT)
		call_error(c, 504, "%s did not answer in time", who);
	else
		call_unavailable(c, who);
}

struct msg_bytes
call_pass(struct call *c, enum proc to)
{
	int n = to == PROC_KEEPER ? 0 : to == PROC_TRACE ? 1 : 2;

	return ((struct msg_bytes){ c->ident.pass[n], c->ident.passlen[n] });
}

static const char *
param(const void *arg, const char *name)
{
	return (httpd_req_param(arg, name));
}

static const char *
header(const void *arg, const char *name)
{
	return (httpd_req_header(arg, name));
}

static void
refuse(struct call *c, int status, const struct json_err *err)
{
	if (status == 404)
		call_error(c, 404, "no such resource: %s", err->msg);
	else if (status == 500)
		call_error(c, 500, "out of memory");
	else
		call_error(c, status, "%s", err->msg);
}

int
call_args(struct call *c, struct args *a)
{
	struct source src = {
		.query = httpd_req_head(c->req)->query,
		.param = param, .header = header, .arg = c->req,
		.follow = c->follow, .body = c->body, .len = c->len,
	};
	struct json_err err;
	int status;

	if ((status = fields_read(c->route, &src, a, &err)) != 0) {
		fields_free(a);
		refuse(c, status, &err);
		return (-1);
	}
	/* Every message of the API begins with the pass. */
	a->u.api.pass = call_pass(c, c->route->to);
	return (0);
}

static void
ask(struct call *c)
{
	const struct route *r = c->route;
	struct args a;
	int saved, fd = -1;

	if (call_args(c, &a) == -1)
		return;
	if (msg_desc(r->msg)->flags & M_FD && (fd = exec_socket(c)) == -1) {
		fields_free(&a);
		call_unavailable(c, "a socket");
		return;
	}
	c->peer = worker_peer(r->to);
	c->asked = true;
	c->id = peer_request_hold(c->peer, r->msg, &a.u, fd,
	    (int)r->timeout_ms, answer_frame, c);
	saved = errno;
	fields_free(&a);
	if (c->id == 0)
		call_lost(c, saved);
}

/* Once more with a pass that lasts, should the body have taken long. */
void
call_send(struct call *c)
{
	if (auth_fresh(&c->ident))
		ask(c);
	else
		auth_start(c, ask);
}

static void
body_done(struct httpd_req *req, char *body, size_t len, void *arg)
{
	struct call *c = arg;

	(void)req;
	c->body = body;
	c->len = len;
	call_send(c);
}

static bool
wants_events(const struct route *r, const char *accept)
{
	if (r->answer == ANS_SSE)
		return (true);
	if (r->answer != ANS_DOC_SSE && r->answer != ANS_LIST_SSE)
		return (false);
	return (accept != NULL && http_list_has(accept, "text/event-stream"));
}

/* The client may ask: now look at what for. */
static void
routed(struct call *c)
{
	const struct route *r;

	r = httpd_route(c->req, routes, nroutes, sizeof(routes[0]));
	if (r == NULL) {
		call_end(c);
		return;
	}
	c->route = r;
	if (r->who == WHO_ADMIN && c->ident.role != ROLE_ADMIN) {
		call_error(c, 403, "only an admin may do this");
		return;
	}
	c->follow = wants_events(r, httpd_req_header(c->req, "accept"));
	if (c->follow && strcmp(httpd_req_method(c->req), "HEAD") == 0) {
		httpd_add_header(c->req, "Allow", "GET");
		call_error(c, 405, "an event stream has no end to measure");
		return;
	}
	if (r->own != NULL)
		r->own(c);
	else if (!exec_wanted(c))
		return;
	else if (httpd_req_collect(c->req, (size_t)r->http.max_body,
	    body_done, c) == -1)
		call_end(c);
}

static bool
is_public(const struct httpd_req *req)
{
	const struct httpd_route *r;

	return (httpd_route_find(routes, nroutes, sizeof(routes[0]),
	    httpd_req_method(req), httpd_req_path(req), &r, NULL, NULL,
	    0) == 0 && ((const struct route *)(const void *)r)->who ==
	    WHO_PUBLIC);
}

void
call_start(struct httpd_req *req, void *arg)
{
	const enum listener *l = httpd_req_listener(req);
	const struct http_head *h = httpd_req_head(req);
	struct call *c;

	(void)arg;
	if (!calls.ready) {
		TAILQ_INIT(&calls.list);
		calls.ready = true;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL) {
		httpd_error(req, 503, "out of memory");
		return;
	}
	TAILQ_INSERT_TAIL(&calls.list, c, entry);
	c->req = req;
	c->unix_peer = *l == LISTEN_UNIX;
	httpd_req_on_close(req, closed, c);
	/* A browser cannot speak over a Unix socket. */
	if (!c->unix_peer && !guard_host_ok(h->host)) {
		httpd_close_after(req);
		call_error(c, 403, "this name is not one of ours: "
		    "allowed_hosts in agentd.yaml lists them");
	} else if (!guard_origin_ok(h->host, http_head_field(h, "origin"),
	    http_head_field(h, "sec-fetch-site"))) {
		httpd_close_after(req);
		call_error(c, 403, "a page of another site may not use this");
	} else if (is_public(req))
		routed(c);
	else
		auth_start(c, routed);
}

void
call_end_streams(void)
{
	struct call *c, *next;

	if (!calls.ready)
		return;
	for (c = TAILQ_FIRST(&calls.list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->exec != NULL && c->id == 0 && !c->sse) {
			httpd_abort(c->req);
			call_end(c);
			continue;
		}
		if (!c->sse)
			continue;
		if (c->id != 0)
			peer_forget(c->peer, c->id, true);
		c->id = 0;
		httpd_stream_end(c->req);
		call_end(c);
	}
}

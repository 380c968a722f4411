/*
 * Requests of agents: who asks, which route, and how the answer is spelled.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: agents (agent-link).
 */
#include <sys/types.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "jbuf.h"
#include "log.h"
#include "net.h"
#include "worker.h"

#define JSON	"application/json"

static const struct groute routes[] = {
	{ { "POST", "/api/agent/hello", 4096, 0 }, GR_NOKEY, hello_post },
	{ { "POST", "/api/agent/connect", 0, 0 }, 0, connect_post },
	{ { "GET", "/api/openclaw/bootstrap", 0, 0 }, 0, bridge_bootstrap },
	{ { "GET", "/api/openclaw/sessions/{slug}/events", 0, 0 }, 0,
	    events_get },
	{ { "POST", "/api/openclaw/sessions/{slug}/ack", 4096, 0 }, 0,
	    bridge_ack },
	{ { "POST", "/api/openclaw/sessions/{slug}/prepared", 4096, 0 }, 0,
	    bridge_prepared },
	{ { "POST", "/api/openclaw/sessions/{slug}/reply", GW_REPLY_MAX, 0 },
	    0, bridge_reply },
	{ { "POST", "/api/trace", GW_TRACE_MAX + 8192, 0 }, 0, tracein_post },
	{ { "POST", "/v1/chat/completions", GW_BODY_MAX, 0 }, GR_OPENAI,
	    llm_post },
	{ { "GET", "/v1/models", 0, 0 }, GR_OPENAI, models_get },
};
#define NROUTES	(sizeof(routes) / sizeof(routes[0]))

static void	greq_closed(struct httpd_req *, void *);

static void
greq_free(struct greq *g)
{
	struct agent *a = g->agent;

	if (g->pending != 0)
		peer_forget(g->peer, g->pending, g->stream);
	free(g);
	agent_unref(a);
}

/* The uid behind the socket must be one of this agent's instance. */
static bool
peer_allowed(const struct agent *a, const struct httpd_req *req)
{
	struct ucred cr;
	socklen_t len = sizeof(cr);

	if (a->uid_count == 0)
		return true;	/* still being made: the mount is the check */
	if (getsockopt(httpd_req_fd(req), SOL_SOCKET, SO_PEERCRED, &cr,
	    &len) == -1) {
		log_warn("agent %s: SO_PEERCRED", a->slug);
		return false;
	}
	if (cr.uid >= a->uid_base && cr.uid - a->uid_base < a->uid_count)
		return true;
	log_warnx("agent %s: refused uid %u on its socket", a->slug, cr.uid);
	return false;
}

/* A refusal before there is a greq; the path says whose spelling. */
static void
refuse(struct httpd_req *req, struct agent *a, bool openai, int status,
    const char *text)
{
	struct groute r = { .flags = openai ? GR_OPENAI : 0 };
	struct greq *g;

	if ((g = calloc(1, sizeof(*g))) == NULL)
		fatal("request");
	g->req = req;
	g->agent = a;
	g->route = &r;
	agent_ref(a);
	greq_error(g, status, "%s", text);
}

/* What no route takes; httpd's own answer would not be OpenAI's. */
static const struct groute *
find_route(struct httpd_req *req, struct agent *a)
{
	const struct httpd_route *r;
	const char *path = httpd_req_path(req);
	char allow[64];
	int status;

	if (strncmp(path, "/v1/", 4) != 0)
		return httpd_route(req, routes, NROUTES, sizeof(routes[0]));
	status = httpd_route_find(routes, NROUTES, sizeof(routes[0]),
	    httpd_req_method(req), path, &r, NULL, allow, sizeof(allow));
	if (status == 405) {
		httpd_add_header(req, "Allow", allow);
		refuse(req, a, true, 405, "this method is not allowed here");
		return NULL;
	}
	if (status != 0) {
		refuse(req, a, true, 404, "agentd serves POST "
		    "/v1/chat/completions and GET /v1/models");
		return NULL;
	}
	if (httpd_req_length(req) > (int64_t)r->max_body) {
		refuse(req, a, true, 413, "the request is larger than 32 MiB");
		return NULL;
	}
	return httpd_route(req, routes, NROUTES, sizeof(routes[0]));
}

void
greq_head(struct httpd_req *req, void *arg)
{
	struct agent *a = httpd_req_listener(req);
	const struct groute *route;
	struct greq *g;

	(void)arg;
	if ((route = find_route(req, a)) == NULL)
		return;
	if (!peer_allowed(a, req)) {
		refuse(req, a, (route->flags & GR_OPENAI) != 0, 403,
		    "this socket belongs to another instance");
		return;
	}
	if ((g = calloc(1, sizeof(*g))) == NULL)
		fatal("request");
	g->req = req;
	g->agent = a;
	g->route = route;
	agent_ref(a);
	httpd_req_on_close(req, greq_closed, g);
	if (!a->known) {
		greq_error(g, 503, "agentd is starting");
		return;
	}
	/* All agents share this process: none may keep it busy alone. */
	if (!rate_take(&a->requests, GW_REQUESTS_S)) {
		greq_error(g, 429, "more than %d requests a second",
		    GW_REQUESTS_S);
		return;
	}
	if (a->state == AGENT_PAUSED) {
		/* Not 409: some runtimes would try that again. */
		greq_error(g, route->flags & GR_OPENAI ? (int)a->refusal :
		    409, "agent %s is paused: it may call no model", a->slug);
		return;
	}
	if (a->state != AGENT_RUNNING && a->state != AGENT_DEPLOYING &&
	    (a->state != AGENT_WARM || !(route->flags & GR_NOKEY))) {
		greq_error(g, 409, "agent %s is stopped", a->slug);
		return;
	}
	if (route->flags & GR_NOKEY)
		route->fn(g);
	else
		auth_request(g);
}

/* The client has left, or broke the rules. */
static void
greq_closed(struct httpd_req *req, void *arg)
{
	struct greq *g = arg;

	(void)req;
	if (g->closed != NULL)
		g->closed(g);
	greq_free(g);
}

int
greq_header(struct greq *g, const char *name, const char **value)
{
	const struct http_head *h = httpd_req_head(g->req);
	unsigned int i;

	*value = NULL;
	for (i = 0; i < h->nfields; i++) {
		if (strcasecmp(h->field[i].name, name) != 0)
			continue;
		if (*value != NULL)
			return -1;
		*value = h->field[i].value;
	}
	return 0;
}

/* ---- bodies ---- */

static void
collected(struct httpd_req *req, char *body, size_t len, void *arg)
{
	struct greq *g = arg;

	(void)req;
	g->next(g, body, len);
}

void
greq_collect(struct greq *g, void (*next)(struct greq *, char *, size_t))
{
	g->next = next;
	if (httpd_req_collect(g->req, g->route->r.max_body, collected,
	    g) == -1)
		greq_free(g);
}

/* ---- questions to other workers ---- */

int
greq_ask(struct greq *g, enum proc proc, uint32_t type, const void *payload,
    peer_reply_fn fn)
{
	g->peer = worker_peer(proc);
	g->pending = peer_request(g->peer, type, payload, GW_ASK_MS, fn, g);
	if (g->pending != 0)
		return 0;
	greq_away(g, proc);
	return -1;
}

void
greq_asked(struct greq *g)
{
	/* If that was not the last answer, then it was not the right one. */
	if (g->pending != 0)
		peer_forget(g->peer, g->pending, false);
	g->pending = 0;
}

/* ---- answers ---- */

void
greq_reply(struct greq *g, int status, struct jbuf *j)
{
	const char *text;
	size_t len;

	if ((text = jbuf_text(j, &len)) == NULL) {
		greq_error(g, 500, "the answer is too long");
		return;
	}
	httpd_reply(g->req, status, JSON, text, len);
	greq_free(g);
}

static const char *
openai_type(int status)
{
	if (status == 401 || status == 403)
		return "authentication_error";
	if (status == 429)
		return "rate_limit_error";
	return status < 500 ? "invalid_request_error" : "server_error";
}

static const char *
openai_code(int status)
{
	switch (status) {
	case 401:
		return "invalid_api_key";
	case 404:
		return "not_found";
	case 413:
		return "request_too_large";
	case 429:
		return "rate_limit_exceeded";
	case 502:
	case 503:
		return "unavailable";
	}
	return "refused";
}

void
greq_error(struct greq *g, int status, const char *fmt, ...)
{
	struct jbuf j;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (status == 429 || status == 502 || status == 503)
		httpd_add_header(g->req, "Retry-After", "1");
	jbuf_init(&j, 8192);
	jb_obj(&j);
	if (g->route->flags & GR_OPENAI) {
		jb_key(&j, "error");
		jb_obj(&j);
		jb_kstr(&j, "message", text);
		jb_kstr(&j, "type", openai_type(status));
		jb_key(&j, "param");
		jb_null(&j);
		jb_kstr(&j, "code", openai_code(status));
		jb_end(&j);
	} else {
		jb_kstr(&j, "error", text);
	}
	jb_end(&j);
	greq_reply(g, status, &j);
	jbuf_free(&j);
}

void
greq_away(struct greq *g, enum proc proc)
{
	greq_error(g, 503, "%s is restarting, try again", proc_name(proc));
}

void
greq_gone(struct greq *g)
{
	greq_free(g);
}

void
greq_abort(struct greq *g)
{
	httpd_abort(g->req);
	greq_free(g);
}

void
greq_end_stream(struct greq *g)
{
	httpd_stream_end(g->req);
	greq_free(g);
}

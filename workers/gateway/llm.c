/*
 * POST /v1/chat/completions: may this call be made, and where does it go?
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: proxy.
 *
 * Nothing is sent on before the whole body has been scanned: "model" may come
 * last, and two of them would mean different things to different readers.
 */
#include <sys/types.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "llm.h"
#include "log.h"
#include "worker.h"

#define READ_MS		300000	/* for a whole body, with its pauses */
#define ATTEMPTS	3
#define CALLS_TURN	200	/* if nobody has set a cap */

static void	llm_closed(struct greq *);
static void	body_data(struct httpd_req *, const void *, size_t, void *);
static void	body_end(struct httpd_req *, void *);
static void	llm_route(struct llm_call *);
static void	route_answer(struct msg *, void *);
static void	read_on(struct budget_use *);

static const struct httpd_body_ops body_ops = { body_data, body_end };

static uint32_t
calls_max(const struct agent *a)
{
	if (a->max_calls != 0)
		return a->max_calls;
	if (worker_conf()->max_calls_per_turn != 0)
		return worker_conf()->max_calls_per_turn;
	return CALLS_TURN;
}

/* The open turn that the link names; NULL: answered. */
static struct turn *
named_turn(struct greq *g, uint32_t *attempt)
{
	const char *id, *n, *why = NULL;
	struct turn *t;

	if (greq_header(g, "x-agentd-turn", &id) == -1 ||
	    greq_header(g, "x-agentd-attempt", &n) == -1) {
		greq_error(g, 400, "a header of the turn is given twice");
		return NULL;
	}
	*attempt = 1;
	if (n != NULL)
		*attempt = (uint32_t)strtonum(n, 1, ATTEMPTS, &why);
	if (why != NULL) {
		greq_error(g, 400, "x-agentd-attempt is %s", why);
		return NULL;
	}
	if (id == NULL || *id == '\0') {
		greq_error(g, 400, "no turn: a model may be called only "
		    "while a message is being answered");
		return NULL;
	}
	if ((t = turn_find(g->agent, id)) != NULL)
		return t;
	if (agent_turns_unsure())
		greq_away(g, PROC_KEEPER);
	else
		greq_error(g, 409, "no open turn %.64s", id);
	return NULL;
}

/* Calls of a turn: those made, and those whose request is still read. */
static uint32_t
calls_of(const struct agent *a, const struct turn *t)
{
	const struct llm_call *c;
	uint32_t n = t->calls;

	TAILQ_FOREACH(c, &a->calls, entry)
		n += c->id == 0 && strcmp(c->trace_id, t->trace_id) == 0;
	return n;
}

/* Counts against the caps; false: answered. */
static bool
may_call(struct greq *g, struct turn *t)
{
	struct agent *a = g->agent;
	uint32_t calls = calls_of(a, t);
	char text[160];

	if (calls >= calls_max(a)) {
		snprintf(text, sizeof(text), "agentd refused this call: the "
		    "turn has made %u model calls, which is the limit",
		    calls);
		llm_trace_refusal(a, t, text);
		greq_error(g, (int)a->refusal, "%s", text);
		return false;
	}
	if (a->ncalls >= GW_CALLS_AGENT) {
		greq_error(g, 429, "more than %d model calls at once",
		    GW_CALLS_AGENT);
		return false;
	}
	return true;
}

void
llm_post(struct greq *g)
{
	struct agent *a = g->agent;
	struct llm_call *c;
	struct turn *t;
	uint32_t attempt;

	if ((t = named_turn(g, &attempt)) == NULL || !may_call(g, t))
		return;
	if (!peer_is_up(worker_peer(PROC_UPSTREAM))) {
		greq_away(g, PROC_UPSTREAM);
		return;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL)
		fatal("call");
	c->g = g;
	c->agent = a;
	c->attempt = attempt;
	c->started = sys_now_ms();
	c->at = sys_time();
	sys_id(c->event_id);
	(void)strlcpy(c->trace_id, t->trace_id, sizeof(c->trace_id));
	(void)strlcpy(c->channel_id, t->channel_id, sizeof(c->channel_id));
	llmreq_init(&c->q);
	jbuf_init(&c->request, GW_TRACE_MAX);
	budget_start(gw_budget(), &a->bodies, &c->use, read_on);
	TAILQ_INSERT_TAIL(&a->calls, c, entry);
	a->ncalls++;
	g->data = c;
	g->closed = llm_closed;
	if (httpd_req_stream(g->req, GW_BODY_MAX, &body_ops, c) == -1) {
		llm_free(c);
		greq_gone(g);
	}
}

/* The agent has left: greq_free() sends the CANCEL. */
static void
llm_closed(struct greq *g)
{
	struct llm_call *c = g->data;

	if (c->id != 0)
		llm_trace_done(c, "cancelled", "the agent hung up");
	llm_free(c);
}

void
llm_cut(struct agent *a)
{
	struct llm_call *c;
	struct greq *g;

	while ((c = TAILQ_FIRST(&a->calls)) != NULL) {
		g = c->g;
		llm_closed(g);
		greq_abort(g);
	}
}

void
llm_fail(struct llm_call *c, int status, const char *fmt, ...)
{
	struct greq *g = c->g;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->id != 0)
		llm_trace_done(c, "failure", text);
	llm_free(c);
	greq_error(g, status, "%s", text);
}

/* ---- the body ---- */

static void
read_on(struct budget_use *u)
{
	struct llm_call *c = (struct llm_call *)((char *)u -
	    offsetof(struct llm_call, use));

	httpd_req_resume(c->g->req);
}

/* Room for n more bytes: what was declared at once if that is not much. */
static int
body_room(struct llm_call *c, size_t n)
{
	int64_t declared = httpd_req_length(c->g->req);
	size_t size = c->size;
	char *p;

	if (c->len + n <= size)
		return 0;
	if (size == 0)
		size = declared > 0 && declared <= 1024 * 1024 ?
		    (size_t)declared : 16384;
	while (size < c->len + n)
		size *= 2;
	if ((p = realloc(c->body, size)) == NULL)
		return -1;
	c->body = p;
	c->size = size;
	return 0;
}

static void
body_data(struct httpd_req *req, const void *p, size_t n, void *arg)
{
	struct llm_call *c = arg;

	if (sys_now_ms() - c->started > READ_MS) {
		llm_fail(c, 408, "the body took too long");
		return;
	}
	if (body_room(c, n) == -1) {
		llm_fail(c, 503, "out of memory, try again");
		return;
	}
	memcpy(c->body + c->len, p, n);
	c->len += n;
	if (llmreq_feed(&c->q, p, n) == -1) {
		llm_fail(c, 400, "the body is not valid: %s at byte %llu",
		    c->q.scan.why, (unsigned long long)c->q.scan.off);
		return;
	}
	if (!budget_grow(gw_budget(), &c->use, n))
		httpd_req_pause(req);
}

static void
body_end(struct httpd_req *req, void *arg)
{
	struct llm_call *c = arg;
	const char *why, *param = NULL;

	(void)req;
	if (llmreq_end(&c->q, c->body, &why, &param) == -1) {
		llm_fail(c, 400, param == NULL ? "the body is not valid: %s" :
		    "%s", why);
		return;
	}
	if (turn_find(c->agent, c->trace_id) == NULL) {
		llm_fail(c, 409, "the turn was closed meanwhile");
		return;
	}
	llm_route(c);
}

/* ---- the route ---- */

static void
use_route(struct llm_call *c, const char *id, const char *name,
    const char *model)
{
	(void)strlcpy(c->provider_id, id, sizeof(c->provider_id));
	(void)strlcpy(c->provider, name, sizeof(c->provider));
	(void)strlcpy(c->model, model, sizeof(c->model));
	llm_stream_open(c);
}

static void
remember_route(struct agent *a, const char *asked,
    const struct m_llm_route_res *res)
{
	struct route *r;

	if (a->nroutes >= GW_ROUTES) {
		r = TAILQ_FIRST(&a->routes);
		TAILQ_REMOVE(&a->routes, r, entry);
	} else {
		if ((r = malloc(sizeof(*r))) == NULL)
			return;
		a->nroutes++;
	}
	(void)strlcpy(r->asked, asked, sizeof(r->asked));
	(void)strlcpy(r->provider_id, res->provider_id,
	    sizeof(r->provider_id));
	(void)strlcpy(r->provider, res->provider, sizeof(r->provider));
	(void)strlcpy(r->model, res->model, sizeof(r->model));
	TAILQ_INSERT_TAIL(&a->routes, r, entry);
}

static void
llm_route(struct llm_call *c)
{
	/* proxy alone knows what "default" means: it changes in one place. */
	struct m_llm_route q = { c->agent->id, c->q.name };
	struct greq *g = c->g;
	struct route *r;

	TAILQ_FOREACH(r, &c->agent->routes, entry)
		if (strcmp(r->asked, q.model) == 0) {
			use_route(c, r->provider_id, r->provider, r->model);
			return;
		}
	g->peer = worker_peer(PROC_PROXY);
	g->pending = peer_request(g->peer, MSG_LLM_ROUTE, &q, GW_ASK_MS,
	    route_answer, c);
	if (g->pending == 0)
		llm_fail(c, 503, "proxy is restarting, try again");
}

static void
route_answer(struct msg *m, void *arg)
{
	struct llm_call *c = arg;
	const struct m_llm_route_res *r;
	struct turn *t;

	greq_asked(c->g);
	if (m == NULL || m->type != MSG_LLM_ROUTE_RES) {
		llm_fail(c, 503, "proxy is restarting, try again");
		return;
	}
	r = &m->u.llm_route_res;
	if (r->status == 200) {
		remember_route(c->agent, c->q.name, r);
		use_route(c, r->provider_id, r->provider, r->model);
		return;
	}
	if (r->status >= 500) {
		llm_fail(c, 503, "%s", r->error);
		return;
	}
	if ((t = turn_find(c->agent, c->trace_id)) != NULL)
		llm_trace_refusal(c->agent, t, r->error);
	/* A 403 would make some runtimes believe that their key is bad. */
	llm_fail(c, r->status == 404 ? 404 : (int)c->agent->refusal, "%s",
	    r->error);
}

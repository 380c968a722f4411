/*
 * A call on its way: the body to upstream, the answer to the agent.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: upstream.
 *
 * Both directions have a window, so a slow reader holds up nothing but its
 * own stream: upstream says how much body it takes, and gets credit for the
 * answer back when the agent has taken it.
 */
#include <sys/types.h>

#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "llm.h"
#include "log.h"
#include "worker.h"

#define WINDOW		(256U * 1024)	/* each way, as agreed */
#define CREDIT_STEP	(64U * 1024)	/* given back at a time */
#define FRAME		61440
/* Small chunks take up to six times their size in the queue. */
#define QUEUE_MAX	(8U * WINDOW)

RB_HEAD(call_tree, llm_call);

static struct {
	struct call_tree tree;		/* those at upstream */
} st = { RB_INITIALIZER(&st.tree) };

static void	answer(struct msg *, void *);
static void	answer_head(struct llm_call *, const struct m_llm_head *);
static void	answer_data(struct llm_call *, const struct m_llm_data *);
static void	answer_end(struct llm_call *, const struct m_llm_end *);
static void	writable(struct httpd_req *, void *);

static int
call_cmp(const struct llm_call *a, const struct llm_call *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE_INTERNAL(call_tree, llm_call, node, call_cmp,
    static __attribute__((unused)))

static void
body_free(struct llm_call *c)
{
	budget_end(gw_budget(), &c->use);
	splice_free(&c->sp);
	free(c->body);
	c->body = NULL;
}

void
llm_free(struct llm_call *c)
{
	if (c->id != 0)
		RB_REMOVE(call_tree, &st.tree, c);
	TAILQ_REMOVE(&c->agent->calls, c, entry);
	c->agent->ncalls--;
	c->g->data = NULL;
	c->g->closed = NULL;
	body_free(c);
	llmreq_free(&c->q);
	jbuf_free(&c->request);
	tap_free(&c->tap);
	free(c);
}

/* ---- the request ---- */

/* Sends what upstream takes; the body is freed behind its last byte. */
static void
pump(struct llm_call *c)
{
	struct peer *p = worker_peer(PROC_UPSTREAM);
	struct m_llm_data d;
	size_t max;

	while (c->sp.left > 0 && c->credit > 0) {
		max = c->credit < FRAME ? (size_t)c->credit : FRAME;
		d.data.len = splice_peek(&c->sp, max, &d.data.ptr);
		/* Without room it goes on in llm_drained(). */
		if (peer_send_id(p, MSG_LLM_BODY, c->id,
		    c->sp.left > d.data.len, &d) == -1)
			return;
		c->credit -= d.data.len;
		splice_skip(&c->sp, d.data.len);
	}
}

static void
pump_and_free(struct llm_call *c)
{
	if (c->body == NULL)
		return;
	pump(c);
	if (c->sp.left == 0)
		body_free(c);
}

void
llm_stream_open(struct llm_call *c)
{
	struct m_llm_open o = { .provider_id = c->provider_id,
	    .agent_id = c->agent->id, .path = "/chat/completions",
	    .stream = c->q.streams, .window = WINDOW };
	struct turn *t = turn_find(c->agent, c->trace_id);
	struct greq *g = c->g;

	if (t == NULL) {
		llm_fail(c, 409, "the turn was closed meanwhile");
		return;
	}
	if (llmreq_splice(&c->q, c->body, c->len, c->model, &c->sp) == -1) {
		llm_fail(c, 503, "out of memory, try again");
		return;
	}
	o.length = c->sp.total;
	g->peer = worker_peer(PROC_UPSTREAM);
	g->pending = peer_request(g->peer, MSG_LLM_OPEN, &o, 0, answer, c);
	if (g->pending == 0) {
		llm_fail(c, 503, "upstream is restarting, try again");
		return;
	}
	g->stream = true;
	c->id = g->pending;
	RB_INSERT(call_tree, &st.tree, c);
	t->calls++;
	c->credit = WINDOW;
	pump(c);
	/* The provider has work now: time to read what the agent said. */
	llm_trace_request(c);
	if (c->sp.left == 0)
		body_free(c);
}

int
llm_h_window(struct peer *p, struct msg *m)
{
	struct llm_call key, *c;

	(void)p;
	key.id = m->id;
	/* It may have been cancelled meanwhile. */
	if ((c = RB_FIND(call_tree, &st.tree, &key)) == NULL)
		return 0;
	c->credit += m->u.llm_window.bytes;
	if (c->credit > WINDOW)
		return -1;
	pump_and_free(c);
	return 0;
}

/* ---- the answer ---- */

static void
give_credit(struct llm_call *c)
{
	struct m_llm_window w;

	if (c->owed < CREDIT_STEP ||
	    (c->status != 0 &&
	    httpd_stream_queued(c->g->req) > CREDIT_STEP))
		return;
	w.bytes = (uint32_t)c->owed;
	if (peer_send_id(worker_peer(PROC_UPSTREAM), MSG_LLM_WINDOW, c->id,
	    false, &w) == 0)
		c->owed = 0;
}

void
llm_drained(void)
{
	struct llm_call *c, *next;

	RB_FOREACH_SAFE(c, call_tree, &st.tree, next) {
		pump_and_free(c);
		give_credit(c);
	}
}

static void
answer(struct msg *m, void *arg)
{
	struct llm_call *c = arg;
	struct greq *g = c->g;

	if (m == NULL || (!m->more && m->type != MSG_LLM_END)) {
		g->pending = 0;
		if (c->status == 0) {
			llm_fail(c, 503, "upstream is restarting, try again");
			return;
		}
		/* A whole answer must not be faked: cut the connection. */
		llm_trace_done(c, "failure", "upstream went away");
		llm_free(c);
		greq_abort(g);
		return;
	}
	switch (m->type) {
	case MSG_LLM_HEAD:
		answer_head(c, &m->u.llm_head);
		break;
	case MSG_LLM_DATA:
		answer_data(c, &m->u.llm_data);
		break;
	case MSG_LLM_END:
		g->pending = 0;
		answer_end(c, &m->u.llm_end);
		break;
	}
}

/* Only what may stand in a header of ours. */
static const char *
plain(const char *s, const char *instead)
{
	const char *p;

	for (p = s; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7e)
			return instead;
	return *s != '\0' ? s : instead;
}

static void
answer_head(struct llm_call *c, const struct m_llm_head *h)
{
	const char *type = plain(h->content_type, "application/json");

	if (c->status != 0)
		return;
	c->first = sys_now_ms();
	if (h->status < 200 || h->status > 599) {
		llm_fail(c, 502, "provider %s answered with status %u",
		    c->provider, h->status);
		return;
	}
	/*
	 * About our key and our account, not about the agent: it could do
	 * nothing but lock itself out, and the text may show a part of the
	 * key.  llm_fail() cancels what is still to come.
	 */
	if (h->status >= 401 && h->status <= 403) {
		c->status = (int)h->status;
		llm_fail(c, (int)c->agent->refusal, "provider %s refused "
		    "agentd's key or account (HTTP %u)", c->provider,
		    h->status);
		return;
	}
	c->status = (int)h->status;
	tap_init(&c->tap, type);
	if (*h->retry_after != '\0' || c->status == 502 || c->status == 503)
		httpd_add_header(c->g->req, "Retry-After",
		    plain(h->retry_after, "1"));
	httpd_stream_start(c->g->req, c->status, type, QUEUE_MAX);
	httpd_stream_on_writable(c->g->req, CREDIT_STEP, writable, c);
}

static void
answer_data(struct llm_call *c, const struct m_llm_data *d)
{
	if (c->status == 0) {
		llm_fail(c, 502, "upstream sent data without a head");
		return;
	}
	/* To the agent first; a failed write is followed by on_close. */
	(void)httpd_stream_write(c->g->req, d->data.ptr, d->data.len);
	c->bytes += d->data.len;
	c->owed += d->data.len;
	tap_feed(&c->tap, d->data.ptr, d->data.len);
	give_credit(c);
}

static void
writable(struct httpd_req *req, void *arg)
{
	(void)req;
	give_credit(arg);
}

static void
answer_end(struct llm_call *c, const struct m_llm_end *e)
{
	struct greq *g = c->g;

	if (c->status == 0) {
		llm_fail(c, 502, "%s", *e->error != '\0' ? e->error :
		    "the provider gave no answer");
		return;
	}
	tap_end(&c->tap);
	if (!e->ok)
		llm_trace_done(c, "failure", *e->error != '\0' ? e->error :
		    "the answer was cut short");
	else if (c->status >= 400 || c->tap.error[0] != '\0')
		llm_trace_done(c, "failure", c->tap.error);
	else
		llm_trace_done(c, "success", "");
	llm_free(c);
	if (e->ok)
		greq_end_stream(g);
	else
		greq_abort(g);
}

/*
 * The agents that this gateway serves, their turns and rates.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: keeper, supervisor.
 *
 * An agent is here as long as the supervisor has given its socket or keeper
 * its configuration, in either order.
 */
#include <sys/types.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "gateway.h"
#include "log.h"
#include "net.h"
#include "worker.h"

/* keeper names the open turns at once when it comes; this is plenty. */
#define TURNS_SURE_S	3

RB_HEAD(agent_tree, agent);

static struct {
	struct agent_tree	 tree;
	struct event		*sure;	/* pending: turns may yet be named */
} ag = { RB_INITIALIZER(&ag.tree), NULL };

static void	agent_gone(struct agent *);

static int
agent_cmp(const struct agent *a, const struct agent *b)
{
	return strcmp(a->id, b->id);
}

RB_GENERATE_INTERNAL(agent_tree, agent, entry, agent_cmp,
    static __attribute__((unused)))

bool
rate_take(struct rate *r, double per_s)
{
	uint64_t now = sys_now_ms();

	r->used -= (double)(now - r->at) * per_s / 1000.0;
	if (r->used < 0 || r->at == 0)
		r->used = 0;
	r->at = now;
	if (r->used + 1 > per_s)
		return false;
	r->used += 1;
	return true;
}

struct agent *
agent_find(const char *id)
{
	struct agent key;

	if (strlcpy(key.id, id, sizeof(key.id)) >= sizeof(key.id))
		return NULL;
	return RB_FIND(agent_tree, &ag.tree, &key);
}

void
agent_each(void (*fn)(struct agent *))
{
	struct agent *a, *next;

	RB_FOREACH_SAFE(a, agent_tree, &ag.tree, next)
		fn(a);
}

static struct agent *
agent_get(const char *id)
{
	struct agent *a;

	if (!sys_is_id(id))
		return NULL;
	if ((a = agent_find(id)) != NULL)
		return a;
	if ((a = calloc(1, sizeof(*a))) == NULL)
		fatal("agent");
	(void)strlcpy(a->id, id, sizeof(a->id));
	a->listener = -1;
	TAILQ_INIT(&a->turns);
	TAILQ_INIT(&a->routes);
	TAILQ_INIT(&a->calls);
	TAILQ_INIT(&a->tunnels);
	budget_group_init(&a->bodies);
	RB_INSERT(agent_tree, &ag.tree, a);
	return a;
}

void
agent_ref(struct agent *a)
{
	a->nreqs++;
}

static void
turn_free(struct agent *a, struct turn *t)
{
	TAILQ_REMOVE(&a->turns, t, entry);
	a->nturns--;
	toolmap_free(&t->tools);
	free(t);
}

static void
agent_free(struct agent *a)
{
	struct turn *t, *next;

	TAILQ_FOREACH_SAFE(t, &a->turns, entry, next)
		turn_free(a, t);
	auth_flush(a);
	free(a);
}

void
agent_free_all(void)
{
	struct agent *a;

	while ((a = RB_ROOT(&ag.tree)) != NULL) {
		RB_REMOVE(agent_tree, &ag.tree, a);
		agent_free(a);
	}
	if (ag.sure != NULL)
		event_free(ag.sure);
	ag.sure = NULL;
}

void
agent_unref(struct agent *a)
{
	if (--a->nreqs == 0 && a->dead)
		agent_free(a);
}

/* Forgets an agent that neither supervisor nor keeper holds any more. */
static void
agent_sweep(struct agent *a)
{
	if (a->listener != -1 || a->known)
		return;
	RB_REMOVE(agent_tree, &ag.tree, a);
	a->dead = true;
	/* Requests still point here; what they hang on ends by itself. */
	if (a->nreqs == 0)
		agent_free(a);
}

/* ---- turns ---- */

struct turn *
turn_find(struct agent *a, const char *trace_id)
{
	struct turn *t;

	TAILQ_FOREACH(t, &a->turns, entry)
		if (strcmp(t->trace_id, trace_id) == 0)
			return t;
	return NULL;
}

struct toolmap *
turn_tools(struct agent *a, struct turn *want)
{
	struct turn *t, *oldest = NULL;
	unsigned int n = 0;

	if (want->tools.e != NULL)
		return &want->tools;
	TAILQ_FOREACH(t, &a->turns, entry) {
		if (t->tools.e == NULL)
			continue;
		if (oldest == NULL)
			oldest = t;
		n++;
	}
	if (n >= GW_TOOLS_AGENT)
		toolmap_free(&oldest->tools);
	return &want->tools;
}

/* What keeper has not named since it came is no more. */
static void
drop_stale(struct agent *a)
{
	struct turn *t, *next;

	TAILQ_FOREACH_SAFE(t, &a->turns, entry, next)
		if (t->stale)
			turn_free(a, t);
	if (a->known && a->stale)
		agent_gone(a);
}

static void
turns_sure(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	agent_each(drop_stale);
}

static void
mark_stale(struct agent *a)
{
	struct turn *t;

	a->stale = true;
	TAILQ_FOREACH(t, &a->turns, entry)
		t->stale = true;
}

void
agent_keeper_up(void)
{
	struct timeval tv = { TURNS_SURE_S, 0 };

	if (ag.sure == NULL &&
	    (ag.sure = evtimer_new(worker_base(), turns_sure, NULL)) == NULL)
		fatal("timer");
	agent_each(mark_stale);
	evtimer_add(ag.sure, &tv);
}

bool
agent_turns_unsure(void)
{
	return !peer_is_up(worker_peer(PROC_KEEPER)) ||
	    (ag.sure != NULL && evtimer_pending(ag.sure, NULL));
}

int
agent_h_turn(struct peer *p, struct msg *m)
{
	const struct m_turn *u = &m->u.turn;
	struct agent *a;
	struct turn *t;

	(void)p;
	if ((a = agent_find(u->agent_id)) == NULL || *u->trace_id == '\0')
		return 0;	/* deleted meanwhile */
	t = turn_find(a, u->trace_id);
	if (!u->open) {
		if (t != NULL)
			turn_free(a, t);
		return 0;
	}
	if (t == NULL) {
		if (a->nturns >= GW_TURNS_AGENT) {
			log_warnx("agent %s: too many open turns", a->slug);
			return 0;
		}
		if ((t = calloc(1, sizeof(*t))) == NULL)
			fatal("turn");
		(void)strlcpy(t->trace_id, u->trace_id, sizeof(t->trace_id));
		TAILQ_INSERT_TAIL(&a->turns, t, entry);
		a->nturns++;
	}
	t->stale = false;
	(void)strlcpy(t->channel_id, u->channel_id, sizeof(t->channel_id));
	return 0;
}

/* ---- what keeper and the supervisor say ---- */

int
agent_h_conf(struct peer *p, struct msg *m)
{
	const struct m_agent_conf *c = &m->u.agent_conf;
	struct agent *a;

	(void)p;
	if (c->state > AGENT_WARM || !sys_is_slug(c->slug) ||
	    (a = agent_get(c->agent_id)) == NULL)
		return -1;
	(void)strlcpy(a->slug, c->slug, sizeof(a->slug));
	(void)strlcpy(a->framework, c->framework, sizeof(a->framework));
	(void)strlcpy(a->model, c->model, sizeof(a->model));
	a->known = true;
	a->stale = false;
	a->state = c->state;
	a->uid_base = c->uid_base;
	a->uid_count = c->uid_count;
	a->max_calls = c->max_calls_per_turn;
	/* What is no refusal would be taken for an answer. */
	a->refusal = c->refusal_status >= 400 && c->refusal_status <= 599 ?
	    c->refusal_status : 400;
	if (a->state != AGENT_RUNNING && a->state != AGENT_DEPLOYING) {
		events_end(a);
		llm_cut(a);
		tunnel_cut(a);
	}
	log_debug("agent %s: %s, state %u", a->id, a->slug, a->state);
	hello_conf(a);
	hello_go();
	return 0;
}

static void
agent_gone(struct agent *a)
{
	a->known = a->held = false;
	hello_conf(a);
	hello_go();
	auth_flush(a);
	events_end(a);
	llm_cut(a);
	tunnel_cut(a);
	agent_sweep(a);
}

int
agent_h_held_list(struct peer *p, struct msg *m)
{
	struct m_held row;
	struct agent *a;

	RB_FOREACH(a, agent_tree, &ag.tree) {
		if (!a->known || a->dead)
			continue;
		row.agent_id = a->id;
		row.slug = a->slug;
		row.n = a->listener != -1;
		if (peer_reply(p, m, MSG_HELD, true, &row) == -1)
			log_warn("agent to keeper");
	}
	if (peer_done(p, m->id, 200, NULL) == -1)
		log_warn("agents to keeper");
	return 0;
}

int
agent_h_gone(struct peer *p, struct msg *m)
{
	struct agent *a;

	(void)p;
	if ((a = agent_find(m->u.agent_id.agent_id)) != NULL)
		agent_gone(a);
	return 0;
}

int
agent_h_listen(struct peer *p, struct msg *m)
{
	struct agent *a;

	(void)p;
	if ((a = agent_get(m->u.agent_id.agent_id)) == NULL)
		return -1;
	if (a->listener != -1 &&
	    httpd_unlisten(gw_httpd(), a->listener) == -1)
		log_warn("agent %s: old socket", a->id);
	a->listener = m->fd;
	if (httpd_listen(gw_httpd(), m->fd, a) == -1) {
		log_warn("agent %s: socket", a->id);
		a->listener = -1;
		agent_sweep(a);
	}
	m->fd = -1;
	return 0;
}

int
agent_h_unlisten(struct peer *p, struct msg *m)
{
	struct agent *a;

	(void)p;
	if ((a = agent_find(m->u.agent_id.agent_id)) == NULL ||
	    a->listener == -1)
		return 0;
	if (httpd_unlisten(gw_httpd(), a->listener) == -1)
		log_warn("agent %s: socket", a->id);
	a->listener = -1;
	agent_sweep(a);
	return 0;
}

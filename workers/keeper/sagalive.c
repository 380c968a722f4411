/*
 * Steps that stop a live agent for a while, and let it live (again).
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container, gateway, proxy, supervisor.
 */
#include <string.h>

#include "limits.h"
#include "saga.h"
#include "state.h"
#include "tell.h"

#define STOP_S		10		/* for a stop in peace */
#define READY_S		60		/* if the framework says nothing */
#define POLICY_MS	20000

/* What the row says stays as it is: a crash leaves an agent that runs. */
static void
tell_stopped(struct agent *a)
{
	enum agent_state	 state = a->state;

	a->state = AGENT_STOPPED;
	keeper_tell_gateway(a);
	a->state = state;
}

static void
on_prepared(struct agent *a, const struct prepared *how, void *arg)
{
	struct saga	*s = arg;

	(void)a;
	s->prepared = *how;
	saga_ok(s);
}

void
saga_live_prepare(struct saga *s, const char *reason, uint32_t seconds)
{
	struct agent	*a = s->agent;

	s->prepared.status = "not asked";
	s->prepared.reason = reason;
	if (a->state != AGENT_RUNNING || a->asleep)
		saga_ok(s);
	else
		prepare_begin(a, reason, seconds, on_prepared, s);
}

/* One that was stopped meanwhile hears it when its link is back. */
void
saga_live_lift(struct saga *s)
{
	if (s->agent->sub != NULL)
		prepare_lift(s->agent);
	saga_ok(s);
}

void
saga_live_stop(struct saga *s)
{
	tell_stopped(s->agent);
	bridge_close(s->agent);
	saga_act(s, s->agent->instance, "stop", STOP_S, NULL);
}

/* A frozen one must run once before it can be frozen again. */
static void
on_frozen(struct saga *s, uint32_t status, const char *error)
{
	if (status >= 300 && status != 404) {
		saga_fail(s, status, "%s", error);
		return;
	}
	agent_seen(s->agent, status == 404 ? "" : "Frozen");
	saga_ok(s);
}

static void
on_runs_again(struct saga *s, uint32_t status, const char *error)
{
	struct agent	*a = s->agent;

	if (status >= 300 && status != 404) {
		saga_fail(s, status, "%s", error);
		return;
	}
	agent_seen(a, status == 404 ? "" : "Running");
	(void)answer_uids(a, s->uid_base, s->uid_count);
	keeper_tell_gateway(a);
	if (a->state == AGENT_PAUSED && status != 404)
		saga_act(s, a->instance, "freeze", 0, on_frozen);
	else
		saga_ok(s);
}

/* As it was before; one that sleeps is woken by its next message. */
void
saga_live_again(struct saga *s)
{
	struct agent	*a = s->agent;

	keeper_tell_gateway(a);
	if ((a->state != AGENT_RUNNING && a->state != AGENT_PAUSED) ||
	    a->asleep)
		saga_ok(s);
	else
		saga_act(s, a->instance, "start", 0, on_runs_again);
}

/* ---- rights ---- */

static void
on_limits(struct saga *s, uint32_t status, const char *error)
{
	struct m_ct_net	 m = { s->agent_id, s->agent->instance,
	    strcmp(s->agent->network, "egress") == 0 };

	if (status >= 300)
		saga_fail(s, status, "%s", error);
	else
		saga_ask(s, PROC_CONTAINER, MSG_CT_NET, &m, NULL);
}

/*
 * container keeps what the instance had; but if it died at the wrong moment,
 * keys and devices are those of the snapshot.
 */
void
saga_live_rights(struct saga *s)
{
	const struct agent	*a = s->agent;
	struct m_ct_limits	 m = { a->id, a->instance, a->memory, a->cpus,
	    limits_processes(a), a->disk };

	saga_ask(s, PROC_CONTAINER, MSG_CT_LIMITS, &m, on_limits);
}

void
saga_live_tag(struct saga *s)
{
	struct m_ct_tag	 m = { s->agent_id, s->agent->instance,
	    s->agent->slug, "" };

	saga_ask(s, PROC_CONTAINER, MSG_CT_TAG, &m, NULL);
}

/* ---- what an agent needs around it ---- */

static void
on_policy(struct msg *m, void *arg)
{
	struct saga	*s = arg;

	if (m == NULL)
		saga_lost(s, "proxy");
	else if (m->u.done.status >= 300)
		saga_fail(s, m->u.done.status, "%s", m->u.done.error);
	else
		saga_ok(s);
}

void
saga_live_policy(struct saga *s)
{
	if (tell_policy(s->agent, POLICY_MS, on_policy, s) == 0)
		saga_lost(s, "proxy");
}

void
saga_live_listen(struct saga *s)
{
	struct m_agent_id	 m = { s->agent_id };

	saga_ask(s, PROC_SUPER, MSG_AGENT_LISTEN, &m, NULL);
}

void
saga_live_unlisten(struct saga *s)
{
	struct m_agent_id	 m = { s->agent_id };

	saga_ask(s, PROC_SUPER, MSG_AGENT_UNLISTEN, &m, NULL);
}

void
saga_live_link(struct saga *s)
{
	const struct framework	*f = framework_get(s->agent->framework);

	saga_wait_link(s, f != NULL && f->ready_timeout != 0 ?
	    f->ready_timeout : READY_S);
}

/* ---- undos ---- */

void
saga_undone(struct saga *s, uint32_t status, const char *error)
{
	if (status < 300 || status == 404 || status == 409)
		saga_ok(s);
	else
		saga_fail(s, status, "%s", error);
}

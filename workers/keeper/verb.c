/*
 * Start, stop, restart, pause and resume of an agent.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container, supervisor, gateway.
 *
 * What should be is stored first; then the agent is asked to finish, then the
 * outside is made to agree.  If that is cut, reconcile.c does it at the next
 * start.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "keeper.h"
#include "log.h"
#include "state.h"
#include "verb.h"
#include "want.h"
#include "worker.h"

#define ANSWER_S	60		/* besides the time to finish */
#define STOP_S		10		/* for a container to go in peace */
#define ASK_MS		20000
#define ACTION_MS	180000		/* container has shorter ones itself */
#define RETRY_MS	5000

static const struct {
	const char		*name;
	const char		*action;	/* of CT_ACTION */
	bool			 prepare;	/* it is asked to finish */
	bool			 up;		/* it shall run afterwards */
} verbs[VERBS] = {
	[V_START] = { "start", "start", false, true },
	[V_STOP] = { "stop", "stop", true, false },
	[V_RESTART] = { "restart", "restart", true, true },
	[V_PAUSE] = { "pause", "freeze", true, false },
	[V_RESUME] = { "resume", "thaw", false, true },
};

struct op {
	struct agent	*agent;
	enum verb	 verb;
	bool		 force;
	struct prepared	 prepared;
	struct event	*timer;
	verb_fn		 fn;
	void		*arg;
};

enum verb
verb_by_name(const char *name)
{
	int	 v;

	for (v = 0; v < VERBS; v++)
		if (strcmp(verbs[v].name, name) == 0)
			break;
	return (enum verb)v;
}

const char *
verb_name(enum verb v)
{
	return verbs[v].name;
}

/* ---- its end ---- */

static void
tell(struct op *op, uint32_t status, const char *error)
{
	struct verb_end	 end = { .verb = op->verb, .status = status,
	    .error = error, .slug = op->agent->slug, .changed = true,
	    .shown = agent_shown(op->agent), .prepared = op->prepared };

	if (op->fn != NULL)
		op->fn(&end, op->arg);
	op->fn = NULL;
}

static void
op_end(struct op *op, uint32_t status, const char *error)
{
	agent_unlock(op->agent);
	tell(op, status, error);
	event_free(op->timer);
	free(op);
}

static void
op_good(struct op *op)
{
	op_end(op, 200, "");
}

static void
op_bad(struct op *op, uint32_t status, const char *error)
{
	char	 text[1100];

	(void)snprintf(text, sizeof(text), "agent %s: %s: %s",
	    op->agent->slug, verbs[op->verb].name, error);
	log_warnx("%s", text);
	op_end(op, status < 400 || status > 599 ? 502 : status, text);
}

/* Whoever asked has an answer; the work goes on without it. */
static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	struct op	*op = arg;
	char		 text[256];

	(void)fd;
	(void)what;
	(void)snprintf(text, sizeof(text), "agent %s: the %s goes on, it "
	    "takes long", op->agent->slug, verbs[op->verb].name);
	tell(op, 504, text);
}

static struct op *
op_new(struct agent *a, enum verb verb, const struct verb_how *how,
    verb_fn fn, void *arg)
{
	struct timeval	 tv = { ANSWER_S, 0 };
	struct op	*op;

	if ((op = calloc(1, sizeof(*op))) == NULL ||
	    (op->timer = evtimer_new(worker_base(), on_late, op)) == NULL)
		fatal("operation");
	op->agent = a;
	op->verb = verb;
	op->force = how->force;
	op->prepared.status = how->force ? "not asked" : "not connected";
	op->prepared.reason = verbs[verb].name;
	op->fn = fn;
	op->arg = arg;
	if (verbs[verb].prepare)
		tv.tv_sec += how->timeout != 0 ? how->timeout : PREPARE_S;
	(void)evtimer_add(op->timer, &tv);
	return op;
}

/* ---- the work ---- */

static void
on_acted(struct msg *m, void *arg)
{
	struct op	*op = arg;
	struct agent	*a = op->agent;
	const char	*error;
	uint32_t	 status = answer_status(m, LOST_CONTAINER, &error);

	if (status == 404)
		error = "its instance is not there any more; a new one, "
		    "without its home: agentctl agent rebuild";
	if (m == NULL || status >= 300) {
		/*
		 * Who is not there, or has too much to do, says nothing about
		 * this agent: reconcile.c ends it.
		 */
		if (status == 503)
			reconcile_soon(RETRY_MS);
		else if (verbs[op->verb].up && verb_store(a, AGENT_FAILED,
		    "start_failed", NULL, error) == 0)
			keeper_tell_gateway(a);
		op_bad(op, status == 404 ? 409 : status, error);
		return;
	}
	agent_seen(a, op->verb == V_STOP ? "Stopped" : op->verb == V_PAUSE ?
	    "Frozen" : "Running");
	if (op->verb != V_STOP && answer_uids(a, m->u.ct_done.uid_base,
	    m->u.ct_done.uid_count))
		keeper_tell_gateway(a);
	op_good(op);
}

static void
act(struct op *op)
{
	struct m_ct_action	 m;

	m.agent_id = op->agent->id;
	m.instance = op->agent->instance;
	m.verb = verbs[op->verb].action;
	m.timeout = op->force ? 0 : STOP_S;
	if (peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_ACTION, &m,
	    -1, ACTION_MS, on_acted, op) == 0)
		on_acted(NULL, op);
}

static void
on_socket(struct msg *m, void *arg)
{
	struct op	*op = arg;
	const char	*error;

	if (answer_status(m, LOST_SUPER, &error) >= 300)
		op_bad(op, 502, error);
	else
		act(op);
}

/* The agent has finished, or has no more time to. */
static void
go(struct op *op)
{
	struct m_agent_id	 m = { op->agent->id };

	keeper_tell_gateway(op->agent);
	if (!verbs[op->verb].up) {
		bridge_close(op->agent);
		act(op);
	} else if (peer_request(worker_super(), MSG_AGENT_LISTEN, &m, ASK_MS,
	    on_socket, op) == 0)
		on_socket(NULL, op);
}

static void
on_prepared(struct agent *a, const struct prepared *how, void *arg)
{
	struct op	*op = arg;

	(void)a;
	op->prepared = *how;
	go(op);
}

/* ---- may it be done? ---- */

/* The refusal in text, and its status; 0: it may. */
static uint32_t
refusal(const struct agent *a, enum verb v, const char *by, char *text,
    size_t size)
{
	const char	*why = NULL;

	if (a->job != NULL)
		why = "it is being deployed";
	else if (a->state == AGENT_DELETING)
		why = "it is being deleted";
	else if (verbs[v].up && v != V_RESUME && a->state == AGENT_PAUSED)
		why = "it is paused: resume it";
	else if (verbs[v].up && v != V_RESUME && a->paused_by[0] != '\0')
		why = a->reason[0] != '\0' ? a->reason : "it is paused";
	else if (v == V_RESUME && a->paused_by[0] != '\0' &&
	    !agent_paused_by(a, by))
		why = a->reason[0] != '\0' ? a->reason : "it is paused by "
		    "something else";
	else if (v == V_PAUSE && strcmp(by, "user") == 0 &&
	    a->state != AGENT_RUNNING && a->state != AGENT_PAUSED)
		why = "it does not run";
	if (why == NULL && a->doing != NULL) {
		(void)snprintf(text, size, "agent %s: a %s is under way",
		    a->slug, a->doing);
		return 409;
	}
	if (why == NULL)
		return 0;
	(void)snprintf(text, size, "agent %s cannot %s: %s", a->slug,
	    v == V_PAUSE ? "be paused" : v == V_STOP ? "be stopped" :
	    v == V_START ? "be started" : v == V_RESTART ? "be restarted" :
	    "be resumed", why);
	return 409;
}

static void
at_once(const struct agent *a, enum verb v, uint32_t status,
    const char *error, verb_fn fn, void *arg)
{
	struct verb_end	 end = { .verb = v, .status = status, .error = error,
	    .slug = a->slug, .shown = agent_shown(a), .changed = false,
	    .prepared = { .status = "not asked", .reason = verbs[v].name } };

	if (fn != NULL)
		fn(&end, arg);
}

void
verb_begin(struct agent *a, enum verb v, const struct verb_how *how,
    const struct pass *who, verb_fn fn, void *arg)
{
	const char	*by = how->by != NULL ? how->by : "user";
	struct want	 b = want_keep(a);
	char		 text[512];
	uint32_t	 status;
	bool		 ran, work;
	struct op	*op;

	if ((status = refusal(a, v, by, text, sizeof(text))) != 0) {
		at_once(a, v, status, text, fn, arg);
		return;
	}
	ran = a->state == AGENT_RUNNING && !a->asleep;
	work = want_change(a, v, how, by);
	if ((work || !want_same(a, &b)) && want_commit(a, &b, verbs[v].name,
	    who, how->reason != NULL ? how->reason : "") == -1) {
		at_once(a, v, 507, "the state database cannot be written: see "
		    "the log of keeper", fn, arg);
		return;
	}
	if (v == V_RESUME && a->paused_by[0] != '\0') {
		(void)snprintf(text, sizeof(text), "agent %s is still paused "
		    "by %s: %s", a->slug, a->paused_by, a->reason);
		at_once(a, v, 409, text, fn, arg);
		return;
	}
	if (!work) {
		at_once(a, v, 200, "", fn, arg);
		return;
	}
	a->doing = verbs[v].name;
	op = op_new(a, v, how, fn, arg);
	if (verbs[v].prepare && !how->force && ran)
		prepare_begin(a, verbs[v].name, how->timeout, on_prepared,
		    op);
	else
		go(op);
}

/* ---- for others ---- */

int
lifecycle_pause(struct agent *a, const char *by, const char *reason)
{
	struct verb_how	 how = { .by = by, .reason = reason };

	if (a->job != NULL || a->doing != NULL || a->state == AGENT_DELETING)
		return -1;
	verb_begin(a, V_PAUSE, &how, NULL, NULL, NULL);
	return 0;
}

int
lifecycle_resume(struct agent *a, const char *by)
{
	struct verb_how	 how = { .by = by };

	if (a->job != NULL || a->doing != NULL || a->state == AGENT_DELETING)
		return -1;
	verb_begin(a, V_RESUME, &how, NULL, NULL, NULL);
	return 0;
}

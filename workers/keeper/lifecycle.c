/*
 * Start, stop, restart and delete of an agent.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container, supervisor, gateway.
 *
 * What should be is stored first; then the outside is made to agree.  If that
 * is cut, reconcile.c does it at the next start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "worker.h"

#define ANSWER_S	60		/* then the client hears 504 */
#define STOP_S		10		/* for a stop in peace */
#define ASK_MS		20000
#define ACTION_MS	180000		/* container has shorter ones itself */

enum verb { V_START, V_STOP, V_RESTART, V_DELETE, VERBS };

static const struct {
	const char	*name;
	const char	*done;		/* the answer's status */
} verbs[VERBS] = {
	[V_START] = { "start", "running" },
	[V_STOP] = { "stop", "stopped" },
	[V_RESTART] = { "restart", "running" },
	[V_DELETE] = { "delete", "deleted" },
};

struct op {
	struct agent	*agent;
	enum verb	 verb;
	struct client	 client;
	struct event	*timer;
};

static void
op_free(struct op *op)
{
	if (op->agent != NULL)
		agent_unlock(op->agent);
	if (op->timer != NULL)
		event_free(op->timer);
	free(op);
}

/* The client has its answer; the work goes on without it. */
static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	struct op	*op = arg;

	(void)fd;
	(void)what;
	reply_error(op->client, 504, "agent %s: the %s goes on, it took over "
	    "%d seconds", op->agent->slug, verbs[op->verb].name, ANSWER_S);
	op->client.id = 0;
}

static struct op *
op_new(struct agent *a, enum verb verb, struct client c)
{
	struct timeval	 tv = { ANSWER_S, 0 };
	struct op	*op;

	if ((op = calloc(1, sizeof(*op))) == NULL ||
	    (op->timer = evtimer_new(worker_base(), on_late, op)) == NULL)
		fatal("operation");
	op->agent = a;
	op->verb = verb;
	op->client = c;
	if (c.id != 0)
		(void)evtimer_add(op->timer, &tv);
	return op;
}

static void
op_good(struct op *op, const char *slug)
{
	struct jbuf	 jb;

	jbuf_init(&jb, 1024);
	jb_obj(&jb);
	jb_kbool(&jb, "success", true);
	jb_kstr(&jb, "status", verbs[op->verb].done);
	jb_kstr(&jb, "name", slug);
	jb_end(&jb);
	reply_doc(op->client, 200, &jb);
	op_free(op);
}

static void
op_bad(struct op *op, uint32_t status, const char *error)
{
	log_warnx("agent %s: %s: %s", op->agent->slug, verbs[op->verb].name,
	    error);
	reply_error(op->client, status < 400 || status > 599 ? 502 : status,
	    "agent %s: %s: %s", op->agent->slug, verbs[op->verb].name, error);
	op_free(op);
}

/* State, audit (who may be NULL: it is ours) and trace in one transaction. */
static int
store_state(struct agent *a, enum agent_state state, const char *event,
    const struct pass *who, const char *error)
{
	enum agent_state	 old = a->state;

	if (db_begin(keeper_db()) == -1)
		return -1;
	a->state = state;
	(void)agent_save(a);
	if (who != NULL)
		audit_add(who, "AGENT_ACTION", a->slug, 200, event);
	tracebox_lifecycle(a->id, event, "", error);
	if (db_commit(keeper_db()) == -1) {
		a->state = old;
		return -1;
	}
	tracebox_kick();
	return 0;
}

/* ---- start, stop, restart ---- */

static void
on_acted(struct msg *m, void *arg)
{
	struct op	*op = arg;
	struct agent	*a = op->agent;
	const char	*error = "the container worker does not answer";
	uint32_t	 status = 503;

	if (m != NULL && m->type == MSG_CT_DONE) {
		status = m->u.ct_done.status;
		error = m->u.ct_done.error;
		if (status == 404)
			error = "its instance is not there any more";
	}
	if (status >= 300) {
		/* Without an answer reconcile.c ends it. */
		if (m != NULL && op->verb != V_STOP && store_state(a, AGENT_FAILED,
		    "start_failed", NULL, error) == 0)
			keeper_tell_gateway(a);
		op_bad(op, status == 404 ? 409 : status, error);
		return;
	}
	if (op->verb != V_STOP && m->u.ct_done.uid_count != 0) {
		a->uid_base = m->u.ct_done.uid_base;
		a->uid_count = m->u.ct_done.uid_count;
		(void)agent_save(a);
		keeper_tell_gateway(a);
	}
	op_good(op, a->slug);
}

static void
act(struct op *op)
{
	struct m_ct_action	 m;

	m.agent_id = op->agent->id;
	m.instance = op->agent->instance;
	m.verb = verbs[op->verb].name;
	m.timeout = op->verb == V_START ? 0 : STOP_S;
	if (peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_ACTION, &m,
	    -1, ACTION_MS, on_acted, op) == 0)
		on_acted(NULL, op);
}

static void
on_socket(struct msg *m, void *arg)
{
	struct op	*op = arg;

	if (m == NULL || m->u.done.status >= 300) {
		op_bad(op, 502, m != NULL ? m->u.done.error :
		    "the supervisor does not answer");
		return;
	}
	act(op);
}

static void
begin_start(struct op *op)
{
	struct m_agent_id	 m = { op->agent->id };

	keeper_tell_gateway(op->agent);
	if (peer_request(worker_super(), MSG_AGENT_LISTEN, &m, ASK_MS,
	    on_socket, op) == 0)
		on_socket(NULL, op);
}

static void
begin_stop(struct op *op)
{
	keeper_tell_gateway(op->agent);
	bridge_close(op->agent);
	act(op);
}

/* ---- delete ---- */

static void
on_removed(void *arg)
{
	struct op	*op = arg;
	struct agent	*a = op->agent;
	char		 slug[SLUG_MAX + 1], channel[ID_LEN + 1];

	(void)strlcpy(slug, a->slug, sizeof(slug));
	(void)strlcpy(channel, a->channel_id, sizeof(channel));
	if (db_begin(keeper_db()) == 0) {
		tracebox_lifecycle(a->id, "deleted", "", "");
		agent_delete_row(a);
	}
	if (!db_in_tx(keeper_db()) || db_commit(keeper_db()) == -1) {
		/* The row says "deleting": the next start ends it. */
		op_bad(op, 507, "the state database cannot be written");
		return;
	}
	op->agent = NULL;
	agent_forget(a);
	if (channel[0] != '\0')
		watch_close(channel);
	log_info("agent %s: deleted", slug);
	op_good(op, slug);
	tracebox_kick();
}

static void
begin_delete(struct op *op)
{
	keeper_tell_gateway(op->agent);
	bridge_close(op->agent);
	teardown_start(op->agent->id, op->agent->instance, true, on_removed,
	    op);
}

void
lifecycle_resume(void)
{
	struct client	 nobody = { 0, 0 };
	struct agent	*a;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (a->state == AGENT_DELETING && a->job == NULL &&
		    agent_lock(a, verbs[V_DELETE].name, nobody))
			begin_delete(op_new(a, V_DELETE, nobody));
}

/* ---- the request ---- */

static enum verb
verb_by_name(const char *name)
{
	int	 v;

	for (v = 0; v < VERBS; v++)
		if (strcmp(verbs[v].name, name) == 0)
			break;
	return (enum verb)v;
}

static void
begin(struct agent *a, enum verb verb, struct client c,
    const struct pass *who)
{
	static const enum agent_state want[VERBS] = {
		[V_START] = AGENT_RUNNING,
		[V_STOP] = AGENT_STOPPED,
		[V_RESTART] = AGENT_RUNNING,
		[V_DELETE] = AGENT_DELETING,
	};
	struct op	*op;

	if (!agent_lock(a, verbs[verb].name, c))
		return;
	if (verb == V_START || verb == V_RESTART)
		a->started_at = sys_time();
	a->asleep = false;
	if (store_state(a, want[verb], verbs[verb].name, who, "") == -1) {
		agent_unlock(a);
		reply_db_error(c);
		return;
	}
	op = op_new(a, verb, c);
	if (verb == V_STOP)
		begin_stop(op);
	else if (verb == V_DELETE)
		begin_delete(op);
	else
		begin_start(op);
}

int
h_agent_action(struct peer *p, struct msg *m)
{
	const struct m_agent_action	*in = &m->u.agent_action;
	struct client			 c = client_of(m);
	enum verb			 verb = verb_by_name(in->action);
	struct agent			*a;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	if ((a = agent_visible(&who, in->slug)) == NULL) {
		reply_error(c, 404, "there is no agent %s", in->slug);
	} else if (verb == VERBS) {
		reply_error(c, 400, "there is no action %s", in->action);
	} else if (a->job != NULL && verb == V_DELETE) {
		audit_add(&who, "AGENT_ACTION", a->slug, 200, "delete");
		job_cancel(a, c);
	} else if (a->state == AGENT_DELETING && verb != V_DELETE) {
		reply_error(c, 409, "agent %s is being deleted", a->slug);
	} else {
		begin(a, verb, c, &who);
	}
	return 0;
}

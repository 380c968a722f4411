/*
 * CT_ACTION: start, stop, restart, freeze, thaw or destroy an instance of ours.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * Each verb says what should be, so doing it twice is a success: starting
 * what runs, stopping what is stopped, destroying what is not there.  Freeze
 * is satisfied by an instance that does not run, thaw starts it.
 *
 * Incus (6.0.4, seen) answers that a start has failed before it has taken
 * down what there was of it; until then it calls the instance running and
 * takes no change of it.  So a failure is told when that is over.
 */
#include <sys/types.h>

#include <string.h>

#include <event2/event.h>

#include "container.h"
#include "log.h"
#include "sys.h"
#include "worker.h"

#define TIMEOUT_MAX	600	/* seconds of a graceful stop */
#define SETTLE_MS	100
#define SETTLE_TRIES	100

enum verb {
	V_START, V_STOP, V_RESTART, V_FREEZE, V_THAW, V_DESTROY, V_MAX
};

static const char *const verbs[V_MAX] = {
	[V_START] = "start", [V_STOP] = "stop", [V_RESTART] = "restart",
	[V_FREEZE] = "freeze", [V_THAW] = "thaw", [V_DESTROY] = "destroy",
};

struct action {
	struct op	 op;
	enum verb	 verb;
	char		 agent_id[33];
	unsigned int	 timeout;	/* 0: by force */
	struct incus_reply why;		/* a start has failed; meta is unused */
	unsigned int	 tries;
	struct event	*settle;
};

static void
on_destroyed(const struct incus_reply *r, void *arg)
{
	struct action *a = arg;

	if (r->status == 200)
		op_done(&a->op, 200, NULL, "%s", "");
	else
		op_fail(&a->op, r, NULL);
}

/* The end: keeper learns the idmap again, it may have changed. */
static void
on_final(const struct incus_reply *r, void *arg)
{
	struct action *a = arg;
	struct instance i;

	if (r->status != 200) {
		op_fail(&a->op, r, NULL);
		return;
	}
	instance_read(r->meta, &i);
	op_done(&a->op, 200, &i.map, "%s", "");
}

static void
settle_soon(struct action *a)
{
	struct timeval tv = { 0, SETTLE_MS * 1000 };

	if (a->tries++ < SETTLE_TRIES)
		(void)evtimer_add(a->settle, &tv);
	else
		op_fail(&a->op, &a->why, NULL);
}

static void
on_settling(const struct incus_reply *r, void *arg)
{
	struct action *a = arg;
	struct instance i;

	if (r->status == 200) {
		instance_read(r->meta, &i);
		if (strcmp(i.status, "Stopped") != 0) {
			settle_soon(a);
			return;
		}
	}
	op_fail(&a->op, &a->why, NULL);
}

static void
on_settle(evutil_socket_t fd, short what, void *arg)
{
	struct action *a = arg;

	(void)fd;
	(void)what;
	instance_get(a->op.instance, on_settling, a);
}

static void
on_started(const struct incus_reply *r, void *arg)
{
	struct action *a = arg;

	if (r->status == 200) {
		instance_get(a->op.instance, on_final, a);
	} else if (r->down || r->status < 500) {
		op_fail(&a->op, r, NULL);
	} else {
		a->why = *r;
		a->why.meta = NULL;
		settle_soon(a);
	}
}

/* Freeze and thaw leave the instance as it was when they fail. */
static void
on_changed(const struct incus_reply *r, void *arg)
{
	struct action *a = arg;

	if (r->status == 200)
		instance_get(a->op.instance, on_final, a);
	else
		op_fail(&a->op, r, NULL);
}

static void
on_stopped(const struct incus_reply *r, void *arg)
{
	struct action *a = arg;

	if (r->status != 200 && !r->down && a->timeout > 0) {
		/* It did not go in peace. */
		a->timeout = 0;
		instance_state(a->op.instance, "stop", 0, true, on_stopped,
		    a);
	} else if (r->status != 200) {
		op_fail(&a->op, r, NULL);
	} else if (a->verb == V_RESTART) {
		instance_state(a->op.instance, "start", CT_TIMEOUT, false,
		    on_started, a);
	} else {
		op_done(&a->op, 200, NULL, "%s", "");
	}
}

/* From what it is to what it should be. */
static void
change(struct action *a, const struct instance *i)
{
	bool stopped = strcmp(i->status, "Stopped") == 0;
	bool frozen = strcmp(i->status, "Frozen") == 0;
	bool running = strcmp(i->status, "Running") == 0;

	if (stopped && (a->verb == V_STOP || a->verb == V_FREEZE))
		op_done(&a->op, 200, NULL, "%s", "");
	else if ((frozen && a->verb == V_FREEZE) ||
	    (running && (a->verb == V_START || a->verb == V_THAW)))
		op_done(&a->op, 200, &i->map, "%s", "");
	else if (a->verb == V_FREEZE)
		instance_state(a->op.instance, "freeze", CT_TIMEOUT, false,
		    on_changed, a);
	else if (frozen && (a->verb == V_THAW || a->verb == V_START))
		instance_state(a->op.instance, "unfreeze", CT_TIMEOUT, false,
		    on_changed, a);
	else if (stopped || a->verb == V_START || a->verb == V_THAW)
		instance_state(a->op.instance, "start", CT_TIMEOUT, false,
		    on_started, a);
	else {
		/* What is frozen cannot go in peace. */
		if (frozen)
			a->timeout = 0;
		instance_state(a->op.instance, "stop", a->timeout,
		    a->timeout == 0, on_stopped, a);
	}
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct action *a = arg;
	struct instance i;

	if (instance_of(&a->op, a->op.instance, a->agent_id, r, &i))
		change(a, &i);
}

static void
action_free(struct op *op)
{
	event_free(((struct action *)op)->settle);
}

static void
run(struct op *op)
{
	struct action *a = (struct action *)op;

	if (a->verb == V_DESTROY)
		destroy_run(op->instance, a->agent_id, a->timeout,
		    on_destroyed, a);
	else
		instance_get(op->instance, on_found, a);
}

void
action_start(uint64_t id, const struct m_ct_action *m)
{
	struct action *a;
	int v;

	for (v = 0; v < V_MAX; v++)
		if (strcmp(m->verb, verbs[v]) == 0)
			break;
	if (v == V_MAX) {
		op_refuse(id, 400, "there is no such action on an instance");
		return;
	}
	if (!sys_is_id(m->agent_id) || !valid_instance(m->instance) ||
	    m->timeout > TIMEOUT_MAX) {
		op_refuse(id, 400, "%s: %s is not valid", verbs[v],
		    !sys_is_id(m->agent_id) ? "agent_id" :
		    !valid_instance(m->instance) ? "instance" : "timeout");
		return;
	}
	if ((a = op_new(sizeof(*a), id, verbs[v], m->instance, run,
	    action_free)) == NULL)
		return;
	if ((a->settle = evtimer_new(worker_base(), on_settle, a)) == NULL)
		fatal("timer");
	a->verb = (enum verb)v;
	strlcpy(a->agent_id, m->agent_id, sizeof(a->agent_id));
	a->timeout = m->timeout;
	op_start(&a->op);
}

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
 */
#include <sys/types.h>

#include <string.h>

#include "container.h"
#include "sys.h"

#define TIMEOUT_MAX	600	/* seconds of a graceful stop */

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
on_started(const struct incus_reply *r, void *arg)
{
	struct action *a = arg;

	if (r->status != 200)
		op_fail(&a->op, r, NULL);
	else
		instance_get(a->op.instance, on_final, a);
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
		    on_started, a);
	else if (frozen && (a->verb == V_THAW || a->verb == V_START))
		instance_state(a->op.instance, "unfreeze", CT_TIMEOUT, false,
		    on_started, a);
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
	if ((a = op_new(sizeof(*a), id, verbs[v], m->instance, run, NULL)) ==
	    NULL)
		return;
	a->verb = (enum verb)v;
	strlcpy(a->agent_id, m->agent_id, sizeof(a->agent_id));
	a->timeout = m->timeout;
	op_start(&a->op);
}

/*
 * Creations of instances take turns.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 *
 * Incus (6.0.4, seen) gives instances that are made at the same moment the
 * same "isolated" range of user ids, and with it each other's rights.  So the
 * first one also waits for those that a worker before us had begun.
 */
#include <sys/queue.h>

#include "container.h"

static struct {
	bool		 busy;
	bool		 alone;		/* nothing older is in the making */
	STAILQ_HEAD(, gate) waiting;
} gates = { false, false, STAILQ_HEAD_INITIALIZER(gates.waiting) };

static void
on_alone(const struct incus_reply *r, void *arg)
{
	struct gate *g = arg;

	/* If Incus does not answer, the creation will say so. */
	gates.alone = r->status == 200;
	g->fn(g->arg);
}

void
gate_enter(struct gate *g, gate_fn fn, void *arg)
{
	g->fn = fn;
	g->arg = arg;
	if (gates.busy) {
		STAILQ_INSERT_TAIL(&gates.waiting, g, entry);
		return;
	}
	gates.busy = true;
	if (gates.alone)
		fn(arg);
	else
		busy_wait("", on_alone, g);
}

void
gate_leave(void)
{
	struct gate *g;

	gates.busy = false;
	if ((g = STAILQ_FIRST(&gates.waiting)) == NULL)
		return;
	STAILQ_REMOVE_HEAD(&gates.waiting, entry);
	gates.busy = true;
	g->fn(g->arg);
}

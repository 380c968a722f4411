/*
 * Creations of instances take turns.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: nobody.
 *
 * Incus (6.0.4, seen) gives instances that are made at the same moment the
 * same "isolated" range of user ids, and with it each other's rights.
 */
#include <sys/queue.h>

#include "container.h"

static struct {
	bool		 busy;
	STAILQ_HEAD(, gate) waiting;
} gates = { false, STAILQ_HEAD_INITIALIZER(gates.waiting) };

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
	fn(arg);
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

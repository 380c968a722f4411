/*
 * Creations of instances take turns.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 *
 * Incus (6.0.4, seen) gives instances that are made at the same moment the
 * same "isolated" range of user ids, and with it each other's rights: it
 * picks a range that no stored instance has, and stores it a little later.
 * So the next creation begins when the one before it has its range stored;
 * the slow rest, disk and start, goes on beside it.  The event of its creation
 * says when to look; without events it is looked at now and then.  The first
 * one also waits for those that a worker before us had begun.
 */
#include <sys/queue.h>

#include <string.h>

#include <event2/event.h>

#include "container.h"
#include "log.h"
#include "worker.h"

#define LOOK_MS	40	/* if no event tells; a look costs Incus 3 ms */

static struct {
	struct gate	*inside;
	uint64_t	 turn;		/* of who is inside, or was last */
	uint64_t	 asked;		/* the turn that Incus was asked for */
	bool		 alone;		/* nothing older is in the making */
	bool		 looking;	/* Incus has been asked */
	char		 instance[64];	/* that is being made; "": no use */
	struct event	*timer;
	STAILQ_HEAD(, gate) waiting;
} gates = { .waiting = STAILQ_HEAD_INITIALIZER(gates.waiting) };

static void
on_alone(const struct incus_reply *r, void *arg)
{
	struct gate *g = arg;

	/* If Incus does not answer, the creation will say so. */
	gates.alone = r->status == 200;
	g->fn(g->arg);
}

static void
go_in(struct gate *g)
{
	gates.inside = g;
	gates.turn++;
	gates.instance[0] = '\0';
	g->inside = true;
	if (gates.alone)
		g->fn(g->arg);
	else
		busy_wait(BUSY_CREATION, "", on_alone, g);
}

/* ---- has the one inside its range? ---- */

static void
look_soon(void)
{
	struct timeval tv = { 0, LOOK_MS * 1000 };

	/* Only for somebody who waits. */
	if (gates.instance[0] == '\0' || gates.looking ||
	    STAILQ_EMPTY(&gates.waiting))
		return;
	evtimer_add(gates.timer, &tv);
}

static void
on_looked(const struct incus_reply *r, void *arg)
{
	const char *base;

	(void)arg;
	gates.looking = false;
	if (gates.asked != gates.turn || gates.instance[0] == '\0') {
		look_soon();
		return;
	}
	base = r->status == 200 ? meta_str(meta_obj(r->meta, "config"),
	    "volatile.idmap.base") : NULL;
	if (base != NULL && base[0] != '\0')
		gate_leave(gates.inside);
	else
		look_soon();
}

static void
look(void)
{
	if (gates.instance[0] == '\0' || gates.looking)
		return;
	gates.looking = true;
	gates.asked = gates.turn;
	instance_get(gates.instance, on_looked, NULL);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	look();
}

void
gate_created(const char *instance)
{
	if (strcmp(gates.instance, instance) == 0 &&
	    !STAILQ_EMPTY(&gates.waiting)) {
		evtimer_del(gates.timer);
		look();
	}
}

void
gate_posted(const char *instance)
{
	if (gates.timer == NULL &&
	    (gates.timer = evtimer_new(worker_base(), on_timer, NULL)) == NULL)
		fatal("timer");
	(void)strlcpy(gates.instance, instance, sizeof(gates.instance));
	look_soon();
}

/* ---- in and out ---- */

void
gate_enter(struct gate *g, gate_fn fn, void *arg)
{
	g->fn = fn;
	g->arg = arg;
	if (gates.inside == NULL) {
		go_in(g);
		return;
	}
	STAILQ_INSERT_TAIL(&gates.waiting, g, entry);
	look_soon();
}

void
gate_leave(struct gate *g)
{
	if (!g->inside)
		return;
	g->inside = false;
	gates.inside = NULL;
	gates.instance[0] = '\0';
	if ((g = STAILQ_FIRST(&gates.waiting)) == NULL)
		return;
	STAILQ_REMOVE_HEAD(&gates.waiting, entry);
	go_in(g);
}

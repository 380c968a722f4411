/*
 * Finds where Incus, proxy, the supervisor and gateway differ from the rows.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container, proxy, supervisor, gateway.
 *
 * What somebody is at work on is no difference yet: an agent whose lock is
 * held, a deploy, an archive, what is being torn down, and all that is younger
 * than the question.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "archive.h"
#include "drift.h"
#include "log.h"
#include "saga.h"
#include "state.h"
#include "worker.h"

#define ASK_MS		20000
#define HELD_MAX	16384

static const char *const kinds[] = {
	[DRIFT_INSTANCE] = "instance",
	[DRIFT_ORPHAN] = "orphan",
	[DRIFT_COPY] = "copy",
	[DRIFT_POWER] = "power",
	[DRIFT_POLICY] = "policy",
	[DRIFT_KEY] = "key",
	[DRIFT_SOCKET] = "socket",
	[DRIFT_DIRECTORY] = "directory",
	[DRIFT_GATEWAY] = "gateway",
	[DRIFT_GHOST] = "ghost",
	[DRIFT_CHANNEL] = "channel",
};

/* Whose answer is waited for. */
struct asked {
	struct look	*look;
	enum drift_from	 from;
};

const char *
drift_kind_name(enum drift_kind kind)
{
	return kinds[kind];
}

void
drift_free(struct look *l)
{
	struct held	*h;
	struct drift	*d;

	while ((h = TAILQ_FIRST(&l->held)) != NULL) {
		TAILQ_REMOVE(&l->held, h, entry);
		free(h);
	}
	while ((d = TAILQ_FIRST(&l->drifts)) != NULL) {
		TAILQ_REMOVE(&l->drifts, d, entry);
		free(d);
	}
	if (l->late != NULL)
		event_free(l->late);
	free(l);
}

/* ---- compare ---- */

static struct drift *
add(struct look *l, enum drift_kind kind, const char *id, const char *name,
    const char *should, const char *is, const char *repair)
{
	struct drift	*d;

	if ((d = calloc(1, sizeof(*d))) == NULL)
		fatal("drift");
	d->look = l;
	d->kind = kind;
	(void)strlcpy(d->id, id, sizeof(d->id));
	(void)strlcpy(d->name, name, sizeof(d->name));
	(void)strlcpy(d->should, should, sizeof(d->should));
	(void)strlcpy(d->is, is, sizeof(d->is));
	d->repair = repair;
	TAILQ_INSERT_TAIL(&l->drifts, d, entry);
	return d;
}

static bool
under_way(const char *id)
{
	return teardown_runs(id) || saga_runs(id) != NULL;
}

static const struct held *
find(const struct look *l, enum drift_from from, const struct agent *a)
{
	const struct held	*h;

	TAILQ_FOREACH(h, &l->held, entry)
		if (h->from == from && strcmp(h->agent_id, a->id) == 0 &&
		    (from != FROM_INCUS || strcmp(h->name, a->instance) == 0))
			return h;
	return NULL;
}

static void
check_instance(struct look *l, struct agent *a)
{
	const struct held	*h = find(l, FROM_INCUS, a);
	const char		*remedy;
	struct drift		*d;

	if (h == NULL) {
		/* To make a new one is for who says so of this agent. */
		(void)add(l, DRIFT_INSTANCE, a->id, a->slug, "an instance",
		    "none", a->state == AGENT_FAILED ? NULL :
		    "mark as failed");
		return;
	}
	agent_seen(a, h->status);
	if ((remedy = state_remedy(a)) == NULL)
		return;
	d = add(l, DRIFT_POWER, a->id, a->slug, a->asleep ? "asleep" :
	    agent_status(a), h->status, remedy);
	(void)strlcpy(d->instance, a->instance, sizeof(d->instance));
}

static void
check_agent(struct look *l, struct agent *a)
{
	const struct held	*h;

	if (a->job != NULL || a->doing != NULL || under_way(a->id) ||
	    a->state == AGENT_DELETING || a->created_at >= l->asked_at ||
	    a->started_at >= l->asked_at)
		return;
	if (l->answered[FROM_INCUS])
		check_instance(l, a);
	if (l->answered[FROM_PROXY] && find(l, FROM_PROXY, a) == NULL)
		(void)add(l, DRIFT_POLICY, a->id, a->slug, "a policy", "none",
		    "tell proxy");
	h = find(l, FROM_SUPER, a);
	if (l->answered[FROM_SUPER] && a->state == AGENT_RUNNING &&
	    (h == NULL || h->n == 0))
		(void)add(l, DRIFT_SOCKET, a->id, a->slug, "a socket",
		    h == NULL ? "none" : "a directory only", "listen");
	if (l->answered[FROM_GATEWAY] && find(l, FROM_GATEWAY, a) == NULL)
		(void)add(l, DRIFT_GATEWAY, a->id, a->slug, "known", "unknown",
		    "tell gateway");
}

/* Something that is held for an agent, of Incus or of a worker. */
static void
check_held(struct look *l, const struct held *h)
{
	const char	*name = h->name[0] != '\0' ? h->name : h->agent_id;
	struct agent	*a = agent_by_id(h->agent_id);
	struct drift	*d;
	char		 is[64];

	if (a != NULL && h->from == FROM_INCUS && a->job == NULL &&
	    strcmp(h->name, a->instance) != 0)
		(void)add(l, DRIFT_COPY, h->agent_id, name, "absent",
		    h->status, NULL);
	if (a != NULL || pool_knows(h->agent_id) || under_way(h->agent_id))
		return;
	if (h->from == FROM_PROXY) {
		(void)snprintf(is, sizeof(is), "a policy, %u keys", h->n);
		(void)add(l, DRIFT_KEY, h->agent_id, name, "absent", is,
		    "drop");
	} else if (h->from == FROM_GATEWAY) {
		(void)add(l, DRIFT_GHOST, h->agent_id, name, "unknown",
		    "known", "forget");
	} else if (archive_knows(h->agent_id)) {
		return;
	} else if (h->from == FROM_SUPER) {
		(void)add(l, DRIFT_DIRECTORY, h->agent_id, name, "absent",
		    h->n != 0 ? "a socket that listens" : "a directory",
		    "remove");
	} else {
		d = add(l, DRIFT_ORPHAN, h->agent_id, name, "absent",
		    h->status, "destroy");
		(void)strlcpy(d->instance, h->name, sizeof(d->instance));
	}
}

static void
check_channels(struct look *l)
{
	struct db_stmt	*s;

	s = db_query(keeper_db(), "SELECT c.id, c.agent_id, c.name FROM "
	    "channel c LEFT JOIN agent a ON a.id = c.agent_id WHERE "
	    "a.id IS NULL LIMIT 1000", "");
	while (s != NULL && db_step(s) == 1)
		if (!archive_knows(db_text(s, 1)) &&
		    !under_way(db_text(s, 1)))
			(void)add(l, DRIFT_CHANNEL, db_text(s, 0),
			    db_text(s, 2), "absent", "a channel", "delete");
	db_end(s);
}

static void
compare(struct look *l)
{
	struct held	*h;
	struct agent	*a;

	/* Cut lists prove nothing that is absent. */
	if (l->nheld >= HELD_MAX)
		memset(l->answered, 0, sizeof(l->answered));
	for (a = agent_first(); a != NULL; a = agent_next(a))
		check_agent(l, a);
	TAILQ_FOREACH(h, &l->held, entry)
		check_held(l, h);
	check_channels(l);
	l->fn(l);
}

/* ---- ask ---- */

static void
add_held(struct look *l, enum drift_from from, const struct msg *m)
{
	const bool	 incus = m->type == MSG_CT_ROW;
	const char	*id = incus ? m->u.ct_row.agent_id : m->u.held.agent_id;
	struct held	*h;

	if (!sys_is_id(id) || l->nheld == HELD_MAX)
		return;
	if ((h = calloc(1, sizeof(*h))) == NULL)
		fatal("drift");
	h->from = from;
	(void)strlcpy(h->agent_id, id, sizeof(h->agent_id));
	if (incus) {
		(void)strlcpy(h->name, m->u.ct_row.instance, sizeof(h->name));
		(void)strlcpy(h->status, m->u.ct_row.status,
		    sizeof(h->status));
	} else {
		(void)strlcpy(h->name, m->u.held.slug, sizeof(h->name));
		h->n = m->u.held.n;
	}
	TAILQ_INSERT_TAIL(&l->held, h, entry);
	l->nheld++;
}

static void
on_held(struct msg *m, void *arg)
{
	struct asked	*q = arg;
	struct look	*l = q->look;

	if (m != NULL && (m->type == MSG_CT_ROW || m->type == MSG_HELD)) {
		add_held(l, q->from, m);
		if (m->more)
			return;
	}
	l->answered[q->from] = m != NULL &&
	    ((m->type == MSG_CT_DONE && m->u.ct_done.status < 300) ||
	    (m->type == MSG_DONE && m->u.done.status < 300));
	free(q);
	if (--l->pending == 0)
		compare(l);
}

static void
ask(struct look *l, enum drift_from from, struct peer *p, uint32_t type)
{
	struct m_none	 none;
	struct asked	*q;

	if ((q = calloc(1, sizeof(*q))) == NULL)
		fatal("drift");
	q->look = l;
	q->from = from;
	if (peer_request(p, type, &none, ASK_MS, on_held, q) == 0)
		free(q);
	else
		l->pending++;
}

void
drift_look(struct look *l)
{
	TAILQ_INIT(&l->held);
	TAILQ_INIT(&l->drifts);
	l->asked_at = sys_time();
	ask(l, FROM_INCUS, worker_peer(PROC_CONTAINER), MSG_CT_LIST);
	ask(l, FROM_PROXY, worker_peer(PROC_PROXY), MSG_HELD_LIST);
	ask(l, FROM_SUPER, worker_super(), MSG_HELD_LIST);
	ask(l, FROM_GATEWAY, worker_peer(PROC_GATEWAY), MSG_HELD_LIST);
	if (l->pending == 0)
		compare(l);
}

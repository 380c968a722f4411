/*
 * Mends differences that drift.c has found.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container, proxy, supervisor, gateway.
 *
 * An instance is destroyed only if no agent, archived agent or warm instance
 * has its id at that moment; container looks at its tags once more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "drift.h"
#include "log.h"
#include "state.h"
#include "tell.h"
#include "worker.h"

#define ASK_MS		20000
#define ACTION_MS	180000
#define STOP_S		10

static void
over(struct drift *d, const char *error)
{
	struct look	*l = d->look;

	(void)strlcpy(d->error, error, sizeof(d->error));
	d->done = true;
	log_info("drift: %s %s: %s%s%s", drift_kind_name(d->kind), d->name,
	    d->repair, error[0] != '\0' ? ": " : "", error);
	if (--l->pending == 0)
		l->fn(l);
}

static void
on_done(struct msg *m, void *arg)
{
	const char	*error;

	over(arg, answer_status(m, "no answer", &error) < 300 ? "" : error);
}

static void
on_power(struct msg *m, void *arg)
{
	struct drift	*d = arg;
	struct agent	*a = agent_by_id(d->id);

	if (a != NULL && m != NULL && m->type == MSG_CT_DONE &&
	    m->u.ct_done.status < 300 && answer_uids(a,
	    m->u.ct_done.uid_base, m->u.ct_done.uid_count))
		keeper_tell_gateway(a);
	/* What it is now the next list says. */
	reconcile_soon(0);
	on_done(m, arg);
}

static uint64_t
power(struct drift *d)
{
	struct m_ct_action	 m;

	m.agent_id = d->id;
	m.instance = d->instance;
	m.verb = d->repair;
	m.timeout = STOP_S;
	return peer_request(worker_peer(PROC_CONTAINER), MSG_CT_ACTION, &m,
	    ACTION_MS, on_power, d);
}

static void
on_destroyed(void *arg)
{
	over(arg, "");
}

static void
remove_channel(struct drift *d)
{
	bool	 good = db_begin(keeper_db()) == 0;

	if (good) {
		chat_channel_delete(d->id);
		good = db_commit(keeper_db()) == 0;
	}
	over(d, good ? "" : "the state database cannot be written");
}

/* Each ends in one call of over(). */
static void
mend(struct drift *d)
{
	struct m_agent_id	 who = { d->id };
	struct agent		*a = agent_by_id(d->id);
	uint64_t		 id = 0;

	switch (d->kind) {
	case DRIFT_ORPHAN:
		if (a == NULL && !pool_knows(d->id) && !archive_knows(d->id) &&
		    !teardown_runs(d->id))
			teardown_start(d->id, d->instance, true, on_destroyed,
			    d);
		else
			over(d, "somebody is at work on it");
		return;
	case DRIFT_CHANNEL:
		remove_channel(d);
		return;
	case DRIFT_GHOST:
		over(d, peer_send(worker_peer(PROC_GATEWAY), MSG_AGENT_GONE,
		    &who) == 0 ? "" : strerror(errno));
		return;
	case DRIFT_KEY:
		id = peer_request(worker_peer(PROC_PROXY), MSG_AGENT_DROP,
		    &who, ASK_MS, on_done, d);
		break;
	case DRIFT_DIRECTORY:
		id = peer_request(worker_super(), MSG_AGENT_UNLISTEN, &who,
		    ASK_MS, on_done, d);
		break;
	case DRIFT_SOCKET:
		id = peer_request(worker_super(), MSG_AGENT_LISTEN, &who,
		    ASK_MS, on_done, d);
		break;
	case DRIFT_POWER:
		id = power(d);
		break;
	case DRIFT_POLICY:
		id = a != NULL ? tell_policy(a, ASK_MS, on_done, d) : 0;
		break;
	case DRIFT_GATEWAY:
		if (a != NULL)
			keeper_tell_gateway(a);
		over(d, "");
		return;
	case DRIFT_INSTANCE:
		if (a != NULL && a->job == NULL && a->doing == NULL) {
			agent_instance_gone(a);
			over(d, "");
		} else {
			over(d, "somebody is at work on it");
		}
		return;
	case DRIFT_COPY:
		break;
	}
	if (id == 0)
		over(d, "who would have to do it is not there");
}

void
drift_mend(struct look *l)
{
	struct drift	*d;

	/* Held until all have begun: some end at once. */
	l->pending = 1;
	TAILQ_FOREACH(d, &l->drifts, entry) {
		if (!d->wanted)
			continue;
		l->pending++;
		mend(d);
	}
	if (--l->pending == 0)
		l->fn(l);
}

/*
 * A new instance for an agent whose own is gone.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container, proxy, supervisor, gateway.
 *
 * Name, id, chat, policy and limits are keeper's and stay; what was in the
 * instance (the agent's home, its snapshots) is lost already, and nobody is
 * told otherwise.  While there is an instance nothing is done.
 */
#include <string.h>

#include "job.h"
#include "log.h"
#include "saga.h"
#include "state.h"
#include "worker.h"

#define LOST		"its home and its snapshots are lost"

/* ---- is it really gone? ---- */

static void
on_probed(struct saga *s, uint32_t status, const char *error)
{
	if (status == 404)
		saga_ok(s);
	else if (status < 300)
		saga_fail(s, 409, "its instance is there: start it");
	else
		saga_fail(s, status == 409 ? 409 : 503, "%s", error);
}

static void
run_probe(struct saga *s)
{
	struct m_ct_ref	 m = { s->agent_id, s->agent->instance };

	saga_ask(s, PROC_CONTAINER, MSG_CT_PROBE, &m, on_probed);
}

/* ---- the row ---- */

static void
run_row(struct saga *s)
{
	struct agent	*a = s->agent;
	struct agent	 old = *a;

	a->state = AGENT_DEPLOYING;
	a->asleep = false;
	a->paused_by[0] = a->reason[0] = '\0';
	a->uid_base = a->uid_count = 0;
	memset(&a->dsk, 0, sizeof(a->dsk));
	if (db_begin(keeper_db()) == 0) {
		(void)agent_save(a);
		(void)db_exec(keeper_db(), "DELETE FROM disk WHERE "
		    "agent_id = ?1", "s", a->id);
		saga_pass(s);
	}
	if (!db_in_tx(keeper_db()) || db_commit(keeper_db()) == -1) {
		*a = old;
		saga_fail(s, 507, "the state database cannot be written");
		return;
	}
	keeper_tell_gateway(a);
	saga_ok(s);
}

/* ---- the instance ---- */

static void
on_created(struct saga *s, uint32_t status, const char *error)
{
	struct agent	*a = s->agent;

	if (status >= 300) {
		saga_fail(s, status, "%s%s%s", error, status == 404 ? " " :
		    "", status == 404 ? a->framework : "");
		return;
	}
	/* After a crash it goes on behind this step: the row must have them. */
	a->uid_base = s->uid_base;
	a->uid_count = s->uid_count;
	if (agent_save(a) == -1) {
		saga_fail(s, 507, "the state database cannot be written");
		return;
	}
	agent_seen(a, "Running");
	keeper_tell_gateway(a);
	saga_ok(s);
}

/* Always as if asked again: what an earlier try has made is taken. */
static void
run_instance(struct saga *s)
{
	struct m_ct_create	 m;
	char			 dir[JOB_DIR];

	job_fill_create(&m, s->agent, NULL, s->id, true, dir);
	saga_ask(s, PROC_CONTAINER, MSG_CT_CREATE, &m, on_created);
}

static void
on_destroyed(struct saga *s, uint32_t status, const char *error)
{
	if (status >= 300 && status != 404 && status != 409) {
		saga_fail(s, status, "%s", error);
		return;
	}
	agent_seen(s->agent, "");
	saga_ok(s);
}

static void
undo_instance(struct saga *s)
{
	bridge_close(s->agent);
	saga_act(s, s->agent->instance, "destroy", 0, on_destroyed);
}

static void
run_running(struct saga *s)
{
	struct agent	*a = s->agent;

	a->state = AGENT_RUNNING;
	a->started_at = sys_time();
	if (db_begin(keeper_db()) == 0) {
		(void)agent_save(a);
		tracebox_lifecycle(a->id, "rebuilt", LOST, "");
		saga_pass(s);
	}
	if (!db_in_tx(keeper_db()) || db_commit(keeper_db()) == -1) {
		a->state = AGENT_DEPLOYING;
		saga_fail(s, 507, "the state database cannot be written");
		return;
	}
	keeper_tell_gateway(a);
	bridge_deliver(a);
	saga_ok(s);
}

/* ---- the end ---- */

static void
done(struct saga *s)
{
	struct jbuf	 jb;

	jbuf_init(&jb, 4096);
	jb_obj(&jb);
	jb_kstr(&jb, "status", "rebuilt");
	jb_kstr(&jb, "name", s->arg[0]);
	jb_kstr(&jb, "id", s->agent_id);
	jb_kstr(&jb, "note", LOST);
	jb_end(&jb);
	reply_doc(s->client, 200, &jb);
}

/* One whose instance was there all the time is as it was. */
static void
undone(struct saga *s)
{
	struct agent	*a = s->agent;

	if (a->state != AGENT_DEPLOYING)
		return;
	a->state = AGENT_FAILED;
	(void)strlcpy(a->reason, s->error, sizeof(a->reason));
	if (agent_save(a) == -1)
		log_warnx("agent %s: its row does not say that it has failed",
		    a->slug);
	tracebox_lifecycle(a->id, "rebuild_failed", "", s->error);
	keeper_tell_gateway(a);
}

static const struct saga_step steps[] = {
	{ "probe", run_probe, NULL },
	{ "row", run_row, NULL },
	/* Most of what it needs around it is there. */
	{ "policy", saga_live_policy, NULL },
	{ "socket", saga_live_listen, NULL },
	{ "instance", run_instance, undo_instance },
	{ "rights", saga_live_rights, NULL },
	{ "link", saga_live_link, NULL },
	{ "running", run_running, NULL },
};

const struct saga_kind saga_rebuild = {
	.name = "rebuild",
	.steps = steps,
	.n = sizeof(steps) / sizeof(steps[0]),
	.final = sizeof(steps) / sizeof(steps[0]),
	.goes_on = true,
	.live = true,
	.done = done,
	.undone = undone,
};

int
h_agent_rebuild(struct peer *p, struct msg *m)
{
	const struct m_agent_ref	*in = &m->u.agent_ref;
	struct client			 c = client_of(m);
	struct agent			*a;
	struct pass			 who;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	if (a->state == AGENT_DELETING)
		reply_error(c, 409, "agent %s is being deleted", a->slug);
	else if (framework_get(a->framework) == NULL)
		reply_error(c, 409, "agent %s: the framework %s is not in the "
		    "catalog any more", a->slug, a->framework);
	else if (tracebox_room(c) && agent_lock(a, saga_rebuild.name, c))
		saga_begin(saga_new(&saga_rebuild, a->id, a, a->slug, c),
		    &who, "AGENT_REBUILD");
	return 0;
}

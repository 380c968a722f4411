/*
 * Out of the archive: an agent that answers again, or nothing of it at all.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container, proxy, supervisor, gateway.
 *
 * A restored agent has the rights that it had, less what is not there any
 * more: a model that no provider serves is dropped.  Its key is a new one,
 * which its link gets by saying hello.  It runs, is stopped or is paused as
 * it was, unless the client says otherwise.
 */
#include <stdio.h>
#include <string.h>

#include "archive.h"
#include "limits.h"
#include "log.h"
#include "saga.h"
#include "state.h"
#include "worker.h"


/* arg[0] is the slug in the archive */
#define STAMP(s)	((s)->arg[1])
#define MODEL(s)	((s)->arg[2])	/* of those that are left */
#define FALLBACKS(s)	((s)->arg[3])

static void
snapshot_name(const struct saga *s, char out[SNAP_MAX + 1])
{
	(void)snprintf(out, SNAP_MAX + 1, SNAP_ARCHIVE "%.*s", STAMP_LEN,
	    STAMP(s));
}

/* What the archive says, from before the row moves. */
static bool
get(struct saga *s, struct archived *r)
{
	if (archive_get(s->agent_id, r) == 0)
		return true;
	saga_fail(s, 404, "it is not in the archive");
	return false;
}

/* For undos: what the instance needs is in both rows. */
static void
instance_of(const struct saga *s, char out[INSTANCE_MAX + 1])
{
	struct archived	 r;

	out[0] = '\0';
	if (s->agent != NULL) {
		(void)strlcpy(out, s->agent->instance, INSTANCE_MAX + 1);
	} else if (archive_get(s->agent_id, &r) == 0) {
		(void)strlcpy(out, r.agent->instance, INSTANCE_MAX + 1);
		archived_free(&r);
	}
}

/* ---- is the instance there? ---- */

static void
on_probed(struct saga *s, uint32_t status, const char *error)
{
	if (status < 300)
		saga_ok(s);
	else if (status == 404)
		saga_fail(s, 409, "its instance is not there any more: "
		    "nothing is left to restore");
	else
		saga_fail(s, status == 409 ? 409 : 503, "%s", error);
}

static void
run_probe(struct saga *s)
{
	char		 instance[INSTANCE_MAX + 1];
	struct m_ct_ref	 m = { s->agent_id, instance };

	instance_of(s, instance);
	saga_ask(s, PROC_CONTAINER, MSG_CT_PROBE, &m, on_probed);
}

/* ---- files ---- */

static void
run_rewind(struct saga *s)
{
	struct archived	 r;
	struct m_ct_snap m;

	if (!get(s, &r))
		return;
	m = (struct m_ct_snap){ s->agent_id, r.agent->instance, "restore",
	    r.snapshot };
	saga_ask(s, PROC_CONTAINER, MSG_CT_SNAP, &m, NULL);
	archived_free(&r);
}

/* ---- the row ---- */

/* The members of its channel name it. */
static void
channel_back(const struct agent *a, const char *old)
{
	struct db	*db = keeper_db();

	(void)db_exec(db, "UPDATE channel SET archived_at = '', "
	    "archived_slug = '' WHERE agent_id = ?1", "s", a->id);
	(void)db_exec(db, "UPDATE OR IGNORE channel_member SET member = ?3 "
	    "WHERE channel_id = ?1 AND member = ?2", "sss", a->channel_id,
	    old, a->slug);
}

/*
 * The archive's row stays until the agent is what it shall be: what was
 * dropped on the way, and all else, is as it was if there is no end to it.
 */
static void
run_row(struct saga *s)
{
	struct archived	 r;
	struct agent	*a;

	if (!get(s, &r))
		return;
	a = r.agent;
	if (agent_free_slug(s->arg[0], a->slug) != 0) {
		archived_free(&r);
		saga_fail(s, 409, "there are too many agents of that name");
		return;
	}
	(void)strlcpy(a->model, MODEL(s), sizeof(a->model));
	(void)strlcpy(a->fallbacks, FALLBACKS(s), sizeof(a->fallbacks));
	a->state = AGENT_DEPLOYING;
	a->asleep = false;
	limits_clip(a);
	if (db_begin(keeper_db()) == -1) {
		archived_free(&r);
		saga_fail(s, 507, "the state database cannot be written");
		return;
	}
	agent_add(a);
	channel_back(a, s->arg[0]);
	saga_pass(s);
	if (db_commit(keeper_db()) == -1) {
		agent_forget(a);
		saga_fail(s, 507, "the state database cannot be written");
		return;
	}
	s->agent = a;
	a->doing = s->kind->name;
	tracebox_agent(a);
	keeper_tell_gateway(a);
	saga_ok(s);
}

/* Into the archive again, under the name that it had there. */
static void
undo_row(struct saga *s)
{
	struct m_agent_id	 who = { s->agent_id };
	struct agent		*a = s->agent;
	char			 snapshot[SNAP_MAX + 1];

	if (a == NULL) {
		saga_ok(s);
		return;
	}
	snapshot_name(s, snapshot);
	if (db_begin(keeper_db()) == 0) {
		archive_put(a, STAMP(s), snapshot);
		(void)db_exec(keeper_db(), "UPDATE channel SET "
		    "archived_slug = ?2 WHERE agent_id = ?1", "ss", a->id,
		    s->arg[0]);
		(void)db_exec(keeper_db(), "UPDATE OR IGNORE channel_member "
		    "SET member = ?3 WHERE channel_id = ?1 AND member = ?2",
		    "sss", a->channel_id, a->slug, s->arg[0]);
	}
	if (!db_in_tx(keeper_db()) || db_commit(keeper_db()) == -1) {
		saga_fail(s, 507, "the state database cannot be written");
		return;
	}
	(void)peer_send(worker_peer(PROC_GATEWAY), MSG_AGENT_GONE, &who);
	s->agent = NULL;
	agent_forget(a);
	saga_ok(s);
}

/* ---- rights, labels, life ---- */

static void
undo_policy(struct saga *s)
{
	struct m_agent_id	 m = { s->agent_id };

	saga_ask(s, PROC_PROXY, MSG_AGENT_DROP, &m, NULL);
}

static void
undo_tag(struct saga *s)
{
	char		 instance[INSTANCE_MAX + 1];
	struct m_ct_tag	 m = { s->agent_id, instance, s->arg[0], STAMP(s) };

	instance_of(s, instance);
	saga_ask(s, PROC_CONTAINER, MSG_CT_TAG, &m, saga_undone);
}

static void
on_started(struct saga *s, uint32_t status, const char *error)
{
	if (status >= 300) {
		saga_fail(s, status, "%s", error);
		return;
	}
	s->agent->uid_base = s->uid_base;
	s->agent->uid_count = s->uid_count;
	agent_seen(s->agent, "Running");
	keeper_tell_gateway(s->agent);
	saga_ok(s);
}

static void
run_start(struct saga *s)
{
	if (restore_to(s) == AGENT_STOPPED)
		saga_ok(s);
	else
		saga_act(s, s->agent->instance, "start", 0, on_started);
}

static void
undo_start(struct saga *s)
{
	char	 instance[INSTANCE_MAX + 1];

	instance_of(s, instance);
	if (s->agent != NULL)
		bridge_close(s->agent);
	saga_act(s, instance, "stop", 0, saga_undone);
}

static void
run_link(struct saga *s)
{
	if (restore_to(s) == AGENT_STOPPED)
		saga_ok(s);
	else
		saga_live_link(s);
}

static void
on_frozen(struct saga *s, uint32_t status, const char *error)
{
	if (status >= 300) {
		saga_fail(s, status, "%s", error);
		return;
	}
	agent_seen(s->agent, "Frozen");
	saga_ok(s);
}

/* It has run and said hello, so it goes on when it is resumed. */
static void
run_freeze(struct saga *s)
{
	if (restore_to(s) != AGENT_PAUSED) {
		saga_ok(s);
		return;
	}
	bridge_close(s->agent);
	saga_act(s, s->agent->instance, "freeze", 0, on_frozen);
}

static void
run_running(struct saga *s)
{
	struct agent	*a = s->agent;

	restore_settle(s);
	if (db_begin(keeper_db()) == 0) {
		(void)agent_save(a);
		(void)db_exec(keeper_db(), "DELETE FROM archive WHERE "
		    "id = ?1", "s", a->id);
		tracebox_lifecycle(a->id, "restored", a->slug, "");
		saga_pass(s);
	}
	if (!db_in_tx(keeper_db()) || db_commit(keeper_db()) == -1) {
		a->state = AGENT_DEPLOYING;
		saga_fail(s, 507, "the state database cannot be written");
		return;
	}
	keeper_tell_gateway(a);
	if (a->state == AGENT_RUNNING)
		bridge_deliver(a);
	else
		bridge_close(a);
	saga_ok(s);
}

/* ---- what the archive held is not needed any more ---- */

static void
on_tidy(struct saga *s, uint32_t status, const char *error)
{
	if (status >= 300)
		log_warnx("agent %s: its archive's snapshot stays: %s",
		    s->agent->slug, error);
	if (archfile_remove(s->arg[0], STAMP(s)) == -1)
		log_warn("agent %s: its archive's files stay",
		    s->agent->slug);
	saga_ok(s);
}

static void
run_tidy(struct saga *s)
{
	char		 snapshot[SNAP_MAX + 1];
	struct m_ct_snap m = { s->agent_id, "", "delete", snapshot };

	snapshot_name(s, snapshot);
	/* Somebody was quick and deleted it: the instance has gone too. */
	if (s->agent == NULL) {
		saga_ok(s);
		return;
	}
	m.instance = s->agent->instance;
	saga_ask(s, PROC_CONTAINER, MSG_CT_SNAP, &m, on_tidy);
}

static void
done(struct saga *s)
{
	struct jbuf	 jb;

	if (s->agent == NULL)
		return;
	jbuf_init(&jb, 16384);
	jb_obj(&jb);
	jb_kstr(&jb, "status", "restored");
	jb_kstr(&jb, "id", s->agent_id);
	jb_kstr(&jb, "name", s->agent->slug);
	jb_kstr(&jb, "display_name", s->agent->display_name);
	jb_kstr(&jb, "model", MODEL(s)[0] != '\0' ? MODEL(s) : NULL);
	jb_kbool(&jb, "container_renamed", false);
	jb_kstr(&jb, "state", agent_status(s->agent));
	/* One that is stopped gets it at its start. */
	jb_kbool(&jb, "new_llm_key", s->agent->state != AGENT_STOPPED);
	jb_end(&jb);
	reply_doc(s->client, 200, &jb);
}

static const struct saga_step steps[] = {
	{ "probe", run_probe, NULL },
	{ "models", restore_models, NULL },
	{ "socket", saga_live_listen, saga_live_unlisten },
	{ "rewind", run_rewind, NULL },
	{ "row", run_row, undo_row },
	{ "policy", saga_live_policy, undo_policy },
	{ "tag", saga_live_tag, undo_tag },
	{ "rights", saga_live_rights, NULL },
	{ "start", run_start, undo_start },
	{ "link", run_link, NULL },
	{ "freeze", run_freeze, NULL },
	{ "running", run_running, NULL },
	{ "tidy", run_tidy, NULL },
};
#define N_STEPS	(sizeof(steps) / sizeof(steps[0]))

const struct saga_kind saga_restore = {
	.name = "restore",
	.steps = steps,
	.n = N_STEPS,
	.final = N_STEPS - 1,
	.done = done,
};

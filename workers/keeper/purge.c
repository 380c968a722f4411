/*
 * The end of an archived agent: instance, snapshots, export, chat, row.  What
 * stays is its trace and the audit log.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container, proxy, supervisor.
 *
 * Only an instance that carries the archived agent's id is touched: one that
 * has its name, or a live agent with its old slug, is another's.
 */
#include <errno.h>
#include <string.h>

#include "archive.h"
#include "job.h"
#include "log.h"
#include "saga.h"

#define STAMP(s)	((s)->arg[1])
#define INSTANCE(s)	((s)->arg[2])

static void
on_gone(void *arg)
{
	saga_ok(arg);
}

/* Tries until it has succeeded: see teardown.c. */
static void
run_instance(struct saga *s)
{
	teardown_start(s->agent_id, INSTANCE(s), true, on_gone, s);
}

static void
run_files(struct saga *s)
{
	if (archfile_remove(s->arg[0], STAMP(s)) == -1)
		saga_fail(s, 500, "its export: %s", strerror(errno));
	else
		saga_ok(s);
}

static void
run_rows(struct saga *s)
{
	if (db_begin(keeper_db()) == 0) {
		(void)db_exec(keeper_db(), "DELETE FROM channel WHERE "
		    "agent_id = ?1", "s", s->agent_id);
		(void)db_exec(keeper_db(), "DELETE FROM archive WHERE "
		    "id = ?1", "s", s->agent_id);
		tracebox_lifecycle(s->agent_id, "purged", "", "");
		saga_pass(s);
	}
	if (!db_in_tx(keeper_db()) || db_commit(keeper_db()) == -1)
		saga_fail(s, 507, "the state database cannot be written");
	else
		saga_ok(s);
}

static void
done(struct saga *s)
{
	struct jbuf	 jb;

	jbuf_init(&jb, 1024);
	jb_obj(&jb);
	jb_kstr(&jb, "status", "purged");
	jb_kstr(&jb, "id", s->agent_id);
	jb_kstr(&jb, "name", s->arg[0]);
	jb_end(&jb);
	reply_doc(s->client, 200, &jb);
}

static const struct saga_step steps[] = {
	{ "instance", run_instance, NULL },
	{ "files", run_files, NULL },
	{ "rows", run_rows, NULL },
};

const struct saga_kind saga_purge = {
	.name = "purge",
	.steps = steps,
	.n = sizeof(steps) / sizeof(steps[0]),
	.final = 0,
	.goes_on = true,
	.done = done,
};

/* ---- the request, also for a restore ---- */

static void
begin(struct client c, const struct pass *who, const struct archived *r,
    bool purge, const char *state)
{
	struct saga	*s;

	s = saga_new(purge ? &saga_purge : &saga_restore, r->agent->id, NULL,
	    r->agent->slug, c);
	(void)strlcpy(s->owner, r->agent->owner, sizeof(s->owner));
	(void)strlcpy(STAMP(s), r->stamp, sizeof(STAMP(s)));
	if (purge)
		(void)strlcpy(INSTANCE(s), r->agent->instance,
		    sizeof(INSTANCE(s)));
	else
		restore_aim(s, r->agent, state);
	saga_begin(s, who, purge ? "ARCHIVE_PURGE" : "ARCHIVE_RESTORE");
}

int
h_archive_action(struct peer *p, struct msg *m)
{
	const struct m_archive_action	*in = &m->u.archive_action;
	struct client			 c = client_of(m);
	bool				 purge;
	const char			*busy;
	struct archived			 r;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	purge = strcmp(in->action, "purge") == 0;
	if (!purge && strcmp(in->action, "restore") != 0) {
		reply_error(c, 400, "there is no action %s", in->action);
		return 0;
	}
	if (!purge && !restore_state_ok(in->state)) {
		reply_error(c, 422, "state: must be running, stopped or "
		    "paused");
		return 0;
	}
	if (archive_get(in->id, &r) == -1) {
		reply_error(c, 404, "there is no archived agent %s", in->id);
		return 0;
	}
	if (!agent_may(&who, r.agent))
		reply_error(c, 404, "there is no archived agent %s", in->id);
	else if ((busy = saga_runs(in->id)) != NULL)
		reply_error(c, 409, "agent %s: a %s is under way",
		    r.agent->slug, busy);
	else if (agent_by_id(in->id) != NULL)
		reply_error(c, 409, "agent %s is live: it is not touched",
		    r.agent->slug);
	else if (!purge && r.snapshot[0] == '\0')
		reply_error(c, 409, "agent %s has no snapshot: when it was "
		    "archived its instance was gone already", r.agent->slug);
	else if (purge ? tracebox_room(c) :
	    deploy_room(c, r.agent->display_name))
		begin(c, &who, &r, purge, in->state);
	archived_free(&r);
	return 0;
}

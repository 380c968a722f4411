/*
 * Into the archive: prepare, stop, snapshot, labels, export, key, socket, and at last
 * the row.  Until that last step all of it can be undone.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container, proxy, supervisor, gateway.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "archive.h"
#include "log.h"
#include "saga.h"
#include "tell.h"
#include "worker.h"

/* arg[0] is the slug */
#define STAMP(s)	((s)->arg[1])
#define SNAPSHOT(s)	((s)->arg[2])	/* "": there is no instance */
#define RESULT(s)	((s)->arg[3])	/* "archived", "deleted"; first: */
#define NOT_ASKED	"force"		/* ...it is not asked to finish */

/* ---- the rows ---- */

bool
archive_knows(const char *id)
{
	int64_t	 one;

	return db_get_int(keeper_db(), &one, "SELECT 1 FROM archive WHERE "
	    "id = ?1", "s", id) != 0;
}

void
archive_stamp(char out[STAMP_LEN + 1])
{
	time_t		 now = (time_t)sys_time();
	struct tm	 tm;

	if (gmtime_r(&now, &tm) == NULL ||
	    strftime(out, STAMP_LEN + 1, "%Y%m%dT%H%M%S", &tm) != STAMP_LEN)
		fatalx("the clock is wrong");
}

void
archive_put(const struct agent *a, const char *stamp, const char *snapshot)
{
	struct db	*db = keeper_db();

	(void)db_exec(db, "INSERT INTO archive (" AGENT_COLS ", archived_at, "
	    "archived_ts, snapshot) SELECT " AGENT_COLS ", ?2, ?3, ?4 FROM "
	    "agent WHERE id = ?1 ON CONFLICT (id) DO NOTHING", "ssds", a->id,
	    stamp, sys_time(), snapshot);
	(void)db_exec(db, "UPDATE message SET state = 'error', "
	    "error = 'the agent was archived before it had answered' "
	    "WHERE id IN (SELECT message_id FROM outbox WHERE agent_id = ?1)",
	    "s", a->id);
	(void)db_exec(db, "UPDATE channel SET archived_at = ?2, "
	    "archived_slug = ?3 WHERE agent_id = ?1", "sss", a->id, stamp,
	    a->slug);
	(void)db_exec(db, "DELETE FROM agent WHERE id = ?1", "s", a->id);
}

/* ---- is there an instance? ---- */

static void
on_probed(struct saga *s, uint32_t status, const char *error)
{
	if (status == 404)
		SNAPSHOT(s)[0] = '\0';
	else if (status >= 300) {
		/* Not known: nothing is done that could be wrong. */
		saga_fail(s, status == 409 ? 409 : 503, "%s", error);
		return;
	}
	saga_ok(s);
}

static void
run_probe(struct saga *s)
{
	struct m_ct_ref	 m = { s->agent_id, s->agent->instance };

	saga_ask(s, PROC_CONTAINER, MSG_CT_PROBE, &m, on_probed);
}

/* ---- prepare and stop ---- */

/* Its open turn is finished, as for a stop; nothing new is begun. */
static void
run_prepare(struct saga *s)
{
	if (SNAPSHOT(s)[0] == '\0' || strcmp(RESULT(s), NOT_ASKED) == 0) {
		s->prepared.status = "not asked";
		s->prepared.reason = saga_archive.name;
		saga_ok(s);
	} else {
		saga_live_prepare(s, saga_archive.name, s->seconds);
	}
}

static void
run_stop(struct saga *s)
{
	if (SNAPSHOT(s)[0] == '\0')
		saga_ok(s);
	else
		saga_live_stop(s);
}

/* ---- snapshot and labels ---- */

static void
snapshot(struct saga *s, const char *verb,
    void (*fn)(struct saga *, uint32_t, const char *))
{
	struct m_ct_snap	 m = { s->agent_id, s->agent->instance, verb,
	    SNAPSHOT(s) };

	if (SNAPSHOT(s)[0] == '\0')
		saga_ok(s);
	else
		saga_ask(s, PROC_CONTAINER, MSG_CT_SNAP, &m, fn);
}

static void
run_snapshot(struct saga *s)
{
	snapshot(s, "make", NULL);
}

static void
undo_snapshot(struct saga *s)
{
	snapshot(s, "delete", saga_undone);
}

static void
tag(struct saga *s, const char *stamp,
    void (*fn)(struct saga *, uint32_t, const char *))
{
	struct m_ct_tag	 m = { s->agent_id, s->agent->instance,
	    s->agent->slug, stamp };

	if (SNAPSHOT(s)[0] == '\0')
		saga_ok(s);
	else
		saga_ask(s, PROC_CONTAINER, MSG_CT_TAG, &m, fn);
}

static void
run_tag(struct saga *s)
{
	tag(s, STAMP(s), NULL);
}

static void
undo_tag(struct saga *s)
{
	tag(s, "", saga_undone);
}

/* ---- the key ---- */

static void
run_key(struct saga *s)
{
	struct m_agent_id	 m = { s->agent_id };

	saga_ask(s, PROC_PROXY, MSG_AGENT_DROP, &m, NULL);
}

static void
on_policy(struct msg *m, void *arg)
{
	(void)arg;
	if (m != NULL && m->u.done.status >= 300)
		log_warnx("proxy does not take an agent back: %s",
		    m->u.done.error);
}

/* A proxy that is not there is told when it comes: tell_policies(). */
static void
undo_key(struct saga *s)
{
	(void)tell_policy(s->agent, 20000, on_policy, NULL);
	saga_ok(s);
}

/* ---- the row ---- */

/* Neither an instance nor a word that was said: there is nothing to keep. */
static bool
nothing_to_keep(struct saga *s)
{
	int64_t	 one;

	return SNAPSHOT(s)[0] == '\0' && db_get_int(keeper_db(), &one,
	    "SELECT 1 FROM message WHERE channel_id = ?1 LIMIT 1", "s",
	    s->agent->channel_id) == 0;
}

static void
run_row(struct saga *s)
{
	struct m_agent_id	 who = { s->agent_id };
	struct agent		*a = s->agent;
	char			 channel[ID_LEN + 1];
	bool			 gone;

	gone = nothing_to_keep(s);
	(void)strlcpy(RESULT(s), gone ? "deleted" : "archived",
	    sizeof(RESULT(s)));
	if (db_begin(keeper_db()) == 0) {
		if (gone)
			agent_delete_row(a);
		else
			archive_put(a, STAMP(s), SNAPSHOT(s));
		tracebox_lifecycle(a->id, gone ? "deleted" : "archived",
		    SNAPSHOT(s), "");
		saga_pass(s);
	}
	if (!db_in_tx(keeper_db()) || db_commit(keeper_db()) == -1) {
		saga_fail(s, 507, "the state database cannot be written");
		return;
	}
	(void)strlcpy(channel, a->channel_id, sizeof(channel));
	if (peer_send(worker_peer(PROC_GATEWAY), MSG_AGENT_GONE, &who) == -1 &&
	    errno != ENOTCONN)
		log_warn("agent %s: end to gateway", a->slug);
	s->agent = NULL;
	agent_forget(a);
	if (channel[0] != '\0')
		watch_close(channel);
	saga_ok(s);
}

/* ---- the end ---- */

static void
done(struct saga *s)
{
	char		 path[ARCHIVE_PATH];
	bool		 gone = strcmp(RESULT(s), "deleted") == 0;
	struct jbuf	 jb;

	jbuf_init(&jb, 8192);
	jb_obj(&jb);
	jb_kstr(&jb, "status", gone ? "deleted" : "archived");
	jb_kstr(&jb, "name", s->arg[0]);
	jb_kstr(&jb, "id", s->agent_id);
	if (!gone) {
		archfile_path(path, s->arg[0], STAMP(s), false);
		jb_kstr(&jb, "archived_at", STAMP(s));
		jb_kstr(&jb, "snapshot_name",
		    SNAPSHOT(s)[0] != '\0' ? SNAPSHOT(s) : NULL);
		jb_kstr(&jb, "export_path",
		    SNAPSHOT(s)[0] != '\0' ? path : NULL);
		/* After a crash in the last step nobody is left who asked. */
		if (s->prepared.status != NULL) {
			jb_key(&jb, "prepare_report");
			prepare_json(&jb, s->arg[0], &s->prepared);
		}
	}
	if (SNAPSHOT(s)[0] == '\0')
		jb_kstr(&jb, "note", gone ? "its instance was gone and "
		    "nothing was said: removed; its trace stays" :
		    "its instance was gone: what was said and its trace are "
		    "kept, it cannot be restored");
	jb_end(&jb);
	reply_doc(s->client, 200, &jb);
}

static void
undone(struct saga *s)
{
	tracebox_lifecycle(s->agent_id, "archive_failed", "", s->error);
	if (s->agent != NULL && s->agent->sub != NULL)
		bridge_deliver(s->agent);
}

static const struct saga_step steps[] = {
	{ "probe", run_probe, NULL },
	{ "prepare", run_prepare, saga_live_lift },
	{ "stop", run_stop, saga_live_again },
	{ "snapshot", run_snapshot, undo_snapshot },
	{ "export", archfile_export, archfile_unexport },
	{ "tag", run_tag, undo_tag },
	{ "key", run_key, undo_key },
	{ "socket", saga_live_unlisten, saga_live_listen },
	{ "row", run_row, NULL },
};

const struct saga_kind saga_archive = {
	.name = "archive",
	.steps = steps,
	.n = sizeof(steps) / sizeof(steps[0]),
	.final = sizeof(steps) / sizeof(steps[0]),
	.live = true,
	.done = done,
	.undone = undone,
};

/* ---- the request ---- */

void
archive_begin(struct client c, const struct pass *who, struct agent *a,
    bool force, uint32_t seconds)
{
	char		 stamp[STAMP_LEN + 1];
	struct saga	*s;

	archive_stamp(stamp);
	s = saga_new(&saga_archive, a->id, a, a->slug, c);
	(void)strlcpy(STAMP(s), stamp, sizeof(STAMP(s)));
	(void)snprintf(SNAPSHOT(s), sizeof(SNAPSHOT(s)), SNAP_ARCHIVE "%s",
	    stamp);
	(void)strlcpy(RESULT(s), force ? NOT_ASKED : "", sizeof(RESULT(s)));
	s->seconds = seconds != 0 ? seconds : PREPARE_S;
	saga_patience(s, s->seconds);
	saga_begin(s, who, "AGENT_ARCHIVE");
}

int
h_agent_remove(struct peer *p, struct msg *m)
{
	const struct m_agent_remove	*in = &m->u.agent_remove;
	struct client			 c = client_of(m);
	struct msg			 as = *m;
	struct agent			*a;
	struct pass			 who;

	if (in->purge) {
		as.type = MSG_AGENT_ACTION;
		as.u.agent_action = (struct m_agent_action){
		    .pass = in->pass, .slug = in->slug, .action = "delete" };
		return h_agent_action(p, &as);
	}
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	if (a->job != NULL) {
		audit_add(&who, "AGENT_ACTION", a->slug, 200, "delete");
		job_cancel(a, c);
	} else if (a->state == AGENT_DELETING) {
		reply_error(c, 409, "agent %s is being deleted", a->slug);
	} else if (tracebox_room(c) && agent_lock(a, saga_archive.name, c)) {
		archive_begin(c, &who, a, in->force != 0, in->timeout);
	}
	return 0;
}

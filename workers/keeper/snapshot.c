/*
 * Snapshots of live agents: list, make, delete, go back to one.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container.
 *
 * A snapshot is of the files.  Chat, rights and limits are not in it, so none
 * of them comes back with it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "log.h"
#include "saga.h"
#include "snapshot.h"
#include "worker.h"

#define LIST_MS		60000
#define ACT_MS		900000		/* container has shorter ones itself */

bool
snapshot_name_ok(const char *s)
{
	size_t	 n = strspn(s, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n > 0 && n <= SNAP_MAX && s[n] == '\0' && s[0] != '.' &&
	    s[0] != '_' && s[0] != '-' && strstr(s, "..") == NULL;
}

/* ---- list ---- */

struct listing {
	struct client	 client;
	char		 slug[SLUG_MAX + 1];
};

static void
row_json(struct jbuf *jb, const struct m_ct_snap_row *r)
{
	const char	*kind = "user";

	if (strncmp(r->name, SNAP_AUTO, strlen(SNAP_AUTO)) == 0)
		kind = "schedule";
	else if (strncmp(r->name, "agentd-", 7) == 0)
		kind = "agentd";
	jb_obj(jb);
	jb_kstr(jb, "name", r->name);
	jb_kstr(jb, "kind", kind);
	jb_key(jb, "created_at");
	jb_double(jb, r->created_at);
	jb_key(jb, "size");
	if (r->size != 0)
		jb_uint(jb, r->size);
	else
		jb_null(jb);
	jb_kbool(jb, "stateful", r->stateful != 0);
	jb_end(jb);
}

static void
on_list(struct msg *m, void *arg)
{
	struct listing	*l = arg;
	struct jbuf	 jb;
	const char	*error;
	uint32_t	 status;

	if (m != NULL && m->type == MSG_CT_SNAP_ROW) {
		jbuf_init(&jb, 4096);
		row_json(&jb, &m->u.ct_snap_row);
		(void)reply_row(l->client, "", 0, &jb);
		jbuf_free(&jb);
		return;
	}
	if ((status = answer_status(m, LOST_CONTAINER, &error)) >= 300)
		reply_error(l->client, status == 404 ? 409 : status,
		    "agent %s: %s", l->slug, error);
	else
		(void)reply_end(l->client);
	free(l);
}

int
h_snap_list(struct peer *p, struct msg *m)
{
	const struct m_agent_ref	*in = &m->u.agent_ref;
	struct client			 c = client_of(m);
	struct m_ct_snap		 ask;
	struct listing			*l;
	struct agent			*a;
	struct pass			 who;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		fatal("listing");
	l->client = c;
	(void)strlcpy(l->slug, a->slug, sizeof(l->slug));
	ask = (struct m_ct_snap){ a->id, a->instance, "list", "" };
	if (peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_SNAP, &ask,
	    -1, LIST_MS, on_list, l) == 0)
		on_list(NULL, l);
	return 0;
}

/* ---- make, delete ---- */

struct act {
	struct client	 client;
	char		 agent_id[ID_LEN + 1];
	char		 name[SNAP_MAX + 1];
	bool		 make;
};

static void
act_error(const struct act *t, const struct agent *a, struct msg *m)
{
	const char	*error;
	uint32_t	 status = answer_status(m, LOST_CONTAINER, &error);

	if (status == 208 && t->make)
		reply_error(t->client, 409, "agent %s has a snapshot %s "
		    "already", a->slug, t->name);
	else if (status == 208)
		reply_error(t->client, 404, "agent %s has no snapshot %s",
		    a->slug, t->name);
	else
		reply_error(t->client, status == 404 ? 409 : status,
		    "agent %s: snapshot %s: %s", a->slug, t->name, error);
}

static void
on_acted(struct msg *m, void *arg)
{
	struct act	*t = arg;
	struct agent	*a = agent_by_id(t->agent_id);
	struct jbuf	 jb;

	if (a == NULL) {
		reply_error(t->client, 404, "the agent is gone");
		free(t);
		return;
	}
	agent_unlock(a);
	if (m == NULL || m->u.ct_done.status != 200) {
		act_error(t, a, m);
	} else {
		tracebox_lifecycle(a->id, t->make ? "snapshot_made" :
		    "snapshot_deleted", t->name, "");
		tracebox_kick();
		jbuf_init(&jb, 1024);
		jb_obj(&jb);
		jb_kstr(&jb, "status", t->make ? "created" : "deleted");
		jb_kstr(&jb, "agent", a->slug);
		jb_kstr(&jb, "name", t->name);
		jb_end(&jb);
		reply_doc(t->client, t->make ? 201 : 200, &jb);
	}
	free(t);
}

static void
act(struct client c, const struct pass *who, struct agent *a,
    const char *name, bool make)
{
	struct m_ct_snap	 ask = { a->id, a->instance,
	    make ? "make" : "delete", name };
	struct act		*t;

	if (!agent_lock(a, "snapshot", c))
		return;
	audit_add(who, make ? "SNAPSHOT_MAKE" : "SNAPSHOT_DELETE", a->slug,
	    202, name);
	if ((t = calloc(1, sizeof(*t))) == NULL)
		fatal("snapshot");
	t->client = c;
	t->make = make;
	(void)strlcpy(t->agent_id, a->id, sizeof(t->agent_id));
	(void)strlcpy(t->name, name, sizeof(t->name));
	if (peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_SNAP, &ask,
	    -1, ACT_MS, on_acted, t) == 0)
		on_acted(NULL, t);
}

/* ---- back to one ---- */

/* arg[0] is the slug */
#define NAME(s)		((s)->arg[1])

static void
look_row(struct saga *s, const struct msg *m)
{
	if (m->type == MSG_CT_SNAP_ROW &&
	    strcmp(m->u.ct_snap_row.name, NAME(s)) == 0)
		(void)strlcpy(s->arg[2], "there", sizeof(s->arg[2]));
}

static void
on_looked(struct saga *s, uint32_t status, const char *error)
{
	if (status >= 300)
		saga_fail(s, status == 404 ? 409 : status, "%s", error);
	else if (s->arg[2][0] == '\0')
		saga_fail(s, 404, "there is no snapshot %s", NAME(s));
	else
		saga_ok(s);
}

/* Before it is stopped for nothing. */
static void
run_look(struct saga *s)
{
	struct m_ct_snap	 m = { s->agent_id, s->agent->instance,
	    "list", "" };

	s->arg[2][0] = '\0';
	s->row = look_row;
	saga_ask(s, PROC_CONTAINER, MSG_CT_SNAP, &m, on_looked);
}

static void
run_rewind(struct saga *s)
{
	struct m_ct_snap	 m = { s->agent_id, s->agent->instance,
	    "restore", NAME(s) };

	saga_ask(s, PROC_CONTAINER, MSG_CT_SNAP, &m, NULL);
}

static void
done(struct saga *s)
{
	struct jbuf	 jb;

	tracebox_lifecycle(s->agent_id, "snapshot_restored", NAME(s), "");
	jbuf_init(&jb, 1024);
	jb_obj(&jb);
	jb_kstr(&jb, "status", "restored");
	jb_kstr(&jb, "agent", s->arg[0]);
	jb_kstr(&jb, "name", NAME(s));
	jb_end(&jb);
	reply_doc(s->client, 200, &jb);
}

static const struct saga_step steps[] = {
	{ "look", run_look, NULL },
	{ "stop", saga_live_stop, saga_live_again },
	/* If container ended in the middle of it, rights of then are there. */
	{ "rewind", run_rewind, saga_live_rights },
	{ "tag", saga_live_tag, NULL },
	{ "rights", saga_live_rights, NULL },
	{ "again", saga_live_again, NULL },
};

const struct saga_kind saga_rewind = {
	.name = "snapshot restore",
	.steps = steps,
	.n = sizeof(steps) / sizeof(steps[0]),
	.final = sizeof(steps) / sizeof(steps[0]),
	.goes_on = true,
	.live = true,
	.done = done,
};

static void
rewind_begin(struct client c, const struct pass *who, struct agent *a,
    const char *name)
{
	struct saga	*s;

	if (!agent_lock(a, saga_rewind.name, c))
		return;
	s = saga_new(&saga_rewind, a->id, a, a->slug, c);
	(void)strlcpy(NAME(s), name, sizeof(NAME(s)));
	saga_begin(s, who, "SNAPSHOT_RESTORE");
}

/* ---- the request ---- */

/* Prefixes of ours: what agentd made it may also delete. */
static bool
is_ours(const char *name)
{
	return strncmp(name, "agentd-", 7) == 0 ||
	    strncmp(name, SNAP_AUTO, strlen(SNAP_AUTO)) == 0;
}

static bool
may_act(struct client c, const struct agent *a, const char *name, bool make)
{
	if (!snapshot_name_ok(name))
		reply_error(c, 422, "name: 1 to %d of A-Z a-z 0-9 . _ -, the "
		    "first a letter or a digit", SNAP_MAX);
	else if (make && is_ours(name))
		reply_error(c, 422, "name: agentd- and auto- begin the names "
		    "of agentd's own snapshots");
	else if (a->state == AGENT_DELETING)
		reply_error(c, 409, "agent %s is being deleted", a->slug);
	else
		return true;
	return false;
}

int
h_snap_action(struct peer *p, struct msg *m)
{
	const struct m_snap	*in = &m->u.snap;
	struct client		 c = client_of(m);
	bool			 make = strcmp(in->action, "make") == 0;
	char			 stamp[STAMP_LEN + 1], name[80];
	struct agent		*a;
	struct pass		 who;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	(void)strlcpy(name, in->name, sizeof(name));
	if (make && name[0] == '\0') {
		archive_stamp(stamp);
		(void)snprintf(name, sizeof(name), "snap-%s", stamp);
	}
	if (!may_act(c, a, name, make))
		return 0;
	if (make || strcmp(in->action, "delete") == 0)
		act(c, &who, a, name, make);
	else if (strcmp(in->action, "restore") == 0)
		rewind_begin(c, &who, a, name);
	else
		reply_error(c, 400, "there is no action %s", in->action);
	return 0;
}

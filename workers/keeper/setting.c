/*
 * Changes of a live agent: name, model, fallbacks, emoji, color.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, proxy, gateway, trace, container.
 *
 * All that is given changes together or nothing does.  proxy, which may
 * refuse, is asked before the row is written.  The row is the truth: whatever
 * is cut in between, proxy is told the row again by whoever comes up, so what
 * was asked and not written is taken back.
 */
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "setting.h"
#include "tell.h"
#include "text.h"
#include "worker.h"

#define ASK_MS		10000
#define LABEL_MS	60000

struct change {
	struct agent	*agent;
	struct agent	*next;		/* values only: it is in no tree */
	struct client	 client;
	struct pass	 who;
};

static bool
renamed(const struct change *c)
{
	return strcmp(c->agent->slug, c->next->slug) != 0;
}

static void
change_free(struct change *c)
{
	agent_unlock(c->agent);
	free(c->next);
	free(c);
}

/* ---- what it tells ---- */

static void
lines_json(struct jbuf *jb, const char *key, const char *lines)
{
	size_t	 len;

	jb_key(jb, key);
	jb_arr(jb);
	for (; *lines != '\0'; lines += len + (lines[len] == '\n')) {
		len = strcspn(lines, "\n");
		jb_strn(jb, lines, len);
	}
	jb_end(jb);
}

void
setting_fallbacks_json(struct jbuf *jb, const struct agent *a)
{
	lines_json(jb, "fallback_models", a->fallbacks);
}

static void
answer(const struct change *c)
{
	const struct agent	*a = c->agent;
	struct jbuf		 jb;

	jbuf_init(&jb, 65536);
	jb_obj(&jb);
	jb_kstr(&jb, "status", "updated");
	jb_kstr(&jb, "name", a->slug);
	jb_kstr(&jb, "display_name", a->display_name);
	jb_kstr(&jb, "model", a->model[0] != '\0' ? a->model : NULL);
	setting_fallbacks_json(&jb, a);
	jb_kstr(&jb, "emoji", a->emoji[0] != '\0' ? a->emoji : NULL);
	jb_kstr(&jb, "color", a->color);
	/* It needs no restart. */
	jb_kbool(&jb, "resumed", false);
	jb_end(&jb);
	reply_doc(c->client, 200, &jb);
}

/* One record: each thing that changed, as it was and as it is. */
static void
trace_change(const struct agent *a, const struct agent *n)
{
	const struct {
		const char	*key, *old, *new;
	} all[] = {
		{ "name", a->slug, n->slug },
		{ "display_name", a->display_name, n->display_name },
		{ "model", a->model, n->model },
		{ "fallback_models", a->fallbacks, n->fallbacks },
		{ "emoji", a->emoji, n->emoji },
		{ "color", a->color, n->color },
	};
	struct jbuf	 jb;
	size_t		 i;

	jbuf_init(&jb, 65536);
	jb_obj(&jb);
	jb_kstr(&jb, "event", "changed");
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(all[i].old, all[i].new) == 0)
			continue;
		jb_key(&jb, all[i].key);
		jb_obj(&jb);
		jb_kstr(&jb, "from", all[i].old);
		jb_kstr(&jb, "to", all[i].new);
		jb_end(&jb);
	}
	jb_end(&jb);
	tracebox_add(a->id, "lifecycle", "", "", "", &jb);
}

static void
on_label(struct msg *m, void *arg)
{
	(void)arg;
	/* It is for the eye only, and drift of it shows in doctor. */
	if (m != NULL && m->type == MSG_CT_DONE && m->u.ct_done.status >= 300)
		log_warnx("label of an instance: %s", m->u.ct_done.error);
}

static void
tell_label(const struct agent *a)
{
	struct m_ct_tag	 m = { a->id, a->instance, a->slug, "" };

	if (peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_TAG, &m,
	    -1, LABEL_MS, on_label, NULL) == 0)
		log_warnx("agent %s: its instance keeps the old label",
		    a->slug);
}

/* ---- the write ---- */

static void
take(struct agent *a, const struct agent *n)
{
	(void)strlcpy(a->display_name, n->display_name,
	    sizeof(a->display_name));
	(void)strlcpy(a->model, n->model, sizeof(a->model));
	(void)strlcpy(a->fallbacks, n->fallbacks, sizeof(a->fallbacks));
	(void)strlcpy(a->emoji, n->emoji, sizeof(a->emoji));
	(void)strlcpy(a->color, n->color, sizeof(a->color));
	agent_rename(a, n->slug);
}

/* The slug stands in other tables as well: chat and deploys go on. */
static void
rename_rows(const struct agent *a, const struct agent *n)
{
	struct db	*db = keeper_db();

	(void)db_exec(db, "UPDATE channel SET name = ?2 WHERE id = ?1", "ss",
	    a->channel_id, n->display_name);
	if (strcmp(a->slug, n->slug) == 0)
		return;
	(void)db_exec(db, "UPDATE channel_member SET member = ?3 WHERE "
	    "member = ?2 AND channel_id IN (SELECT id FROM channel WHERE "
	    "agent_id = ?1)", "sss", a->id, a->slug, n->slug);
	(void)db_exec(db, "UPDATE message SET author_id = ?3 WHERE "
	    "author_type = 'agent' AND author_id = ?2 AND channel_id IN "
	    "(SELECT id FROM channel WHERE agent_id = ?1)", "sss", a->id,
	    a->slug, n->slug);
	(void)db_exec(db, "UPDATE job SET slug = ?2, display_name = ?3 "
	    "WHERE agent_id = ?1", "sss", a->id, n->slug, n->display_name);
}

static int
write_change(struct change *c)
{
	struct agent	*a = c->agent, *old;

	if ((old = malloc(sizeof(*old))) == NULL)
		fatal("change");
	*old = *a;
	if (db_begin(keeper_db()) == 0) {
		trace_change(a, c->next);
		rename_rows(a, c->next);
		audit_add(&c->who, "AGENT_SET", a->slug, 200, c->next->slug);
		take(a, c->next);
		(void)agent_save(a);
		if (db_commit(keeper_db()) == 0) {
			free(old);
			return 0;
		}
		take(a, old);
	}
	free(old);
	return -1;
}

static void
on_undone(struct msg *m, void *arg)
{
	(void)m;
	(void)arg;
	/* Without an answer proxy is told again when it is back. */
}

/* proxy may have taken what is not written: tell it what is. */
static void
undo(struct change *c)
{
	if (peer_is_up(worker_peer(PROC_PROXY)))
		(void)tell_policy(c->agent, ASK_MS, on_undone, NULL);
}

static void
finish(struct change *c)
{
	bool	 moved = renamed(c);

	/* Somebody may have taken it while proxy was asked. */
	if (moved && agent_by_slug(c->next->slug) != NULL) {
		undo(c);
		reply_error(c->client, 409, "name: an agent %s exists already",
		    c->next->slug);
		change_free(c);
		return;
	}
	if (write_change(c) == -1) {
		undo(c);
		reply_db_error(c->client);
		change_free(c);
		return;
	}
	keeper_tell_gateway(c->agent);
	if (moved) {
		tracebox_agent(c->agent);
		tell_label(c->agent);
	}
	tracebox_kick();
	answer(c);
	change_free(c);
}

static void
on_policy(struct msg *m, void *arg)
{
	struct change	*c = arg;
	uint32_t	 status;

	if (m == NULL || m->type != MSG_DONE || m->u.done.status >= 500) {
		undo(c);
		reply_error(c->client, 503, "agent %s: proxy %s: nothing was "
		    "changed, try again", c->agent->slug, m != NULL &&
		    m->type == MSG_DONE ? m->u.done.error :
		    "did not answer");
		change_free(c);
	} else if ((status = m->u.done.status) >= 300) {
		/* 404 would speak of the agent. */
		reply_error(c->client, status == 404 ? 409 : status, "%s",
		    m->u.done.error);
		change_free(c);
	} else {
		finish(c);
	}
}

/* ---- the request ---- */

/* The new slug, or the refusal. */
static bool
slug_ok(struct client c, const struct agent *a, struct agent *n)
{
	if (agent_slug(n->display_name, n->slug) == -1)
		reply_error(c, 400, "name: needs at least one letter or "
		    "digit of ASCII");
	else if (strcmp(n->slug, a->slug) == 0)
		return true;
	else if (agent_slug_reserved(n->slug))
		reply_error(c, 409, "name: %s is a reserved word", n->slug);
	else if (agent_by_slug(n->slug) != NULL)
		reply_error(c, 409, "name: an agent %s exists already",
		    n->slug);
	else
		return true;
	return false;
}

static bool
values(struct client c, const struct m_agent_set *in, const struct agent *a,
    struct agent *n)
{
	const char	*bad = !text_is_plain(in->name, false) ? "name" :
	    !text_is_plain(in->model, false) ? "model" :
	    !text_is_plain(in->fallbacks, true) ? "fallback_models" :
	    !text_is_plain(in->emoji, false) ? "emoji" : NULL;

	if (bad != NULL) {
		reply_error(c, 422, "%s: " TEXT_NOT_PLAIN, bad);
		return false;
	}
	if (!agent_color_ok(in->color)) {
		reply_error(c, 422, "color: must be like #888888");
		return false;
	}
	if (in->has_model)
		copy_trimmed(n->model, in->model, sizeof(n->model));
	if (in->has_fallbacks)
		(void)strlcpy(n->fallbacks, in->fallbacks,
		    sizeof(n->fallbacks));
	if (in->has_emoji)
		copy_trimmed(n->emoji, in->emoji, sizeof(n->emoji));
	if (in->has_color)
		(void)strlcpy(n->color, in->color[0] != '\0' ? in->color :
		    "#888888", sizeof(n->color));
	if (!in->has_name)
		return true;
	copy_trimmed(n->display_name, in->name, sizeof(n->display_name));
	return slug_ok(c, a, n);
}

static void
begin(struct change *c)
{
	const struct agent	*a = c->agent, *n = c->next;

	if (strcmp(a->model, n->model) == 0 &&
	    strcmp(a->fallbacks, n->fallbacks) == 0 && !renamed(c))
		finish(c);
	else if (tell_policy(n, ASK_MS, on_policy, c) == 0)
		on_policy(NULL, c);
}

int
h_agent_set(struct peer *p, struct msg *m)
{
	const struct m_agent_set	*in = &m->u.agent_set;
	struct client			 c = client_of(m);
	struct change			*ch;
	struct agent			*a;
	struct pass			 who;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	if (a->state == AGENT_DELETING) {
		reply_error(c, 409, "agent %s is being deleted", a->slug);
		return 0;
	}
	if (!agent_lock(a, "change", c))
		return 0;
	if ((ch = calloc(1, sizeof(*ch))) == NULL ||
	    (ch->next = malloc(sizeof(*ch->next))) == NULL)
		fatal("change");
	ch->agent = a;
	*ch->next = *a;
	ch->client = c;
	ch->who = who;
	if (values(c, in, a, ch->next))
		begin(ch);
	else
		change_free(ch);
	return 0;
}

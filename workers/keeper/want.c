/*
 * What should be of an agent, and who wants it paused: memory and row change
 * together.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: nobody.
 */
#include <stdio.h>
#include <string.h>

#include "keeper.h"
#include "want.h"

void
want_trace(const struct agent *a, const char *event, const char *reason)
{
	struct jbuf	 jb;

	jbuf_init(&jb, 4096);
	jb_obj(&jb);
	jb_kstr(&jb, "event", event);
	if (a->state == AGENT_PAUSED)
		jb_kstr(&jb, "by", a->paused_by);
	if (reason[0] != '\0')
		jb_kstr(&jb, "reason", reason);
	jb_end(&jb);
	tracebox_add(a->id, "lifecycle", "", "", a->state == AGENT_FAILED ?
	    reason : "", &jb);
}

struct want
want_keep(const struct agent *a)
{
	struct want	 b = { .state = a->state, .asleep = a->asleep,
	    .started_at = a->started_at };

	(void)strlcpy(b.paused_by, a->paused_by, sizeof(b.paused_by));
	(void)strlcpy(b.reason, a->reason, sizeof(b.reason));
	return b;
}

static void
put_back(struct agent *a, const struct want *b)
{
	a->state = b->state;
	a->asleep = b->asleep;
	a->started_at = b->started_at;
	(void)strlcpy(a->paused_by, b->paused_by, sizeof(a->paused_by));
	(void)strlcpy(a->reason, b->reason, sizeof(a->reason));
}

bool
want_same(const struct agent *a, const struct want *b)
{
	return a->state == b->state && a->asleep == b->asleep &&
	    strcmp(a->paused_by, b->paused_by) == 0 &&
	    strcmp(a->reason, b->reason) == 0;
}

int
agent_commit(const struct agent *a, const struct pass *who,
    const char *action, const char *event, const char *detail)
{
	if (db_begin(keeper_db()) == -1)
		return -1;
	(void)agent_save(a);
	audit_add(who, action, a->slug, 200, detail);
	tracebox_lifecycle(a->id, event, detail, "");
	if (db_commit(keeper_db()) == -1)
		return -1;
	tracebox_kick();
	return 0;
}

int
want_commit(struct agent *a, const struct want *b, const char *event,
    const struct pass *who, const char *reason)
{
	if (db_begin(keeper_db()) == 0) {
		(void)agent_save(a);
		if (who != NULL)
			audit_add(who, "AGENT_ACTION", a->slug, 200, event);
		want_trace(a, event, reason);
		if (db_commit(keeper_db()) == 0) {
			tracebox_kick();
			return 0;
		}
	}
	put_back(a, b);
	return -1;
}

int
verb_store(struct agent *a, enum agent_state state, const char *event,
    const struct pass *who, const char *reason)
{
	struct want	 b = want_keep(a);

	a->state = state;
	(void)strlcpy(a->reason, reason, sizeof(a->reason));
	return want_commit(a, &b, event, who, reason);
}

bool
agent_paused_by(const struct agent *a, const char *by)
{
	const char	*s = strstr(a->paused_by, by);
	size_t		 n = strlen(by);

	return s != NULL && (s[n] == '\0' || s[n] == ',');
}

/* paused_by with one more or one less, in a fixed order. */
static void
mark_pause(struct agent *a, const char *by, bool on)
{
	bool	 user = agent_paused_by(a, "user");
	bool	 quota = agent_paused_by(a, "quota");

	if (strcmp(by, "user") == 0)
		user = on;
	else
		quota = on;
	(void)snprintf(a->paused_by, sizeof(a->paused_by), "%s%s%s",
	    user ? "user" : "", user && quota ? "," : "", quota ? "quota" :
	    "");
}

bool
want_change(struct agent *a, enum verb v, const struct verb_how *how,
    const char *by)
{
	bool	 was = a->state == AGENT_PAUSED;

	if (v == V_PAUSE || v == V_RESUME)
		mark_pause(a, by, v == V_PAUSE);
	if (v == V_PAUSE) {
		/* A person's pause says no more than that of the quota. */
		if (how->reason != NULL || strcmp(a->paused_by, "user") == 0)
			(void)strlcpy(a->reason, how->reason != NULL ?
			    how->reason : "", sizeof(a->reason));
		/* What is stopped stays so, but may not be started. */
		if (a->state == AGENT_RUNNING)
			a->state = AGENT_PAUSED;
		if (a->state == AGENT_PAUSED)
			a->asleep = false;
		return a->state == AGENT_PAUSED && !was;
	}
	if (v == V_RESUME) {
		if (a->paused_by[0] != '\0')
			return false;
		a->reason[0] = '\0';
		if (was)
			a->state = AGENT_RUNNING;
		return was;
	}
	/* A stop does not lift what the quota asks for. */
	mark_pause(a, "user", false);
	if (a->paused_by[0] == '\0')
		a->reason[0] = '\0';
	a->asleep = false;
	a->state = v == V_STOP ? AGENT_STOPPED : AGENT_RUNNING;
	if (v != V_STOP)
		a->started_at = sys_time();
	return true;
}

/*
 * What an agent is: from its row, its instance and its link together, never
 * from one of them alone.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: nobody.
 */
#include <stdio.h>
#include <string.h>

#include "keeper.h"
#include "log.h"
#include "state.h"
#include "sys.h"
#include "verb.h"

#define READY_S		60	/* if the framework does not say */
#define WELL_S		60.0	/* after so long it counts as well */
#define MEND_MAX_S	300

static bool
is(const struct agent *a, const char *status)
{
	return strcmp(a->instance_status, status) == 0;
}

void
agent_seen(struct agent *a, const char *status)
{
	const char	*old = a->instance_status;

	if (strcmp(old, status) == 0)
		return;
	log_debug("agent %s: instance %s, was %s", a->slug, status[0] != '\0' ?
	    status : "gone", old[0] != '\0' ? old : "not known");
	(void)strlcpy(a->instance_status, status, sizeof(a->instance_status));
	a->instance_since = sys_time();
}

/* Its instance is up and the link is not there: is that long? */
static bool
is_overdue(const struct agent *a)
{
	const struct framework	*f = framework_get(a->framework);
	double			 since = a->instance_since, limit = READY_S;

	if (f != NULL && f->ready_timeout > READY_S)
		limit = f->ready_timeout;
	if (a->started_at > since)
		since = a->started_at;
	if (a->last_seen > since)
		since = a->last_seen;
	return sys_time() - since > limit;
}

static const char *
shown_running(const struct agent *a)
{
	if (a->asleep)
		return "asleep";
	if (is(a, "Stopped") || is(a, "Stopping"))
		return a->doing != NULL ? "starting" : "stopped";
	if (is(a, "Frozen"))
		return "paused";
	if (is(a, "Error"))
		return "failed";
	if (a->sub != NULL)
		return "running";
	return is_overdue(a) ? "unreachable" : "starting";
}

const char *
agent_shown(const struct agent *a)
{
	if (a->job != NULL)
		return a->state == AGENT_DELETING ? "deleting" : "deploying";
	switch (a->state) {
	case AGENT_RUNNING:
		return shown_running(a);
	case AGENT_STOPPED:
		return a->doing != NULL || is(a, "Running") ? "stopping" :
		    "stopped";
	default:
		return agent_status(a);
	}
}

const char *
agent_why(const struct agent *a, char *buf, size_t size)
{
	const char	*why = NULL;

	if (a->reason[0] != '\0')
		why = a->reason;
	else if (a->state == AGENT_PAUSED && agent_paused_by(a, "user"))
		why = "somebody paused it";
	else if (a->state != AGENT_RUNNING || a->job != NULL)
		why = NULL;
	else if (is(a, "Stopped") && !a->asleep && a->doing == NULL)
		why = "its container was stopped from outside: it is started "
		    "again";
	else if (is(a, "Frozen") && !a->asleep && a->doing == NULL)
		why = "its container was frozen from outside: it is thawed";
	else if (is(a, "Error"))
		why = "Incus says that its container is broken";
	else if (strcmp(agent_shown(a), "unreachable") == 0)
		why = "its container is up, but the link in it does not "
		    "connect";
	if (why == NULL)
		return NULL;
	(void)strlcpy(buf, why, size);
	return buf;
}

const char *
agent_note(const struct agent *a, char *buf, size_t size)
{
	const char	*shown = agent_shown(a), *then;
	char		 why[300];

	if (a->state == AGENT_PAUSED)
		then = "it answers when it is resumed";
	else if (a->state == AGENT_STOPPED || a->state == AGENT_FAILED)
		then = "it answers once it is started";
	else if (a->state == AGENT_RUNNING && (strcmp(shown, "stopped") == 0 ||
	    strcmp(shown, "unreachable") == 0))
		then = "it answers once it is back";
	else
		return NULL;
	if (agent_why(a, why, sizeof(why)) == NULL)
		(void)snprintf(buf, size, "agent %s is %s: %s", a->slug,
		    shown, then);
	else
		(void)snprintf(buf, size, "agent %s is %s (%s): %s", a->slug,
		    shown, why, then);
	return buf;
}

/* ---- what is to be done ---- */

const char *
state_remedy(const struct agent *a)
{
	if (a->state == AGENT_DEPLOYING || a->state == AGENT_DELETING ||
	    a->instance_status[0] == '\0')
		return NULL;
	if (a->state == AGENT_RUNNING && a->asleep)
		return is(a, "Running") ? idle_verb() : NULL;
	if (a->state == AGENT_RUNNING)
		return is(a, "Stopped") ? "start" : is(a, "Frozen") ? "thaw" :
		    NULL;
	if (a->state == AGENT_PAUSED)
		return is(a, "Running") ? "freeze" : NULL;
	return is(a, "Running") || is(a, "Frozen") ? "stop" : NULL;
}

bool
state_may_mend(struct agent *a)
{
	double	 now = sys_time();

	if (a->mend_at > now && a->mend_at - now <= MEND_MAX_S) {
		reconcile_soon((unsigned)((a->mend_at - now) * 1000) + 1);
		return false;
	}
	/* It was well for some time after the last one. */
	if (now - a->mend_at > WELL_S)
		a->mend_s = 0;
	a->mend_s = a->mend_s == 0 ? 1 : a->mend_s * 2;
	if (a->mend_s > MEND_MAX_S)
		a->mend_s = MEND_MAX_S;
	a->mend_at = now + a->mend_s;
	return true;
}

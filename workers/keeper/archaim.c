/*
 * What a restored agent is to be: running, stopped or paused.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: nobody.
 */
#include <stdio.h>
#include <string.h>

#include "archive.h"
#include "saga.h"
#include "verb.h"

#define AIM(s)		((s)->arg[4])	/* "WAS SHALL-BE", both states */

bool
restore_state_ok(const char *state)
{
	return state[0] == '\0' || strcmp(state, "running") == 0 ||
	    strcmp(state, "stopped") == 0 || strcmp(state, "paused") == 0;
}

/*
 * One that had failed, or that only its quota had paused, runs: whoever
 * finds the reason again stops it again.
 */
void
restore_aim(struct saga *s, const struct agent *a, const char *state)
{
	const char	*was = a->state == AGENT_STOPPED ? "stopped" :
	    a->state == AGENT_PAUSED ? "paused" : a->state == AGENT_FAILED ?
	    "failed" : "running";

	if (state[0] == '\0')
		state = a->state == AGENT_STOPPED || (a->state ==
		    AGENT_PAUSED && agent_paused_by(a, "user")) ? was :
		    "running";
	(void)snprintf(AIM(s), sizeof(AIM(s)), "%s %s", was, state);
}

enum agent_state
restore_to(const struct saga *s)
{
	const char	*state = strchr(AIM(s), ' ');

	return state == NULL || strcmp(state, " running") == 0 ?
	    AGENT_RUNNING : strcmp(state, " paused") == 0 ? AGENT_PAUSED :
	    AGENT_STOPPED;
}

/* A person's pause stays with what does not run; a quota speaks up again. */
void
restore_settle(struct saga *s)
{
	enum agent_state	 state = restore_to(s);
	struct agent		*a = s->agent;
	bool			 user = agent_paused_by(a, "user");
	bool			 quota = agent_paused_by(a, "quota");

	if (!user || quota || state == AGENT_RUNNING)
		a->reason[0] = '\0';
	/* Who said "stopped" meant that it may be started. */
	if (state == AGENT_PAUSED || (state == AGENT_STOPPED && user &&
	    strncmp(AIM(s), "stopped ", 8) == 0))
		(void)strlcpy(a->paused_by, "user", sizeof(a->paused_by));
	else
		a->paused_by[0] = '\0';
	a->state = state;
	if (state == AGENT_RUNNING)
		a->started_at = sys_time();
}

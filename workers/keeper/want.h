/*
 * What should be of an agent: memory and row change together.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef WANT_H
#define WANT_H

#include "verb.h"

/* Of what is known of an agent, all that a verb may change. */
struct want {
	enum agent_state state;
	bool		 asleep;
	double		 started_at;
	char		 paused_by[16], reason[256];
};

struct want	want_keep(const struct agent *);
/* In memory; false if nothing outside has to change. */
bool		want_change(struct agent *, enum verb, const struct verb_how *,
		    const char *by);
/* A lifecycle record of the open transaction, or of its own. */
void		want_trace(const struct agent *, const char *event,
		    const char *reason);
bool		want_same(const struct agent *, const struct want *);
/*
 * Writes what is in memory, the trace's record and the audit (unless who is
 * NULL); if that fails it is again as it was.
 */
int		want_commit(struct agent *, const struct want *,
		    const char *event, const struct pass *who,
		    const char *reason);

#endif /* WANT_H */

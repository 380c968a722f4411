/*
 * What an agent is, as opposed to what it should be.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef STATE_H
#define STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "agent.h"

/* Incus says this of its instance; "" if it is not there. */
void		 agent_seen(struct agent *, const char *status);
/*
 * The status that people see: deploying, starting, running, unreachable,
 * stopping, stopped, paused, asleep, failed, deleting.  Static text.
 */
const char	*agent_shown(const struct agent *);
/* Why it is so, into buf; NULL if that needs no word. */
const char	*agent_why(const struct agent *, char *buf, size_t);
/* What somebody who writes to it should know now; NULL: it will answer. */
const char	*agent_note(const struct agent *, char *buf, size_t);

/*
 * The verb of CT_ACTION that makes the instance what it should be; NULL if
 * it is.
 */
const char	*state_remedy(const struct agent *);
/*
 * May it be mended now?  Each time it may, the next one has to wait twice as
 * long, until it has run for a while; if not, reconcile is told to come back.
 */
bool		 state_may_mend(struct agent *);

/* reconcile.c: it has failed, since its instance is not there any more. */
void		 agent_instance_gone(struct agent *);

#endif /* STATE_H */

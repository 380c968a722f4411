/*
 * An agent is asked to finish what it does before it is stopped or frozen.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef PREPARE_H
#define PREPARE_H

#include <stdint.h>

#include "agent.h"

#define PREPARE_S	30		/* if nobody says how long */
#define PREPARE_MAX_S	300

/* How it ended. */
struct prepared {
	const char	*status;	/* static text */
	const char	*reason;	/* static text: of the asking */
	double		 started_at;	/* 0: it was not asked */
	double		 seconds;
};

/*
 * Asks; reason is static text.  The callback comes once, at once if there is
 * nobody to ask.  Until then the agent gets no message.
 */
void	prepare_begin(struct agent *, const char *reason, uint32_t seconds,
	    void (*)(struct agent *, const struct prepared *, void *), void *);
/* It may go on after all. */
void	prepare_lift(struct agent *);
/* A link has come, its stream is gone, the agent goes. */
void	prepare_connected(struct agent *);
void	prepare_lost(struct agent *);
void	prepare_forget(struct agent *);
/* The document of the contract: phase, reason, started_at, agents. */
void	prepare_json(struct jbuf *, const char *slug, const struct prepared *);

int	h_bridge_prepared(struct peer *, struct msg *);

#endif /* PREPARE_H */

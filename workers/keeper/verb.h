/*
 * What is done to a live agent: start, stop, restart, pause, resume.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef VERB_H
#define VERB_H

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"
#include "prepare.h"

enum verb { V_START, V_STOP, V_RESTART, V_PAUSE, V_RESUME, VERBS };

/* How it is to be done; all zero is what a person means by it. */
struct verb_how {
	const char	*by;		/* pause, resume: NULL is "user" */
	const char	*reason;	/* of a pause, or NULL */
	bool		 force;		/* do not ask the agent first */
	uint32_t	 timeout;	/* seconds for it to finish; 0: 30 */
};

struct verb_end {
	enum verb	 verb;
	uint32_t	 status;	/* 200, or as in HTTP why not */
	const char	*error;
	const char	*slug;
	const char	*shown;		/* the agent's status now */
	bool		 changed;	/* false: it was so already */
	struct prepared	 prepared;
};

typedef void (*verb_fn)(const struct verb_end *, void *);

/* VERBS if there is none of that name. */
enum verb	 verb_by_name(const char *);
const char	*verb_name(enum verb);
/*
 * Does it; who may be NULL (then it is ours and not audited).  The callback,
 * which may be NULL, comes once, and perhaps at once; 504 if it takes longer
 * than people wait (it goes on).
 */
void		 verb_begin(struct agent *, enum verb, const struct verb_how *,
		    const struct pass *who, verb_fn, void *);
/* State and what tells of it in one transaction; who may be NULL. */
int		 verb_store(struct agent *, enum agent_state,
		    const char *event, const struct pass *who,
		    const char *reason);
/* The answer to whoever asked for one agent. */
void		 verb_json(struct jbuf *, const struct verb_end *);

/*
 * For other parts of keeper: freezes it, or lets it go on.  by: "quota".
 * What paused it for one reason is not lifted for another.  0, or -1 if
 * something else is under way with this agent (try again later).
 */
int		 lifecycle_pause(struct agent *, const char *by,
		    const char *reason);
int		 lifecycle_resume(struct agent *, const char *by);
bool		 agent_paused_by(const struct agent *, const char *by);

#endif /* VERB_H */

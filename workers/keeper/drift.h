/*
 * Differences between what should be (the rows) and what is (Incus and the
 * other workers): what drift.c (finds them), driftfix.c (mends them) and
 * doctor.c (the requests) share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef DRIFT_H
#define DRIFT_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"
#include "keeper.h"

struct event;

/* Who is asked what there is; also whose a row is. */
enum drift_from { FROM_INCUS, FROM_PROXY, FROM_SUPER, FROM_GATEWAY, FROMS };

struct held {
	TAILQ_ENTRY(held) entry;
	enum drift_from	 from;
	char		 agent_id[ID_LEN + 1];
	char		 name[INSTANCE_MAX + 1];	/* instance or slug */
	char		 status[33];			/* of an instance */
	uint32_t	 n;
};

enum drift_kind {
	DRIFT_INSTANCE,		/* an agent without one */
	DRIFT_ORPHAN,		/* one without an agent */
	DRIFT_COPY,		/* a second one of an agent */
	DRIFT_POWER,		/* it runs and should not, or so */
	DRIFT_POLICY,		/* an agent that proxy does not know */
	DRIFT_KEY,		/* a policy or key without an agent */
	DRIFT_SOCKET,		/* a running agent without a socket */
	DRIFT_DIRECTORY,	/* a socket's directory without an agent */
	DRIFT_GATEWAY,		/* gateway does not know an agent */
	DRIFT_GHOST,		/* gateway knows one that is no more */
	DRIFT_CHANNEL		/* a channel without an agent */
};

struct look;

struct drift {
	TAILQ_ENTRY(drift) entry;
	struct look	*look;
	enum drift_kind	 kind;
	char		 id[ID_LEN + 1];	/* the agent's or channel's */
	char		 name[65];		/* as people know it */
	char		 instance[INSTANCE_MAX + 1];
	char		 should[64], is[64];
	const char	*repair;	/* what mends it, NULL: a person */
	bool		 wanted;	/* is to be mended */
	bool		 done;
	char		 error[256];	/* it could not be mended */
};

struct look {
	TAILQ_HEAD(held_list, held)	 held;
	TAILQ_HEAD(drift_list, drift)	 drifts;
	size_t		 nheld;
	double		 asked_at;
	bool		 answered[FROMS];
	unsigned	 pending;	/* answers, then repairs */
	void		(*fn)(struct look *);	/* all is there */
	struct client	 client;
	bool		 repair;
	char		 kind[17], name[65];	/* filters of a repair */
	struct event	*late;
};

/* Asks all; then fn, at once if nobody is there. */
void		 drift_look(struct look *);
void		 drift_free(struct look *);
const char	*drift_kind_name(enum drift_kind);
/* Mends what is wanted; then fn. */
void		 drift_mend(struct look *);

#endif /* DRIFT_H */

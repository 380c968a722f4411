/*
 * Instances made ahead: what pool.c (who they are), poolfill.c (how they come
 * to be) and pooljob.c (how one becomes an agent) share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef POOL_H
#define POOL_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"
#include "keeper.h"

struct event;

#define POOL_KINDS	32		/* frameworks in the configuration */

enum pool_state {
	POOL_MAKING,		/* container makes it */
	POOL_WARMING,		/* its runtime starts */
	POOL_READY,		/* frozen, and waits to be somebody */
	POOL_DROPPING		/* is being removed */
};

struct member {
	TAILQ_ENTRY(member) entry;
	char		 id[ID_LEN + 1];	/* the agent's, one day */
	char		 instance[INSTANCE_MAX + 1];
	char		 framework[65];
	char		 image[65];	/* fingerprint */
	enum pool_state	 state;
	uint64_t	 memory, disk;
	uint32_t	 cpus, processes;
	uint32_t	 uid_base, uid_count;
	double		 created_at, ready_at;
	/* in memory only */
	bool		 claimed;	/* a transaction is taking it */
	bool		 seen;		/* in the list of instances */
	bool		 link_ready;	/* said so before container was done */
	uint64_t	 req;		/* to container or the supervisor */
	struct event	*timer;		/* how long it may take */
};
TAILQ_HEAD(member_list, member);

struct want {
	char		 framework[65];
	uint32_t	 n;
	char		 image[65];	/* what its alias names now; "": none */
	char		 fresh[65];	/* the same, of an answer under way */
};

struct pool {
	struct member_list	 members;
	struct want		 wants[POOL_KINDS];
	size_t			 nwants;
	char			 held[256];	/* why none is made; "" */
	bool			 started;
};
extern struct pool pool;

/* ---- pool.c ---- */

const char	*pool_state_name(enum pool_state);
struct member	*pool_find(const char *id);
struct want	*pool_want(const char *framework);
/* A new one, without a row. */
struct member	*pool_new(const struct framework *, const char *image);
int		 pool_insert(const struct member *);
int		 pool_save(const struct member *);
/* Out of the list and freed. */
void		 pool_free(struct member *);
/* Removes all of it; tries until it has succeeded. */
void		 pool_drop(struct member *, const char *why);
void		 pool_tell_gateway(const struct member *);

/* ---- poolfill.c ---- */

void		 poolfill_init(void);
/* Something has changed: makes, or throws away. */
void		 poolfill_kick(void);
/* One was taken: the next is not made while that agent begins. */
void		 poolfill_taken(void);
/* An instance failed: the next one waits. */
void		 poolfill_failed(struct member *, const char *why);

#endif /* POOL_H */

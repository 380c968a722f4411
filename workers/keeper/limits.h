/*
 * Limits of agents and what their disks hold.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef LIMITS_H
#define LIMITS_H

#include "agent.h"
#include "keeper.h"

/* ---- limits.c ---- */

/*
 * Are these numbers sensible (0: not given)?  Else the client has its 422,
 * naming the field and what is allowed.
 */
bool	 limits_ok(struct client, uint64_t memory, uint32_t cpus,
	    uint32_t processes, uint64_t disk);
/* What is over this server's bounds comes down to them. */
void	 limits_clip(struct agent *);
/* The processes that an agent may have. */
uint32_t limits_processes(const struct agent *);
int	 h_agent_limits(struct peer *, struct msg *);
/*
 * Makes Incus agree with the row (limits, network): for what a crash has cut.  Later, when
 * something else is at work on the agent.
 */
void	 limits_assert(struct agent *);

/* ---- disk.c ---- */

enum disk_state { DISK_OK, DISK_WARN, DISK_HARD };

/* The share of the quota that is used; 0 without a quota. */
double	 disk_ratio(uint64_t used, uint64_t quota);
enum disk_state disk_judge(uint64_t used, uint64_t quota);
/*
 * What an agent has written itself.  Snapshots share its blocks, so that a
 * new one makes "own" fall and a deleted one makes it rise although nothing
 * was written or removed; base carries the difference.
 */
uint64_t disk_used(struct disk *, uint64_t own, uint32_t snapshots);
void	 disk_load(void);		/* after agent_load() */
void	 disk_start(void);		/* the timer, as configured */
void	 disk_container_up(void);
/* The member "disk" of an agent's document. */
void	 disk_json(struct jbuf *, const struct agent *);
/* Asks for one agent's usage now; the callback may run at once. */
void	 disk_look(struct agent *, void (*)(struct agent *, void *), void *);
int	 h_agent_disk(struct peer *, struct msg *);
int	 h_disk_scan(struct peer *, struct msg *);

/* ---- storage.c: the pool below the agents ---- */

int	 h_ct_pool(struct peer *, struct msg *);
/* Is a size enforced?  True as long as the pool is not known. */
bool	 storage_quotas(void);
/* The member "storage"; with the note only, if there is one, for a deploy. */
void	 storage_json(struct jbuf *);
void	 storage_note(struct jbuf *);

#endif /* LIMITS_H */

/*
 * Snapshots of live agents, by hand and by schedule; forks of them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "agent.h"
#include "keeper.h"

#define SNAP_AUTO	"auto-"		/* those of the schedule */

struct job;

/* ---- snapshot.c ---- */

/* [A-Za-z0-9]([A-Za-z0-9._-])*, at most 63, no "..". */
bool		 snapshot_name_ok(const char *);
int		 h_snap_list(struct peer *, struct msg *);
int		 h_snap_action(struct peer *, struct msg *);

/* ---- schedule.c ---- */

struct schedule {
	uint32_t	 every;		/* seconds; 0: off */
	uint32_t	 keep;
};

/* "daily keep 7", "hourly keep 24", "off" or "": 0, or -1. */
int		 schedule_parse(const char *, struct schedule *);
void		 schedule_start(void);
int		 h_snap_schedule(struct peer *, struct msg *);

/* ---- fork.c ---- */

int		 h_agent_fork(struct peer *, struct msg *);
/* Is the agent that it is a copy of (still) there? */
bool		 fork_has_source(const struct job *);
/* CT_COPY for a job whose source is JOB_COPY. */
void		 fork_ask_create(struct job *);

#endif /* SNAPSHOT_H */

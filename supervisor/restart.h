/*
 * When a worker that has died is started again, and when that is alarming.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef RESTART_H
#define RESTART_H

#include <stdbool.h>
#include <stdint.h>

#define RESTART_STEP_MS		100
#define RESTART_MAX_MS		1000
#define RESTART_CALM_MS		10000	/* a life this long resets it */
#define RESTART_ALARM_CRASHES	5	/* so many ... */
#define RESTART_ALARM_MS	60000	/* ... within this raise the alarm, */
#define RESTART_ALARM_HOLD_MS	600000	/* which stays for so long */

struct restart {
	uint32_t	fast;		/* deaths in a row after short lives */
	uint64_t	crash[RESTART_ALARM_CRASHES];	/* a ring of times */
	uint32_t	crashes;
	uint64_t	alarm_until;
};

/*
 * A worker that was started at one time has died now (ms).  Returns the
 * delay until its next start: 0, 100, 200 ... 1000 ms.
 */
uint32_t	restart_died(struct restart *, uint64_t started, uint64_t now);
bool		restart_alarm(const struct restart *, uint64_t now);

#endif /* RESTART_H */

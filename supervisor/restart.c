/*
 * When a worker that has died is started again, and when that is alarming.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 *
 * A worker never stays down: a fault that comes back each second is noisy,
 * one that waits for a person at night is an outage.
 */
#include "restart.h"

uint32_t
restart_died(struct restart *r, uint64_t started, uint64_t now)
{
	uint32_t delay;

	if (now - started >= RESTART_CALM_MS)
		r->fast = 0;
	delay = r->fast * RESTART_STEP_MS;
	if (delay < RESTART_MAX_MS)
		r->fast++;

	r->crash[r->crashes++ % RESTART_ALARM_CRASHES] = now;
	if (r->crashes >= RESTART_ALARM_CRASHES &&
	    now - r->crash[r->crashes % RESTART_ALARM_CRASHES] <=
	    RESTART_ALARM_MS)
		r->alarm_until = now + RESTART_ALARM_HOLD_MS;
	return delay;
}

bool
restart_alarm(const struct restart *r, uint64_t now)
{
	return now < r->alarm_until;
}

/*
 * A process of its own in the background, once.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef DAEMON_H
#define DAEMON_H

#include <stdbool.h>

struct conf;

/*
 * Takes the lock of the pid file RUN_DIR/agentd.pid; fatal if another
 * instance holds it.
 */
void	daemon_lock(const struct conf *);
void	daemon_write_pid(void);
void	daemon_unlock(void);		/* removes it */
/*
 * Goes to the background.  The parent waits until daemon_started() and ends
 * with that status; it does not return from here.
 */
void	daemon_detach(const struct conf *);
void	daemon_started(bool ok);	/* may be called without detach, twice */
/* Limits, masks and descriptors of the supervisor itself. */
void	daemon_harden(void);

#endif /* DAEMON_H */

/*
 * The sandbox of each worker: Landlock, then a seccomp filter, by table.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every worker.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "msg.h"

/*
 * Enters the sandbox of that worker, for good.  state_dir is the one tree it
 * may use ("" for none).  0, or -1 with errno; then the caller must not go
 * on.  A kernel without Landlock is a warning: the filter still holds.
 */
int	sandbox_enter(enum proc, const char *state_dir);
/* The Landlock ABI in force, 0 if there is none. */
int	sandbox_landlock_abi(void);

#endif /* SANDBOX_H */

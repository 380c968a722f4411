/*
 * Starts a worker: its user, its limits, its descriptors.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef SPAWN_H
#define SPAWN_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "msg.h"

struct conf;

/*
 * Finds the users and opens the executables of the workers in the mask, so
 * that an upgrade on disk never mixes versions.  Fatal if one is missing.
 */
void	spawn_init(const struct conf *, uint32_t mask);
uid_t	spawn_uid(enum proc);
gid_t	spawn_gid(enum proc);
/* Path of Incus' socket by configuration. */
const char *spawn_incus_socket(const struct conf *);
/*
 * The child gets chan as fd 3 and log as fd 2; both stay open here.  Its pid,
 * or -1 with errno.
 */
pid_t	spawn_worker(enum proc, const struct conf *, int chan, int log,
	    bool journal);

#endif /* SPAWN_H */

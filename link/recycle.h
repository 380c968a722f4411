/*
 * The recycle bin in a container: what its two halves share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: a container, by the agent, or by agentd's exec.
 */
#ifndef RECYCLE_H
#define RECYCLE_H

#include <limits.h>
#include <stdbool.h>

#define BIN		"/var/recycle-bin"
#define BIN_FILES	BIN "/files"
#define BIN_INFO	BIN "/info"
#define BIN_ID		32	/* hex digits */

/*
 * Moves it into the bin.  0, or -1 with errno: it is where it was, and has to
 * be removed for good or not at all.
 */
int	bin_put(const char *path);
/* Absolute path without following the last part; -1 with errno. */
int	bin_resolve(const char *path, char out[PATH_MAX]);
/* The real rm, of one thing; its exit status. */
int	real_rm(const char *flags, const char *path);

/* rm as its users know it, with the bin behind it. */
int	rm_main(int, char **);

#endif /* RECYCLE_H */

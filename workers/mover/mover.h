/*
 * What the modules of mover share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: keeper.
 */
#ifndef MOVER_H
#define MOVER_H

#include <stdint.h>

#define SPOOL_SUFFIX	".part"

/* Removes what an earlier mover has left: an import lives as long as we do. */
void	spool_clear(const char *dir);

#endif /* MOVER_H */

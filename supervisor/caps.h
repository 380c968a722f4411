/*
 * The capabilities of the supervisor and of what it starts.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef CAPS_H
#define CAPS_H

/* Keeps only what the supervisor needs, for good.  Fatal on failure. */
void	caps_reduce(void);
/* For a child before it changes user: empties every set.  0, or -1. */
int	caps_drop_all(void);

#endif /* CAPS_H */

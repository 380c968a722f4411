/*
 * A set of texts of which only keyed digests are kept.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 *
 * Two texts may have one digest of 64 bits, by chance once in a lifetime;
 * the key is random, so nobody can make them.
 */
#ifndef SET_H
#define SET_H

#include <stdbool.h>
#include <stddef.h>

struct set;

struct set *set_new(size_t max);	/* fatal without memory */
void	 set_free(struct set *);	/* NULL is allowed */
int	 set_add(struct set *, const char *);	/* -1: it is full */
bool	 set_has(const struct set *, const char *);

#endif /* SET_H */

/*
 * How often the kernel has killed in this container for want of memory.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_OOM_H
#define LINK_OOM_H

#include <stdint.h>

/* Since it started; 0 also if that cannot be known. */
uint64_t oom_kills(void);

/* The number behind "oom_kill " at the start of a line; 0 if there is none. */
uint64_t oom_parse(const char *);

#endif /* LINK_OOM_H */

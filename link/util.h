/*
 * Small helpers of agent-link: timers, back-off, sockets.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_UTIL_H
#define LINK_UTIL_H

#include <netinet/in.h>

#include <stddef.h>

struct event;

/*
 * The next delay in ms: 50 doubling to 2000, each +-25 % so that many links
 * do not come back in step. *step is 0 at first and after a success.
 */
unsigned int	 retry_next(unsigned int *step);

/* (Re)arms a timer made by evtimer_new. */
void	 timer_ms(struct event *, unsigned int ms);

/* A connected, non-blocking fd to a Unix socket; -1 and errno. */
int	 unix_connect(const char *path);

/* Length of the longest prefix of s that is at most max bytes and does not
 * cut a UTF-8 sequence. */
size_t	 utf8_prefix(const char *s, size_t len, size_t max);

#endif /* LINK_UTIL_H */

/*
 * The agents' sockets: one directory and one listener for each.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.  Talks to: gateway.
 */
#ifndef AGENTS_H
#define AGENTS_H

#include <stddef.h>
#include <stdint.h>

struct conf;
struct worker;

#define AGENTS_MAX	4000	/* listeners; within gateway's limit */

/* Opens the directory of the agents' directories.  Fatal on failure. */
void	agents_init(const struct conf *, struct worker *gateway);
/*
 * Both return a status as in HTTP, and why if it is not 200.  What is there
 * already (or already gone) is a success.
 */
uint32_t	agents_listen(const char *id, char *why, size_t);
uint32_t	agents_unlisten(const char *id, char *why, size_t);
struct peer;
struct msg;

/* Answers with a HELD for each directory that there is; -1: unreadable. */
int		agents_each(struct peer *, struct msg *);
/* Hands all listeners to a gateway that has just started. */
void	agents_push_all(void);

#endif /* AGENTS_H */

/*
 * The sockets on which people and programs reach the service.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef LISTEN_H
#define LISTEN_H

#include <stddef.h>

struct conf;

#define LISTEN_BACKLOG	1024

/* Binds what the configuration names.  -1 after a log line. */
int	listen_init(const struct conf *);
/*
 * For a reload: binds what has changed, calls back with its role.  -1 if
 * something cannot be bound; nothing has changed then.
 */
int	listen_reload(const struct conf *, void (*)(const char *));
/* A duplicate of "http" or "unix", -1 if there is no such listener. */
int	listen_dup(const char *);
/* Removes the Unix socket. */
void	listen_cleanup(void);
/*
 * Binds a Unix socket with mode 0666 as this entry of an open directory,
 * replacing an old one in one step.  The fd, or -1 with errno.
 */
int	listen_unix_at(int dir, const char *name);

#endif /* LISTEN_H */

/*
 * Where the processes' log lines go: one stream each, to the journal or to
 * files in the log directory.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef LOGS_H
#define LOGS_H

#include <stdbool.h>

#include "msg.h"

struct conf;
struct event_base;

#define LOGS_FILE_MAX	(10 * 1024 * 1024)	/* bytes of one file */
#define LOGS_FILES	5			/* per process */

/*
 * Makes the supervisor's own stream its standard error.  With echo, what goes
 * to files goes to the old standard error as well.  Fatal on failure.
 */
void	logs_init(const struct conf *, bool echo);
/* Begins to copy the streams; until then they wait in their pipes. */
void	logs_start(struct event_base *);
bool	logs_to_journal(void);
/* A stream for a worker, -1 on failure; the caller closes it. */
int	logs_open_worker(enum proc);
/* Copies what waits; at the end and before fatal errors end the process. */
void	logs_flush(void);
/* Opens the files anew, after someone has moved them. */
void	logs_reopen(void);

#endif /* LOGS_H */

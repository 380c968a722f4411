/*
 * A child process with lines on its stdin and stdout, kept running.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: the runtime.
 */
#ifndef LINK_CHILD_H
#define LINK_CHILD_H

#include <stdbool.h>
#include <stddef.h>

struct child;
struct event_base;

struct child_cb {
	/* A fresh one runs; nothing of the last one comes any more. */
	void	(*started)(void *);
	/* One line without its end, NUL-terminated; longer ones are skipped. */
	void	(*line)(void *, char *, size_t);
	/* It ended or could not start; why is a sentence's end. */
	void	(*ended)(void *, const char *why);
};

/* argv lives as long as the child. NULL when out of memory. Starts it. */
struct child *child_new(struct event_base *, char *const *argv,
	    const struct child_cb *, void *);
void	 child_free(struct child *);	/* ends it: TERM, a second, KILL */

/* Queues bytes for its stdin. -1: it does not run. */
int	 child_write(struct child *, const char *, size_t);

/* Kills its process group; ended() follows, then a new start. */
void	 child_kill(struct child *);

/* It works as it should: the next restart is quick again. */
void	 child_is_well(struct child *);

#endif /* LINK_CHILD_H */

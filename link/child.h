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
	/* It ended or could not start; why is a sentence's end; clean: with
	 * status 0. */
	void	(*ended)(void *, const char *why, bool clean);
};

/*
 * keep: it is started again, with back-off, whenever it ends. NULL when out
 * of memory.
 */
struct child *child_new(struct event_base *, bool keep,
	    const struct child_cb *, void *);
void	 child_free(struct child *);	/* ends it: TERM, a second, KILL */

/*
 * Starts it; none may run. argv lives as long as the child. started() or
 * ended() comes before this returns.
 */
void	 child_start(struct child *, char *const *argv);

/* Queues bytes for its stdin. -1: it does not run. */
int	 child_write(struct child *, const char *, size_t);

/* Its stdin ends after what is queued. */
void	 child_close_stdin(struct child *);

/* Kills its process group; ended() follows, then a new start if it is kept. */
void	 child_kill(struct child *);

/* It works as it should: the next restart is quick again. */
void	 child_is_well(struct child *);

#endif /* LINK_CHILD_H */

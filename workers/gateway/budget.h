/*
 * Memory for the bodies of LLM requests: who may read on, who has to wait.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 *
 * Over the limit only the oldest body may grow, over all agents and within
 * each one.  So one always gets through, nothing can lock up half-read, and
 * the memory stays below the limit plus one body.
 */
#ifndef BUDGET_H
#define BUDGET_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>

struct budget_use {
	TAILQ_ENTRY(budget_use)	 all;
	TAILQ_ENTRY(budget_use)	 mine;
	struct budget_group	*group;
	size_t			 bytes;
	bool			 paused;
	void			(*resume)(struct budget_use *);
};
TAILQ_HEAD(budget_list, budget_use);

/* The bodies of one agent. */
struct budget_group {
	struct budget_list	 uses;
	size_t			 bytes;
};

struct budget {
	struct budget_list	 uses;	/* oldest first */
	size_t			 bytes;
	size_t			 limit;
	size_t			 group_limit;
};

void	budget_init(struct budget *, size_t limit, size_t group_limit);
void	budget_group_init(struct budget_group *);
/* A body begins; resume is called when it may read on. */
void	budget_start(struct budget *, struct budget_group *,
	    struct budget_use *, void (*)(struct budget_use *));
/* It has grown: false if it must pause until resume is called. */
bool	budget_grow(struct budget *, struct budget_use *, size_t);
/* It is gone; may call resume of others.  Twice is harmless. */
void	budget_end(struct budget *, struct budget_use *);

#endif /* BUDGET_H */

/*
 * Memory for the bodies of LLM requests: who may read on, who has to wait.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 */
#include <string.h>

#include "budget.h"

void
budget_init(struct budget *b, size_t limit, size_t group_limit)
{
	memset(b, 0, sizeof(*b));
	TAILQ_INIT(&b->uses);
	b->limit = limit;
	b->group_limit = group_limit;
}

void
budget_group_init(struct budget_group *g)
{
	TAILQ_INIT(&g->uses);
	g->bytes = 0;
}

void
budget_start(struct budget *b, struct budget_group *g, struct budget_use *u,
    void (*resume)(struct budget_use *))
{
	memset(u, 0, sizeof(*u));
	u->group = g;
	u->resume = resume;
	TAILQ_INSERT_TAIL(&b->uses, u, all);
	TAILQ_INSERT_TAIL(&g->uses, u, mine);
}

static bool
may_grow(const struct budget *b, const struct budget_use *u)
{
	if (b->bytes >= b->limit && u != TAILQ_FIRST(&b->uses))
		return false;
	return u->group->bytes < b->group_limit ||
	    u == TAILQ_FIRST(&u->group->uses);
}

bool
budget_grow(struct budget *b, struct budget_use *u, size_t n)
{
	b->bytes += n;
	u->bytes += n;
	u->group->bytes += n;
	u->paused = !may_grow(b, u);
	return !u->paused;
}

void
budget_end(struct budget *b, struct budget_use *u)
{
	struct budget_use *w, *next;

	if (u->group == NULL)
		return;
	TAILQ_REMOVE(&b->uses, u, all);
	TAILQ_REMOVE(&u->group->uses, u, mine);
	b->bytes -= u->bytes;
	u->group->bytes -= u->bytes;
	u->group = NULL;
	/* resume() only lets the socket be read again: the list stays. */
	TAILQ_FOREACH_SAFE(w, &b->uses, all, next) {
		if (!w->paused || !may_grow(b, w))
			continue;
		w->paused = false;
		w->resume(w);
	}
}

/*
 * Which tool calls and results of a turn the trace already has.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 */
#include <stdlib.h>
#include <string.h>

#include "toolmap.h"

void
toolmap_free(struct toolmap *m)
{
	free(m->e);
	memset(m, 0, sizeof(*m));
}

void
tool_norm(const char *s, size_t len, char out[TOOL_ID_MAX + 1])
{
	size_t i, n = 0;
	char c;

	for (i = 0; i < len && n < TOOL_ID_MAX; i++) {
		c = s[i];
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9'))
			out[n++] = c;
	}
	out[n] = '\0';
}

struct tool_entry *
toolmap_find(struct toolmap *m, const char *id)
{
	unsigned int i;

	/* Backwards: what is asked for came lately. */
	for (i = m->n; i-- > 0;)
		if (strcmp(m->e[i].id, id) == 0)
			return &m->e[i];
	return NULL;
}

static struct tool_entry *
toolmap_add(struct toolmap *m, const char *id, uint64_t now)
{
	struct tool_entry *e;
	unsigned int size;

	if (m->n == TOOLMAP_MAX) {
		m->n--;
		memmove(m->e, m->e + 1, m->n * sizeof(*m->e));
	} else if (m->n == m->size) {
		size = m->size == 0 ? 8 : m->size * 2;
		e = reallocarray(m->e, size, sizeof(*e));
		if (e == NULL)
			return NULL;
		m->e = e;
		m->size = size;
	}
	e = &m->e[m->n++];
	memset(e, 0, sizeof(*e));
	(void)strlcpy(e->id, id, sizeof(e->id));
	e->at = now;
	return e;
}

struct tool_entry *
toolmap_call(struct toolmap *m, const char *id, const char *name,
    enum tool_from from, uint64_t now)
{
	struct tool_entry *e = toolmap_find(m, id);
	uint8_t bit = (uint8_t)(1U << from);

	if (e != NULL && e->called & bit) {
		/*
		 * The model uses an id twice (some count from 0 in each
		 * answer): a new call.  The runtime repeats itself: not.
		 */
		if (from == TOOL_AGENT)
			return NULL;
		e->called = e->answered = 0;
		e->at = now;
		e->event[0] = '\0';
	} else if (e != NULL && e->called != 0) {
		e->called |= bit;
		return NULL;
	}
	if (e == NULL && (e = toolmap_add(m, id, now)) == NULL)
		return NULL;
	e->called |= bit;
	/* A longer name is cut: it is only a label here. */
	(void)strlcpy(e->name, name, sizeof(e->name));
	return e;
}

struct tool_entry *
toolmap_result(struct toolmap *m, const char *id, enum tool_from from,
    uint64_t now)
{
	struct tool_entry *e = toolmap_find(m, id);
	uint8_t bit = (uint8_t)(1U << from);

	if (e == NULL && (e = toolmap_add(m, id, now)) == NULL)
		return NULL;
	if (e->answered != 0) {
		e->answered |= bit;
		return NULL;
	}
	e->answered |= bit;
	return e;
}

void
toolmap_undo_call(struct toolmap *m, const char *id, enum tool_from from)
{
	struct tool_entry *e = toolmap_find(m, id);

	if (e != NULL)
		e->called &= (uint8_t)~(1U << from);
}

void
toolmap_undo_result(struct toolmap *m, const char *id, enum tool_from from)
{
	struct tool_entry *e = toolmap_find(m, id);

	if (e != NULL)
		e->answered &= (uint8_t)~(1U << from);
}

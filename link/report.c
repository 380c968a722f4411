/*
 * What a runtime says in one run, in the order and the shape of a turn.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "jpath.h"
#include "log.h"
#include "report.h"
#include "sys.h"
#include "turn.h"

#define THOUGHT_MAX	(16UL << 10)	/* one record */

void
report_init(struct report *r, struct turn *turn)
{
	memset(r, 0, sizeof(*r));
	r->turn = turn;
}

void
report_free(struct report *r)
{
	free(r->thought);
	r->thought = NULL;
}

void
report_start(struct report *r)
{
	struct turn *turn = r->turn;

	report_free(r);
	report_init(r, turn);
}

void
report_flush(struct report *r)
{
	if (r->thought_len > 0)
		turn_reasoning(r->turn, r->thought, r->thought_len);
	r->thought_len = 0;
}

void
report_break(struct report *r)
{
	r->said = false;
}

void
report_plain(struct report *r, const char *s, size_t len)
{
	if (len == 0)
		return;
	report_flush(r);
	if (!r->said && r->any_text)
		turn_delta(r->turn, "\n\n", 2);
	r->said = r->any_text = true;
	turn_delta(r->turn, s, len);
}

void
report_text(struct report *r, const struct jspan *v)
{
	char *text;
	size_t len;

	if (v->type != JT_STRING)
		return;
	text = jpath_text(v, &len);
	report_plain(r, text, len);
	free(text);
}

void
report_thought(struct report *r, const struct jspan *v)
{
	char *text, *p;
	size_t len;

	if (v->type != JT_STRING)
		return;
	text = jpath_text(v, &len);
	if (len > REPORT_THOUGHTS - r->thought_total)
		len = 0;
	r->thought_total += len;
	if (r->thought_len + len > THOUGHT_MAX)
		report_flush(r);
	if (len > 0) {
		if ((p = realloc(r->thought, r->thought_len + len)) == NULL)
			fatal("thought");
		memcpy(p + r->thought_len, text, len);
		r->thought = p;
		r->thought_len += len;
	}
	free(text);
}

struct report_tool *
report_tool(struct report *r, const char *id, const char *name)
{
	struct report_tool *t;
	unsigned int i;

	for (i = 0; i < r->ntools; i++)
		if (strcmp(r->tools[i].id, id) == 0)
			return &r->tools[i];
	if (id[0] == '\0' || r->ntools == REPORT_TOOLS)
		return NULL;
	t = &r->tools[r->ntools++];
	memset(t, 0, sizeof(*t));
	(void)strlcpy(t->id, id, sizeof(t->id));
	(void)strlcpy(t->name, name[0] != '\0' ? name : "tool",
	    sizeof(t->name));
	t->since = sys_now_ms();
	return t;
}

void
report_call(struct report *r, struct report_tool *t, const struct jspan *args)
{
	struct tool_event ev = { .duration_ms = -1 };

	if (t->called)
		return;
	t->called = true;
	report_flush(r);
	report_break(r);
	ev.id = t->id;
	ev.tool = t->name;
	ev.json = args != NULL ? args->p : "{}";
	ev.len = args != NULL ? args->len : 2;
	turn_tool_call(r->turn, &ev);
}

void
report_result(struct report *r, struct report_tool *t, const char *text,
    size_t len, bool success)
{
	struct tool_event ev = { .success = success };

	if (!t->called)
		report_call(r, t, NULL);
	report_flush(r);
	ev.id = t->id;
	ev.tool = t->name;
	ev.text = text;
	ev.len = len;
	ev.duration_ms = (int64_t)(sys_now_ms() - t->since);
	turn_tool_result(r->turn, &ev);
	*t = r->tools[--r->ntools];
}

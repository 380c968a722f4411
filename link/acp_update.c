/*
 * Maps session updates of the Agent Client Protocol to what a turn reports.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "acp_update.h"
#include "jpath.h"
#include "log.h"
#include "report.h"

#define CONTENT_MAX	(256UL << 10)	/* of one tool's result */

/* A chunk: {"content":{"type":"text","text":".."}}. */
static bool
chunk_text(const struct jspan *u, struct jspan *text)
{
	return jpath_is(u->p, u->len, "content.type", "text") &&
	    jpath(u->p, u->len, "content.text", text) &&
	    text->type == JT_STRING;
}

/* {} and what is no object tell nothing as yet. */
static bool
has_members(const struct jspan *v)
{
	struct jiter it;
	struct jspan key, val;

	return v->type == JT_OBJECT &&
	    jscan_object(&it, v->p, v->len) == 0 &&
	    jscan_next(&it, &key, &val) == 1;
}

static void
tool_over(struct report *r, struct report_tool *t, const struct jspan *u,
    bool success)
{
	struct jspan v;
	char *text = NULL;
	size_t len = 0;

	if (jpath(u->p, u->len, "content", &v))
		text = jpath_texts(&v, "content.type", "content.text",
		    CONTENT_MAX, &len);
	if (text == NULL && jpath(u->p, u->len, "rawOutput.output", &v) &&
	    v.type == JT_STRING)
		text = jpath_text(&v, &len);
	report_result(r, t, text != NULL ? text : "", len, success);
	free(text);
}

/*
 * A call is announced before its arguments are there, and may come more than
 * once: it is reported when it runs, or ends.
 */
static void
update_tool(struct report *r, const struct jspan *u)
{
	char id[REPORT_ID], name[REPORT_NAME], status[16];
	struct report_tool *t;
	struct jspan args;
	bool over, have;

	(void)jpath_copy(u->p, u->len, "toolCallId", id, sizeof(id));
	if (!jpath_copy(u->p, u->len, "_meta.toolName", name, sizeof(name)))
		(void)jpath_copy(u->p, u->len, "title", name, sizeof(name));
	(void)jpath_copy(u->p, u->len, "status", status, sizeof(status));
	if ((t = report_tool(r, id, name)) == NULL)
		return;
	over = strcmp(status, "completed") == 0 ||
	    strcmp(status, "failed") == 0;
	have = jpath(u->p, u->len, "rawInput", &args) && has_members(&args);
	if (over || (have && strcmp(status, "pending") != 0))
		report_call(r, t, have ? &args : NULL);
	if (over)
		tool_over(r, t, u, strcmp(status, "completed") == 0);
}

void
acp_update(struct report *r, const struct jspan *u)
{
	struct jspan type, v;

	if (u->type != JT_OBJECT ||
	    !jpath(u->p, u->len, "sessionUpdate", &type) ||
	    type.type != JT_STRING)
		return;
	if (jscan_string_eq(&type, "agent_message_chunk")) {
		if (chunk_text(u, &v))
			report_text(r, &v);
	} else if (jscan_string_eq(&type, "agent_thought_chunk")) {
		if (chunk_text(u, &v))
			report_thought(r, &v);
	} else if (jscan_string_eq(&type, "tool_call") ||
	    jscan_string_eq(&type, "tool_call_update"))
		update_tool(r, u);
}

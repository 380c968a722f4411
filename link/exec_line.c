/*
 * Maps the records of kind exec, format jsonl, to what a turn reports.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "exec_line.h"
#include "jpath.h"
#include "log.h"
#include "report.h"

static struct report_tool *
tool_of(struct report *r, const char *p, size_t len)
{
	char id[REPORT_ID], name[REPORT_NAME];

	(void)jpath_copy(p, len, "id", id, sizeof(id));
	(void)jpath_copy(p, len, "tool", name, sizeof(name));
	return report_tool(r, id, name);
}

static void
ev_tool_call(struct report *r, const char *p, size_t len)
{
	struct report_tool *t = tool_of(r, p, len);
	struct jspan args;
	bool have = jpath(p, len, "args", &args) && args.type == JT_OBJECT;

	if (t != NULL)
		report_call(r, t, have ? &args : NULL);
}

static void
ev_tool_result(struct report *r, const char *p, size_t len)
{
	struct report_tool *t = tool_of(r, p, len);
	struct jspan v;
	char *text = NULL;
	size_t n = 0;

	if (t == NULL)
		return;
	if (jpath(p, len, "result", &v) && v.type == JT_STRING)
		text = jpath_text(&v, &n);
	report_result(r, t, text != NULL ? text : "", n,
	    jpath(p, len, "success", &v) && v.type == JT_TRUE);
	free(text);
}

static void
ev_error(struct exec_end *end, const char *p, size_t len)
{
	end->failed = true;
	if (!jpath_copy(p, len, "message", end->why, sizeof(end->why)) ||
	    end->why[0] == '\0')
		(void)strlcpy(end->why, "the agent's runtime failed without "
		    "a reason", sizeof(end->why));
}

void
exec_line(struct report *r, struct exec_end *end, const char *p, size_t len)
{
	struct jspan type, v;
	const char *why;
	bool text;

	if (jscan_buf(p, len, JSCAN_MAX_DEPTH, 0, NULL, NULL, &why) == -1) {
		log_debug("a line of the runtime is no record: %s", why);
		return;
	}
	if (!jpath(p, len, "type", &type) || type.type != JT_STRING)
		return;
	text = jpath(p, len, "text", &v) && v.type == JT_STRING;
	if (jscan_string_eq(&type, "delta")) {
		if (text)
			report_text(r, &v);
	} else if (jscan_string_eq(&type, "reasoning")) {
		if (text)
			report_thought(r, &v);
	} else if (jscan_string_eq(&type, "tool_call"))
		ev_tool_call(r, p, len);
	else if (jscan_string_eq(&type, "tool_result"))
		ev_tool_result(r, p, len);
	else if (jscan_string_eq(&type, "final")) {
		if (text && !r->any_text)
			report_text(r, &v);
		end->over = true;
	} else if (jscan_string_eq(&type, "error"))
		ev_error(end, p, len);
}

/*
 * What the trace gets of a call when it is over: llm_call and tool_call.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: trace.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "jbuf.h"
#include "llm.h"
#include "log.h"
#include "traceq.h"

#define ARGS_MAX	(256U * 1024)	/* kept of a tool's arguments */

void
llm_event_init(struct m_trace_event *e, const struct llm_call *c,
    const char *kind)
{
	trace_event_init(e, c->agent->id, kind);
	e->trace_id = c->trace_id;
	e->channel_id = c->channel_id;
}

static void
put_tool_call(const struct llm_call *c, const struct tap_tool *tool)
{
	struct turn *t = turn_find(c->agent, c->trace_id);
	struct tool_entry *entry;
	struct m_trace_event e;
	struct jbuf j;
	const char *text;
	char id[ID_LEN + 1], norm[TOOL_ID_MAX + 1];

	sys_id(id);
	tool_norm(tool->id, strlen(tool->id), norm);
	if (t != NULL && norm[0] != '\0') {
		entry = toolmap_call(turn_tools(c->agent, t), norm,
		    tool->name, TOOL_TRAFFIC, sys_now_ms());
		if (entry == NULL)
			return;
		(void)strlcpy(entry->event, id, sizeof(entry->event));
	}
	llm_event_init(&e, c, "tool_call");
	e.id = id;
	e.parent_id = c->event_id;
	jbuf_init(&j, GW_TRACE_MAX);
	jb_obj(&j);
	jb_kstr(&j, "tool", tool->name);
	jb_key(&j, "args");
	tap_put_args(&j, &tool->args, ARGS_MAX);
	jb_kstr(&j, "caller", c->agent->framework);
	if (tool->id[0] != '\0')
		jb_kstr(&j, "tool_call_id", tool->id);
	jb_end(&j);
	if ((text = jbuf_text(&j, NULL)) != NULL)
		traceq_add(&e, text);
	jbuf_free(&j);
}

static void
put_response(struct jbuf *j, const struct tap *t, size_t max)
{
	unsigned int i;

	jb_key(j, "response");
	jb_obj(j);
	jb_key(j, "content");
	tap_put(j, &t->content, max);
	if (t->reasoning.len > 0) {
		jb_key(j, "reasoning");
		tap_put(j, &t->reasoning, max);
	}
	if (t->refusal.len > 0) {
		jb_key(j, "refusal");
		tap_put(j, &t->refusal, max);
	}
	jb_key(j, "tool_calls");
	jb_arr(j);
	for (i = 0; i < t->ntools; i++) {
		jb_obj(j);
		jb_kstr(j, "id", t->tools[i].id);
		jb_kstr(j, "name", t->tools[i].name);
		jb_key(j, "args");
		tap_put_args(j, &t->tools[i].args, max);
		jb_end(j);
	}
	jb_end(j);
	if (t->finish[0] != '\0')
		jb_kstr(j, "finish_reason", t->finish);
	if (t->model[0] != '\0')
		jb_kstr(j, "model", t->model);
	if (t->cut || t->broken)
		jb_kbool(j, "truncated", true);
	jb_end(j);
}

/* brief: leave out and cut what makes it long. */
static void
put_call(struct jbuf *j, struct llm_call *c, const char *status, bool brief)
{
	const char *request;
	size_t len;

	jb_obj(j);
	jb_kstr(j, "status", status);
	jb_kint(j, "attempt", c->attempt);
	if (!brief && (request = jbuf_text(&c->request, &len)) != NULL) {
		jb_key(j, "request");
		jb_raw(j, request, len);
	}
	put_response(j, &c->tap, brief ? 16384 : TAP_TEXT_MAX);
	jb_kint(j, "http_status", c->status);
	jb_kint(j, "bytes", (int64_t)c->bytes);
	if (c->first != 0)
		jb_kint(j, "first_byte_ms", (int64_t)(c->first - c->started));
	if (c->tap.tokens_cached >= 0)
		jb_kint(j, "tokens_cached", c->tap.tokens_cached);
	if (c->tap.tokens_reasoning >= 0)
		jb_kint(j, "tokens_reasoning", c->tap.tokens_reasoning);
	jb_end(j);
}

void
llm_trace_done(struct llm_call *c, const char *status, const char *error)
{
	struct m_trace_event e;
	struct jbuf j;
	const char *text;
	unsigned int i;

	llm_event_init(&e, c, "llm_call");
	e.id = c->event_id;
	e.created_at = c->at;
	e.backend_name = c->provider;
	e.model = c->model;
	e.duration_ms = (int64_t)(sys_now_ms() - c->started);
	e.error = error;
	if (c->status != 0) {
		e.tokens_in = c->tap.tokens_in;
		e.tokens_out = c->tap.tokens_out;
	}
	log_info("agent %s: %s of %s: %s, status %d, %llu bytes, %lld ms",
	    c->agent->slug, c->model, c->provider, status, c->status,
	    (unsigned long long)c->bytes, (long long)e.duration_ms);
	jbuf_init(&j, GW_TRACE_MAX);
	put_call(&j, c, status, false);
	if ((text = jbuf_text(&j, NULL)) == NULL) {
		jbuf_reset(&j);
		put_call(&j, c, status, true);
		text = jbuf_text(&j, NULL);
	}
	if (text != NULL)
		traceq_add(&e, text);
	jbuf_free(&j);
	/* Calls of an answer that was cut short were never made. */
	if (strcmp(status, "success") == 0)
		for (i = 0; i < c->tap.ntools; i++)
			put_tool_call(c, &c->tap.tools[i]);
}

void
llm_trace_refusal(struct agent *a, struct turn *t, const char *text)
{
	struct m_trace_event e;
	struct jbuf j;
	const char *payload;

	if (t->refused)
		return;
	t->refused = true;
	trace_event_init(&e, a->id, "error");
	e.trace_id = t->trace_id;
	e.channel_id = t->channel_id;
	e.error = text;
	jbuf_init(&j, 4096);
	jb_obj(&j);
	jb_kstr(&j, "stage", "llm");
	jb_kstr(&j, "message", text);
	jb_end(&j);
	if ((payload = jbuf_text(&j, NULL)) != NULL)
		traceq_add(&e, payload);
	jbuf_free(&j);
}

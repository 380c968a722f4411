/*
 * What the trace gets of a call: llm_call, tool_call and tool_result.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: trace.
 *
 * A tool's result is seen only in the request after it, together with all
 * older ones.  It belongs to this turn if the model asked for it in this
 * turn; one that we know nothing of (this gateway has just started, or the
 * runtime made up the id) if it stands behind the user's last message.
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

#define MESSAGES_MAX	(256U * 1024)	/* kept of a request's messages */
#define RESULT_MAX	(256U * 1024)	/* of a tool's result */
#define TOOL_NAMES	512
#define RESULTS		128		/* new ones in one request */

/* A tool message that the trace does not have yet. */
struct found {
	char		 id[TOOL_ID_MAX + 1];
	struct jspan	 msg;
};

struct search {
	struct agent	*agent;
	struct turn	*turn;
	struct found	*found;		/* RESULTS of them */
	unsigned int	 nfound;
	unsigned int	 nmsgs;
	unsigned int	 last_user;	/* its number, from 1; 0 = none */
};

static void
event_init(struct m_trace_event *e, const struct llm_call *c,
    const char *kind)
{
	trace_event_init(e, c->agent->id, kind);
	e->trace_id = c->trace_id;
	e->channel_id = c->channel_id;
}

static bool
role_is(const struct jspan *msg, const char *role)
{
	struct jspan v;

	return msg->type == JT_OBJECT &&
	    jscan_get(msg->p, msg->len, "role", &v) == 1 &&
	    jscan_string_eq(&v, role);
}

/* ---- tool results ---- */

static void
count_messages(struct search *s, const struct jspan *list)
{
	struct jiter it;
	struct jspan m;

	if (jscan_array(&it, list->p, list->len) == -1)
		return;
	while (jscan_next(&it, NULL, &m) == 1) {
		s->nmsgs++;
		if (role_is(&m, "user"))
			s->last_user = s->nmsgs;
	}
}

/* Remembers a tool message; a later one of the same id is the one meant. */
static void
remember(struct search *s, const char *id, const struct jspan *msg)
{
	unsigned int i;

	for (i = 0; i < s->nfound; i++)
		if (*id != '\0' && strcmp(s->found[i].id, id) == 0)
			break;
	if (i == RESULTS)
		return;
	if (i == s->nfound)
		s->nfound++;
	(void)strlcpy(s->found[i].id, id, sizeof(s->found[i].id));
	s->found[i].msg = *msg;
}

static void
look_at(struct search *s, const struct jspan *msg, unsigned int nr)
{
	struct tool_entry *e;
	struct jspan v;
	char raw[257], id[TOOL_ID_MAX + 1] = "";
	ssize_t n;

	if (!role_is(msg, "tool"))
		return;
	if (jscan_get(msg->p, msg->len, "tool_call_id", &v) == 1 &&
	    (n = jscan_unescape(&v, raw, sizeof(raw))) > 0)
		tool_norm(raw, (size_t)n, id);
	e = *id != '\0' ? toolmap_find(&s->turn->tools, id) : NULL;
	if (e != NULL) {
		if (e->answered == 0)
			remember(s, id, msg);
		return;
	}
	/* Unknown: of an older turn, unless it follows the user's words. */
	if (nr > s->last_user && (*id != '\0' || nr > s->turn->nmsgs))
		remember(s, id, msg);
}

/* The content of a message, cut if it is long. */
static void
put_content(struct jbuf *j, const struct jspan *msg)
{
	struct jspan v;

	if (jscan_get(msg->p, msg->len, "content", &v) != 1) {
		jb_null(j);
	} else if (v.len <= RESULT_MAX) {
		jb_raw(j, v.p, v.len);
	} else if (v.type == JT_STRING) {
		json_put_cut(j, v.p + 1, v.len - 2, RESULT_MAX);
	} else {
		jb_obj(j);
		jb_kint(j, "truncated", (int64_t)v.len);
		jb_end(j);
	}
}

static void
put_result(const struct llm_call *c, struct search *s,
    const struct found *f)
{
	struct tool_entry *t = NULL;
	struct m_trace_event e;
	struct jspan v;
	struct jbuf j;
	const char *text;
	uint64_t now = sys_now_ms();

	if (f->id[0] != '\0' && (t = toolmap_result(turn_tools(s->agent,
	    s->turn), f->id, TOOL_TRAFFIC, now)) == NULL)
		return;
	event_init(&e, c, "tool_result");
	/* It was there before this call was made. */
	e.created_at = c->at;
	if (t != NULL && t->called != 0) {
		e.parent_id = t->event;
		e.duration_ms = (int64_t)(c->started > t->at ?
		    c->started - t->at : 0);
	}
	jbuf_init(&j, GW_TRACE_MAX);
	jb_obj(&j);
	jb_kstr(&j, "tool", t != NULL ? t->name : "");
	jb_key(&j, "result");
	put_content(&j, &f->msg);
	/* The traffic does not say whether the tool failed. */
	jb_key(&j, "success");
	jb_null(&j);
	if (jscan_get(f->msg.p, f->msg.len, "tool_call_id", &v) == 1 &&
	    v.type == JT_STRING && v.len <= 1024) {
		jb_key(&j, "tool_call_id");
		jb_raw(&j, v.p, v.len);
	}
	jb_end(&j);
	if ((text = jbuf_text(&j, NULL)) != NULL)
		traceq_add(&e, text);
	jbuf_free(&j);
}

static void
tool_results(const struct llm_call *c, struct search *s,
    const struct jspan *list)
{
	struct found *found;
	struct jiter it;
	struct jspan m;
	unsigned int i, nr = 0;

	if (jscan_array(&it, list->p, list->len) == -1 ||
	    (found = calloc(RESULTS, sizeof(*found))) == NULL)
		return;
	s->found = found;
	while (jscan_next(&it, NULL, &m) == 1)
		look_at(s, &m, ++nr);
	for (i = 0; i < s->nfound; i++)
		put_result(c, s, &found[i]);
	s->found = NULL;
	free(found);
}

/* ---- what the event says about the request ---- */

/*
 * All messages if they are not many; else those that this call adds to the
 * last one, and of them the newest that fit.
 */
static void
put_messages(struct jbuf *j, const struct search *s,
    const struct jspan *list)
{
	unsigned int nr = 0, from, put = 0;
	struct jiter it;
	struct jspan m = { NULL, 0, JT_NONE };
	size_t sum = 0;

	jb_key(j, "messages");
	if (list->len <= MESSAGES_MAX) {
		jb_raw(j, list->p, list->len);
		return;
	}
	from = s->turn != NULL && s->turn->nmsgs < s->nmsgs ?
	    s->turn->nmsgs : 0;
	jb_arr(j);
	if (jscan_array(&it, list->p, list->len) == 0)
		while (jscan_next(&it, NULL, &m) == 1)
			if (++nr > from)
				sum += m.len + 1;
	nr = 0;
	if (jscan_array(&it, list->p, list->len) == 0)
		while (jscan_next(&it, NULL, &m) == 1) {
			if (++nr <= from)
				continue;
			if (sum <= MESSAGES_MAX) {
				jb_raw(j, m.p, m.len);
				put++;
			}
			sum -= m.len + 1;
		}
	jb_end(j);
	jb_kint(j, "messages_omitted", (int64_t)nr - put);
}

static void
put_tools(struct jbuf *j, const struct jspan *list)
{
	struct jiter it;
	struct jspan tool, f, name;
	unsigned int n = 0;

	jb_key(j, "tools");
	jb_arr(j);
	if (list->type == JT_ARRAY &&
	    jscan_array(&it, list->p, list->len) == 0)
		while (n < TOOL_NAMES && jscan_next(&it, NULL, &tool) == 1) {
			if (tool.type != JT_OBJECT ||
			    jscan_get(tool.p, tool.len, "function",
			    &f) != 1 || f.type != JT_OBJECT ||
			    jscan_get(f.p, f.len, "name", &name) != 1 ||
			    name.type != JT_STRING || name.len > 256)
				continue;
			jb_raw(j, name.p, name.len);
			n++;
		}
	jb_end(j);
}

void
llm_trace_request(struct llm_call *c)
{
	struct jspan list = llmreq_span(&c->q.messages, c->body);
	struct jspan tools = llmreq_span(&c->q.tools, c->body);
	struct search s = { .agent = c->agent };
	struct jbuf *j = &c->request;

	s.turn = turn_find(c->agent, c->trace_id);
	count_messages(&s, &list);
	if (s.turn != NULL)
		tool_results(c, &s, &list);
	jb_obj(j);
	jb_kstr(j, "model", c->q.name);
	jb_kbool(j, "stream", c->q.streams);
	jb_kint(j, "messages_total", s.nmsgs);
	put_messages(j, &s, &list);
	put_tools(j, &tools);
	jb_end(j);
	if (s.turn != NULL)
		s.turn->nmsgs = s.nmsgs;
	/* After the results that it brings. */
	c->at = sys_time();
}

/* ---- the end of a call ---- */

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
	event_init(&e, c, "tool_call");
	e.id = id;
	e.parent_id = c->event_id;
	jbuf_init(&j, GW_TRACE_MAX);
	jb_obj(&j);
	jb_kstr(&j, "tool", tool->name);
	jb_key(&j, "args");
	tap_put_args(&j, &tool->args, RESULT_MAX);
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

	event_init(&e, c, "llm_call");
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

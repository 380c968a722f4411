/*
 * What the agent itself writes into its trace.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: trace.
 *
 * A 2xx is given after the writer has it on disk, so these do not pass
 * traceq: without the writer they are refused and come again.
 */
#include <sys/types.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "gateway.h"
#include "jbuf.h"
#include "jscan.h"
#include "json.h"
#include "log.h"
#include "traceq.h"
#include "worker.h"

#define PICO	1e12
#define COST_MAX	1e6	/* USD of one event */

/* A tool_call, tool_result or reasoning on its way. */
struct told {
	char		 trace_id[65];
	char		 tool_id[TOOL_ID_MAX + 1];
	bool		 call;
	bool		 result;
	uint32_t	 attempt;
	uint64_t	 seq;
};

static void	post_body(struct greq *, char *, size_t);
static void	post_answer(struct msg *, void *);
static void	told_answer(struct msg *, void *);
static void	told_closed(struct greq *);

/* As greq_ask, for an event with a payload of any length. */
static int
ask_trace(struct greq *g, struct m_trace_event *e, const char *payload,
    peer_reply_fn fn)
{
	g->peer = worker_peer(PROC_TRACE);
	g->pending = trace_send(e, payload, GW_ASK_MS, fn, g);
	return g->pending == 0 ? -1 : 0;
}

/* ---- POST /api/trace ---- */

void
tracein_post(struct greq *g)
{
	if (!rate_take(&g->agent->events_in, GW_EVENTS_S)) {
		greq_error(g, 429, "more than %d events a second",
		    GW_EVENTS_S);
		return;
	}
	greq_collect(g, post_body);
}

static bool
kind_ok(const char *kind)
{
	static const char *const kinds[] = { "message_in", "message_out",
	    "llm_call", "tool_call", "tool_result", "reasoning", "error",
	    "lifecycle" };
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i], kind) == 0)
			return true;
	return false;
}

static int
post_fields(struct json_object *o, struct m_trace_event *e,
    struct json_err *err)
{
	double cost = -1, at = 0;

	if (json_get_str(o, "kind", true, 1, 32, &e->kind, err) == -1 ||
	    json_get_str(o, "id", false, 0, 64, &e->id, err) == -1 ||
	    json_get_str(o, "trace_id", false, 0, 64, &e->trace_id,
	    err) == -1 ||
	    json_get_str(o, "parent_id", false, 0, 64, &e->parent_id,
	    err) == -1 ||
	    json_get_str(o, "channel_id", false, 0, 64, &e->channel_id,
	    err) == -1 ||
	    json_get_str(o, "thread_id", false, 0, 64, &e->thread_id,
	    err) == -1 ||
	    json_get_str(o, "backend_name", false, 0, 64, &e->backend_name,
	    err) == -1 ||
	    json_get_str(o, "model", false, 0, 256, &e->model, err) == -1 ||
	    json_get_str(o, "error", false, 0, 2048, &e->error, err) == -1 ||
	    json_get_int(o, "duration_ms", false, 0, INT64_MAX,
	    &e->duration_ms, err) == -1 ||
	    json_get_int(o, "tokens_in", false, 0, INT64_MAX, &e->tokens_in,
	    err) == -1 ||
	    json_get_int(o, "tokens_out", false, 0, INT64_MAX, &e->tokens_out,
	    err) == -1 ||
	    json_get_double(o, "created_at", false, 0, 1e11, &at, err) == -1 ||
	    json_get_double(o, "cost_usd", false, 0, COST_MAX, &cost,
	    err) == -1)
		return -1;
	e->created_at = at;
	if (cost >= 0)
		e->cost_pico = (int64_t)(cost * PICO + 0.5);
	return 0;
}

/* The payload's text, "{}" if there is none; to be freed.  NULL and *err. */
static char *
post_payload(const char *body, size_t len, struct json_err *err)
{
	struct jspan v;
	char *text;

	if (jscan_get(body, len, "payload", &v) != 1 || v.type == JT_NULL) {
		v.p = "{}";
		v.len = 2;
		v.type = JT_OBJECT;
	}
	if (v.type != JT_OBJECT) {
		(void)json_fail(err, "payload", "payload must be an object");
		return NULL;
	}
	if (v.len > GW_TRACE_MAX) {
		(void)json_fail(err, "payload", "payload may have 1 MiB");
		return NULL;
	}
	if ((text = strndup(v.p, v.len)) == NULL)
		fatal("payload");
	return text;
}

static void
post_body(struct greq *g, char *body, size_t len)
{
	struct m_trace_event e;
	struct json_err err;
	struct json_object *o;
	char *payload = NULL, id[ID_LEN + 1];

	if ((o = json_parse_strict(body, len, 32, &err)) == NULL) {
		greq_error(g, 400, "%s", err.msg);
		return;
	}
	trace_event_init(&e, g->agent->id, "");
	e.source = "agent";
	if (post_fields(o, &e, &err) == -1 ||
	    (payload = post_payload(body, len, &err)) == NULL) {
		greq_error(g, 422, "%s", err.msg);
	} else if (!kind_ok(e.kind)) {
		greq_error(g, 400, "unknown kind %s", e.kind);
	} else {
		if (e.id == NULL || *e.id == '\0') {
			sys_id(id);
			e.id = id;
		}
		(void)strlcpy(g->event_id, e.id, sizeof(g->event_id));
		if (ask_trace(g, &e, payload, post_answer) == -1)
			greq_away(g, PROC_TRACE);
	}
	free(payload);
	json_free(o);
}

/* Says why trace did not take it; false if it did. */
static bool
trace_failed(struct greq *g, struct msg *m)
{
	if (m == NULL || m->type != MSG_DONE) {
		greq_away(g, PROC_TRACE);
		return true;
	}
	if (m->u.done.status < 400)
		return false;
	greq_error(g, m->u.done.status >= 500 ? 503 : (int)m->u.done.status,
	    "%s", m->u.done.error);
	return true;
}

static void
post_answer(struct msg *m, void *arg)
{
	struct greq *g = arg;
	struct jbuf j;

	greq_asked(g);
	if (trace_failed(g, m))
		return;
	jbuf_init(&j, 1024);
	jb_obj(&j);
	jb_kstr(&j, "id", g->event_id);
	jb_kstr(&j, "agent_name", g->agent->slug);
	jb_kint(&j, "schema_version", 1);
	jb_end(&j);
	greq_reply(g, 200, &j);
	jbuf_free(&j);
}

/* ---- replies of the bridge that go into the trace ---- */

static void
accepted(struct greq *g)
{
	struct jbuf j;

	jbuf_init(&j, 64);
	jb_obj(&j);
	jb_kbool(&j, "accepted", true);
	jb_end(&j);
	greq_reply(g, 202, &j);
	jbuf_free(&j);
}

/*
 * The same reply must make the same event, however often it comes: its id is
 * a digest of what names it.
 */
static void
reply_event_id(const struct m_bridge_reply *r, char out[ID_LEN + 1])
{
	unsigned char digest[crypto_hash_sha256_BYTES];
	char text[256];
	int n;

	if (r->seq == 0) {
		sys_id(out);
		return;
	}
	n = snprintf(text, sizeof(text), "%s %s %u %llu", r->trace_id,
	    r->kind, r->attempt, (unsigned long long)r->seq);
	crypto_hash_sha256(digest, (const unsigned char *)text, (size_t)n);
	sys_hex(out, digest, ID_LEN / 2);
}

static void
raw_member(struct jbuf *j, const char *key, const char *body, size_t len,
    const char *from)
{
	struct jspan v;

	jb_key(j, key);
	if (jscan_get(body, len, from, &v) == 1)
		jb_raw(j, v.p, v.len);
	else
		jb_null(j);
}

/* The event's payload; -1 with *err. */
static int
reply_payload(struct jbuf *j, const struct m_bridge_reply *r,
    struct agent *a, struct json_object *o, const char *body, size_t len,
    int64_t *duration, struct json_err *err)
{
	const char *tool = "", *id = "";
	bool success = true;

	jb_obj(j);
	if (strcmp(r->kind, "reasoning") == 0) {
		jb_kstr(j, "text", r->content);
		jb_end(j);
		return 0;
	}
	if (json_get_str(o, "tool", true, 1, 256, &tool, err) == -1 ||
	    json_get_str(o, "tool_call_id", false, 0, 256, &id, err) == -1 ||
	    json_get_bool(o, "success", false, &success, err) == -1 ||
	    json_get_int(o, "duration_ms", false, 0, INT64_MAX, duration,
	    err) == -1)
		return -1;
	jb_kstr(j, "tool", tool);
	if (strcmp(r->kind, "tool_call") == 0) {
		raw_member(j, "args", body, len, "args");
		jb_kstr(j, "caller", a->framework);
	} else {
		raw_member(j, "result", body, len, "result");
		jb_kbool(j, "success", success);
	}
	if (*id != '\0')
		jb_kstr(j, "tool_call_id", id);
	jb_end(j);
	return 0;
}

/* Is this new to the trace?  Fills told with how to take that back. */
static bool
reply_is_new(struct agent *a, struct turn *t, const struct m_bridge_reply *r,
    struct json_object *o, struct told *d, struct m_trace_event *e,
    char parent[ID_LEN + 1])
{
	struct json_err err;
	struct tool_entry *te;
	const char *id = "", *tool = "";

	if (r->seq != 0 && (r->attempt < t->done_attempt ||
	    (r->attempt == t->done_attempt && r->seq <= t->done_seq)))
		return false;
	(void)json_get_str(o, "tool_call_id", false, 0, 256, &id, &err);
	(void)json_get_str(o, "tool", false, 0, 256, &tool, &err);
	tool_norm(id, strlen(id), d->tool_id);
	if (d->tool_id[0] == '\0' || strcmp(r->kind, "reasoning") == 0)
		return true;
	if (strcmp(r->kind, "tool_call") == 0) {
		te = toolmap_call(turn_tools(a, t), d->tool_id, tool,
		    TOOL_AGENT, sys_now_ms());
		d->call = te != NULL;
		if (te != NULL)
			(void)strlcpy(te->event, e->id, sizeof(te->event));
		return d->call;
	}
	te = toolmap_result(turn_tools(a, t), d->tool_id, TOOL_AGENT,
	    sys_now_ms());
	d->result = te != NULL;
	if (te != NULL) {
		(void)strlcpy(parent, te->event, ID_LEN + 1);
		e->parent_id = parent;
	}
	return d->result;
}

/* The time of a reply; one that comes again keeps that of its first try. */
static double
told_time(struct turn *t, const struct m_bridge_reply *r)
{
	if (r->seq == 0 || r->seq != t->told_seq ||
	    r->attempt != t->told_attempt) {
		t->told_seq = r->seq;
		t->told_attempt = r->attempt;
		t->told_at = sys_time();
	}
	return t->told_at;
}

void
tracein_reply(struct greq *g, struct turn *t, const struct m_bridge_reply *r,
    struct json_object *o, const char *body, size_t len)
{
	struct m_trace_event e;
	struct json_err err;
	struct told *d;
	struct jbuf j;
	const char *text;
	char id[ID_LEN + 1], parent[ID_LEN + 1];

	if ((d = calloc(1, sizeof(*d))) == NULL)
		fatal("reply");
	(void)strlcpy(d->trace_id, r->trace_id, sizeof(d->trace_id));
	d->attempt = r->attempt;
	d->seq = r->seq;
	trace_event_init(&e, g->agent->id, r->kind);
	e.source = "agent";
	e.trace_id = r->trace_id;
	e.channel_id = t->channel_id;
	e.created_at = told_time(t, r);
	e.id = id;
	jbuf_init(&j, GW_TRACE_MAX);
	if (reply_payload(&j, r, g->agent, o, body, len, &e.duration_ms,
	    &err) == -1) {
		greq_error(g, 422, "%s", err.msg);
		free(d);
	} else {
		reply_event_id(r, id);
		g->data = d;
		g->closed = told_closed;
		if (!reply_is_new(g->agent, t, r, o, d, &e, parent)) {
			free(d);
			accepted(g);
		} else if ((text = jbuf_text(&j, NULL)) == NULL ||
		    ask_trace(g, &e, text, told_answer) == -1) {
			told_closed(g);
			greq_away(g, PROC_TRACE);
		}
	}
	jbuf_free(&j);
}

/* It was not written, or nobody knows: it may come again. */
static void
told_closed(struct greq *g)
{
	struct told *d = g->data;
	struct turn *t = turn_find(g->agent, d->trace_id);

	if (t != NULL && d->call)
		toolmap_undo_call(&t->tools, d->tool_id, TOOL_AGENT);
	if (t != NULL && d->result)
		toolmap_undo_result(&t->tools, d->tool_id, TOOL_AGENT);
	free(d);
	g->data = NULL;
	g->closed = NULL;
}

static void
told_answer(struct msg *m, void *arg)
{
	struct greq *g = arg;
	struct told *d = g->data;
	struct turn *t = turn_find(g->agent, d->trace_id);

	greq_asked(g);
	if (m == NULL || m->type != MSG_DONE || m->u.done.status >= 400) {
		told_closed(g);
		(void)trace_failed(g, m);
		return;
	}
	if (t != NULL && d->seq != 0) {
		t->done_attempt = d->attempt;
		t->done_seq = d->seq;
	}
	free(d);
	g->data = NULL;
	g->closed = NULL;
	accepted(g);
}

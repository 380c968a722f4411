/*
 * The bridge: bootstrap, acknowledgements and replies of the agent.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: keeper, trace.
 *
 * What the agent writes is taken apart here; keeper and trace get typed
 * messages only.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "jbuf.h"
#include "json.h"
#include "log.h"
#include "worker.h"

#define ATTEMPTS	3	/* the link runs a turn so often at most */

static void	ack_body(struct greq *, char *, size_t);
static void	prepared_body(struct greq *, char *, size_t);
static void	reply_body(struct greq *, char *, size_t);
static void	reply_chat(struct greq *, struct m_bridge_reply *);
static void	bridge_answer(struct msg *, void *);

bool
bridge_session(struct greq *g)
{
	const char *s = httpd_req_param(g->req, "slug");

	if (s != NULL && (strcmp(s, g->agent->slug) == 0 ||
	    strcmp(s, g->agent->id) == 0))
		return true;
	greq_error(g, 404, "no such session on this socket");
	return false;
}

static void
add_model(struct jbuf *j, const char *id)
{
	jb_obj(j);
	jb_kstr(j, "id", id);
	jb_kstr(j, "name", id);
	jb_kint(j, "contextWindow", 128000);
	jb_kint(j, "maxTokens", 16384);
	jb_key(j, "input");
	jb_arr(j);
	jb_str(j, "text");
	jb_end(j);
	jb_kbool(j, "reasoning", false);
	jb_end(j);
}

static void
add_provider(struct jbuf *j)
{
	jb_key(j, "models");
	jb_obj(j);
	jb_key(j, "providers");
	jb_obj(j);
	jb_key(j, "litellm");
	jb_obj(j);
	jb_kstr(j, "api", "openai-completions");
	jb_kstr(j, "baseUrl", "http://127.0.0.1:4000");
	jb_kstr(j, "apiKey", "${LITELLM_API_KEY}");
	jb_key(j, "models");
	jb_arr(j);
	add_model(j, "default");
	jb_end(j);
	jb_end(j);
	jb_end(j);
	jb_end(j);
}

static void
add_channel(struct jbuf *j, const char *slug)
{
	char url[160];

	jb_key(j, "channel");
	jb_obj(j);
	jb_kstr(j, "provider", "taos");
	snprintf(url, sizeof(url),
	    "http://127.0.0.1:6969/api/openclaw/sessions/%s/events", slug);
	jb_kstr(j, "events_url", url);
	snprintf(url, sizeof(url),
	    "http://127.0.0.1:6969/api/openclaw/sessions/%s/reply", slug);
	jb_kstr(j, "reply_url", url);
	/* A dummy: the link puts the real key on what it forwards. */
	jb_kstr(j, "auth_bearer", "agentd-link");
	jb_end(j);
}

void
bridge_bootstrap(struct greq *g)
{
	const char *slug = g->agent->slug;
	struct jbuf j;
	char want[64];
	int r;

	r = httpd_req_query(g->req, "agent", want, sizeof(want));
	if (r != 1) {
		greq_error(g, 400, "the parameter agent is %s",
		    r == 0 ? "missing" : "wrong");
		return;
	}
	if (strcmp(want, slug) != 0) {
		greq_error(g, 404, "no such agent on this socket");
		return;
	}
	jbuf_init(&j, 8192);
	jb_obj(&j);
	jb_kint(&j, "schema_version", 1);
	jb_kstr(&j, "agent_name", slug);
	jb_kstr(&j, "session_id", slug);
	add_provider(&j);
	jb_key(&j, "agents");
	jb_obj(&j);
	jb_key(&j, "defaults");
	jb_obj(&j);
	jb_key(&j, "model");
	jb_obj(&j);
	jb_kstr(&j, "primary", "litellm/default");
	jb_end(&j);
	jb_end(&j);
	jb_end(&j);
	add_channel(&j, slug);
	jb_key(&j, "memory");
	jb_null(&j);
	jb_key(&j, "skills_mcp_url");
	jb_null(&j);
	jb_end(&j);
	greq_reply(g, 200, &j);
	jbuf_free(&j);
}

/* ---- acknowledgements ---- */

void
bridge_ack(struct greq *g)
{
	if (bridge_session(g))
		greq_collect(g, ack_body);
}

static void
ack_body(struct greq *g, char *body, size_t len)
{
	struct m_bridge_ack q;
	struct json_err err;
	struct json_object *o;
	int64_t up_to = 0;

	if ((o = json_parse_strict(body, len, 4, &err)) == NULL) {
		greq_error(g, 400, "%s", err.msg);
		return;
	}
	if (json_get_int(o, "up_to", true, 0, INT64_MAX, &up_to,
	    &err) == -1) {
		json_free(o);
		greq_error(g, 422, "%s", err.msg);
		return;
	}
	json_free(o);
	q.agent_id = g->agent->id;
	q.up_to = (uint64_t)up_to;
	(void)greq_ask(g, PROC_KEEPER, MSG_BRIDGE_ACK, &q, bridge_answer);
}

/* ---- prepare ---- */

void
bridge_prepared(struct greq *g)
{
	if (bridge_session(g))
		greq_collect(g, prepared_body);
}

static void
prepared_body(struct greq *g, char *body, size_t len)
{
	struct m_bridge_prepared q;
	struct json_err err;
	struct json_object *o;

	if ((o = json_parse_strict(body, len, 4, &err)) == NULL) {
		greq_error(g, 400, "%s", err.msg);
		return;
	}
	q.agent_id = g->agent->id;
	if (json_get_str(o, "id", true, 1, 64, &q.id, &err) == -1)
		greq_error(g, 422, "%s", err.msg);
	else
		(void)greq_ask(g, PROC_KEEPER, MSG_BRIDGE_PREPARED, &q,
		    bridge_answer);
	json_free(o);
}

/* ---- replies ---- */

void
bridge_reply(struct greq *g)
{
	if (!bridge_session(g))
		return;
	if (!rate_take(&g->agent->replies, GW_REPLIES_S)) {
		greq_error(g, 429, "more than %d replies a second",
		    GW_REPLIES_S);
		return;
	}
	greq_collect(g, reply_body);
}

static int
reply_fields(struct json_object *o, struct m_bridge_reply *r,
    struct json_err *err)
{
	int64_t seq = 0, attempt = 1;

	r->id = r->channel_id = r->content = r->error = r->cause = "";
	if (json_get_str(o, "kind", true, 1, 16, &r->kind, err) == -1 ||
	    json_get_str(o, "trace_id", true, 1, 64, &r->trace_id,
	    err) == -1 ||
	    json_get_str(o, "id", false, 0, 64, &r->id, err) == -1 ||
	    json_get_str(o, "channel_id", false, 0, 64, &r->channel_id,
	    err) == -1 ||
	    json_get_int(o, "seq", false, 0, INT64_MAX, &seq, err) == -1 ||
	    json_get_int(o, "attempt", false, 1, ATTEMPTS, &attempt,
	    err) == -1 ||
	    json_get_str(o, "content", false, 0, GW_REPLY_MAX, &r->content,
	    err) == -1 ||
	    json_get_str(o, "cause", false, 0, 32, &r->cause, err) == -1)
		return -1;
	if (strcmp(r->kind, "error") == 0 &&
	    json_get_str(o, "error", true, 1, 4096, &r->error, err) == -1)
		return -1;
	r->seq = (uint64_t)seq;
	r->attempt = (uint32_t)attempt;
	return 0;
}

static void
reply_body(struct greq *g, char *body, size_t len)
{
	struct m_bridge_reply r = { .kind = "" };
	struct json_err err;
	struct json_object *o;
	struct turn *t;

	if ((o = json_parse_strict(body, len, 32, &err)) == NULL) {
		greq_error(g, 400, "%s", err.msg);
		return;
	}
	if (reply_fields(o, &r, &err) == -1) {
		greq_error(g, 422, "%s", err.msg);
	} else if (strcmp(r.kind, "delta") == 0 ||
	    strcmp(r.kind, "final") == 0 || strcmp(r.kind, "error") == 0) {
		reply_chat(g, &r);
	} else if (strcmp(r.kind, "tool_call") != 0 &&
	    strcmp(r.kind, "tool_result") != 0 &&
	    strcmp(r.kind, "reasoning") != 0) {
		greq_error(g, 422, "kind must be delta, final, error, "
		    "tool_call, tool_result or reasoning");
	} else if ((t = turn_find(g->agent, r.trace_id)) != NULL) {
		tracein_reply(g, t, &r, o, body, len);
	} else if (agent_turns_unsure()) {
		greq_away(g, PROC_KEEPER);
	} else {
		greq_error(g, 404, "no open turn with this trace_id");
	}
	json_free(o);
}

/* Counts a delta against its turn; -1 if that is too much. */
static int
delta_fits(struct turn *t, const struct m_bridge_reply *r, size_t len)
{
	if (r->attempt > t->delta_attempt) {
		t->delta_attempt = r->attempt;
		t->delta_bytes = 0;
		t->delta_seq = 0;
	}
	/* The link repeats what it got no answer to: not more text. */
	if (r->seq != 0 && r->seq <= t->delta_seq)
		return 0;
	if (t->delta_bytes + len > GW_TURN_MAX)
		return -1;
	t->delta_bytes += len;
	t->delta_seq = r->seq;
	return 0;
}

static void
reply_chat(struct greq *g, struct m_bridge_reply *r)
{
	struct turn *t = turn_find(g->agent, r->trace_id);
	size_t len = strlen(r->content);

	r->agent_id = g->agent->id;
	if (strcmp(r->kind, "delta") == 0) {
		if (len > GW_DELTA_MAX) {
			greq_error(g, 413, "a delta may have 64 KiB");
			return;
		}
		if (t != NULL && delta_fits(t, r, len) == -1) {
			greq_error(g, 413, "the deltas of a turn may have "
			    "1 MiB together");
			return;
		}
	}
	(void)greq_ask(g, PROC_KEEPER, MSG_BRIDGE_REPLY, r, bridge_answer);
}

static void
bridge_answer(struct msg *m, void *arg)
{
	struct greq *g = arg;
	struct jbuf j;
	bool ack = g->route->fn != bridge_reply;

	greq_asked(g);
	if (m == NULL || m->type != MSG_DONE) {
		greq_away(g, PROC_KEEPER);
		return;
	}
	if (m->u.done.status >= 400) {
		greq_error(g, (int)m->u.done.status, "%s", m->u.done.error);
		return;
	}
	jbuf_init(&j, 64);
	jb_obj(&j);
	jb_kbool(&j, ack ? "ok" : "accepted", true);
	jb_end(&j);
	greq_reply(g, ack ? 200 : 202, &j);
	jbuf_free(&j);
}

/*
 * The API of the trace: TRACE_QUERY and TRACE_POST from front.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: front.
 *
 * Who asks is in the pass, and only there.
 */
#include <sys/types.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "pass.h"
#include "peer.h"
#include "post.h"
#include "sys.h"
#include "trace.h"

static struct {
	struct pass_ctx	ctx;
	uint32_t	gen;		/* of front's connection */
} api;

int
api_key(const struct m_pass_key *m)
{
	if (m->key.len != PASS_KEY_LEN || m->boot.len != PASS_BOOT_LEN)
		return -1;
	memcpy(api.ctx.key, m->key.ptr, PASS_KEY_LEN);
	memcpy(api.ctx.boot, m->boot.ptr, PASS_BOOT_LEN);
	api.ctx.set = 1;
	return 0;
}

void
api_front_down(void)
{
	api.gen++;
	query_cancel_all();
}

/* Checks the pass; false: the request is answered. */
static bool
identify(uint64_t id, const struct msg_bytes *pass, struct pass *out)
{
	if (pass_check(&api.ctx, PROC_TRACE, pass, out) == 0)
		return true;
	out_end(id, 401, errno == ETIMEDOUT ? "the sign-in is over" :
	    "nobody is signed in");
	return false;
}

/* Finds an agent that this principal may see. */
static bool
find_agent(uint64_t id, const char *name, const struct pass *who,
    struct agent *a)
{
	char text[128];
	int r;

	if ((r = agents_find(name, a)) == -1) {
		out_end(id, 500, "the list of agents cannot be read");
		return false;
	}
	/* Somebody else's agent looks like none at all. */
	if (r == 1 && (who->role == ROLE_ADMIN ||
	    strcmp(a->owner, who->principal) == 0))
		return true;
	snprintf(text, sizeof(text), "there is no agent %.64s", name);
	out_end(id, 404, text);
	return false;
}

/* ---- reading ---- */

int
api_query(uint64_t id, const struct m_trace_query *m)
{
	struct filter f;
	struct pass who;
	struct agent a;
	const char *why;

	if (!identify(id, &m->pass, &who))
		return 0;
	if (*m->kind != '\0' && !tev_kind(m->kind)) {
		out_end(id, 400, "kind: none of message_in, message_out, "
		    "llm_call, tool_call, tool_result, reasoning, error, "
		    "lifecycle");
		return 0;
	}
	if (!isfinite(m->since) || !isfinite(m->until)) {
		out_end(id, 400, "since and until: not a time");
		return 0;
	}
	if (!find_agent(id, m->agent, &who, &a))
		return 0;
	f.kind = m->kind;
	f.channel_id = m->channel_id;
	f.trace_id = m->trace_id;
	f.since = m->since;
	f.until = m->until;
	why = query_start(id, who.principal, a.id, &f, m->limit,
	    m->follow != 0);
	if (why != NULL)
		out_end(id, 503, why);
	/* An empty row says that the stream is open: it may stay silent. */
	else if (m->follow != 0 && out_row(id, "", "", 0) == -1)
		log_warn("answer to front");
	return 0;
}

/* ---- writing ---- */

static void
on_posted(const struct tev *e, unsigned int status, const char *error)
{
	struct jbuf b;
	const char *text;

	if (e->gen != api.gen)
		return;
	if (status >= 300) {
		out_end(e->request, status, error);
		return;
	}
	jbuf_init(&b, 1024);
	jb_obj(&b);
	jb_kstr(&b, "id", e->id);
	jb_kstr(&b, "agent_name", e->agent_name);
	jb_kint(&b, "schema_version", 1);
	jb_end(&b);
	if ((text = jbuf_text(&b, NULL)) != NULL)
		out_doc(e->request, 200, text);
	jbuf_free(&b);
}

static void
event_of(struct m_trace_event *e, const struct m_trace_post *m,
    const char *agent_id)
{
	memset(e, 0, sizeof(*e));
	e->agent_id = agent_id;
	e->id = m->id;
	e->trace_id = m->trace_id;
	e->parent_id = m->parent_id;
	e->created_at = m->created_at;
	e->kind = m->kind;
	e->channel_id = m->channel_id;
	e->thread_id = m->thread_id;
	e->backend_name = m->backend_name;
	e->model = m->model;
	e->duration_ms = m->duration_ms;
	e->tokens_in = m->tokens_in;
	e->tokens_out = m->tokens_out;
	e->cost_pico = m->cost_pico;
	e->error = m->error;
	e->source = "admin";
	e->payload = m->payload;
}

int
api_post(uint64_t id, const struct m_trace_post *m)
{
	struct m_trace_event in;
	struct pass who;
	struct agent a;
	struct tev *e;
	const char *why;
	char *payload;

	if (!identify(id, &m->pass, &who))
		return 0;
	if (who.role != ROLE_ADMIN) {
		out_end(id, 403, "only an admin may write into a trace");
		return 0;
	}
	if (!find_agent(id, m->agent, &who, &a))
		return 0;
	event_of(&in, m, a.id);
	if ((why = tev_check(&in)) != NULL) {
		out_end(id, 400, why);
		return 0;
	}
	if ((payload = strdup(m->payload)) == NULL ||
	    (e = tev_new(&in, a.slug, payload, strlen(payload),
	    sys_time())) == NULL) {
		out_end(id, 503, "out of memory");
		return 0;
	}
	e->done = on_posted;
	e->from = PROC_FRONT;
	e->gen = api.gen;
	e->request = id;
	if (store_add(e) == -1)
		out_end(id, 503, "too many events wait to be stored: try "
		    "again");
	return 0;
}

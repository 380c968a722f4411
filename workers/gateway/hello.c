/*
 * POST /api/agent/hello: the link says who it is and gets its key.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: proxy.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include "gateway.h"
#include "jbuf.h"
#include "json.h"
#include "log.h"
#include "worker.h"

#define HELLOS_S	10.0	/* each one mints a key */

static void	hello_body(struct greq *, char *, size_t);
static void	hello_minted(struct msg *, void *);

void
hello_post(struct greq *g)
{
	if (!rate_take(&g->agent->hellos, HELLOS_S)) {
		greq_error(g, 429, "too many hellos");
		return;
	}
	greq_collect(g, hello_body);
}

static void
hello_body(struct greq *g, char *body, size_t len)
{
	static const char *const names[] = { "link", "runtime", "kind",
	    NULL };
	struct m_agent_id q;
	struct json_err err;
	struct json_object *o;
	const char *link = "?", *runtime = "?", *kind = "?";

	if ((o = json_parse_strict(body, len, 4, &err)) == NULL) {
		greq_error(g, 400, "%s", err.msg);
		return;
	}
	if (json_only(o, names, &err) == -1 ||
	    json_get_str(o, "link", true, 1, 32, &link, &err) == -1 ||
	    json_get_str(o, "runtime", true, 1, 64, &runtime, &err) == -1 ||
	    json_get_str(o, "kind", true, 1, 16, &kind, &err) == -1) {
		json_free(o);
		greq_error(g, 422, "%s", err.msg);
		return;
	}
	log_debug("agent %s: hello of link %s, %s runtime %s", g->agent->slug,
	    link, kind, runtime);
	json_free(o);
	q.agent_id = g->agent->id;
	(void)greq_ask(g, PROC_PROXY, MSG_KEY_MINT, &q, hello_minted);
}

static void
hello_minted(struct msg *m, void *arg)
{
	struct greq *g = arg;
	struct jbuf j;
	char url[160];

	greq_asked(g);
	if (m == NULL || m->type != MSG_KEY_MINTED) {
		greq_away(g, PROC_PROXY);
		return;
	}
	if (m->u.key_minted.status != 200) {
		/* A policy that has not come yet: the link asks again. */
		greq_error(g, 503, "no key yet: %s", m->u.key_minted.error);
		return;
	}
	snprintf(url, sizeof(url), "/api/openclaw/sessions/%s/events",
	    g->agent->slug);
	jbuf_init(&j, 4096);
	j.secret = true;
	jb_obj(&j);
	jb_kstr(&j, "agent_id", g->agent->id);
	jb_kstr(&j, "slug", g->agent->slug);
	jb_kstr(&j, "key", m->u.key_minted.key);
	jb_kstr(&j, "events_url", url);
	jb_end(&j);
	greq_reply(g, 200, &j);
	jbuf_free(&j);
}

/*
 * POST /api/agent/hello: the link says who it is and gets its key.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: proxy, keeper.
 *
 * An instance that was made ahead is nobody yet and gets no key.  When its
 * runtime is ready its hello waits here until keeper makes an agent of it.
 *
 * Of several agents that are deployed at one time the first ones are asked to
 * wait with their runtimes: a start of one takes more of the CPU than all the
 * rest of a deploy, and the others' instances are waited for.  The event
 * "start" ends that, so does a message for the agent, so does HOLD_MS.
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
#define HOLD_MS		3000	/* about what ten instances need */

static void	hello_body(struct greq *, char *, size_t);
static void	hello_mint(struct greq *);
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
tell_ready(const struct agent *a)
{
	struct m_agent_id m = { a->id };

	/* A keeper that comes later says what it is again: see hello_conf. */
	if (peer_send(worker_peer(PROC_KEEPER), MSG_AGENT_READY, &m) == -1)
		log_debug("agent %s: ready, but keeper is away", a->id);
}

static void
hello_left(struct greq *g)
{
	g->agent->hello = NULL;
}

static void
hello_wait(struct greq *g, bool ready)
{
	struct agent *a = g->agent;
	struct greq *old = a->hello;

	if (!ready) {
		greq_error(g, 503, "come again when the runtime is ready");
		return;
	}
	if (old != NULL) {
		greq_error(old, 503, "another hello has come");
	}
	a->hello = g;
	g->closed = hello_left;
	tell_ready(a);
}

void
hello_conf(struct agent *a)
{
	struct greq *g = a->hello;

	if (g == NULL)
		return;
	if (a->known && a->state == AGENT_WARM) {
		tell_ready(a);
		return;
	}
	a->hello = NULL;
	g->closed = NULL;
	if (a->known && (a->state == AGENT_RUNNING ||
	    a->state == AGENT_DEPLOYING))
		hello_mint(g);
	else
		greq_error(g, 409, "agent %s is stopped", a->slug);
}

static void
hello_body(struct greq *g, char *body, size_t len)
{
	static const char *const names[] = { "link", "runtime", "kind",
	    "ready", NULL };
	struct json_err err;
	struct json_object *o;
	const char *link = "?", *runtime = "?", *kind = "?";
	bool ready = false;

	if ((o = json_parse_strict(body, len, 4, &err)) == NULL) {
		greq_error(g, 400, "%s", err.msg);
		return;
	}
	if (json_only(o, names, &err) == -1 ||
	    json_get_str(o, "link", true, 1, 32, &link, &err) == -1 ||
	    json_get_str(o, "runtime", true, 1, 64, &runtime, &err) == -1 ||
	    json_get_str(o, "kind", true, 1, 16, &kind, &err) == -1 ||
	    json_get_bool(o, "ready", false, &ready, &err) == -1) {
		json_free(o);
		greq_error(g, 422, "%s", err.msg);
		return;
	}
	log_debug("agent %s: hello of link %s, %s runtime %s", g->agent->slug,
	    link, kind, runtime);
	json_free(o);
	if (g->agent->state == AGENT_WARM)
		hello_wait(g, ready);
	else
		hello_mint(g);
}

/* ---- who is deployed together with others ---- */

static struct {
	const struct agent	*but;
	unsigned int		 n;	/* are being deployed, besides it */
	unsigned int		 held;
} beside;

static void
count_one(struct agent *a)
{
	beside.n += a != beside.but && a->known &&
	    a->state == AGENT_DEPLOYING;
	beside.held += a->held;
}

static unsigned int
deployed_beside(const struct agent *a)
{
	beside.but = a;
	beside.n = beside.held = 0;
	agent_each(count_one);
	return beside.n;
}

static void
go_one(struct agent *a)
{
	if (a->held && deployed_beside(a) == 0)
		a->held = !events_say(a, "start");
}

void
hello_go(void)
{
	(void)deployed_beside(NULL);
	if (beside.held > 0 && beside.n <= 1)
		agent_each(go_one);
}

/* ---- the answer ---- */

static void
hello_mint(struct greq *g)
{
	struct m_agent_id q = { g->agent->id };

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
	/* By its id: a rename must not cut it off. */
	snprintf(url, sizeof(url), "/api/openclaw/sessions/%s/events",
	    g->agent->id);
	jbuf_init(&j, 4096);
	j.secret = true;
	jb_obj(&j);
	jb_kstr(&j, "agent_id", g->agent->id);
	jb_kstr(&j, "slug", g->agent->slug);
	jb_kstr(&j, "key", m->u.key_minted.key);
	jb_kstr(&j, "events_url", url);
	g->agent->held = g->agent->state == AGENT_DEPLOYING &&
	    deployed_beside(g->agent) > 0;
	if (g->agent->held)
		jb_kint(&j, "hold_ms", HOLD_MS);
	jb_end(&j);
	greq_reply(g, 200, &j);
	jbuf_free(&j);
}

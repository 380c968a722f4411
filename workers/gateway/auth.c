/*
 * Is the key on a request this agent's?  Asks proxy once, then remembers.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: proxy, trace.
 *
 * Only SHA-256 of a key is kept and compared, over its full length; proxy
 * takes back what it said with KEY_FLUSH.
 */
#include <sys/types.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sodium.h>

#include "gateway.h"
#include "jbuf.h"
#include "log.h"
#include "traceq.h"
#include "worker.h"

#define FAILURES_S	20.0	/* wrong keys a second before we stop asking */
#define THEFTS_S	2.0	/* events a second into the victim's trace */

static void	auth_answer(struct msg *, void *);

void
auth_flush(struct agent *a)
{
	struct route *r;

	explicit_bzero(a->keys, sizeof(a->keys));
	a->nkeys = a->nextkey = 0;
	while ((r = TAILQ_FIRST(&a->routes)) != NULL) {
		TAILQ_REMOVE(&a->routes, r, entry);
		free(r);
	}
	a->nroutes = 0;
}

static bool
auth_known(const struct agent *a, const uint8_t *digest)
{
	unsigned int i;

	for (i = 0; i < a->nkeys; i++)
		if (sodium_memcmp(a->keys[i], digest, 32) == 0)
			return true;
	return false;
}

static void
auth_remember(struct agent *a, const uint8_t *digest)
{
	if (auth_known(a, digest))
		return;
	memcpy(a->keys[a->nextkey], digest, 32);
	a->nextkey = (a->nextkey + 1) % GW_KEYS;
	if (a->nkeys < GW_KEYS)
		a->nkeys++;
}

/* Digest of the request's key; -1 if there is none of our form. */
static int
auth_digest(struct greq *g)
{
	const char *v;
	size_t plen = sizeof(GW_KEY_PREFIX) - 1;

	if (greq_header(g, "Authorization", &v) == -1 || v == NULL ||
	    strncasecmp(v, "Bearer ", 7) != 0)
		return -1;
	for (v += 7; *v == ' '; v++)
		;
	if (strlen(v) != GW_KEY_LEN || strncmp(v, GW_KEY_PREFIX, plen) != 0 ||
	    strspn(v + plen, "0123456789abcdef") != 64)
		return -1;
	crypto_hash_sha256(g->digest, (const unsigned char *)v, GW_KEY_LEN);
	return 0;
}

static void
auth_failed(struct greq *g)
{
	httpd_add_header(g->req, "WWW-Authenticate", "Bearer");
	greq_error(g, 401, "the key is unknown or was replaced");
}

void
auth_request(struct greq *g)
{
	struct agent *a = g->agent;
	struct m_key_check q;

	if (auth_digest(g) == -1) {
		auth_failed(g);
		return;
	}
	if (auth_known(a, g->digest)) {
		g->route->fn(g);
		return;
	}
	/* An agent that guesses must not keep proxy busy. */
	if (!rate_take(&a->failures, FAILURES_S)) {
		greq_error(g, 429, "too many wrong keys");
		return;
	}
	q.agent_id = a->id;
	q.digest.ptr = g->digest;
	q.digest.len = sizeof(g->digest);
	(void)greq_ask(g, PROC_PROXY, MSG_KEY_CHECK, &q, auth_answer);
}

/* One event of a theft, in the trace of the agent with this id. */
static void
theft_event(const char *agent_id, const char *message, const char *peer)
{
	struct m_trace_event e = { .agent_id = agent_id, .kind = "error",
	    .duration_ms = -1, .tokens_in = -1, .tokens_out = -1,
	    .cost_pico = -1, .source = "gateway", .error = message };
	struct jbuf j;
	const char *text;

	jbuf_init(&j, 4096);
	jb_obj(&j);
	jb_kstr(&j, "stage", "auth");
	jb_kstr(&j, "message", message);
	jb_kstr(&j, "agent", peer);
	jb_end(&j);
	if ((text = jbuf_text(&j, NULL)) != NULL)
		traceq_add(&e, text);
	jbuf_free(&j);
}

static void
auth_theft(struct greq *g, const struct m_key_info *k)
{
	struct agent *a = g->agent;
	char text[256];

	if (!rate_take(&a->thefts, THEFTS_S))
		return;
	log_warnx("agent %s used the key of agent %s", a->slug,
	    k->owner_slug);
	snprintf(text, sizeof(text),
	    "this agent used the key of agent %s: refused", k->owner_slug);
	theft_event(a->id, text, k->owner_slug);
	if (!sys_is_id(k->owner_agent))
		return;
	snprintf(text, sizeof(text),
	    "agent %s used the key of this agent: refused", a->slug);
	theft_event(k->owner_agent, text, a->slug);
}

static void
auth_answer(struct msg *m, void *arg)
{
	struct greq *g = arg;
	struct agent *a = g->agent;

	greq_asked(g);
	if (m == NULL || m->type != MSG_KEY_INFO) {
		greq_away(g, PROC_PROXY);
		return;
	}
	switch (m->u.key_info.status) {
	case 200:
		a->failures.used -= 1;	/* it was none */
		auth_remember(a, g->digest);
		g->route->fn(g);
		return;
	case 403:
		auth_theft(g, &m->u.key_info);
		greq_error(g, 403, "this key belongs to another agent");
		return;
	case 401:
		auth_failed(g);
		return;
	}
	greq_error(g, 503, "the key cannot be checked now, try again");
}

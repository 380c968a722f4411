/*
 * Messages about providers.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: proxy. Talks to: keeper, upstream, gateway, front.
 *
 * A new provider is tried on upstream before it is stored: what upstream
 * cannot use (a URL, a certificate) is refused while somebody listens.
 */
#include <sys/types.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jbuf.h"
#include "ledger.h"
#include "log.h"
#include "pass.h"
#include "providers.h"
#include "worker.h"

#define TRY_MS	5000	/* for upstream to judge a provider */

/* A PROVIDER_PUT that waits for upstream. */
struct put {
	uint64_t		 id;	/* keeper's request */
	struct m_provider_put	 p;	/* strings owned */
};

static struct {
	struct db	*db;
	struct pass_ctx	 pass;
} self;

static struct put *put_new(uint64_t, const struct m_provider_put *);
static void	put_free(struct put *);
static void	tried(struct msg *, void *);
static void	store(const struct put *);
static int	push_row(const struct m_provider_put *, double, void *);
static void	pushed(struct msg *, void *);
static void	route_drop(const char *);
static int	list_row(const struct m_provider_put *, double, void *);
static void	answer(uint64_t, int, const char *);

void
providers_init(struct db *db)
{
	self.db = db;
}

void
providers_push(void)
{
	if (provider_each(self.db, NULL, push_row, NULL) == -1)
		log_warnx("upstream does not know all providers");
}

static int
push_row(const struct m_provider_put *p, double created, void *arg)
{
	(void)created;
	(void)arg;
	if (peer_request(worker_peer(PROC_UPSTREAM), MSG_ROUTE_PUT, p, 0,
	    pushed, NULL) == 0)
		log_warn("provider %s to upstream", p->name);
	return 0;
}

static void
pushed(struct msg *m, void *arg)
{
	(void)arg;
	/* NULL: upstream is gone; it gets them again when it is back. */
	if (m != NULL && m->u.done.status != 200)
		log_warnx("upstream refused a provider: %s", m->u.done.error);
}

void
providers_flush(const char *agent_id)
{
	struct m_agent_id id = { .agent_id = agent_id };
	struct peer *gw = worker_peer(PROC_GATEWAY);

	/* A gateway that comes up has nothing cached. */
	if (peer_is_up(gw) && peer_send(gw, MSG_KEY_FLUSH, &id) == -1)
		log_warn("flush to gateway");
}

/* ---- keeper ---- */

int
providers_h_pass_key(struct peer *p, struct msg *m)
{
	const struct m_pass_key *in = &m->u.pass_key;

	(void)p;
	if (in->key.len != PASS_KEY_LEN || in->boot.len != PASS_BOOT_LEN)
		return -1;
	memcpy(self.pass.key, in->key.ptr, PASS_KEY_LEN);
	memcpy(self.pass.boot, in->boot.ptr, PASS_BOOT_LEN);
	self.pass.set = 1;
	return 0;
}

int
providers_h_put(struct peer *p, struct msg *m)
{
	const struct m_provider_put *in = &m->u.provider_put;
	struct put *put;
	struct why why = { "" };
	int status;

	(void)p;
	if (!sys_is_id(in->provider_id) || in->allow_private > 1)
		return -1;
	if ((status = provider_check(self.db, in, &why)) != 0) {
		answer(m->id, status, why.text);
		return 0;
	}
	put = put_new(m->id, in);
	if (peer_request(worker_peer(PROC_UPSTREAM), MSG_ROUTE_PUT, in,
	    TRY_MS, tried, put) == 0) {
		/* It is told when it comes up. */
		store(put);
		put_free(put);
	}
	return 0;
}

static void
tried(struct msg *m, void *arg)
{
	struct put *put = arg;

	if (m != NULL && m->u.done.status != 200)
		answer(put->id, (int)m->u.done.status, m->u.done.error);
	else
		store(put);
	put_free(put);
}

static void
store(const struct put *put)
{
	struct why why = { "" };
	int status;

	/* Another one may have taken the name while upstream thought. */
	status = provider_check(self.db, &put->p, &why);
	if (status == 0)
		status = provider_store(self.db, &put->p, &why);
	if (status != 0) {
		/* Upstream goes by what is stored. */
		route_drop(put->p.provider_id);
		if (provider_each(self.db, put->p.provider_id, push_row,
		    NULL) == -1)
			log_warnx("provider %s is not known to upstream",
			    put->p.name);
		answer(put->id, status, why.text);
		return;
	}
	log_info("provider %s stored", put->p.name);
	providers_flush("");
	answer(put->id, 200, "");
}

int
providers_h_drop(struct peer *p, struct msg *m)
{
	const char *id = m->u.provider_id.provider_id;
	struct why why = { "" };
	int status;

	(void)p;
	if (!sys_is_id(id))
		return -1;
	if ((status = provider_drop(self.db, id, &why)) != 0) {
		answer(m->id, status, why.text);
		return 0;
	}
	route_drop(id);
	providers_flush("");
	answer(m->id, 200, "");
	return 0;
}

static void
route_drop(const char *id)
{
	struct m_provider_id drop = { .provider_id = id };
	struct peer *up = worker_peer(PROC_UPSTREAM);

	if (peer_is_up(up) && peer_request(up, MSG_ROUTE_DROP, &drop, 0,
	    pushed, NULL) == 0)
		log_warn("route to upstream");
}

static struct put *
put_new(uint64_t id, const struct m_provider_put *in)
{
	struct put *put;

	if ((put = calloc(1, sizeof(*put))) == NULL)
		fatal("provider");
	put->id = id;
	put->p.allow_private = in->allow_private;
	if ((put->p.provider_id = strdup(in->provider_id)) == NULL ||
	    (put->p.name = strdup(in->name)) == NULL ||
	    (put->p.owner = strdup(in->owner)) == NULL ||
	    (put->p.type = strdup(in->type)) == NULL ||
	    (put->p.url = strdup(in->url)) == NULL ||
	    (put->p.models = strdup(in->models)) == NULL ||
	    (put->p.ca_pem = strdup(in->ca_pem)) == NULL)
		fatal("provider");
	return put;
}

static void
put_free(struct put *put)
{
	const char *owned[] = {
		put->p.provider_id, put->p.name, put->p.owner, put->p.type,
		put->p.url, put->p.models, put->p.ca_pem,
	};
	void *p;
	size_t i;

	for (i = 0; i < sizeof(owned) / sizeof(owned[0]); i++) {
		/* They came from strdup(): const is for the codec. */
		memcpy(&p, &owned[i], sizeof(p));
		free(p);
	}
	free(put);
}

static void
answer(uint64_t id, int status, const char *error)
{
	if (peer_done(worker_peer(PROC_KEEPER), id, (uint32_t)status, "%s",
	    error) == -1)
		log_warn("answer to keeper");
}

/* ---- front ---- */

struct listing {
	struct peer		*peer;
	const struct msg	*m;
	const struct pass	*pass;
};

int
providers_h_list(struct peer *p, struct msg *m)
{
	struct m_result res = { .status = 200, .event = "", .json = "" };
	struct listing l = { .peer = p, .m = m };
	struct pass pass;

	if (pass_check(&self.pass, PROC_PROXY, &m->u.api.pass, &pass) == -1) {
		res.status = 401;
		res.json = errno == ETIMEDOUT ?
		    "{\"error\":\"the pass is over\"}" :
		    "{\"error\":\"the pass is not valid\"}";
	} else {
		l.pass = &pass;
		if (provider_each(self.db, NULL, list_row, &l) == -1) {
			res.status = 503;
			res.json = "{\"error\":\"the ledger cannot be read\"}";
		}
	}
	if (peer_reply(p, m, MSG_RESULT, false, &res) == -1)
		log_warn("answer to front");
	return 0;
}

/* A user sees the own ones and what is built in. */
static int
list_row(const struct m_provider_put *p, double created, void *arg)
{
	struct m_result res = { .status = 200, .event = "" };
	const struct listing *l = arg;
	struct jbuf b;

	if (l->pass->role != ROLE_ADMIN && p->owner[0] != '\0' &&
	    strcmp(p->owner, l->pass->principal) != 0)
		return 0;
	jbuf_init(&b, 60000);
	provider_json(&b, p, created);
	if ((res.json = jbuf_text(&b, NULL)) == NULL)
		log_warnx("provider %s: its row is too long", p->name);
	else if (peer_reply(l->peer, l->m, MSG_RESULT, true, &res) == -1)
		log_warn("row to front");
	jbuf_free(&b);
	return 0;
}

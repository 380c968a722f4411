/*
 * The proxy manager: providers, routes, policies and virtual keys.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: proxy. Talks to: keeper, gateway, upstream, front.
 *
 * It decides which model goes where and who may use it; it never sees a
 * provider's key, a prompt or a reply.
 */
#include <sys/types.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "log.h"
#include "providers.h"
#include "worker.h"

static struct db *db;

static void	init(void);
static void	peer_up(struct peer *);
static int	h_key_mint(struct peer *, struct msg *);
static int	h_key_check(struct peer *, struct msg *);
static int	h_llm_route(struct peer *, struct msg *);
static int	h_model_list(struct peer *, struct msg *);
static int	h_agent_policy(struct peer *, struct msg *);
static int	h_agent_drop(struct peer *, struct msg *);
static int	h_model_check(struct peer *, struct msg *);
static int	h_held_list(struct peer *, struct msg *);
static int	h_cancel(struct peer *, struct msg *);
static void	model_row(const char *, const char *, void *);

static const struct msg_handler handlers[] = {
	{ MSG_PASS_KEY, providers_h_pass_key },
	{ MSG_PROVIDER_LIST, providers_h_list },
	{ MSG_PROVIDER_PUT, providers_h_put },
	{ MSG_PROVIDER_DROP, providers_h_drop },
	{ MSG_AGENT_POLICY, h_agent_policy },
	{ MSG_AGENT_DROP, h_agent_drop },
	{ MSG_MODEL_CHECK, h_model_check },
	{ MSG_KEY_MINT, h_key_mint },
	{ MSG_KEY_CHECK, h_key_check },
	{ MSG_LLM_ROUTE, h_llm_route },
	{ MSG_MODEL_LIST, h_model_list },
	{ MSG_HELD_LIST, h_held_list },
	{ MSG_CANCEL, h_cancel },
	{ MSG_NONE, NULL }
};

static const struct worker_ops ops = {
	.proc = PROC_PROXY,
	.handlers = handlers,
	.init = init,
	.peer_up = peer_up,
};

int
main(int argc, char **argv)
{
	return worker_main(argc, argv, &ops);
}

static void
init(void)
{
	char path[1100];

	if (sodium_init() == -1)
		fatalx("cannot start libsodium");
	(void)snprintf(path, sizeof(path), "%s/ledger.db",
	    worker_conf()->state_dir);
	if ((db = ledger_open(path)) == NULL)
		fatal("%s", path);
	providers_init(db);
}

static void
peer_up(struct peer *p)
{
	if (peer_proc(p) == PROC_UPSTREAM)
		providers_push();
	else if (peer_proc(p) == PROC_GATEWAY)
		providers_flush("");
}

/* ---- keys ---- */

static int
h_key_mint(struct peer *p, struct msg *m)
{
	struct m_key_minted res = { .status = 200, .error = "", .key = "" };
	char key[KEY_SIZE];
	struct why why = { "" };
	int status;

	if (!sys_is_id(m->u.agent_id.agent_id))
		return -1;
	key[0] = '\0';
	status = vkey_mint(db, m->u.agent_id.agent_id, key, &why);
	if (status != 0) {
		log_info("agent %s: no key: %s", m->u.agent_id.agent_id,
		    why.text);
		res.status = (uint32_t)status;
		res.error = why.text;
	} else {
		res.key = key;
	}
	if (peer_reply(p, m, MSG_KEY_MINTED, false, &res) == -1)
		log_warn("key to gateway");
	explicit_bzero(key, sizeof(key));
	return 0;
}

static int
h_key_check(struct peer *p, struct msg *m)
{
	const struct m_key_check *in = &m->u.key_check;
	struct vkey_info info;
	struct m_key_info res;

	if (!sys_is_id(in->agent_id) || in->digest.len != DIGEST_LEN)
		return -1;
	res.status = (uint32_t)vkey_check(db, in->agent_id, in->digest.ptr,
	    &info);
	res.owner_agent = info.owner_agent;
	res.owner_slug = info.owner_slug;
	if (info.activated) {
		log_info("agent %s: new key in use", in->agent_id);
		/* Before the answer: what it cached of older keys is dead. */
		providers_flush(in->agent_id);
	} else if (res.status == 403) {
		log_warnx("agent %s used the key of agent %s", in->agent_id,
		    info.owner_agent);
	}
	if (peer_reply(p, m, MSG_KEY_INFO, false, &res) == -1)
		log_warn("key check to gateway");
	return 0;
}

/* ---- models ---- */

static int
h_llm_route(struct peer *p, struct msg *m)
{
	const struct m_llm_route *in = &m->u.llm_route;
	struct m_llm_route_res res = { .status = 200, .error = "" };
	struct route_found found;
	struct why why = { "" };
	int status;

	if (!sys_is_id(in->agent_id))
		return -1;
	memset(&found, 0, sizeof(found));
	status = policy_route(db, in->agent_id, in->model, &found, &why);
	if (status != 0) {
		memset(&found, 0, sizeof(found));
		res.status = (uint32_t)status;
		res.error = why.text;
	}
	res.provider_id = found.provider_id;
	res.provider = found.provider;
	res.model = found.model;
	if (peer_reply(p, m, MSG_LLM_ROUTE_RES, false, &res) == -1)
		log_warn("route to gateway");
	return 0;
}

static int
h_model_list(struct peer *p, struct msg *m)
{
	int r;

	if (!sys_is_id(m->u.agent_id.agent_id))
		return -1;
	r = policy_models(db, m->u.agent_id.agent_id, model_row, m);
	if (peer_done(p, m->id, r == -1 ? 503 : 200, "%s",
	    r == -1 ? "the ledger cannot be read" : "") == -1)
		log_warn("models to gateway");
	return 0;
}

static void
model_row(const char *model, const char *provider, void *arg)
{
	struct m_model_row row = { .id = model, .provider = provider };

	if (peer_reply(worker_peer(PROC_GATEWAY), arg, MSG_MODEL_ROW, true,
	    &row) == -1)
		log_warn("model to gateway");
}

/* ---- agents ---- */

static int
h_agent_policy(struct peer *p, struct msg *m)
{
	const struct m_agent_policy *in = &m->u.agent_policy;
	struct why why = { "" };
	int status;

	if (!sys_is_id(in->agent_id) || !sys_is_slug(in->slug))
		return -1;
	status = policy_store(db, in, &why);
	if (status == 0)
		providers_flush(in->agent_id);
	if (peer_done(p, m->id, status == 0 ? 200 : (uint32_t)status, "%s",
	    status == 0 ? "" : why.text) == -1)
		log_warn("answer to keeper");
	return 0;
}

static int
h_agent_drop(struct peer *p, struct msg *m)
{
	struct why why = { "" };
	int status;

	if (!sys_is_id(m->u.agent_id.agent_id))
		return -1;
	status = policy_drop(db, m->u.agent_id.agent_id, &why);
	providers_flush(m->u.agent_id.agent_id);
	if (peer_done(p, m->id, status == 0 ? 200 : (uint32_t)status, "%s",
	    status == 0 ? "" : why.text) == -1)
		log_warn("answer to keeper");
	return 0;
}

/* Does a provider serve it? */
static int
h_model_check(struct peer *p, struct msg *m)
{
	struct route_found found;
	struct why why = { "" };
	int status;

	status = model_resolve(db, m->u.model_check.model, &found, &why);
	if (peer_done(p, m->id, status == 0 ? 200 : (uint32_t)status, "%s",
	    status == 0 ? "" : why.text) == -1)
		log_warn("answer to keeper");
	return 0;
}

static void
held_row(const char *agent_id, const char *slug, uint32_t keys, void *arg)
{
	struct m_held row = { .agent_id = agent_id, .slug = slug, .n = keys };

	if (peer_reply(worker_peer(PROC_KEEPER), arg, MSG_HELD, true, &row) ==
	    -1)
		log_warn("policy to keeper");
}

static int
h_held_list(struct peer *p, struct msg *m)
{
	int r = policy_each(db, held_row, m);

	if (peer_done(p, m->id, r == -1 ? 503 : 200, "%s",
	    r == -1 ? "the ledger cannot be read" : "") == -1)
		log_warn("answer to keeper");
	return 0;
}

/* All answers are complete at once, so there is nothing to cancel. */
static int
h_cancel(struct peer *p, struct msg *m)
{
	(void)p;
	(void)m;
	return 0;
}

/*
 * The database of the proxy manager: providers, policies, virtual keys.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: proxy. Talks to: nobody.
 *
 * Functions return 0 or an HTTP status with a sentence in the buffer, unless
 * they say otherwise.
 */
#ifndef LEDGER_H
#define LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db.h"
#include "msg.h"
#include "sys.h"

#define DEMO_ID		"00000000000000000000000000000de0"
#define DEMO_NAME	"demo"
#define MODEL_MAX	256	/* bytes of a model's name */
#define MODELS_MAX	256	/* of one provider, in one allow-list */
#define PROVIDERS_MAX	256
#define DIGEST_LEN	32
#define KEY_PREFIX	"sk-agentd-"
#define KEY_SIZE	(sizeof(KEY_PREFIX) + 64)
#define KEYS_PENDING	4	/* minted and not used, of one agent */
#define KEYS_REVOKED	16	/* remembered of one agent */

struct jbuf;

/* A sentence that says why not. */
struct why {
	char	text[512];
};

int	 why_set(struct why *, int status, const char *, ...)
	    __attribute__((format(printf, 3, 4)));

/* Opens or makes the file; the built-in provider is always in it. */
struct db	*ledger_open(const char *path);

/* ---- provider.c ---- */

/* Is it fit to be stored? */
int	 provider_check(struct db *, const struct m_provider_put *,
	    struct why *);
/* Adds or replaces it with its models. */
int	 provider_store(struct db *, const struct m_provider_put *,
	    struct why *);
/* No such provider is a success. */
int	 provider_drop(struct db *, const char *id, struct why *);
/*
 * Calls for each provider, or for one if id is not NULL, until it is not 0.
 * Returns what the callback returned last, -1 if the database failed.
 */
int	 provider_each(struct db *, const char *id,
	    int (*)(const struct m_provider_put *, double, void *), void *);
/* A row for people; nothing in it is secret. */
void	 provider_json(struct jbuf *, const struct m_provider_put *, double);

/* ---- policy.c ---- */

/* What an agent may use. The model must have a route: else 404. */
int	 policy_store(struct db *, const struct m_agent_policy *,
	    struct why *);
/* Forgets the agent and its keys. */
int	 policy_drop(struct db *, const char *agent_id, struct why *);

/* Calls for each agent that has a policy. -1 if the database failed. */
int	 policy_each(struct db *, void (*)(const char *agent_id,
	    const char *slug, uint32_t keys, void *), void *);

struct route_found {
	char	provider_id[ID_LEN + 1];
	char	provider[65];
	char	model[MODEL_MAX + 1];	/* as the provider spells it */
};

/* Which provider serves a model by this very name, or PROVIDER/NAME. */
int	 model_resolve(struct db *, const char *name, struct route_found *,
	    struct why *);
/* The same for an agent, within its policy: 403 if it may not. */
int	 policy_route(struct db *, const char *agent_id, const char *name,
	    struct route_found *, struct why *);
/* Calls for each model that an agent may name. -1 if the database failed. */
int	 policy_models(struct db *, const char *agent_id,
	    void (*)(const char *model, const char *provider, void *), void *);

/* ---- vkey.c ---- */

void	 vkey_digest(const char *key, uint8_t [DIGEST_LEN]);
/* A new key, pending; only its digest is stored. 404 without a policy. */
int	 vkey_mint(struct db *, const char *agent_id, char [KEY_SIZE],
	    struct why *);

struct vkey_info {
	char	owner_agent[ID_LEN + 1];
	char	owner_slug[53];
	bool	activated;	/* just now: older ones have died */
};

/* 200, 401 (unknown, dead), 403 (another agent's, see info) or 503. */
int	 vkey_check(struct db *, const char *agent_id,
	    const uint8_t [DIGEST_LEN], struct vkey_info *);

#endif /* LEDGER_H */

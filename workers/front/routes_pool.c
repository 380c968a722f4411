/*
 * Routes: the warm pool, agents that sleep.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

static const struct field idle[] = {
	SLUG(agent_idle, slug),
	{ "seconds", AT_BODY, FT_U32, true, 0, 30 * 86400,
	    O(agent_idle, seconds), NULL,
	    "without work until it sleeps; 0: never" },
};

static const struct route rows[] = {
	{ { "GET", "/api/pool", 0, 0 }, WHO_ADMIN, MSG_POOL_LIST,
	    PROC_KEEPER, ANS_DOC, T_READ, NONE, NULL, NULL, 200,
	    "Instances made ahead", "wanted, instances, held_back" },
	{ { "PUT", "/api/agents/{slug}/idle", 1 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_IDLE, PROC_KEEPER, ANS_DOC, T_WRITE, N(idle), NULL,
	    NULL, 200, "When an agent without work sleeps", "the agent" },
};

const struct route_set routes_pool = { N(rows) };

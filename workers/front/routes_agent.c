/*
 * Routes: agents and their deploys.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

static const struct field deploy[] = {
	{ "name", AT_BODY, FT_STR, true, 1, 128, O(agent_deploy, name), NULL,
	    "display name; the slug is made from it" },
	{ "framework", AT_BODY, FT_STR, true, 1, 64,
	    O(agent_deploy, framework), NULL,
	    "id of a framework, see /api/frameworks" },
	{ "model", AT_BODY, FT_STR, false, 1, 256, O(agent_deploy, model),
	    NULL, "what the alias default means for this agent" },
	{ "fallback_models", AT_BODY, FT_LINES, false, 0, 4095,
	    O(agent_deploy, fallbacks), NULL,
	    "models that it may use besides" },
	{ "emoji", AT_BODY, FT_STR, false, 0, 32, O(agent_deploy, emoji),
	    NULL, "shown beside the name" },
	{ "color", AT_BODY, FT_STR, false, 0, 16, O(agent_deploy, color),
	    "#888888", "shown beside the name" },
	{ "memory_limit", AT_BODY, FT_SIZE, false, 1, INT64_MAX,
	    O(agent_deploy, memory), NULL, "bytes, or text like 2GB, 512MiB" },
	{ "cpu_limit", AT_BODY, FT_U32, false, 1, 64,
	    O(agent_deploy, cpus), NULL, "number of CPUs" },
	{ "disk_limit", AT_BODY, FT_SIZE, false, 1, INT64_MAX,
	    O(agent_deploy, disk), NULL,
	    "what it may write; bytes, or text like 40GiB" },
	{ "process_limit", AT_BODY, FT_U32, false, 1, UINT32_MAX,
	    O(agent_deploy, processes), NULL, "number of processes" },
	{ "network", AT_BODY, FT_STR, false, 1, 16,
	    O(agent_deploy, network), "none", "none, egress or allow" },
	{ "domains", AT_BODY, FT_LINES, false, 0, 8192,
	    O(agent_deploy, domains), NULL, "that it may reach" },
	IDEMPOTENCY(agent_deploy),
};

static const struct field agent[] = { SLUG(agent_ref, slug) };

static const struct field watch[] = {
	SLUG(agent_watch, slug), FOLLOW(agent_watch),
};

static const struct route rows[] = {
	{ { "POST", "/api/agents/deploy", 16 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_DEPLOY, PROC_KEEPER, ANS_DOC, T_WRITE, N(deploy), NULL,
	    NULL, 202, "Deploy an agent", "job_id, name, status deploying" },
	{ { "GET", "/api/agents", 0, 0 }, WHO_USER, MSG_AGENT_LIST,
	    PROC_KEEPER, ANS_LIST, T_READ, NONE, NULL, NULL, 200,
	    "All agents", "array of agents" },
	{ { "GET", "/api/agents/{slug}", 0, 0 }, WHO_USER, MSG_AGENT_GET,
	    PROC_KEEPER, ANS_DOC, T_READ, N(agent), NULL, NULL, 200,
	    "One agent", "the agent" },
	{ { "GET", "/api/agents/{slug}/deploy-status", 0, 0 }, WHO_USER,
	    MSG_DEPLOY_STATUS, PROC_KEEPER, ANS_DOC_SSE, T_READ, N(watch),
	    NULL, NULL, 200, "How far a deploy is",
	    "status, step, steps, error" },
};

const struct route_set routes_agent = { N(rows) };

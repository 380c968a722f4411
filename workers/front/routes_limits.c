/*
 * Routes: limits, disks and network of agents.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

static const struct field limits[] = {
	SLUG(agent_limits, slug),
	{ "memory_limit", AT_BODY, FT_SIZE, false, 1, INT64_MAX,
	    O(agent_limits, memory), NULL, "bytes, or text like 2GiB, 500MB" },
	{ "cpu_limit", AT_BODY, FT_U32, false, 1, 64, O(agent_limits, cpus),
	    NULL, "number of CPUs" },
	{ "process_limit", AT_BODY, FT_U32, false, 1, UINT32_MAX,
	    O(agent_limits, processes), NULL, "number of processes" },
	{ "disk_limit", AT_BODY, FT_SIZE, false, 1, INT64_MAX,
	    O(agent_limits, disk), NULL,
	    "what it may write; bytes, or text like 40GiB" },
};

static const struct field quota[] = {
	SLUG(agent_limits, slug),
	{ "size_gib", AT_BODY, FT_U32, true, 1, 65536, O(agent_limits, gib),
	    NULL, "what it may write, in GiB" },
};

#define VERB(v) \
	{ "verb", AT_FIXED, FT_STR, false, 0, 16, O(agent_network, verb), v, \
	    NULL }

static const struct field network[] = {
	SLUG(agent_network, slug), VERB("set"),
	{ "policy", AT_BODY, FT_STR, false, 1, 16, O(agent_network, policy),
	    NULL, "none, egress or allow" },
	{ "domains", AT_FIXED, FT_GIVEN, false, 0, 1,
	    O(agent_network, has_domains), NULL, NULL },
	{ "domains", AT_BODY, FT_LINES, false, 0, 8192,
	    O(agent_network, domains), NULL,
	    "in place of the present ones: name, *.name, name:port" },
	{ "allow_private", AT_BODY, FT_BOOL, false, 0, 1,
	    O(agent_network, allow_private), NULL,
	    "also at private addresses; for an admin" },
};

static const struct field domain_add[] = {
	SLUG(agent_network, slug), VERB("add"),
	{ "domain", AT_BODY, FT_STR, true, 1, 300, O(agent_network, domains),
	    NULL, "name, *.name or name:port" },
	{ "allow_private", AT_BODY, FT_BOOL, false, 0, 1,
	    O(agent_network, allow_private), NULL,
	    "also at private addresses; for an admin" },
};

static const struct field domain_remove[] = {
	SLUG(agent_network, slug), VERB("remove"),
	{ "domain", AT_QUERY, FT_STR, true, 1, 300,
	    O(agent_network, domains), NULL, "as it is in the list" },
};

static const struct field agent[] = { SLUG(agent_ref, slug) };

static const struct route rows[] = {
	{ { "PUT", "/api/agents/{slug}/limits", 1 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_LIMITS, PROC_KEEPER, ANS_DOC, T_ACTION, N(limits), NULL,
	    NULL, 200, "Change limits of an agent, also of one that runs",
	    "all of its limits, and its disk" },
	{ { "GET", "/api/agents/{slug}/disk", 0, 0 }, WHO_USER,
	    MSG_AGENT_DISK, PROC_KEEPER, ANS_DOC, T_WRITE, N(agent), NULL,
	    NULL, 200, "What an agent's disk holds now",
	    "used, quota (bytes), used_gib, quota_gib, percent (a ratio), "
	    "state ok, warn or hard" },
	{ { "POST", "/api/agents/{slug}/quota", 1 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_LIMITS, PROC_KEEPER, ANS_DOC, T_ACTION, N(quota), NULL,
	    NULL, 200, "Change the disk quota of an agent",
	    "ok, agent_name, new_quota_gib, disk" },
	{ { "PUT", "/api/agents/{slug}/network", 16 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_NETWORK, PROC_KEEPER, ANS_DOC, T_ACTION, N(network),
	    NULL, NULL, 200, "Change what an agent may reach",
	    "network, domains" },
	{ { "POST", "/api/agents/{slug}/domains", 1 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_NETWORK, PROC_KEEPER, ANS_DOC, T_WRITE, N(domain_add),
	    NULL, NULL, 200, "Allow a domain", "network, domains" },
	{ { "DELETE", "/api/agents/{slug}/domains", 0, 0 }, WHO_USER,
	    MSG_AGENT_NETWORK, PROC_KEEPER, ANS_DOC, T_WRITE,
	    N(domain_remove), NULL, NULL, 200, "Allow a domain no longer",
	    "network, domains" },
	{ { "POST", "/api/disk-quota/scan", 1 * KIB, 0 }, WHO_USER,
	    MSG_DISK_SCAN, PROC_KEEPER, ANS_DOC, T_ACTION, NONE, NULL, NULL,
	    200, "Look at the disks of all agents now", "scanned, results" },
};

const struct route_set routes_limits = { N(rows) };

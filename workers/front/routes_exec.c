/*
 * Routes: commands in an agent's container, its logs, its recycle bin.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

static const struct field exec[] = {
	SLUG(agent_exec, slug),
	{ "argv", AT_BODY, FT_ARGV, true, 1, 32768, O(agent_exec, argv), NULL,
	    "the command and its arguments; no shell" },
	{ "cwd", AT_BODY, FT_STR, false, 1, 1024, O(agent_exec, cwd), NULL,
	    "absolute path of its working directory" },
	{ "uid", AT_BODY, FT_U32, false, 0, 65533, O(agent_exec, uid), NULL,
	    "user id in the container" },
	{ "gid", AT_BODY, FT_U32, false, 0, 65533, O(agent_exec, gid), NULL,
	    "group id in the container" },
	{ "tty", AT_BODY, FT_BOOL, false, 0, 1, O(agent_exec, tty), NULL,
	    "on a terminal of its own" },
	{ "cols", AT_BODY, FT_U32, false, 1, 10000, O(agent_exec, cols), "80",
	    "width of the terminal" },
	{ "rows", AT_BODY, FT_U32, false, 1, 10000, O(agent_exec, rows), "24",
	    "height of the terminal" },
	{ "term", AT_BODY, FT_STR, false, 1, 64, O(agent_exec, term), NULL,
	    "its kind, for TERM" },
};

static const struct field logs[] = {
	SLUG(agent_logs, slug),
	{ "lines", AT_QUERY, FT_U32, false, 1, 10000, O(agent_logs, lines),
	    "100", "how many, the newest" },
	{ "link", AT_QUERY, FT_BOOL, false, 0, 1, O(agent_logs, link), NULL,
	    "only of the link and the runtime" },
	FOLLOW(agent_logs),
};

#define RECYCLE_VERB(verb) \
	{ "action", AT_FIXED, FT_STR, false, 0, 16, O(recycle, action), \
	    verb, NULL }

static const struct field list[] = {
	SLUG(recycle, slug), RECYCLE_VERB("list"),
};

static const struct field restore[] = {
	SLUG(recycle, slug), RECYCLE_VERB("restore"),
	{ "id", AT_BODY, FT_ID, false, 32, 32, O(recycle, id), NULL,
	    "of the item" },
	{ "original_path", AT_BODY, FT_STR, false, 1, 4095, O(recycle, path),
	    NULL, "instead of id: where it was; the newest of that path" },
};

static const struct field purge[] = {
	SLUG(recycle, slug), RECYCLE_VERB("purge"),
	{ "id", AT_PATH, FT_ID, true, 32, 32, O(recycle, id), NULL,
	    "of the item" },
};

static const struct route rows[] = {
	{ { "POST", "/api/agents/{slug}/exec", 256 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_EXEC, PROC_KEEPER, ANS_DOC, T_ACTION, N(exec), NULL,
	    NULL, 101, "Run a command; needs Upgrade: agentd-exec/1",
	    "frames of u8 stream, u32 length, bytes" },
	{ { "GET", "/api/agents/{slug}/logs", 0, 0 }, WHO_USER,
	    MSG_AGENT_LOGS, PROC_KEEPER, ANS_DOC_SSE, T_ACTION, N(logs), NULL,
	    NULL, 200, "The journal of the container; as events, it goes on",
	    "name, logs" },
	{ { "GET", "/api/agents/{slug}/recycle", 0, 0 }, WHO_USER,
	    MSG_RECYCLE, PROC_KEEPER, ANS_DOC, T_ACTION, N(list), NULL, NULL,
	    200, "What was deleted in the container",
	    "agent_name, items, status" },
	{ { "GET", "/api/recycle", 0, 0 }, WHO_USER, MSG_RECYCLE_AGENTS,
	    PROC_KEEPER, ANS_DOC, T_ACTION, NONE, bins_start, NULL, 200,
	    "The same of all agents, the newest first",
	    "items: the same with agent_name; without: agent_name, reason" },
	{ { "POST", "/api/agents/{slug}/recycle/restore", 16 * KIB, 0 },
	    WHO_USER, MSG_RECYCLE, PROC_KEEPER, ANS_DOC, T_ACTION, N(restore),
	    NULL, NULL, 200, "Put it back where it was",
	    "status, original_path" },
	{ { "DELETE", "/api/agents/{slug}/recycle/{id}", 0, 0 }, WHO_USER,
	    MSG_RECYCLE, PROC_KEEPER, ANS_DOC, T_ACTION, N(purge), NULL, NULL,
	    200, "Delete it for good", "status, id" },
};

const struct route_set routes_exec = { N(rows) };

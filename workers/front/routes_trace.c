/*
 * Routes: traces.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

static const struct field trace_query[] = {
	SLUG(trace_query, agent),
	{ "kind", AT_QUERY, FT_STR, false, 1, 32, O(trace_query, kind), NULL,
	    "message_in, message_out, llm_call, tool_call, tool_result, "
	    "reasoning, error or lifecycle" },
	{ "channel_id", AT_QUERY, FT_STR, false, 1, 64,
	    O(trace_query, channel_id), NULL, "events of this channel" },
	{ "trace_id", AT_QUERY, FT_STR, false, 1, 64,
	    O(trace_query, trace_id), NULL, "events of this turn" },
	{ "since", AT_QUERY, FT_TIME, false, 0, 1LL << 40,
	    O(trace_query, since), NULL, "not older" },
	{ "until", AT_QUERY, FT_TIME, false, 0, 1LL << 40,
	    O(trace_query, until), NULL, "not newer" },
	{ "limit", AT_QUERY, FT_U32, false, 1, 1000, O(trace_query, limit),
	    "100", "at most so many events" },
	FOLLOW(trace_query),
};

static const struct field trace_post[] = {
	{ "agent_name", AT_BODY, FT_SLUG, true, 1, 52, O(trace_post, agent),
	    NULL, "the agent's name" },
	{ "kind", AT_BODY, FT_STR, true, 1, 32, O(trace_post, kind), NULL,
	    "as in the trace" },
	{ "id", AT_BODY, FT_STR, false, 1, 64, O(trace_post, id), NULL,
	    "the writer makes one when absent" },
	{ "trace_id", AT_BODY, FT_STR, false, 1, 64, O(trace_post, trace_id),
	    NULL, "groups the events of a turn" },
	{ "parent_id", AT_BODY, FT_STR, false, 1, 64,
	    O(trace_post, parent_id), NULL, "id of the event above" },
	{ "created_at", AT_BODY, FT_TIME, false, 0, 1LL << 40,
	    O(trace_post, created_at), NULL, "now when absent or 0" },
	{ "channel_id", AT_BODY, FT_STR, false, 1, 64,
	    O(trace_post, channel_id), NULL, NULL },
	{ "thread_id", AT_BODY, FT_STR, false, 1, 64,
	    O(trace_post, thread_id), NULL, NULL },
	{ "backend_name", AT_BODY, FT_STR, false, 1, 64,
	    O(trace_post, backend_name), NULL, NULL },
	{ "model", AT_BODY, FT_STR, false, 1, 256, O(trace_post, model),
	    NULL, NULL },
	{ "duration_ms", AT_BODY, FT_I64, false, 0, 1LL << 50,
	    O(trace_post, duration_ms), NULL, NULL },
	{ "tokens_in", AT_BODY, FT_I64, false, 0, 1LL << 50,
	    O(trace_post, tokens_in), NULL, NULL },
	{ "tokens_out", AT_BODY, FT_I64, false, 0, 1LL << 50,
	    O(trace_post, tokens_out), NULL, NULL },
	{ "cost_usd", AT_BODY, FT_COST, false, 0, 1000000,
	    O(trace_post, cost_pico), NULL, "US dollars" },
	{ "error", AT_BODY, FT_STR, false, 0, 2048, O(trace_post, error),
	    NULL, NULL },
	{ "payload", AT_BODY, FT_OBJECT, false, 0, 49152,
	    O(trace_post, payload), "{}", "what the kind carries" },
};

static const struct route rows[] = {
	{ { "GET", "/api/agents/{slug}/trace", 0, 0 }, WHO_USER,
	    MSG_TRACE_QUERY, PROC_TRACE, ANS_LIST_SSE, T_READ,
	    N(trace_query), NULL, "events", 200,
	    "Events of an agent, newest first; live as an event stream",
	    "agent_name, schema_version, events" },
	{ { "POST", "/api/trace", 64 * KIB, 0 }, WHO_ADMIN, MSG_TRACE_POST,
	    PROC_TRACE, ANS_DOC, T_WRITE, N(trace_post), NULL, NULL, 200,
	    "Add an event to a trace", "id, agent_name, schema_version" },
};

const struct route_set routes_trace = { N(rows) };

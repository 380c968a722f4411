/*
 * Routes: what is done to agents that are there, one by one and in bulk.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

#define FINISH(verb) \
	SLUG(agent_action, slug), ACTION(verb), \
	FORCE(agent_action, AT_QUERY), TIMEOUT(agent_action, AT_QUERY)

static const struct field start[] = {
	SLUG(agent_action, slug), ACTION("start"),
};
static const struct field stop[] = { FINISH("stop") };
static const struct field restart[] = { FINISH("restart") };
static const struct field pause[] = { FINISH("pause") };
static const struct field resume[] = {
	SLUG(agent_action, slug), ACTION("resume"),
};

#define BULK(verb) \
	{ "action", AT_FIXED, FT_STR, false, 0, 16, O(agent_bulk, action), \
	    verb, NULL }, \
	{ "names", AT_BODY, FT_LINES, false, 0, 49152, \
	    O(agent_bulk, names), NULL, "all of yours if absent or empty" }, \
	FORCE(agent_bulk, AT_BODY), TIMEOUT(agent_bulk, AT_BODY)

static const struct field bulk_start[] = { BULK("start") };
static const struct field bulk_stop[] = { BULK("stop") };
static const struct field bulk_restart[] = { BULK("restart") };
static const struct field bulk_pause[] = { BULK("pause") };
static const struct field bulk_resume[] = { BULK("resume") };

#define GIVEN(name, member) \
	{ name, AT_FIXED, FT_GIVEN, false, 0, 1, O(agent_set, member), NULL, \
	    NULL }

static const struct field set[] = {
	SLUG(agent_set, slug),
	GIVEN("display_name", has_name),
	{ "display_name", AT_BODY, FT_STR, false, 1, 128, O(agent_set, name),
	    NULL, "a new name; the slug is made from it" },
	GIVEN("model", has_model),
	{ "model", AT_BODY, FT_STR, false, 0, 256, O(agent_set, model), NULL,
	    "what the alias default means for it; empty: any" },
	GIVEN("fallback_models", has_fallbacks),
	{ "fallback_models", AT_BODY, FT_LINES, false, 0, 4095,
	    O(agent_set, fallbacks), NULL, "models that it may use besides" },
	GIVEN("emoji", has_emoji),
	{ "emoji", AT_BODY, FT_STR, false, 0, 32, O(agent_set, emoji), NULL,
	    "shown beside the name; empty: none" },
	GIVEN("color", has_color),
	{ "color", AT_BODY, FT_STR, false, 0, 16, O(agent_set, color), NULL,
	    "like #888888" },
};

static const struct field model[] = {
	SLUG(agent_set, slug),
	GIVEN("model", has_model),
	{ "model", AT_BODY, FT_STR, true, 1, 256, O(agent_set, model), NULL,
	    "what the alias default means for it from the next turn on" },
};

#define ACT(verb, fields, ms, summary, returns) \
	{ { "POST", "/api/agents/{slug}/" verb, 1 * KIB, 0 }, WHO_USER, \
	    MSG_AGENT_ACTION, PROC_KEEPER, ANS_DOC, ms, N(fields), NULL, \
	    NULL, 200, summary, returns }
#define ACT_BULK(verb, fields, summary) \
	{ { "POST", "/api/agents/bulk/" verb, 64 * KIB, 0 }, WHO_USER, \
	    MSG_AGENT_BULK, PROC_KEEPER, ANS_DOC, T_FINISH, N(fields), NULL, \
	    NULL, 200, summary, "action, results: success or error by name" }
#define SET(method, path, fields, summary) \
	{ { method, path, 16 * KIB, 0 }, WHO_USER, MSG_AGENT_SET, \
	    PROC_KEEPER, ANS_DOC, T_WRITE, N(fields), NULL, NULL, 200, \
	    summary, "status updated, name, and what is set now" }

static const struct route rows[] = {
	ACT("start", start, T_ACTION, "Start an agent", "status, name"),
	ACT("stop", stop, T_FINISH, "Ask an agent to finish, then stop it",
	    "status, name, prepare_report, stop_result"),
	ACT("restart", restart, T_FINISH,
	    "Ask an agent to finish, then restart it",
	    "status, name, prepare_report"),
	ACT("pause", pause, T_FINISH,
	    "Ask an agent to finish, then freeze it", "status, name, report"),
	ACT("resume", resume, T_ACTION, "Let a paused agent go on",
	    "status, name, paused"),
	ACT_BULK("start", bulk_start, "Start several agents"),
	ACT_BULK("stop", bulk_stop, "Stop several agents"),
	ACT_BULK("restart", bulk_restart, "Restart several agents"),
	ACT_BULK("pause", bulk_pause, "Pause several agents"),
	ACT_BULK("resume", bulk_resume, "Let several agents go on"),
	SET("PATCH", "/api/agents/{slug}", set, "Change a live agent: all "
	    "that is given, or nothing"),
	SET("PUT", "/api/agents/{slug}", set, "The same as PATCH"),
	SET("POST", "/api/agents/{slug}/model", model,
	    "Give an agent another model"),
};

const struct route_set routes_life = { N(rows) };

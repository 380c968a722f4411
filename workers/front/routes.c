/*
 * The table of routes: the API, its rights, its limits and its description.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"

#define KIB		1024
#define GIB		(1024ULL * 1024 * 1024)
#define T_READ		10000
#define T_WRITE		20000
#define T_ACTION	90000	/* a container that takes its time to stop */
#define T_UPLOAD	600000

#define O(payload, member)	offsetof(struct m_##payload, member)
#define N(f)			(f), sizeof(f) / sizeof((f)[0])
#define NONE			NULL, 0

#define SLUG(payload, member) \
	{ "slug", AT_PATH, FT_SLUG, true, 1, 52, O(payload, member), NULL, \
	    "the agent's name" }
#define FOLLOW(payload) \
	{ "follow", AT_FIXED, FT_FOLLOW, false, 0, 1, O(payload, follow), \
	    NULL, NULL }
#define ACTION(verb) \
	{ "action", AT_FIXED, FT_STR, false, 0, 16, O(agent_action, action), \
	    verb, NULL }
#define IDEMPOTENCY(payload) \
	{ "Idempotency-Key", AT_HEADER, FT_STR, false, 1, 128, \
	    O(payload, idempotency_key), NULL, \
	    "a repeated request with the same key has no second effect" }

static const struct field log_level[] = {
	{ "worker", AT_BODY, FT_STR, true, 1, 32, O(api_log_level, worker),
	    NULL, "front, keeper, gateway, upstream, dialer, proxy, "
	    "container, trace" },
	{ "level", AT_BODY, FT_LEVEL, true, 0, 0, O(api_log_level, level),
	    NULL, "error, warn, info or debug" },
};

static const struct field image_put[] = {
	{ "alias", AT_PATH, FT_STR, true, 1, 128, O(image_put, alias), NULL,
	    "the image's alias" },
};

static const struct field deploy[] = {
	{ "name", AT_BODY, FT_STR, true, 1, 128, O(agent_deploy, name), NULL,
	    "display name; the slug is made from it" },
	{ "framework", AT_BODY, FT_STR, true, 1, 64,
	    O(agent_deploy, framework), NULL,
	    "id of a framework, see /api/frameworks" },
	{ "model", AT_BODY, FT_STR, false, 1, 256, O(agent_deploy, model),
	    NULL, "what the alias default means for this agent" },
	{ "emoji", AT_BODY, FT_STR, false, 0, 32, O(agent_deploy, emoji),
	    NULL, "shown beside the name" },
	{ "color", AT_BODY, FT_STR, false, 0, 16, O(agent_deploy, color),
	    "#888888", "shown beside the name" },
	{ "memory_limit", AT_BODY, FT_SIZE, false, 16 << 20, 1LL << 50,
	    O(agent_deploy, memory), NULL, "bytes, or text like 2GB, 512MiB" },
	{ "cpu_limit", AT_BODY, FT_U32, false, 1, 1024,
	    O(agent_deploy, cpus), NULL, "number of CPUs" },
	{ "disk_limit", AT_BODY, FT_SIZE, false, 64 << 20, 1LL << 55,
	    O(agent_deploy, disk), NULL, "bytes, or text like 40GiB" },
	IDEMPOTENCY(agent_deploy),
};

static const struct field agent[] = { SLUG(agent_ref, slug) };
static const struct field start[] = {
	SLUG(agent_action, slug), ACTION("start"),
};
static const struct field stop[] = {
	SLUG(agent_action, slug), ACTION("stop"),
};
static const struct field restart[] = {
	SLUG(agent_action, slug), ACTION("restart"),
};
static const struct field delete[] = {
	SLUG(agent_action, slug), ACTION("delete"),
};
static const struct field watch[] = {
	SLUG(agent_watch, slug), FOLLOW(agent_watch),
};

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

static const struct field provider_add[] = {
	{ "name", AT_BODY, FT_STR, true, 1, 64, O(provider_add, name), NULL,
	    "[a-z0-9-]" },
	{ "type", AT_BODY, FT_STR, true, 1, 32, O(provider_add, type), NULL,
	    "openai (any OpenAI-compatible URL) or demo" },
	{ "url", AT_BODY, FT_STR, false, 1, 1024, O(provider_add, url), NULL,
	    "base URL, such as https://api.example.com/v1" },
	{ "api_key", AT_BODY, FT_SECRET, false, 1, 4096,
	    O(provider_add, api_key), NULL,
	    "kept encrypted; no reply ever holds it" },
	{ "models", AT_BODY, FT_LINES, false, 0, 16384,
	    O(provider_add, models), NULL, "ids of the models it serves" },
	{ "allow_private", AT_BODY, FT_BOOL, false, 0, 1,
	    O(provider_add, allow_private), NULL,
	    "its address may be private; plain http is then allowed" },
	{ "ca_pem", AT_BODY, FT_STR, false, 1, 32768,
	    O(provider_add, ca_pem), NULL,
	    "certificates that vouch for it, besides the system's" },
};

static const struct field provider[] = {
	{ "name", AT_PATH, FT_STR, true, 1, 64, O(provider_ref, name), NULL,
	    "the provider's name" },
};

static const struct field chat_post[] = {
	{ "channel_id", AT_BODY, FT_STR, true, 1, 32,
	    O(chat_post, channel_id), NULL, "see /api/chat/channels" },
	{ "content", AT_BODY, FT_STR, true, 1, 32768, O(chat_post, content),
	    NULL, "the text" },
	IDEMPOTENCY(chat_post),
};

static const struct field chat_list[] = {
	{ "member", AT_QUERY, FT_STR, false, 1, 64, O(chat_list, member),
	    NULL, "channels of this user or agent only" },
};

#define CHANNEL(payload) \
	{ "id", AT_PATH, FT_ID, true, 32, 32, O(payload, channel_id), NULL, \
	    "the channel's id" }

static const struct field chat_history[] = {
	CHANNEL(chat_history),
	{ "before", AT_QUERY, FT_TIME, false, 0, 1LL << 40,
	    O(chat_history, before), NULL, "only older messages" },
	{ "limit", AT_QUERY, FT_U32, false, 1, 500, O(chat_history, limit),
	    "50", "at most so many, the newest ones" },
};

static const struct field chat_watch[] = {
	CHANNEL(chat_watch),
	{ "Last-Event-ID", AT_HEADER, FT_U64, false, 0, INT64_MAX,
	    O(chat_watch, last_event_id), NULL, "resume after this event" },
};

const struct route routes[] = {
	{ { "GET", "/api/health", 0, 0 }, WHO_PUBLIC, MSG_NONE, PROC_MAX,
	    ANS_DOC, 0, NONE, local_health, NULL, 200,
	    "Is the service up?", "status, and which workers answer" },
	{ { "GET", "/api/openapi.json", 0, 0 }, WHO_USER, MSG_NONE, PROC_MAX,
	    ANS_DOC, 0, NONE, local_openapi, NULL, 200,
	    "This description", "OpenAPI 3.1" },
	{ { "GET", "/api/status", 0, 0 }, WHO_ADMIN, MSG_API_STATUS,
	    PROC_KEEPER, ANS_DOC, T_READ, NONE, NULL, NULL, 200,
	    "State of all workers", "workers: name, state, pid, uptime, "
	    "restarts, last cause" },
	{ { "PUT", "/api/system/log-level", 1 * KIB, 0 }, WHO_ADMIN,
	    MSG_API_LOG_LEVEL, PROC_KEEPER, ANS_DOC, T_READ, N(log_level),
	    NULL, NULL, 200, "Set how much a worker logs", "status" },
	{ { "GET", "/api/frameworks", 0, 0 }, WHO_USER, MSG_API_FRAMEWORKS,
	    PROC_KEEPER, ANS_LIST, T_READ, NONE, NULL, NULL, 200,
	    "Agent runtimes that can be deployed", "array of frameworks" },
	{ { "GET", "/api/images", 0, 0 }, WHO_USER, MSG_IMAGE_LIST,
	    PROC_KEEPER, ANS_LIST, T_READ, NONE, NULL, NULL, 200,
	    "Container images", "array of images" },
	{ { "PUT", "/api/images/{alias}", 16 * GIB, HTTPD_ROUTE_RAW },
	    WHO_ADMIN, MSG_IMAGE_PUT, PROC_KEEPER, ANS_DOC, T_UPLOAD,
	    N(image_put), upload_start, NULL, 201,
	    "Upload an image under an alias", "the image" },

	{ { "POST", "/api/agents/deploy", 16 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_DEPLOY, PROC_KEEPER, ANS_DOC, T_WRITE, N(deploy), NULL,
	    NULL, 202, "Deploy an agent", "job_id, name, status deploying" },
	{ { "GET", "/api/agents", 0, 0 }, WHO_USER, MSG_AGENT_LIST,
	    PROC_KEEPER, ANS_LIST, T_READ, NONE, NULL, NULL, 200,
	    "All agents", "array of agents" },
	{ { "GET", "/api/agents/{slug}", 0, 0 }, WHO_USER, MSG_AGENT_GET,
	    PROC_KEEPER, ANS_DOC, T_READ, N(agent), NULL, NULL, 200,
	    "One agent", "the agent" },
	{ { "DELETE", "/api/agents/{slug}", 0, 0 }, WHO_USER,
	    MSG_AGENT_ACTION, PROC_KEEPER, ANS_DOC, T_ACTION, N(delete), NULL,
	    NULL, 200, "Delete an agent; its trace stays", "status, name" },
	{ { "GET", "/api/agents/{slug}/deploy-status", 0, 0 }, WHO_USER,
	    MSG_DEPLOY_STATUS, PROC_KEEPER, ANS_DOC_SSE, T_READ, N(watch),
	    NULL, NULL, 200, "How far a deploy is",
	    "status, step, steps, error" },
	{ { "POST", "/api/agents/{slug}/start", 1 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_ACTION, PROC_KEEPER, ANS_DOC, T_ACTION, N(start), NULL,
	    NULL, 200, "Start an agent", "status, name" },
	{ { "POST", "/api/agents/{slug}/stop", 1 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_ACTION, PROC_KEEPER, ANS_DOC, T_ACTION, N(stop), NULL,
	    NULL, 200, "Stop an agent", "status, name" },
	{ { "POST", "/api/agents/{slug}/restart", 1 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_ACTION, PROC_KEEPER, ANS_DOC, T_ACTION, N(restart),
	    NULL, NULL, 200, "Restart an agent", "status, name" },

	{ { "GET", "/api/agents/{slug}/trace", 0, 0 }, WHO_USER,
	    MSG_TRACE_QUERY, PROC_TRACE, ANS_LIST_SSE, T_READ,
	    N(trace_query), NULL, "events", 200,
	    "Events of an agent, newest first; live as an event stream",
	    "agent_name, schema_version, events" },
	{ { "POST", "/api/trace", 64 * KIB, 0 }, WHO_ADMIN, MSG_TRACE_POST,
	    PROC_TRACE, ANS_DOC, T_WRITE, N(trace_post), NULL, NULL, 200,
	    "Add an event to a trace", "id, agent_name, schema_version" },

	{ { "GET", "/api/providers", 0, 0 }, WHO_ADMIN, MSG_PROVIDER_LIST,
	    PROC_PROXY, ANS_LIST, T_READ, NONE, NULL, NULL, 200,
	    "LLM providers", "array of providers" },
	{ { "POST", "/api/providers", 128 * KIB, 0 }, WHO_ADMIN,
	    MSG_PROVIDER_ADD, PROC_KEEPER, ANS_DOC, T_WRITE, N(provider_add),
	    NULL, NULL, 201, "Add an LLM provider", "status, name" },
	{ { "DELETE", "/api/providers/{name}", 0, 0 }, WHO_ADMIN,
	    MSG_PROVIDER_DELETE, PROC_KEEPER, ANS_DOC, T_WRITE, N(provider),
	    NULL, NULL, 200, "Delete an LLM provider and its key",
	    "status, name" },

	{ { "POST", "/api/chat/messages", 256 * KIB, 0 }, WHO_USER,
	    MSG_CHAT_POST, PROC_KEEPER, ANS_DOC, T_WRITE, N(chat_post), NULL,
	    NULL, 201, "Say something in a channel", "the message" },
	{ { "GET", "/api/chat/channels", 0, 0 }, WHO_USER, MSG_CHAT_CHANNELS,
	    PROC_KEEPER, ANS_LIST, T_READ, N(chat_list), NULL, "channels",
	    200, "Channels, oldest first", "channels" },
	{ { "GET", "/api/chat/channels/{id}/messages", 0, 0 }, WHO_USER,
	    MSG_CHAT_HISTORY, PROC_KEEPER, ANS_LIST, T_READ,
	    N(chat_history), NULL, "messages", 200,
	    "The newest messages of a channel, oldest of them first",
	    "messages" },
	{ { "GET", "/api/chat/channels/{id}/events", 0, 0 }, WHO_USER,
	    MSG_CHAT_WATCH, PROC_KEEPER, ANS_SSE, T_READ, N(chat_watch),
	    NULL, NULL, 200, "What happens in a channel, live",
	    "event stream" },
};

const size_t nroutes = sizeof(routes) / sizeof(routes[0]);

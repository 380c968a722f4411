/*
 * Routes: the service, frameworks.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

static const struct field log_level[] = {
	{ "worker", AT_BODY, FT_STR, true, 1, 32, O(api_log_level, worker),
	    NULL, "front, keeper, gateway, upstream, dialer, proxy, "
	    "container, trace" },
	{ "level", AT_BODY, FT_LEVEL, true, 0, 0, O(api_log_level, level),
	    NULL, "error, warn, info or debug" },
};

static const struct route rows[] = {
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
};

const struct route_set routes_system = { N(rows) };

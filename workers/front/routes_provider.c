/*
 * Routes: LLM providers.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

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

static const struct route rows[] = {
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
};

const struct route_set routes_provider = { N(rows) };

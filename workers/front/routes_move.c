/*
 * Routes: agents that leave as a file and come as one.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

#define T_MOVE	14400000	/* until all of a file has come */

static const struct field export[] = { SLUG(agent_ref, slug) };

static const struct field import[] = {
	{ "name", AT_QUERY, FT_STR, false, 1, 128, O(agent_import, name),
	    NULL, "display name, instead of the one in the file" },
	{ "model", AT_QUERY, FT_STR, false, 1, 256, O(agent_import, model),
	    NULL, "instead of the models in the file" },
	{ "network", AT_QUERY, FT_STR, false, 1, 16,
	    O(agent_import, network), NULL,
	    "none (whatever the file says), egress or allow" },
	{ "trust_key", AT_QUERY, FT_STR, false, 64, 64,
	    O(agent_import, trust_key), NULL,
	    "key of a server whose signature is trusted this once, in hex" },
};

static const struct route rows[] = {
	{ { "GET", "/api/server-key", 0, 0 }, WHO_USER, MSG_SERVER_KEY,
	    PROC_KEEPER, ANS_DOC, T_READ, NONE, NULL, NULL, 200,
	    "The key with which this server signs exports",
	    "server_key: Ed25519 public key in hex" },
	{ { "GET", "/api/agents/{slug}/export", 0, 0 }, WHO_USER,
	    MSG_AGENT_EXPORT, PROC_KEEPER, ANS_DOC, T_ACTION, N(export),
	    download_start, NULL, 200, "The agent as one signed file",
	    "agentd-export(5); without its end if it fails in the middle" },
	{ { "POST", "/api/agents/import", 4096ULL * GIB, HTTPD_ROUTE_RAW },
	    WHO_USER, MSG_AGENT_IMPORT, PROC_KEEPER, ANS_DOC, T_MOVE,
	    N(import), upload_start, NULL, 202,
	    "An agent from such a file", "as of a deploy" },
};

const struct route_set routes_move = { N(rows) };

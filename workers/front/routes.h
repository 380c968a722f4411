/*
 * What the tables of routes share: limits, times, common fields.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#ifndef ROUTES_H
#define ROUTES_H

#include <stddef.h>

#include "front.h"

#define KIB		1024
#define GIB		(1024ULL * 1024 * 1024)
#define T_READ		10000
#define T_WRITE		20000
#define T_ACTION	90000	/* a container that takes its time to stop */
#define T_UPLOAD	600000
#define T_FINISH	400000	/* the time to finish, and what comes after it */

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
#define FORCE(payload, at) \
	{ "force", at, FT_BOOL, false, 0, 1, O(payload, force), NULL, \
	    "do not ask it to finish first" }
#define TIMEOUT(payload, at) \
	{ "timeout", at, FT_U32, false, 1, 300, O(payload, timeout), NULL, \
	    "seconds that it gets to finish; 30 if absent" }
#define IDEMPOTENCY(payload) \
	{ "Idempotency-Key", AT_HEADER, FT_STR, false, 1, 128, \
	    O(payload, idempotency_key), NULL, \
	    "a repeated request with the same key has no second effect" }

/* A part of the API; the array lives as long as the program. */
struct route_set {
	const struct route	*rows;
	size_t			 n;
};

extern const struct route_set	routes_system, routes_agent, routes_trace,
				routes_provider, routes_chat, routes_pool,
				routes_image, routes_limits, routes_life,
				routes_archive, routes_move,
				routes_exec, routes_doctor;

#endif /* ROUTES_H */

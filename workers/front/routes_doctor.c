/*
 * Routes: what should be and what is.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

static const struct field repair[] = {
	{ "kind", AT_BODY, FT_STR, false, 0, 16, O(api_repair, kind), NULL,
	    "only differences of this kind" },
	{ "name", AT_BODY, FT_STR, false, 0, 64, O(api_repair, name), NULL,
	    "only of this name" },
};

static const struct route rows[] = {
	{ { "GET", "/api/doctor/drift", 0, 0 }, WHO_ADMIN, MSG_API_DRIFT,
	    PROC_KEEPER, ANS_DOC, T_ACTION, NONE, NULL, NULL, 200,
	    "Differences between what should be and what is",
	    "drift: kind, name, should, is, repair; unanswered" },
	{ { "POST", "/api/doctor/repair", 1 * KIB, 0 }, WHO_ADMIN,
	    MSG_API_REPAIR, PROC_KEEPER, ANS_DOC, T_ACTION, N(repair), NULL,
	    NULL, 200, "Mend all differences, or some",
	    "repaired, failed, drift: the same with result" },
};

const struct route_set routes_doctor = { N(rows) };

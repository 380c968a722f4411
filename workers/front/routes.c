/*
 * The table of routes: the API, its rights, its limits and its description.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 *
 * Each part of the API has a table of its own; here they become one, in the
 * order of the description.
 */
#include <string.h>

#include "log.h"
#include "routes.h"

static const struct route_set *const sets[] = {
	&routes_system,
	&routes_image,
	&routes_agent,
	&routes_life,
	&routes_archive,
	&routes_doctor,
	&routes_trace,
	&routes_provider,
	&routes_chat,
	&routes_pool,
	&routes_move,
	&routes_limits,
	&routes_exec,
};

struct route	routes[ROUTES_MAX];
size_t		nroutes;

void
routes_init(void)
{
	size_t i;

	nroutes = 0;
	for (i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		if (sets[i]->n > ROUTES_MAX - nroutes)
			fatalx("more than %d routes", ROUTES_MAX);
		memcpy(routes + nroutes, sets[i]->rows,
		    sets[i]->n * sizeof(routes[0]));
		nroutes += sets[i]->n;
	}
}

/*
 * The event loop of a process.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor, all workers.  Talks to: nobody.
 */
#include <event2/event.h>

#include "evbase.h"
#include "log.h"

struct event_base *
evbase_new(void)
{
	struct event_config *cfg;
	struct event_base *base;

	if ((cfg = event_config_new()) == NULL)
		fatal("event");
	event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	if ((base = event_base_new_with_config(cfg)) == NULL)
		fatal("event");
	event_config_free(cfg);
	return base;
}

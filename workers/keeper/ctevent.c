/*
 * What container tells of instances unasked.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container.
 */
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "state.h"
#include "sys.h"

static struct agent *
by_instance(const char *name)
{
	struct agent	*a;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (strcmp(a->instance, name) == 0)
			return a;
	return NULL;
}

void
agent_instance_status(struct agent *a, const char *status, uint32_t uid_base,
    uint32_t uid_count)
{
	if ((uid_base != a->uid_base || uid_count != a->uid_count) &&
	    answer_uids(a, uid_base, uid_count))
		keeper_tell_gateway(a);
	agent_seen(a, strcmp(status, "Gone") == 0 ? "" : status);
	/* Whoever is at work on it makes such changes. */
	if (a->job != NULL || a->doing != NULL)
		return;
	if (state_remedy(a) != NULL || a->instance_status[0] == '\0') {
		log_info("agent %s: its instance is %s", a->slug, status);
		reconcile_soon(0);
	}
}

int
h_ct_event(struct peer *p, struct msg *m)
{
	const struct m_ct_row	*row = &m->u.ct_row;
	struct agent		*a;

	(void)p;
	if (row->instance[0] == '\0') {
		reconcile_container_up();
		return 0;
	}
	if (row->agent_id[0] != '\0' && !sys_is_id(row->agent_id))
		return -1;
	a = row->agent_id[0] != '\0' ? agent_by_id(row->agent_id) :
	    by_instance(row->instance);
	/* A warm or an archived one; or its agent is gone. */
	if (a == NULL || strcmp(a->instance, row->instance) != 0)
		return 0;
	log_debug("agent %s: its instance is %s", a->slug, row->status);
	agent_instance_status(a, row->status, row->uid_base, row->uid_count);
	return 0;
}

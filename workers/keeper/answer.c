/*
 * What other workers answer to keeper's questions.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: nobody.
 */
#include "agent.h"
#include "keeper.h"

uint32_t
answer_status(const struct msg *m, const char *lost, const char **error)
{
	if (m != NULL && m->type == MSG_CT_DONE) {
		*error = m->u.ct_done.error;
		return m->u.ct_done.status;
	}
	if (m != NULL && m->type == MSG_DONE) {
		*error = m->u.done.error;
		return m->u.done.status;
	}
	*error = lost;
	return 503;
}

bool
answer_uids(struct agent *a, uint32_t base, uint32_t count)
{
	if (count == 0)
		return false;
	a->uid_base = base;
	a->uid_count = count;
	(void)agent_save(a);
	return true;
}

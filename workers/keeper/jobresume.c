/*
 * Deploys that a stop or a crash has cut go on, or are undone.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#include "job.h"
#include "log.h"

/* See jobsm.c for what is done at which step.  May free the job. */
static void
resume(struct job *j)
{
	uint32_t	 actions;

	if (j->nmarks > 0)
		j->began_ms = j->marks[0].at_ms;
	if (j->sm.step == JS_ROLLBACK) {
		job_event(j, JE_RESUME);
	} else if (j->agent == NULL) {
		job_fail(j, JE_CANCEL, 500, "the agent's row is gone");
	} else if (j->due <= sys_time()) {
		job_fail(j, JE_CANCEL, 504, "not finished in time: agentd was "
		    "stopped at step %s", jobsm_step_name(j->sm.step));
	} else {
		log_info("deploy %s: goes on, it was cut at step %s", j->id,
		    jobsm_step_name(j->sm.step));
		tracebox_lifecycle(j->agent_id, "deploy", "resumed", "");
		actions = jobsm_event(&j->sm, JE_RESUME);
		j->create_again = j->sm.instance;
		j->sm.connected = j->agent->sub != NULL;
		job_start(j, actions);
	}
}

void
job_resume(void)
{
	struct db_stmt	*s;
	struct job	*j, *next;

	s = db_query(keeper_db(), "SELECT id, agent_id, instance FROM job "
	    "WHERE status = 'deploying'", "");
	if (s == NULL)
		fatalx("cannot read the jobs");
	while (db_step(s) == 1) {
		j = job_new(db_text(s, 0), db_text(s, 1), db_text(s, 2),
		    agent_by_id(db_text(s, 1)));
		/* Who asked is gone; with the same key it hears of the job. */
		j->accepted = true;
	}
	db_end(s);
	for (j = job_next(NULL); j != NULL; j = job_next(j))
		jobrow_resume(j);
	for (j = job_next(NULL); j != NULL; j = next) {
		next = job_next(j);
		resume(j);
	}
}

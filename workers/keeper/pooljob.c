/*
 * A deploy from the warm pool: an instance made ahead becomes the agent's.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container, gateway.
 *
 * Whatever goes wrong with it, a new instance is made as for any deploy; what
 * is left of the old one has the same name and tags, and container removes it
 * first.
 */
#include "job.h"
#include "log.h"
#include "worker.h"

static void
on_adopted(struct msg *m, void *arg)
{
	struct job	*j = arg;

	if (m != NULL && m->type == MSG_CT_DONE && m->u.ct_done.status < 300) {
		job_on_created(m, j);
		return;
	}
	j->create_req = 0;
	/* Its end comes when that is known; nothing else is to be made. */
	if (m == NULL || j->sm.step != JS_INSTANCE) {
		job_on_created(m, j);
		return;
	}
	log_warnx("agent %s: the instance made ahead cannot be taken, a new "
	    "one is made: %s", j->agent->slug, m->u.ct_done.error);
	j->source = JOB_IMAGE;
	j->agent->image[0] = '\0';
	(void)db_exec(keeper_db(), "UPDATE job SET source = 'image', "
	    "source_ref = '' WHERE id = ?1", "s", j->id);
	job_ask_create(j);
}

void
job_ask_pool(struct job *j)
{
	const struct framework	*f = framework_get(j->agent->framework);
	const struct agent	*a = j->agent;
	struct m_ct_adopt	 m;

	/* Its hello waits for this: it gets a key as soon as it thaws. */
	keeper_tell_gateway(a);
	m.agent_id = a->id;
	m.instance = a->instance;
	m.slug = a->slug;
	m.image = f != NULL ? f->image : "";
	m.memory = a->memory;
	m.cpus = a->cpus;
	m.disk = a->disk;
	m.processes = deploy_processes(a, f);
	j->create_req = peer_request(worker_peer(PROC_CONTAINER),
	    MSG_CT_ADOPT, &m, 0, on_adopted, j);
	j->create_lost = j->create_req == 0;
}

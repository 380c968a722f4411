/*
 * What a deploy asks of the others: model, socket, instance.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: proxy, supervisor, container.
 */
#include <stdio.h>
#include <string.h>

#include "job.h"
#include "tell.h"
#include "worker.h"

#define ASK_MS		20000

static void
on_policy(struct msg *m, void *arg)
{
	struct job	*j = arg;

	j->policy_req = 0;
	if (m == NULL || m->type != MSG_DONE || m->u.done.status >= 500) {
		/* Again when proxy is back; the deadline goes on. */
		j->policy_lost = true;
		if (m != NULL)
			job_fail(j, JE_FAILED, 502, "%s", m->u.done.error);
	} else if (m->u.done.status >= 400) {
		job_fail(j, JE_FAILED, m->u.done.status, "%s", m->u.done.error);
	} else {
		job_event(j, JE_POLICY_OK);
	}
}

void
job_ask_policy(struct job *j)
{
	j->policy_req = tell_policy(j->agent, ASK_MS, on_policy, j);
	j->policy_lost = j->policy_req == 0;
}

static void
on_socket(struct msg *m, void *arg)
{
	struct job	*j = arg;

	j->socket_req = 0;
	if (m != NULL && m->type == MSG_DONE && m->u.done.status < 300)
		job_event(j, JE_SOCKET_OK);
	else
		job_fail(j, JE_FAILED, 502, "the agent's socket: %s",
		    m != NULL && m->type == MSG_DONE ? m->u.done.error :
		    "the supervisor does not answer");
}

void
job_on_created(struct msg *m, void *arg)
{
	const struct m_ct_done	*d;
	struct job		*j = arg;

	j->create_req = 0;
	if (m == NULL || m->type != MSG_CT_DONE) {
		job_fail(j, JE_CREATE_FAILED, 502, "the container worker ended "
		    "before the instance was made");
		return;
	}
	d = &m->u.ct_done;
	if (d->status == 409) {
		job_fail(j, JE_FOREIGN, 409, "%s", d->error);
	} else if (d->status >= 300) {
		job_fail(j, JE_CREATE_FAILED, d->status, "%s", d->error);
	} else {
		j->agent->uid_base = d->uid_base;
		j->agent->uid_count = d->uid_count;
		job_event(j, JE_CREATED);
	}
}

static void
ask_image(struct job *j)
{
	const struct framework	*f = framework_get(j->agent->framework);
	const struct agent	*a = j->agent;
	char			 dir[1100];
	struct m_ct_create	 m;

	(void)snprintf(dir, sizeof(dir), "%s/%s", worker_conf()->agents_dir,
	    a->id);
	m.agent_id = a->id;
	m.instance = a->instance;
	m.slug = a->slug;
	m.node_id = worker_conf()->node_id;
	m.image = f != NULL ? f->image : "";
	m.sock_dir = dir;
	m.memory = a->memory;
	m.cpus = a->cpus;
	m.disk = a->disk;
	m.processes = deploy_processes(a, f);
	/* No time-out: container has its own, and always answers. */
	j->create_req = peer_request(worker_peer(PROC_CONTAINER),
	    MSG_CT_CREATE, &m, 0, job_on_created, j);
	/* Nothing was sent: again when it is back; the deadline goes on. */
	j->create_lost = j->create_req == 0;
}

void
job_ask_create(struct job *j)
{
	switch (j->source) {
	case JOB_POOL:
		job_ask_pool(j);
		break;
	case JOB_IMAGE:
	case JOB_COPY:
	case JOB_BACKUP:
		ask_image(j);
		break;
	}
}

void
job_ask_socket(struct job *j)
{
	struct m_agent_id	 m = { j->agent_id };

	j->socket_req = peer_request(worker_super(), MSG_AGENT_LISTEN, &m,
	    ASK_MS, on_socket, j);
	if (j->socket_req == 0)
		job_fail(j, JE_FAILED, 503, "the supervisor cannot be asked");
}

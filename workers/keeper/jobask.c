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
#include "move.h"
#include "limits.h"
#include "log.h"
#include "state.h"
#include "snapshot.h"
#include "tell.h"
#include "worker.h"

#define ASK_MS		20000

static void
on_policy(struct msg *m, void *arg)
{
	struct job	*j = arg;

	j->policy_req = 0;
	if (m == NULL || m->type != MSG_DONE) {
		j->policy_lost = true;
		job_again(j);
	} else if (m->u.done.status >= 500) {
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
	if (j->policy_lost)
		job_again(j);
}

static void
on_socket(struct msg *m, void *arg)
{
	struct job	*j = arg;
	const char	*error;

	j->socket_req = 0;
	if (answer_status(m, LOST_SUPER, &error) < 300)
		job_event(j, JE_SOCKET_OK);
	else
		job_fail(j, JE_FAILED, 502, "the agent's socket: %s", error);
}

/* The deadline goes on; whoever waits for the end of a cancelled one too. */
static void
create_lost(struct job *j)
{
	if (j->sm.step != JS_INSTANCE) {
		job_event(j, JE_CREATE_FAILED);
		return;
	}
	j->create_lost = true;
	job_again(j);
}

static void
on_card(struct msg *m, void *arg)
{
	struct job	*j = arg;

	j->create_req = 0;
	if (m == NULL || m->type != MSG_CT_DONE)
		create_lost(j);
	else if (m->u.ct_done.status >= 300)
		job_fail(j, JE_CREATE_FAILED, m->u.ct_done.status,
		    "network: %s", m->u.ct_done.error);
	else
		job_event(j, JE_CREATED);
}

/* Of the policies only egress is in Incus, and a new instance has no card. */
void
job_ask_card(struct job *j)
{
	struct m_ct_net	 m = { j->agent_id, j->instance, 1 };

	if (j->sm.step != JS_INSTANCE ||
	    strcmp(j->agent->network, "egress") != 0) {
		job_event(j, JE_CREATED);
		return;
	}
	j->create_req = peer_request(worker_peer(PROC_CONTAINER), MSG_CT_NET,
	    &m, 0, on_card, j);
	if (j->create_req == 0)
		create_lost(j);
}

void
job_on_created(struct msg *m, void *arg)
{
	const struct m_ct_done	*d;
	struct job		*j = arg;

	j->create_req = 0;
	if (m == NULL || m->type != MSG_CT_DONE) {
		create_lost(j);
		return;
	}
	d = &m->u.ct_done;
	if (d->status == 503 && j->resumed > 0 && j->sm.step == JS_INSTANCE) {
		/* After a start of the machine Incus may come later. */
		log_info("deploy %s: %s", j->id, d->error);
		create_lost(j);
	} else if (d->status == 409) {
		job_fail(j, JE_FOREIGN, 409, "%s", d->error);
	} else if (d->status == 404 && j->source == JOB_IMAGE) {
		/* The last word of the command that makes the image. */
		job_fail(j, JE_CREATE_FAILED, d->status, "%s %s", d->error,
		    j->agent->framework);
	} else if (d->status >= 300) {
		job_fail(j, JE_CREATE_FAILED, d->status, "%s", d->error);
	} else {
		agent_seen(j->agent, "Running");
		j->agent->uid_base = d->uid_base;
		j->agent->uid_count = d->uid_count;
		job_ask_card(j);
	}
}

void
job_fill_create(struct m_ct_create *m, const struct agent *a,
    const char *image, const char *request, bool again, char dir[JOB_DIR])
{
	const struct framework	*f = framework_get(a->framework);

	(void)snprintf(dir, JOB_DIR, "%s/%s", worker_conf()->agents_dir,
	    a->id);
	m->agent_id = a->id;
	m->instance = a->instance;
	m->slug = a->slug;
	m->node_id = worker_conf()->node_id;
	m->image = image != NULL ? image : f != NULL ? f->image : "";
	m->sock_dir = dir;
	m->memory = a->memory;
	m->cpus = a->cpus;
	m->disk = a->disk;
	m->processes = deploy_processes(a, f);
	m->request = request;
	m->again = again;
}

uint64_t
job_ask_image(struct job *j, const char *image, peer_reply_fn fn)
{
	char			 dir[JOB_DIR];
	struct m_ct_create	 m;

	job_fill_create(&m, j->agent, image, j->id, j->create_again, dir);
	/* No time-out: container has its own, and always answers. */
	j->create_req = peer_request(worker_peer(PROC_CONTAINER),
	    MSG_CT_CREATE, &m, 0, fn, j);
	return j->create_req;
}

void
job_ask_create(struct job *j)
{
	j->create_lost = false;
	if (j->source == JOB_IMAGE &&
	    framework_get(j->agent->framework) == NULL) {
		job_fail(j, JE_CREATE_FAILED, 409, "the framework %s is not in "
		    "the catalog any more", j->agent->framework);
		return;
	}
	if (j->source == JOB_COPY && !fork_has_source(j)) {
		job_fail(j, JE_CREATE_FAILED, 409, "the agent that it is a "
		    "copy of is not there any more");
		return;
	}
	if (j->source == JOB_BACKUP) {
		/* Several requests; it says itself how they end. */
		job_ask_backup(j);
		return;
	}
	switch (j->source) {
	case JOB_POOL:
		job_ask_pool(j);
		break;
	case JOB_COPY:
		fork_ask_create(j);
		break;
	case JOB_IMAGE:
	case JOB_BACKUP:
		(void)job_ask_image(j, NULL, job_on_created);
		break;
	}
	if (j->create_req == 0) {
		/* Nothing was sent. */
		j->create_lost = true;
		job_again(j);
	} else {
		j->create_again = true;
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

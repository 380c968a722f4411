/*
 * A new agent with the files of another, as it is now or as it was.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container.
 *
 * It is a deploy like any other (own id, key, socket and channel) whose
 * instance is a copy.  It gets the rights of its source at this time and
 * none that a snapshot of another day may have had.
 */
#include <stdio.h>
#include <string.h>

#include "archive.h"
#include "job.h"
#include "limits.h"
#include "log.h"
#include "snapshot.h"
#include "worker.h"

static struct agent *
twin(const struct agent *src, const struct pass *who, const char *slug,
    const char *name)
{
	struct agent	*a = deploy_agent(who, slug);

	(void)strlcpy(a->display_name, name, sizeof(a->display_name));
	(void)strlcpy(a->framework, src->framework, sizeof(a->framework));
	(void)strlcpy(a->model, src->model, sizeof(a->model));
	(void)strlcpy(a->fallbacks, src->fallbacks, sizeof(a->fallbacks));
	(void)strlcpy(a->network, src->network, sizeof(a->network));
	(void)strlcpy(a->domains, src->domains, sizeof(a->domains));
	(void)strlcpy(a->emoji, src->emoji, sizeof(a->emoji));
	(void)strlcpy(a->color, src->color, sizeof(a->color));
	(void)strlcpy(a->image, src->image, sizeof(a->image));
	(void)strlcpy(a->snapshots, src->snapshots, sizeof(a->snapshots));
	a->memory = src->memory;
	a->disk = src->disk;
	a->cpus = src->cpus;
	a->processes = src->processes;
	a->idle = src->idle;
	limits_clip(a);
	return a;
}

static bool
may_fork(struct client c, const struct agent *src,
    const struct m_agent_fork *in, char slug[SLUG_MAX + 1])
{
	int	 status;

	if (src == NULL)
		reply_error(c, 404, "there is no agent %s", in->slug);
	else if (src->job != NULL || src->state == AGENT_DELETING)
		reply_error(c, 409, "agent %s is %s", src->slug,
		    agent_status(src));
	/* A snapshot of it in the making is in nobody's way. */
	else if (src->doing != NULL && strcmp(src->doing, "snapshot") != 0)
		reply_error(c, 409, "agent %s: a %s is under way", src->slug,
		    src->doing);
	else if (in->snapshot[0] != '\0' && !snapshot_name_ok(in->snapshot))
		reply_error(c, 422, "snapshot: this is not the name of one");
	else if ((status = agent_free_slug(in->name, slug)) == 400)
		reply_error(c, 400, "name: needs at least one letter or "
		    "digit of ASCII");
	else if (status != 0)
		reply_error(c, (uint32_t)status, "there are too many agents "
		    "of that name");
	else
		return deploy_room(c, in->name);
	return false;
}

int
h_agent_fork(struct peer *p, struct msg *m)
{
	const struct m_agent_fork	*in = &m->u.agent_fork;
	struct client			 c = client_of(m);
	char				 slug[SLUG_MAX + 1], ref[128];
	struct agent			*src;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1 ||
	    deploy_known(c, &who, in->idempotency_key))
		return 0;
	src = agent_visible(&who, in->slug);
	if (!may_fork(c, src, in, slug))
		return 0;
	(void)snprintf(ref, sizeof(ref), "%s/%s", src->id, in->snapshot);
	tracebox_lifecycle(src->id, "forked", slug, "");
	deploy_begin(c, &who, twin(src, &who, slug, in->name), JOB_COPY, ref,
	    in->idempotency_key);
	return 0;
}

static struct agent *
source_of(const struct job *j)
{
	char	 id[ID_LEN + 1];

	(void)snprintf(id, sizeof(id), "%.*s", ID_LEN, j->source_ref);
	return strlen(j->source_ref) > ID_LEN ? agent_by_id(id) : NULL;
}

bool
fork_has_source(const struct job *j)
{
	return source_of(j) != NULL;
}

void
fork_ask_create(struct job *j)
{
	const struct framework	*f = framework_get(j->agent->framework);
	const struct agent	*a = j->agent, *src = source_of(j);
	char			 dir[1100];
	struct m_ct_copy	 m;

	(void)snprintf(dir, sizeof(dir), "%s/%s", worker_conf()->agents_dir,
	    a->id);
	m.agent_id = a->id;
	m.instance = a->instance;
	m.slug = a->slug;
	m.node_id = worker_conf()->node_id;
	m.sock_dir = dir;
	m.memory = a->memory;
	m.cpus = a->cpus;
	m.disk = a->disk;
	m.processes = deploy_processes(a, f);
	m.source_id = src->id;
	m.source = src->instance;
	m.snapshot = j->source_ref + ID_LEN + 1;
	m.request = j->id;
	m.again = j->create_again;
	/* No time-out: container has its own, and always answers. */
	j->create_req = peer_request(worker_peer(PROC_CONTAINER),
	    MSG_CT_COPY, &m, 0, job_on_created, j);
}

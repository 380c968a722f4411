/*
 * What other workers are told of agents: gateway their state, proxy their
 * model, the supervisor their sockets.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: gateway, proxy, supervisor.
 *
 * keeper owns this state; it is told again to each of them that comes up.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "network.h"
#include "tell.h"
#include "worker.h"

#define ASK_MS		20000
#define REFUSAL		400		/* how most runtimes read a "no" */

static uint32_t
max_calls(const struct framework *f)
{
	if (f != NULL && f->max_calls_per_turn != 0)
		return f->max_calls_per_turn;
	return worker_conf()->max_calls_per_turn;
}

void
keeper_tell_gateway(const struct agent *a)
{
	const struct framework	*f = framework_get(a->framework);
	struct m_agent_conf	 m;

	m.agent_id = a->id;
	m.slug = a->slug;
	m.framework = a->framework;
	m.model = a->model;
	/* Until it has finished it goes on. */
	m.state = a->prepare != NULL ? AGENT_RUNNING : a->state;
	m.uid_base = a->uid_base;
	m.uid_count = a->uid_count;
	m.max_calls_per_turn = max_calls(f);
	m.refusal_status = f != NULL && f->refusal_status != 0 ?
	    f->refusal_status : REFUSAL;
	if (peer_send(worker_peer(PROC_GATEWAY), MSG_AGENT_CONF, &m) == -1 &&
	    errno != ENOTCONN)
		log_warn("agent %s: state to gateway", a->slug);
	network_tell(a);
}

uint64_t
tell_policy(const struct agent *a, int timeout_ms, peer_reply_fn fn,
    void *arg)
{
	char			 models[sizeof(a->model) +
				    sizeof(a->fallbacks)];
	struct m_agent_policy	 m;

	/* Without a model of its own it may use any. */
	(void)snprintf(models, sizeof(models), "%s%s%s", a->model,
	    a->model[0] != '\0' && a->fallbacks[0] != '\0' ? "\n" : "",
	    a->model[0] != '\0' ? a->fallbacks : "");
	m.agent_id = a->id;
	m.slug = a->slug;
	m.owner = a->owner;
	m.model = a->model;
	m.models = models;
	m.max_calls_per_turn = max_calls(framework_get(a->framework));
	return peer_request(worker_peer(PROC_PROXY), MSG_AGENT_POLICY, &m,
	    timeout_ms, fn, arg);
}

static void
on_policy(struct msg *m, void *arg)
{
	(void)arg;
	/* Without an answer proxy is gone, and is told again. */
	if (m != NULL && m->u.done.status >= 300)
		log_warnx("proxy does not take an agent: %s",
		    m->u.done.error);
}

void
tell_policies(void)
{
	struct agent	*a;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (a->job == NULL && a->state != AGENT_DELETING &&
		    tell_policy(a, ASK_MS, on_policy, NULL) == 0)
			log_warn("agent %s: model to proxy", a->slug);
}

static void
on_socket(struct msg *m, void *arg)
{
	(void)arg;
	if (m == NULL || m->u.done.status >= 300)
		log_warnx("a socket is missing: %s", m != NULL ?
		    m->u.done.error : "no answer");
}

void
tell_sockets(void)
{
	struct m_agent_id	 m;
	struct agent		*a;

	for (a = agent_first(); a != NULL; a = agent_next(a)) {
		if (a->state != AGENT_RUNNING && a->state != AGENT_PAUSED)
			continue;
		m.agent_id = a->id;
		if (peer_request(worker_super(), MSG_AGENT_LISTEN, &m, ASK_MS,
		    on_socket, NULL) == 0)
			log_warn("agent %s: socket", a->slug);
	}
}

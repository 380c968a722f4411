/*
 * Makes Incus agree with the rows: after a start, whenever container comes
 * back, after an event of Incus, and once a minute.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container.
 *
 * An instance with our node's tag that no row knows is destroyed; an agent
 * that should run is started, one that should not is stopped.
 */
#include <sys/queue.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent.h"
#include "archive.h"
#include "keeper.h"
#include "log.h"
#include "state.h"
#include "saga.h"
#include "tell.h"
#include "verb.h"
#include "want.h"
#include "worker.h"

#define LIST_MS		60000
#define ACTION_MS	180000
#define STOP_S		10
#define ROWS_MAX	4096
#define RETRY_MS	5000
#define EVERY_MS	60000		/* whatever events say */
#define JITTER_MS	10000U		/* more or less */

struct row {
	TAILQ_ENTRY(row) entry;
	char		 agent_id[ID_LEN + 1];
	char		 instance[INSTANCE_MAX + 1];
	char		 status[33];
	uint32_t	 uid_base, uid_count;
};

static struct {
	TAILQ_HEAD(row_list, row) rows;
	size_t		 n;
	uint64_t	 req;		/* CT_LIST under way */
	double		 asked_at;
	bool		 started;	/* the first look is due or done */
	struct event	*retry;
	uint64_t	 retry_at;
} rc = { .rows = TAILQ_HEAD_INITIALIZER(rc.rows) };

static void
forget_rows(void)
{
	struct row	*r;

	while ((r = TAILQ_FIRST(&rc.rows)) != NULL) {
		TAILQ_REMOVE(&rc.rows, r, entry);
		free(r);
	}
	rc.n = 0;
}

/* A copy that somebody made by hand has the same tags, but another name. */
static struct row *
row_of(const struct agent *a)
{
	struct row	*r;

	TAILQ_FOREACH(r, &rc.rows, entry)
		if (strcmp(r->agent_id, a->id) == 0 &&
		    strcmp(r->instance, a->instance) == 0)
			return r;
	return NULL;
}

/* What its instance is when it is as it should be. */
static const char *
now_is(const struct agent *a)
{
	if (a->state == AGENT_PAUSED || (a->asleep &&
	    strcmp(idle_verb(), "freeze") == 0))
		return "Frozen";
	return a->state == AGENT_RUNNING && !a->asleep ? "Running" :
	    "Stopped";
}

static void
on_acted(struct msg *m, void *arg)
{
	struct agent	*a = agent_by_id(arg);

	if (a != NULL && m != NULL && m->type == MSG_CT_DONE) {
		if (m->u.ct_done.status >= 300)
			log_warnx("agent %s: %s", a->slug,
			    m->u.ct_done.error);
		else
			agent_seen(a, now_is(a));
		if (m->u.ct_done.status < 300 && answer_uids(a,
		    m->u.ct_done.uid_base, m->u.ct_done.uid_count))
			keeper_tell_gateway(a);
	}
	free(arg);
}

static void
act(const struct agent *a, const char *verb)
{
	struct m_ct_action	 m;
	char			*id, why[128];

	if ((id = strdup(a->id)) == NULL)
		fatal("reconcile");
	m.agent_id = a->id;
	m.instance = a->instance;
	m.verb = verb;
	m.timeout = STOP_S;
	log_info("agent %s: %s, to be as it should", a->slug, verb);
	(void)snprintf(why, sizeof(why), "its container was found %s: %s",
	    a->instance_status, verb);
	want_trace(a, "reconciled", why);
	tracebox_kick();
	if (peer_request(worker_peer(PROC_CONTAINER), MSG_CT_ACTION, &m,
	    ACTION_MS, on_acted, id) == 0)
		free(id);
}

/*
 * Did it come into being while the list was made?  Its deploy may have ended
 * since: then the list need not have it, and it is there all the same.
 */
static bool
is_younger(const struct agent *a)
{
	return a->created_at >= rc.asked_at || a->started_at >= rc.asked_at;
}

void
agent_instance_gone(struct agent *a)
{
	char	 why[160];

	log_warnx("agent %s: its instance %s is gone", a->slug, a->instance);
	(void)snprintf(why, sizeof(why), "its container is gone, and its home "
	    "with it; a new one: agentctl agent rebuild %s", a->slug);
	if (verb_store(a, AGENT_FAILED, "instance_gone", NULL, why) == 0)
		keeper_tell_gateway(a);
}

static void
check_agent(struct agent *a)
{
	struct row	*r = row_of(a);
	const char	*remedy;

	/* Whoever is at work on it knows better. */
	if (a->job != NULL || a->doing != NULL || a->state == AGENT_DELETING)
		return;
	if (r == NULL) {
		/* A list that was cut proves nothing either. */
		if (rc.n == ROWS_MAX || is_younger(a))
			return;
		agent_seen(a, "");
		if (a->state != AGENT_RUNNING)
			return;
		agent_instance_gone(a);
		return;
	}
	if ((r->uid_base != a->uid_base || r->uid_count != a->uid_count) &&
	    answer_uids(a, r->uid_base, r->uid_count))
		keeper_tell_gateway(a);
	agent_seen(a, r->status);
	if ((remedy = state_remedy(a)) != NULL && state_may_mend(a))
		act(a, remedy);
}

static void
orphan_gone(void *arg)
{
	log_info("an instance without an agent was removed: %s",
	    (const char *)arg);
	free(arg);
}

/* A name that we give: what has another one is shown by the doctor only. */
static bool
our_name(const char *name)
{
	return strncmp(name, "agentd-", 7) == 0 &&
	    strspn(name + 7, "0123456789abcdef") == 12 && name[19] == '\0';
}

static void
check_orphan(const struct row *r)
{
	char	*name;

	if (agent_by_id(r->agent_id) != NULL || teardown_runs(r->agent_id) ||
	    pool_knows(r->agent_id) || archive_knows(r->agent_id) ||
	    saga_runs(r->agent_id) != NULL || !our_name(r->instance))
		return;
	if ((name = strdup(r->instance)) == NULL)
		fatal("reconcile");
	teardown_start(r->agent_id, r->instance, true, orphan_gone, name);
}

static void
compare(void)
{
	struct agent	*a;
	struct row	*r;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		check_agent(a);
	TAILQ_FOREACH(r, &rc.rows, entry)
		check_orphan(r);
	if (rc.n < ROWS_MAX)
		pool_listed(rc.asked_at);
}

static void
add_row(const struct m_ct_row *in)
{
	struct row	*r;

	if (!sys_is_id(in->agent_id) || rc.n == ROWS_MAX)
		return;
	if ((r = calloc(1, sizeof(*r))) == NULL)
		fatal("reconcile");
	(void)strlcpy(r->agent_id, in->agent_id, sizeof(r->agent_id));
	(void)strlcpy(r->instance, in->instance, sizeof(r->instance));
	(void)strlcpy(r->status, in->status, sizeof(r->status));
	pool_seen(in->agent_id, strcmp(in->status, "Frozen") == 0);
	r->uid_base = in->uid_base;
	r->uid_count = in->uid_count;
	TAILQ_INSERT_TAIL(&rc.rows, r, entry);
	rc.n++;
}

void
reconcile_soon(unsigned ms)
{
	struct timeval	 tv = { ms / 1000, ms % 1000 * 1000 };
	uint64_t	 at = sys_now_ms() + ms;

	if (rc.retry == NULL || (evtimer_pending(rc.retry, NULL) &&
	    rc.retry_at <= at))
		return;
	rc.retry_at = at;
	(void)evtimer_add(rc.retry, &tv);
}

static void
retry_later(void)
{
	reconcile_soon(RETRY_MS);
}

static void
on_list(struct msg *m, void *arg)
{
	uint32_t	 jitter;

	(void)arg;
	if (m != NULL && m->type == MSG_CT_ROW) {
		add_row(&m->u.ct_row);
		if (m->more)
			return;
	}
	rc.req = 0;
	if (m == NULL) {
		/* If it is gone: again when it is back. */
		if (errno == ETIMEDOUT)
			retry_later();
	} else if (m->type == MSG_CT_DONE && m->u.ct_done.status >= 300) {
		log_warnx("the instances cannot be listed: %s",
		    m->u.ct_done.error);
		retry_later();
	} else {
		compare();
		sys_random(&jitter, sizeof(jitter));
		reconcile_soon(EVERY_MS - JITTER_MS + jitter %
		    (2 * JITTER_MS));
	}
	forget_rows();
}

static void
ask_list(void)
{
	struct m_none	 none;

	if (rc.req != 0)
		return;
	forget_rows();
	rc.asked_at = sys_time();
	rc.req = peer_request(worker_peer(PROC_CONTAINER), MSG_CT_LIST, &none,
	    LIST_MS, on_list, NULL);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	ask_list();
}

void
reconcile_start(void)
{
	if ((rc.retry = evtimer_new(worker_base(), on_retry, NULL)) == NULL)
		fatal("timer");
	rc.started = true;
	tell_sockets();
	job_resume();
	saga_resume();
	lifecycle_start();
	pool_start();
	idle_start();
	if (peer_is_up(worker_peer(PROC_CONTAINER)))
		ask_list();
}

void
reconcile_container_up(void)
{
	if (!rc.started)
		return;
	teardown_kick();
	ask_list();
}

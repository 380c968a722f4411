/*
 * Removes all that an agent has outside this program, until it is gone.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container, supervisor, proxy, gateway.
 *
 * The instance goes first: it holds the socket's directory.  Every part may
 * be asked for again, "not there" is a success.  A part that fails is tried
 * again, later and later, and at once when its worker is back; the row that
 * names the agent stays until all is done.
 */
#include <sys/queue.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "worker.h"

#define RETRY_MIN_MS	250
#define RETRY_MAX_MS	30000
#define DESTROY_MS	300000		/* container has shorter ones itself */
#define ASK_MS		15000

enum part { PART_INSTANCE, PART_SOCKET, PART_KEY, PARTS };

struct teardown {
	TAILQ_ENTRY(teardown) entry;
	char		 agent_id[ID_LEN + 1];
	char		 instance[INSTANCE_MAX + 1];
	bool		 done[PARTS];
	bool		 asked[PARTS];
	int		 wait_ms;
	struct event	*timer;
	void		(*fn)(void *);
	void		*arg;
};

/* Which part of which teardown an answer is for. */
struct asked {
	struct teardown	*t;
	enum part	 part;
};

static TAILQ_HEAD(teardown_list, teardown) all = TAILQ_HEAD_INITIALIZER(all);

static void	 advance(struct teardown *);

static void
retry_later(struct teardown *t)
{
	struct timeval	 tv = { t->wait_ms / 1000, t->wait_ms % 1000 * 1000 };

	if (evtimer_pending(t->timer, NULL))
		return;
	(void)evtimer_add(t->timer, &tv);
	if ((t->wait_ms *= 2) > RETRY_MAX_MS)
		t->wait_ms = RETRY_MAX_MS;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	advance(arg);
}

static void
on_answer(struct msg *m, void *arg)
{
	struct asked	*q = arg;
	struct teardown	*t = q->t;
	enum part	 part = q->part;
	const char	*error;
	uint32_t	 status = answer_status(m, "no answer", &error);

	free(q);
	t->asked[part] = false;
	/* 409: an instance of that name is not ours, so ours is not there. */
	if (status < 300 || status == 404 ||
	    (part == PART_INSTANCE && status == 409)) {
		t->done[part] = true;
		t->wait_ms = RETRY_MIN_MS;
		advance(t);
		return;
	}
	log_warnx("agent %s: not removed yet: %s", t->agent_id, error);
	retry_later(t);
}

static void
ask(struct teardown *t, enum part part)
{
	struct m_ct_action	 act;
	struct m_agent_id	 who = { t->agent_id };
	struct asked		*q;
	uint64_t		 id;

	if (t->done[part] || t->asked[part])
		return;
	if ((q = malloc(sizeof(*q))) == NULL)
		fatal("teardown");
	q->t = t;
	q->part = part;
	t->asked[part] = true;
	if (part == PART_INSTANCE) {
		act.agent_id = t->agent_id;
		act.instance = t->instance;
		act.verb = "destroy";
		act.timeout = 0;
		id = peer_request(worker_peer(PROC_CONTAINER), MSG_CT_ACTION,
		    &act, DESTROY_MS, on_answer, q);
	} else if (part == PART_SOCKET) {
		id = peer_request(worker_super(), MSG_AGENT_UNLISTEN, &who,
		    ASK_MS, on_answer, q);
	} else {
		id = peer_request(worker_peer(PROC_PROXY), MSG_AGENT_DROP,
		    &who, ASK_MS, on_answer, q);
	}
	if (id == 0) {
		free(q);
		t->asked[part] = false;
		retry_later(t);
	}
}

static void
advance(struct teardown *t)
{
	struct m_agent_id	 who = { t->agent_id };

	if (!t->done[PART_INSTANCE]) {
		ask(t, PART_INSTANCE);
		return;
	}
	ask(t, PART_SOCKET);
	ask(t, PART_KEY);
	if (!t->done[PART_SOCKET] || !t->done[PART_KEY])
		return;
	/* A gateway that is not there has nothing to forget. */
	if (peer_send(worker_peer(PROC_GATEWAY), MSG_AGENT_GONE, &who) == -1 &&
	    errno != ENOTCONN)
		log_warn("agent %s: end to gateway", t->agent_id);
	TAILQ_REMOVE(&all, t, entry);
	event_free(t->timer);
	t->fn(t->arg);
	free(t);
}

void
teardown_start(const char *agent_id, const char *instance_name,
    bool instance, void (*fn)(void *), void *arg)
{
	struct teardown	*t;

	if ((t = calloc(1, sizeof(*t))) == NULL ||
	    (t->timer = evtimer_new(worker_base(), on_timer, t)) == NULL)
		fatal("teardown");
	(void)strlcpy(t->agent_id, agent_id, sizeof(t->agent_id));
	(void)strlcpy(t->instance, instance_name, sizeof(t->instance));
	t->done[PART_INSTANCE] = !instance;
	t->wait_ms = RETRY_MIN_MS;
	t->fn = fn;
	t->arg = arg;
	TAILQ_INSERT_TAIL(&all, t, entry);
	advance(t);
}

bool
teardown_runs(const char *agent_id)
{
	struct teardown	*t;

	TAILQ_FOREACH(t, &all, entry)
		if (strcmp(t->agent_id, agent_id) == 0)
			return true;
	return false;
}

void
teardown_kick(void)
{
	struct teardown	*t, *next;

	for (t = TAILQ_FIRST(&all); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		(void)evtimer_del(t->timer);
		t->wait_ms = RETRY_MIN_MS;
		advance(t);
	}
}

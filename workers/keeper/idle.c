/*
 * Agents without work sleep; a message wakes them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container, front.
 *
 * A command that somebody runs in its container is work as well as a turn.
 *
 * An agent that sleeps should run: its state stays so, and "asleep" says that
 * its instance is stopped, or frozen, until there is something to do.  That is
 * stored before the instance is touched; what is cut in between is ended by
 * reconcile.c.  What comes while it falls asleep waits in its outbox, and it
 * is woken as soon as it sleeps.
 */
#include <string.h>

#include <event2/event.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "worker.h"

#define ACTION_MS	180000
#define RETRY_MS	5000
#define STOP_S		10		/* for a stop in peace */
#define TICK_MIN_MS	1000
#define TICK_MAX_MS	30000
#define IDLE_MIN	10U		/* seconds */
#define IDLE_MAX	(30U * 86400)
#define FAIL_AT_ONCE	16

static struct event	*timer;

static void	 tick(void);

static void
tick_in(uint64_t ms)
{
	struct timeval	 tv = { (time_t)(ms / 1000),
	    (suseconds_t)(ms % 1000 * 1000) };

	(void)evtimer_add(timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	tick();
}

void
idle_touch(struct agent *a)
{
	a->idle_since = sys_now_ms();
}

const char *
idle_verb(void)
{
	return worker_conf()->idle_freeze ? "freeze" : "stop";
}

/* What should be, and what the trace says of it, in one transaction. */
static int
store(struct agent *a, bool asleep, const char *event, const char *error)
{
	if (db_begin(keeper_db()) == -1)
		return -1;
	a->asleep = asleep;
	(void)agent_save(a);
	tracebox_lifecycle(a->id, event, "", error);
	if (db_commit(keeper_db()) == -1) {
		a->asleep = !asleep;
		return -1;
	}
	tracebox_kick();
	return 0;
}

static uint64_t
act(const struct agent *a, const char *verb, peer_reply_fn fn)
{
	struct m_ct_action	 m;

	m.agent_id = a->id;
	m.instance = a->instance;
	m.verb = verb;
	m.timeout = strcmp(verb, "stop") == 0 ? STOP_S : 0;
	/* The lock keeps the agent where it is. */
	return peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_ACTION,
	    &m, -1, ACTION_MS, fn, agent_by_id(a->id));
}

/* ---- awake ---- */

/* Up to so many messages that wait for the agent have failed. */
static int
fail_some(struct agent *a, const char *why)
{
	char		 ids[FAIL_AT_ONCE][ID_LEN + 1];
	struct db	*db = keeper_db();
	struct db_stmt	*s;
	int		 i, n = 0;

	s = db_query(db, "SELECT message_id FROM outbox WHERE agent_id = ?1 "
	    "ORDER BY event_id LIMIT ?2", "si", a->id, FAIL_AT_ONCE);
	while (s != NULL && n < FAIL_AT_ONCE && db_step(s) == 1)
		(void)strlcpy(ids[n++], db_text(s, 0), sizeof(ids[0]));
	db_end(s);
	if (n == 0 || db_begin(db) == -1)
		return 0;
	for (i = 0; i < n; i++) {
		(void)db_exec(db, "DELETE FROM outbox WHERE message_id = ?1",
		    "s", ids[i]);
		(void)db_exec(db, "UPDATE message SET state = 'failed', "
		    "error = ?2 WHERE id = ?1", "ss", ids[i], why);
	}
	if (db_commit(db) == -1)
		return 0;
	for (i = 0; i < n; i++) {
		turn_forget(a, ids[i]);
		bridge_turn(a, ids[i], a->channel_id, false);
		watch_state(a->channel_id, ids[i], "failed", why);
		if (a->queued > 0)
			a->queued--;
	}
	return n;
}

static void
on_woken(struct msg *m, void *arg)
{
	struct agent	*a = arg;
	char		 why[512];

	agent_unlock(a);
	idle_touch(a);
	tick_in(TICK_MIN_MS);
	/* If nobody can say now reconcile.c starts it; messages wait. */
	if (m == NULL || m->type != MSG_CT_DONE ||
	    m->u.ct_done.status == 503) {
		reconcile_soon(RETRY_MS);
		return;
	}
	if (m->u.ct_done.status < 300) {
		(void)answer_uids(a, m->u.ct_done.uid_base,
		    m->u.ct_done.uid_count);
		keeper_tell_gateway(a);
		return;
	}
	(void)strlcpy(why, "the agent sleeps and could not be woken: ",
	    sizeof(why));
	(void)strlcat(why, m->u.ct_done.error, sizeof(why));
	log_warnx("agent %s: %s", a->slug, why);
	(void)store(a, true, "wake_failed", m->u.ct_done.error);
	while (fail_some(a, why) > 0)
		continue;
}

void
idle_wake(struct agent *a)
{
	struct client	 nobody = { 0, 0 };

	idle_touch(a);
	/* Whoever is at work on it ends first; then tick() comes by. */
	if (!a->asleep || a->state != AGENT_RUNNING)
		return;
	tick_in(TICK_MIN_MS);
	if (!agent_lock(a, "wake", nobody))
		return;
	if (store(a, false, "awake", "") == -1) {
		agent_unlock(a);
		return;
	}
	log_info("agent %s: woken", a->slug);
	if (act(a, "start", on_woken) == 0)
		on_woken(NULL, a);
}

/* ---- asleep ---- */

static void
on_slept(struct msg *m, void *arg)
{
	struct agent	*a = arg;

	agent_unlock(a);
	idle_touch(a);
	if (m != NULL && m->type == MSG_CT_DONE &&
	    m->u.ct_done.status >= 300) {
		log_warnx("agent %s: cannot be put to sleep: %s", a->slug,
		    m->u.ct_done.error);
		(void)store(a, false, "sleep_failed", m->u.ct_done.error);
	}
	if (a->queued > 0)
		idle_wake(a);
}

static void
put_to_sleep(struct agent *a)
{
	struct client	 nobody = { 0, 0 };

	if (!agent_lock(a, "sleep", nobody))
		return;
	if (store(a, true, "asleep", "") == -1) {
		agent_unlock(a);
		return;
	}
	log_info("agent %s: without work for %u s, sleeps", a->slug, a->idle);
	bridge_close(a);
	if (act(a, idle_verb(), on_slept) == 0)
		on_slept(NULL, a);
}

/* ms until it may sleep; 0: now. */
static uint64_t
left(const struct agent *a)
{
	uint64_t	 now = sys_now_ms(), due;

	due = a->idle_since + a->idle * 1000ULL;
	return due > now ? due - now : 0;
}

static void
tick(void)
{
	struct agent	*a;
	uint64_t	 ms, next = TICK_MAX_MS;

	for (a = agent_first(); a != NULL; a = agent_next(a)) {
		/* One that cannot sleep now may do so soon. */
		if (!a->asleep && a->idle != 0 && a->idle * 1000ULL < next)
			next = a->idle * 1000ULL;
		if (a->state != AGENT_RUNNING || a->job != NULL ||
		    a->doing != NULL)
			continue;
		if (a->asleep && a->queued > 0)
			idle_wake(a);
		if (exec_runs(a))
			idle_touch(a);
		if (a->asleep || a->idle == 0 || a->queued > 0 ||
		    a->sub == NULL)
			continue;
		if ((ms = left(a)) == 0)
			put_to_sleep(a);
		else if (ms < next)
			next = ms;
	}
	tick_in(next < TICK_MIN_MS ? TICK_MIN_MS : next);
}

void
idle_start(void)
{
	struct agent	*a;

	if ((timer = evtimer_new(worker_base(), on_timer, NULL)) == NULL)
		fatal("timer");
	for (a = agent_first(); a != NULL; a = agent_next(a))
		idle_touch(a);
	tick_in(TICK_MIN_MS);
}

/* ---- the API ---- */

bool
idle_ok(uint32_t seconds)
{
	return seconds == 0 || (seconds >= IDLE_MIN && seconds <= IDLE_MAX);
}

int
h_agent_idle(struct peer *p, struct msg *m)
{
	const struct m_agent_idle	*in = &m->u.agent_idle;
	struct client			 c = client_of(m);
	struct agent			*a;
	struct pass			 who;
	struct jbuf			 jb;
	uint32_t			 old;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	if (!idle_ok(in->seconds)) {
		reply_error(c, 422, "seconds: must be 0 (never) or %u to %u",
		    IDLE_MIN, IDLE_MAX);
		return 0;
	}
	old = a->idle;
	a->idle = in->seconds;
	if (agent_commit(a, &who, "AGENT_IDLE", "idle", "") == -1) {
		a->idle = old;
		reply_db_error(c);
		return 0;
	}
	idle_touch(a);
	tick_in(TICK_MIN_MS);
	jbuf_init(&jb, 16384);
	agent_json(&jb, a);
	reply_doc(c, 200, &jb);
	return 0;
}

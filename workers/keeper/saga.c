/*
 * The engine of work in steps: journal, direction, patience.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container, proxy, supervisor, front.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "log.h"
#include "saga.h"
#include "worker.h"

#define ANSWER_S	70		/* then the client hears 504 */
#define LOST_MS		20000		/* then a step forth has failed */
#define RETRY_MIN_MS	250
#define RETRY_MAX_MS	30000
#define UNDO_TRIES	8		/* then an undo is given up, loudly */
#define ASK_MS		20000
#define CT_MS		900000		/* container has shorter ones itself */

static const struct saga_kind *const kinds[] = {
	&saga_archive, &saga_restore, &saga_purge, &saga_rewind, &saga_rebuild,
};

static TAILQ_HEAD(saga_list, saga) sagas = TAILQ_HEAD_INITIALIZER(sagas);

static void	 step(struct saga *);

static void
after(struct event *ev, uint64_t ms)
{
	struct timeval	 tv = { (time_t)(ms / 1000),
	    (suseconds_t)(ms % 1000 * 1000) };

	(void)evtimer_add(ev, &tv);
}

static const char *
step_name(const struct saga *s)
{
	return s->step < s->kind->n ? s->kind->steps[s->step].name : "end";
}

/* ---- the row ---- */

static void
insert_row(const struct saga *s)
{
	(void)db_exec(keeper_db(), "INSERT INTO saga (id, owner_id, agent_id, "
	    "kind, step, direction, status, error, arg0, arg1, arg2, arg3, "
	    "arg4, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, "
	    "'forth', 0, '', ?6, ?7, ?8, ?9, ?10, ?11, ?11)", "ssssssssssd",
	    s->id, s->owner, s->agent_id, s->kind->name, step_name(s),
	    s->arg[0], s->arg[1], s->arg[2], s->arg[3], s->arg[4],
	    sys_time());
}

static int
save(const struct saga *s)
{
	return db_exec(keeper_db(), "UPDATE saga SET step = ?2, "
	    "direction = ?3, status = ?4, error = ?5, arg0 = ?6, arg1 = ?7, "
	    "arg2 = ?8, arg3 = ?9, arg4 = ?10, updated_at = ?11 "
	    "WHERE id = ?1", "sssussssssd", s->id, step_name(s),
	    s->back ? "back" : "forth", s->status, s->error, s->arg[0],
	    s->arg[1], s->arg[2], s->arg[3], s->arg[4], sys_time());
}

void
saga_pass(struct saga *s)
{
	s->step++;
	(void)save(s);
	s->step--;
}

/* ---- beginning and end ---- */

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	struct saga	*s = arg;

	(void)fd;
	(void)what;
	reply_error(s->client, 504, "agent %s: the %s goes on, it takes "
	    "long", s->arg[0], s->kind->name);
	s->client.id = 0;
}

static void
forget_work(struct saga *s)
{
	if (s->work != NULL && s->work_free != NULL)
		s->work_free(s->work);
	s->work = NULL;
	s->work_free = NULL;
}

static void
saga_free(struct saga *s)
{
	if (s->agent != NULL)
		agent_unlock(s->agent);
	forget_work(s);
	event_free(s->late);
	event_free(s->again);
	TAILQ_REMOVE(&sagas, s, entry);
	free(s);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct saga	*s = arg;
	void		(*fn)(struct saga *, uint32_t, const char *) = s->fn;

	(void)fd;
	(void)what;
	if (s->link) {
		s->link = false;
		saga_fail(s, 504, "its link did not connect in time");
	} else if (fn != NULL) {
		s->fn = NULL;
		fn(s, 200, "");
	} else {
		step(s);
	}
}

struct saga *
saga_new(const struct saga_kind *kind, const char *agent_id,
    struct agent *a, const char *slug, struct client c)
{
	struct saga	*s;

	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    (s->late = evtimer_new(worker_base(), on_late, s)) == NULL ||
	    (s->again = evtimer_new(worker_base(), on_again, s)) == NULL)
		fatal("saga");
	sys_id(s->id);
	s->kind = kind;
	(void)strlcpy(s->agent_id, agent_id, sizeof(s->agent_id));
	(void)strlcpy(s->arg[0], slug, sizeof(s->arg[0]));
	s->agent = a;
	if (a != NULL)
		(void)strlcpy(s->owner, a->owner, sizeof(s->owner));
	s->client = c;
	s->wait_ms = RETRY_MIN_MS;
	TAILQ_INSERT_TAIL(&sagas, s, entry);
	if (c.id != 0)
		after(s->late, ANSWER_S * 1000);
	return s;
}

void
saga_begin(struct saga *s, const struct pass *who, const char *action)
{
	if (db_begin(keeper_db()) == 0) {
		insert_row(s);
		audit_add(who, action, s->arg[0], 202, s->agent_id);
	}
	if (!db_in_tx(keeper_db()) || db_commit(keeper_db()) == -1) {
		reply_db_error(s->client);
		saga_free(s);
		return;
	}
	step(s);
}

void
saga_patience(struct saga *s, uint32_t seconds)
{
	if (s->client.id != 0)
		after(s->late, (ANSWER_S + seconds) * 1000ULL);
}

/* The row goes first: what is told is true. */
static void
end(struct saga *s)
{
	if (db_exec(keeper_db(), "DELETE FROM saga WHERE id = ?1", "s",
	    s->id) == -1) {
		after(s->again, RETRY_MAX_MS);
		return;
	}
	if (!s->back) {
		log_info("agent %s: %s: done", s->arg[0], s->kind->name);
		s->kind->done(s);
	} else {
		log_warnx("agent %s: %s: undone: %s", s->arg[0],
		    s->kind->name, s->error);
		reply_error(s->client, s->status, "agent %s: %s: %s",
		    s->arg[0], s->kind->name, s->error);
		if (s->kind->undone != NULL)
			s->kind->undone(s);
	}
	tracebox_kick();
	saga_free(s);
}

/* ---- steps ---- */

static void
retry_later(struct saga *s)
{
	after(s->again, (uint64_t)s->wait_ms);
	if ((s->wait_ms *= 2) > RETRY_MAX_MS)
		s->wait_ms = RETRY_MAX_MS;
}

static bool
may_go_back(const struct saga *s)
{
	return !s->back && s->step < s->kind->final;
}

/* Does what is at hand, as soon as the row says so. */
static void
step(struct saga *s)
{
	const struct saga_step	*st;

	forget_work(s);
	s->fn = NULL;
	s->row = NULL;
	if (s->step == s->kind->n) {
		end(s);
		return;
	}
	st = &s->kind->steps[s->step];
	/* Without its row the way back is no worse than none. */
	if (save(s) == -1 && !s->back) {
		saga_fail(s, 507, "the state database cannot be written");
		return;
	}
	log_debug("agent %s: %s: %s%s", s->arg[0], s->kind->name,
	    s->back ? "undo " : "", st->name);
	if (!s->back)
		st->run(s);
	else if (st->undo != NULL)
		st->undo(s);
	else
		saga_ok(s);
}

void
saga_ok(struct saga *s)
{
	s->wait_ms = RETRY_MIN_MS;
	s->tries = 0;
	s->lost_ms = 0;
	if (!s->back)
		s->step++;
	else if (s->step == 0)
		s->step = s->kind->n;
	else
		s->step--;
	step(s);
}

void
saga_fail(struct saga *s, uint32_t status, const char *fmt, ...)
{
	char	 text[512];
	va_list	 ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (may_go_back(s)) {
		s->status = status < 400 || status > 599 ? 502 : status;
		(void)strlcpy(s->error, text, sizeof(s->error));
		s->back = true;
		s->tries = 0;
		s->wait_ms = RETRY_MIN_MS;
		log_warnx("agent %s: %s: step %s: %s", s->arg[0],
		    s->kind->name, step_name(s), text);
		step(s);
		return;
	}
	log_warnx("agent %s: %s: %s%s: %s", s->arg[0], s->kind->name,
	    s->back ? "undo of " : "", step_name(s), text);
	/* Nobody is served by a lock that is held for ever. */
	if (s->back && status != 503 && status != 504 && status != 507 &&
	    ++s->tries >= UNDO_TRIES) {
		tracebox_lifecycle(s->agent_id, "undo_failed", step_name(s),
		    text);
		saga_ok(s);
		return;
	}
	retry_later(s);
}

void
saga_lost(struct saga *s, const char *who)
{
	if (s->lost_ms == 0)
		s->lost_ms = sys_now_ms();
	if (may_go_back(s) && sys_now_ms() - s->lost_ms > LOST_MS)
		saga_fail(s, 503, "%s does not answer", who);
	else
		retry_later(s);
}

/* ---- what steps do ---- */

static void
on_answer(struct msg *m, void *arg)
{
	struct saga	*s = arg;
	void		(*fn)(struct saga *, uint32_t, const char *) = s->fn;
	const char	*error;
	uint32_t	 status;

	if (m == NULL) {
		s->fn = NULL;
		saga_lost(s, "the worker that does it");
		return;
	}
	if (m->more) {
		if (s->row != NULL)
			s->row(s, m);
		return;
	}
	s->fn = NULL;
	status = answer_status(m, "", &error);
	if (m->type == MSG_CT_DONE) {
		s->uid_base = m->u.ct_done.uid_base;
		s->uid_count = m->u.ct_done.uid_count;
	}
	if (fn != NULL)
		fn(s, status, error);
	else if (status < 300)
		saga_ok(s);
	else
		saga_fail(s, status, "%s", error);
}

void
saga_ask(struct saga *s, enum proc to, uint32_t type, const void *payload,
    void (*fn)(struct saga *, uint32_t, const char *))
{
	struct peer	*p = to == PROC_SUPER ? worker_super() :
	    worker_peer(to);

	s->fn = fn;
	if (peer_request_hold(p, type, payload, -1,
	    to == PROC_CONTAINER ? CT_MS : ASK_MS, on_answer, s) == 0)
		on_answer(NULL, s);
}

void
saga_act(struct saga *s, const char *instance, const char *verb,
    uint32_t timeout, void (*fn)(struct saga *, uint32_t, const char *))
{
	struct m_ct_action	 m = { s->agent_id, instance, verb, timeout };

	saga_ask(s, PROC_CONTAINER, MSG_CT_ACTION, &m, fn);
}

void
saga_wait_link(struct saga *s, uint32_t seconds)
{
	if (s->agent->sub != NULL) {
		saga_ok(s);
		return;
	}
	s->link = true;
	after(s->again, (uint64_t)seconds * 1000);
}

void
saga_yield(struct saga *s, void (*fn)(struct saga *, uint32_t, const char *))
{
	s->fn = fn;
	after(s->again, 0);
}

/* ---- from outside ---- */

const char *
saga_runs(const char *agent_id)
{
	struct saga	*s;

	TAILQ_FOREACH(s, &sagas, entry)
		if (strcmp(s->agent_id, agent_id) == 0)
			return s->kind->name;
	return NULL;
}

void
saga_link(struct agent *a)
{
	struct saga	*s;

	TAILQ_FOREACH(s, &sagas, entry)
		if (s->agent == a && s->link) {
			s->link = false;
			(void)evtimer_del(s->again);
			saga_ok(s);
			return;
		}
}

/* Those that wait for a better time; a yield or a link has its own. */
void
saga_kick(void)
{
	struct saga	*s;

	TAILQ_FOREACH(s, &sagas, entry)
		if (s->fn == NULL && !s->link &&
		    evtimer_pending(s->again, NULL)) {
			s->wait_ms = RETRY_MIN_MS;
			after(s->again, 0);
		}
}

static struct saga *
from_row(struct db_stmt *r)
{
	struct client	 nobody = { 0, 0 };
	struct agent	*a = agent_by_id(db_text(r, 2));
	struct saga	*s;
	size_t		 k, i;

	for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		if (strcmp(kinds[k]->name, db_text(r, 3)) == 0)
			break;
	if (k == sizeof(kinds) / sizeof(kinds[0]) ||
	    (kinds[k]->live && a == NULL && strcmp(db_text(r, 4), "end") != 0))
		return NULL;
	s = saga_new(kinds[k], db_text(r, 2), a, db_text(r, 8), nobody);
	(void)strlcpy(s->id, db_text(r, 0), sizeof(s->id));
	(void)strlcpy(s->owner, db_text(r, 1), sizeof(s->owner));
	for (s->step = 0; s->step < s->kind->n; s->step++)
		if (strcmp(step_name(s), db_text(r, 4)) == 0)
			break;
	s->back = strcmp(db_text(r, 5), "back") == 0;
	s->status = (uint32_t)db_int(r, 6);
	(void)strlcpy(s->error, db_text(r, 7), sizeof(s->error));
	for (i = 0; i < SAGA_ARGS; i++)
		(void)strlcpy(s->arg[i], db_text(r, 8 + (int)i),
		    sizeof(s->arg[i]));
	if (a != NULL)
		a->doing = s->kind->name;
	return s;
}

void
saga_resume(void)
{
	struct saga	*s, *next;
	struct db_stmt	*r;

	r = db_query(keeper_db(), "SELECT id, owner_id, agent_id, kind, "
	    "step, direction, status, error, arg0, arg1, arg2, arg3, arg4 "
	    "FROM saga ORDER BY created_at", "");
	while (r != NULL && db_step(r) == 1)
		if (from_row(r) == NULL)
			log_warnx("agent %s: a %s that this program cannot "
			    "go on with is left as it is", db_text(r, 8),
			    db_text(r, 3));
	db_end(r);
	for (s = TAILQ_FIRST(&sagas); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		log_info("agent %s: %s was cut at %s: it goes %s",
		    s->arg[0], s->kind->name, step_name(s),
		    may_go_back(s) && !s->kind->goes_on ? "back" : "on");
		if (may_go_back(s) && !s->kind->goes_on)
			saga_fail(s, 503, "agentd was stopped in the middle "
			    "of it");
		else
			step(s);
	}
}

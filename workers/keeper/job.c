/*
 * Drives a deploy: does what the state machine says, journals it first.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: proxy, supervisor, container, gateway, front.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "job.h"
#include "limits.h"
#include "log.h"
#include "move.h"
#include "worker.h"

#define PATIENCE_MS	1500		/* for proxy's word on the model */
#define AGAIN_MS	2000
#define TIMEOUT_S	600		/* if none is configured */

static TAILQ_HEAD(job_list, job) jobs = TAILQ_HEAD_INITIALIZER(jobs);

static void	 run(struct job *, uint32_t);

static struct event *
timer_new(event_callback_fn fn, struct job *j)
{
	struct event	*ev;

	if ((ev = evtimer_new(worker_base(), fn, j)) == NULL)
		fatal("timer");
	return ev;
}

static void
arm(struct event *ev, uint64_t ms)
{
	struct timeval	 tv = { (time_t)(ms / 1000),
	    (suseconds_t)(ms % 1000 * 1000) };

	(void)evtimer_add(ev, &tv);
}

void
job_event(struct job *j, enum job_event ev)
{
	run(j, jobsm_event(&j->sm, ev));
}

/* The first reason counts: what comes later follows from it. */
void
job_fail(struct job *j, enum job_event ev, uint32_t status, const char *fmt, ...)
{
	va_list	 ap;

	if (j->error[0] == '\0') {
		va_start(ap, fmt);
		(void)vsnprintf(j->error, sizeof(j->error), fmt, ap);
		va_end(ap);
		j->status = status;
	}
	/* Never asked for: there is no answer to wait for. */
	if (j->create_lost) {
		j->create_lost = false;
		ev = JE_CREATE_FAILED;
	}
	job_event(j, ev);
}

/* ---- the journal ---- */

/* Every step is to be seen, also one that took no time. */
static void
mark_progress(struct job *j)
{
	enum job_step	 last, now = j->sm.step;

	last = j->nmarks > 0 ? j->marks[j->nmarks - 1].step : JS_PLANNED;
	if (now == JS_ROLLBACK || now == JS_FAILED) {
		if (last != now && now == JS_ROLLBACK)
			job_mark(j, now);
		return;
	}
	while (last < now)
		job_mark(j, ++last);
}

static int
save(struct job *j)
{
	if (db_begin(keeper_db()) == -1)
		return -1;
	jobrow_write(j, "deploying");
	if (j->agent != NULL)
		(void)agent_save(j->agent);
	if (db_commit(keeper_db()) == -1)
		return -1;
	j->saved = j->nmarks;
	job_tell(j, false);
	tracebox_kick();
	return 0;
}

/* ---- actions ---- */

static void
accept_job(struct job *j)
{
	struct jbuf	 jb;

	if (j->accepted)
		return;
	j->accepted = true;
	jbuf_init(&jb, 4096);
	jb_obj(&jb);
	jb_kstr(&jb, "job_id", j->id);
	jb_kstr(&jb, "name", j->agent->slug);
	jb_kstr(&jb, "display_name", j->agent->display_name);
	jb_kstr(&jb, "agent_id", j->agent_id);
	jb_kstr(&jb, "status", "deploying");
	storage_note(&jb);
	jb_end(&jb);
	reply_doc(j->asker, 202, &jb);
}

static void
on_patience(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	accept_job(arg);
}

static uint64_t
timeout_ms(void)
{
	uint32_t	 s = worker_conf()->deploy_timeout;

	return (uint64_t)(s != 0 ? s : TIMEOUT_S) * 1000;
}

double
job_due(void)
{
	return sys_time() + (double)timeout_ms() / 1000;
}

static void
wait_for_link(struct job *j)
{
	const struct framework	*f = framework_get(j->agent->framework);
	uint64_t		 left, now = sys_now_ms();

	left = now < j->due_ms ? j->due_ms - now : 0;
	if (f != NULL && f->ready_timeout != 0 &&
	    f->ready_timeout * 1000ULL < left)
		left = f->ready_timeout * 1000ULL;
	arm(j->deadline, left);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct job	*j = arg;

	(void)fd;
	(void)what;
	if (j->sm.step == JS_CONNECTED)
		job_fail(j, JE_CANCEL, 504, "the agent's link did not connect in "
		    "time");
	else
		job_fail(j, JE_CANCEL, 504, "not finished within %llu seconds: "
		    "step %s%s", (unsigned long long)(timeout_ms() / 1000),
		    jobsm_step_name(j->sm.step), j->create_lost ? ", the "
		    "container worker or Incus does not answer" :
		    j->policy_lost ? ", proxy does not answer" : "");
}

/* Channel, state and the end of the job in one transaction. */
static void
finish(struct job *j)
{
	struct agent	*a = j->agent;
	struct db	*db = keeper_db();
	/* One that is imported has brought its messages along. */
	bool		 fresh = a->channel_id[0] == '\0';

	if (fresh)
		sys_id(a->channel_id);
	a->started_at = sys_time();
	a->state = AGENT_RUNNING;
	job_mark(j, JS_RUNNING);
	if (db_begin(db) == 0) {
		if (fresh)
			chat_channel_add(a);
		(void)agent_save(a);
		j->sm.step = JS_RUNNING;
		jobrow_write(j, "success");
		j->sm.step = JS_CHANNEL;
		if (db_commit(db) == 0) {
			j->saved = j->nmarks;
			job_event(j, JE_STORED);
			return;
		}
	}
	j->nmarks--;
	if (fresh)
		a->channel_id[0] = '\0';
	a->state = AGENT_DEPLOYING;
	job_fail(j, JE_FAILED, 507, "the state database cannot be written");
}

static void
job_free(struct job *j)
{
	if (j->policy_req != 0)
		peer_forget(worker_peer(PROC_PROXY), j->policy_req, false);
	if (j->socket_req != 0)
		peer_forget(worker_super(), j->socket_req, false);
	if (j->create_req != 0)
		peer_forget(worker_peer(PROC_CONTAINER), j->create_req,
		    false);
	if (j->source == JOB_BACKUP)
		import_end(j->source_ref);
	event_free(j->deadline);
	event_free(j->patience);
	event_free(j->again);
	TAILQ_REMOVE(&jobs, j, entry);
	free(j);
}

static void
success(struct job *j)
{
	struct agent	*a = j->agent;

	accept_job(j);
	log_info("agent %s: deployed in %llu ms", a->slug,
	    (unsigned long long)(sys_now_ms() - j->began_ms));
	keeper_tell_gateway(a);
	job_tell(j, true);
	a->job = NULL;
	job_free(j);
	bridge_deliver(a);
	tracebox_kick();
}

static void
on_undone(void *arg)
{
	struct job	*j = arg;

	job_event(j, JE_UNDONE);
}

static void
undoing(struct job *j)
{
	log_warnx("deploy %s: step %s failed: %s", j->id,
	    jobsm_step_name(j->sm.failed_at), j->error);
	(void)evtimer_del(j->deadline);
	(void)evtimer_del(j->patience);
	j->policy_lost = false;
	j->create_lost = false;
	if (j->agent != NULL) {
		j->agent->state = AGENT_DELETING;
		keeper_tell_gateway(j->agent);
		/* The row keeps saying "deploying": see job_resume(). */
		j->agent->state = AGENT_DEPLOYING;
	}
	if (!j->accepted && j->asker.id != 0)
		reply_error(j->asker, j->status, "%s", j->error);
	if (save(j) == -1)
		log_warnx("deploy %s: the journal does not know that it is "
		    "undone; it will be undone again", j->id);
}

/* Nothing is left outside; now the rows. */
static void
over(struct job *j)
{
	struct agent	*a = j->agent;
	struct db	*db = keeper_db();
	struct jbuf	 jb;

	if (db_begin(db) == 0) {
		if (j->accepted)
			jobrow_write(j, "failed");
		else
			jobrow_delete(j);
		tracebox_lifecycle(j->agent_id, "deploy_failed",
		    jobsm_step_name(j->sm.failed_at), j->error);
		if (a != NULL)
			agent_delete_row(a);
	}
	if (!db_in_tx(db) || db_commit(db) == -1) {
		arm(j->again, AGAIN_MS);
		return;
	}
	job_tell(j, true);
	if (a != NULL) {
		jbuf_init(&jb, 1024);
		jb_obj(&jb);
		jb_kstr(&jb, "status", "deleted");
		jb_kstr(&jb, "name", a->slug);
		jb_end(&jb);
		reply_doc(j->deleter, 200, &jb);
		a->job = NULL;
		agent_forget(a);
	}
	job_free(j);
	tracebox_kick();
}

/* May free the job. */
static void
ask_lost(struct job *j)
{
	if (j->policy_lost && j->sm.step < JS_INSTANCE)
		job_ask_policy(j);
	else if (j->create_lost && j->sm.step == JS_INSTANCE)
		job_ask_create(j);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct job	*j = arg;

	(void)fd;
	(void)what;
	if (j->sm.step == JS_FAILED)
		over(j);
	else
		ask_lost(j);
}

void
job_again(struct job *j)
{
	arm(j->again, AGAIN_MS);
}

/* May free the job: the last thing a caller does with it. */
static void
run(struct job *j, uint32_t actions)
{
	mark_progress(j);
	if (actions & JA_ACCEPT) {
		(void)evtimer_del(j->patience);
		accept_job(j);
	}
	if (actions & JA_UNDOING)
		undoing(j);
	/* The intent is on disk before the side effect. */
	if (actions & (JA_CREATE | JA_WAIT) && save(j) == -1) {
		job_fail(j, actions & JA_CREATE ? JE_CREATE_FAILED : JE_FAILED,
		    507, "the state database cannot be written");
		return;
	}
	if (actions & JA_IDMAP)
		keeper_tell_gateway(j->agent);
	if (actions & JA_WAIT)
		wait_for_link(j);
	if (actions & JA_POLICY)
		job_ask_policy(j);
	if (actions & JA_SOCKET)
		job_ask_socket(j);
	if (actions & JA_CREATE)
		job_ask_create(j);
	else if (actions & JA_FINISH)
		finish(j);
	else if (actions & JA_SUCCESS)
		success(j);
	else if (actions & JA_UNDO)
		teardown_start(j->agent_id, j->instance, j->sm.instance,
		    on_undone, j);
	else if (actions & JA_FAIL)
		over(j);
}

/* ---- from outside ---- */

void
job_peer_up(void)
{
	struct job	*j, *next;

	for (j = TAILQ_FIRST(&jobs); j != NULL; j = next) {
		next = TAILQ_NEXT(j, entry);
		ask_lost(j);
	}
}

struct job *
job_new(const char *id, const char *agent_id, const char *instance,
    struct agent *a)
{
	struct job	*j;

	if ((j = calloc(1, sizeof(*j))) == NULL)
		fatal("job");
	(void)strlcpy(j->id, id, sizeof(j->id));
	(void)strlcpy(j->agent_id, agent_id, sizeof(j->agent_id));
	(void)strlcpy(j->instance, instance, sizeof(j->instance));
	j->agent = a;
	if (a != NULL)
		a->job = j;
	j->began_ms = sys_now_ms();
	j->deadline = timer_new(on_deadline, j);
	j->patience = timer_new(on_patience, j);
	j->again = timer_new(on_again, j);
	TAILQ_INIT(&j->followers);
	TAILQ_INSERT_TAIL(&jobs, j, entry);
	return j;
}

void
job_start(struct job *j, uint32_t actions)
{
	double	 left = (j->due - sys_time()) * 1000;
	uint64_t most = timeout_ms();

	/* The clock may have been set back since. */
	if (left < (double)most)
		most = left > 0 ? (uint64_t)left : 0;
	j->due_ms = sys_now_ms() + most;
	arm(j->deadline, most);
	if (!j->accepted)
		arm(j->patience, PATIENCE_MS);
	run(j, actions);
}

void
job_abort(struct job *j)
{
	j->agent->job = NULL;
	job_free(j);
}

struct job *
job_next(struct job *j)
{
	return j == NULL ? TAILQ_FIRST(&jobs) : TAILQ_NEXT(j, entry);
}

struct job *
job_by_id(const char *id)
{
	struct job	*j;

	TAILQ_FOREACH(j, &jobs, entry)
		if (strcmp(j->id, id) == 0)
			return j;
	return NULL;
}

bool
job_any(void)
{
	return !TAILQ_EMPTY(&jobs);
}

void
job_connected(struct agent *a, bool up)
{
	if (a->job != NULL)
		job_event(a->job, up ? JE_CONNECTED : JE_LOST);
}

void
job_cancel(struct agent *a, struct client c)
{
	struct job	*j = a->job;

	if (j->deleter.id != 0) {
		reply_error(c, 409, "agent %s is being deleted", a->slug);
		return;
	}
	j->deleter = c;
	job_fail(j, JE_CANCEL, 409, "deleted while it was being deployed");
}

/*
 * The lives of the workers: start, restart, end.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.  Talks to: every worker.
 */
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "agents.h"
#include "cause.h"
#include "conf.h"
#include "log.h"
#include "logs.h"
#include "spawn.h"
#include "super.h"
#include "sys.h"

#define STOP_SPARE_MS	500	/* after its deadline, before SIGKILL */

static struct super *self;
static int stop_stage;
static struct event *stop_timer;

/*
 * Who ends when: first those who take work in, so that what they still have
 * is answered; last the one to whom the others write.
 */
static const int stage_of[PROC_MAX] = {
	[PROC_FRONT] = 0,
	[PROC_GATEWAY] = 0,
	[PROC_KEEPER] = 1,
	[PROC_UPSTREAM] = 1,
	[PROC_DIALER] = 1,
	[PROC_PROXY] = 1,
	[PROC_CONTAINER] = 1,
	[PROC_TRACE] = 2,
	[PROC_MOVER] = 1,
};
#define STAGES	3

static void	worker_start(struct worker *);
static void	worker_timer(evutil_socket_t, short, void *);
static void	stop_next(void);

static const char *const state_names[] = {
	[WS_DOWN] = "down",
	[WS_BACKOFF] = "back-off",
	[WS_STARTING] = "starting",
	[WS_RUNNING] = "running",
	[WS_STOPPING] = "stopping",
};

const char *
worker_state_name(enum worker_state s)
{
	return state_names[s];
}

bool
worker_is_up(const struct worker *w)
{
	return w->state == WS_RUNNING && peer_is_up(w->peer);
}

static void
set_timer(struct worker *w, uint32_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (event_add(w->timer, &tv) == -1)
		fatal("timer");
}

void
workers_start(struct super *s)
{
	struct worker *w;
	enum proc p;

	self = s;
	for (p = PROC_SUPER + 1; p < PROC_MAX; p++) {
		w = &s->worker[p];
		w->proc = p;
		w->wanted = (s->mask & 1U << p) != 0;
		w->level = (enum log_level)s->conf->log_level;
		w->peer = peer_new(s->base, PROC_SUPER, p, &control_ops);
		if ((w->timer = evtimer_new(s->base, worker_timer, w)) == NULL)
			fatal("timer");
	}
	for (p = PROC_SUPER + 1; p < PROC_MAX; p++)
		if (s->worker[p].wanted)
			worker_start(&s->worker[p]);
}

static void
schedule(struct worker *w)
{
	uint64_t now = sys_now_ms();
	bool alarm = restart_alarm(&w->restart, now);
	uint32_t delay = restart_died(&w->restart, w->started, now);

	w->state = WS_BACKOFF;
	w->restarts++;
	if (!alarm && restart_alarm(&w->restart, now))
		log_warnx("ALARM: worker %s has died %d times within a minute, "
		    "the last time by: %s", proc_name(w->proc),
		    RESTART_ALARM_CRASHES, w->cause);
	set_timer(w, delay);
}

static void
worker_start(struct worker *w)
{
	int fds[2], log;
	pid_t pid = -1;

	w->started = sys_now_ms();
	w->generation = 0;
	w->kill_why[0] = '\0';
	log = logs_open_worker(w->proc);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	    fds) == -1) {
		log_warn("channel of worker %s", proc_name(w->proc));
		fds[0] = fds[1] = -1;
	} else if (log != -1) {
		pid = spawn_worker(w->proc, self->conf, fds[1], log,
		    logs_to_journal());
	}
	if (log != -1)
		close(log);
	if (fds[1] != -1)
		close(fds[1]);
	if (pid == -1) {
		log_warn("cannot start worker %s", proc_name(w->proc));
		snprintf(w->cause, sizeof(w->cause), "cannot start: %s",
		    strerror(errno));
		if (fds[0] != -1)
			close(fds[0]);
		schedule(w);
		return;
	}
	w->pid = pid;
	w->state = WS_STARTING;
	set_timer(w, WORKER_START_MS);
	log_debug("worker %s starts as pid %d", proc_name(w->proc), (int)pid);
	peer_attach(w->peer, fds[0]);
	push_conf(self, w, true);
}

void
worker_kill(struct worker *w, const char *fmt, ...)
{
	va_list ap;

	if (w->pid == 0)
		return;
	/* The first reason is the one that counts. */
	if (w->kill_why[0] == '\0') {
		va_start(ap, fmt);
		vsnprintf(w->kill_why, sizeof(w->kill_why), fmt, ap);
		va_end(ap);
		log_warnx("worker %s is killed: %s", proc_name(w->proc),
		    w->kill_why);
	}
	if (kill(w->pid, SIGKILL) == -1)
		log_warn("kill worker %s", proc_name(w->proc));
	/* What it has sent already is not acted upon any more. */
	peer_detach(w->peer);
}

static void
worker_timer(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	switch (w->state) {
	case WS_BACKOFF:
		worker_start(w);
		break;
	case WS_STARTING:
		worker_kill(w, "not ready after %d s", WORKER_START_MS / 1000);
		break;
	case WS_RUNNING:
		/* Armed by the end of its channel. */
		worker_kill(w, "it closed its channel and went on");
		break;
	case WS_DOWN:
	case WS_STOPPING:
		break;
	}
}

static bool
all_running(void)
{
	enum proc p;
	const struct worker *w;

	for (p = PROC_SUPER + 1; p < PROC_MAX; p++) {
		w = &self->worker[p];
		if (w->wanted && (w->state != WS_RUNNING ||
		    w->generation != self->generation))
			return false;
	}
	return true;
}

void
worker_ready(struct worker *w, uint32_t generation)
{
	bool first = w->state == WS_STARTING;

	w->generation = generation;
	if (first) {
		event_del(w->timer);
		w->state = WS_RUNNING;
		log_info("worker %s runs, pid %d", proc_name(w->proc),
		    (int)w->pid);
		push_edges(self, w);
		if (w->proc == PROC_GATEWAY)
			agents_push_all();
	}
	if (!self->stopping && all_running() && self->on_ready != NULL)
		self->on_ready();
}

static bool
stage_empty(void)
{
	enum proc p;

	for (p = PROC_SUPER + 1; p < PROC_MAX; p++)
		if (stage_of[p] <= stop_stage && self->worker[p].pid != 0)
			return false;
	return true;
}

static void
worker_died(struct worker *w, int status)
{
	bool asked = w->state == WS_STOPPING;

	event_del(w->timer);
	cause_text(w->cause, sizeof(w->cause), w->pid, status, w->kill_why);
	/* The down callback must find a worker that is not there. */
	w->pid = 0;
	w->state = WS_DOWN;
	peer_detach(w->peer);
	if (self->stopping) {
		if (!asked || status != 0)
			log_warnx("worker %s ended: %s", proc_name(w->proc),
			    w->cause);
		if (stage_empty())
			stop_next();
		return;
	}
	log_warnx("worker %s died: %s", proc_name(w->proc), w->cause);
	schedule(w);
}

void
workers_reap(void)
{
	enum proc p;
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (p = PROC_SUPER + 1; p < PROC_MAX; p++)
			if (self->worker[p].pid == pid) {
				worker_died(&self->worker[p], status);
				break;
			}
}

/* ---- the end ---- */

static void
kill_stage(int stage)
{
	struct worker *w;
	enum proc p;

	for (p = PROC_SUPER + 1; p < PROC_MAX; p++) {
		w = &self->worker[p];
		if (w->pid != 0 && stage_of[p] <= stage)
			worker_kill(w, "did not end in time");
	}
}

static void
stop_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	kill_stage(stop_stage);
}

static void
shut(struct worker *w, uint32_t ms)
{
	struct m_deadline d = { .ms = ms };

	event_del(w->timer);
	if (w->pid == 0) {
		w->state = WS_DOWN;
		return;
	}
	if (w->state != WS_RUNNING ||
	    peer_send(w->peer, MSG_SHUTDOWN, &d) == -1) {
		worker_kill(w, "the service stops");
		return;
	}
	w->state = WS_STOPPING;
}

/* The first stage has half of the time, the others share the rest. */
static void
stop_next(void)
{
	uint32_t total = self->conf->drain_timeout * 1000, ms;
	struct timeval tv;
	enum proc p;

	do {
		if (++stop_stage >= STAGES) {
			event_free(stop_timer);
			stop_timer = NULL;
			self->on_gone();
			return;
		}
		ms = stop_stage == 0 ? total / 2 : total / 4;
		for (p = PROC_SUPER + 1; p < PROC_MAX; p++)
			if (stage_of[p] == stop_stage)
				shut(&self->worker[p], ms);
	} while (stage_empty());
	ms += STOP_SPARE_MS;
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	if (event_add(stop_timer, &tv) == -1)
		fatal("timer");
}

void
workers_stop(bool hurry)
{
	enum proc p;

	if (hurry && self->stopping) {
		kill_stage(STAGES);
		return;
	}
	if (self->stopping)
		return;
	self->stopping = true;
	/* Nobody is started again from here on. */
	for (p = PROC_SUPER + 1; p < PROC_MAX; p++)
		if (self->worker[p].state == WS_BACKOFF)
			event_del(self->worker[p].timer);
	stop_timer = evtimer_new(self->base, stop_late, NULL);
	if (stop_timer == NULL)
		fatal("timer");
	stop_stage = -1;
	stop_next();
}

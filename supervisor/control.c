/*
 * What workers say to the supervisor.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.  Talks to: every worker.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "agents.h"
#include "log.h"
#include "super.h"
#include "sys.h"

#define CLOSED_GRACE_MS	1000	/* from the end of a channel to the end */

static struct super *self;

void
control_init(struct super *s)
{
	self = s;
}

static struct worker *
worker_of(struct peer *p)
{
	return &self->worker[peer_proc(p)];
}

static int
h_ready(struct peer *p, struct msg *m)
{
	struct worker *w = worker_of(p);

	if (strcmp(m->u.ready.table, msg_table_digest()) != 0) {
		worker_kill(w, "it is of another build than the running "
		    "supervisor (message tables differ): restart agentd");
		return 0;
	}
	worker_ready(w, m->u.ready.generation);
	return 0;
}

/* The one who broke the rules dies, never the one who noticed. */
static int
h_peer_bad(struct peer *p, struct msg *m)
{
	const struct m_peer_bad *b = &m->u.peer_bad;
	enum proc from = peer_proc(p);

	if (b->proc == PROC_SUPER || b->proc >= PROC_MAX ||
	    !msg_edge(from, (enum proc)b->proc))
		return -1;
	log_warnx("worker %s reports %s: bad %s: %s", proc_name(from),
	    proc_name((enum proc)b->proc), msg_name(b->type), b->reason);
	worker_kill(&self->worker[b->proc], "it sent a bad %s to %s",
	    msg_name(b->type), proc_name(from));
	return 0;
}

static int
send_row(struct peer *p, const struct msg *m, const struct worker *w,
    bool more)
{
	uint64_t now = sys_now_ms();
	struct m_worker_row row = { .name = proc_name(w->proc) };

	row.state = worker_state_name(w->state);
	row.pid = (uint32_t)w->pid;
	row.uptime_ms = w->pid == 0 ? 0 : now - w->started;
	row.restarts = w->restarts;
	row.cause = w->cause;
	row.level = w->level;
	row.alarm = restart_alarm(&w->restart, now);
	return peer_reply(p, m, MSG_WORKER_ROW, more, &row);
}

static int
h_status(struct peer *p, struct msg *m)
{
	enum proc q;

	for (q = PROC_SUPER + 1; q < PROC_MAX; q++)
		if (send_row(p, m, &self->worker[q], q + 1 < PROC_MAX) == -1)
			log_warn("status");
	return 0;
}

static void
set_level(struct worker *w, enum log_level level)
{
	struct m_level l = { .level = level };

	/* One that is down gets it with its CONF. */
	w->level = level;
	if (worker_is_up(w) && peer_send(w->peer, MSG_LOG_LEVEL, &l) == -1)
		log_warn("log level of %s", proc_name(w->proc));
}

static int
h_log_set(struct peer *p, struct msg *m)
{
	const struct m_log_set *l = &m->u.log_set;
	enum proc q;
	int which;

	if (l->level > LOG_L_DEBUG)
		return peer_done(p, m->id, 400, "no log level %u", l->level);
	if (l->worker[0] == '\0') {
		log_set_level((enum log_level)l->level);
		for (q = PROC_SUPER + 1; q < PROC_MAX; q++)
			set_level(&self->worker[q], (enum log_level)l->level);
	} else if ((which = proc_by_name(l->worker)) == -1) {
		return peer_done(p, m->id, 404, "no worker %s", l->worker);
	} else if (which == PROC_SUPER) {
		log_set_level((enum log_level)l->level);
	} else {
		set_level(&self->worker[which], (enum log_level)l->level);
	}
	log_info("log level of %s set to %s", l->worker[0] == '\0' ? "all" :
	    l->worker, log_level_name((enum log_level)l->level));
	return peer_done(p, m->id, 200, NULL);
}

static int
h_agent_listen(struct peer *p, struct msg *m)
{
	char why[512];
	uint32_t status;

	if (!sys_is_id(m->u.agent_id.agent_id))
		return -1;
	status = agents_listen(m->u.agent_id.agent_id, why, sizeof(why));
	return peer_done(p, m->id, status, status == 200 ? NULL : "%s", why);
}

static int
h_agent_unlisten(struct peer *p, struct msg *m)
{
	char why[512];
	uint32_t status;

	if (!sys_is_id(m->u.agent_id.agent_id))
		return -1;
	status = agents_unlisten(m->u.agent_id.agent_id, why, sizeof(why));
	return peer_done(p, m->id, status, status == 200 ? NULL : "%s", why);
}

static int
h_held_list(struct peer *p, struct msg *m)
{
	if (agents_each(p, m) == -1)
		return peer_done(p, m->id, 500, "the agents' directories "
		    "cannot be read");
	return peer_done(p, m->id, 200, NULL);
}

static void
down(struct peer *p)
{
	const struct timeval tv = { CLOSED_GRACE_MS / 1000, 0 };
	struct worker *w = worker_of(p);

	/* It ends by itself, most likely; what it says then is the cause. */
	if (w->pid != 0 && w->state == WS_RUNNING &&
	    event_add(w->timer, &tv) == -1)
		fatal("timer");
}

static void
bad(struct peer *p, uint32_t type, const char *why)
{
	worker_kill(worker_of(p), "it sent a bad %s: %s", msg_name(type), why);
}

static const struct msg_handler handlers[] = {
	{ MSG_READY, h_ready },
	{ MSG_PEER_BAD, h_peer_bad },
	{ MSG_STATUS, h_status },
	{ MSG_LOG_SET, h_log_set },
	{ MSG_AGENT_LISTEN, h_agent_listen },
	{ MSG_AGENT_UNLISTEN, h_agent_unlisten },
	{ MSG_HELD_LIST, h_held_list },
	{ MSG_NONE, NULL },
};

const struct peer_ops control_ops = {
	.handlers = handlers,
	.down = down,
	.bad = bad,
};

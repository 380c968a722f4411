/*
 * The gateway's server, and what it does when neighbours come and go.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: keeper, proxy, trace, upstream.
 */
#include <sys/types.h>

#include <stdlib.h>

#include <event2/event.h>

#include "budget.h"
#include "gateway.h"
#include "log.h"
#include "net.h"
#include "traceq.h"
#include "worker.h"

#define CONNS_MAX	4096	/* of all agents, if nobody has set it */
#define FD_RESERVE	32
#define FLUSH_TRY_MS	50

const struct msg_handler gw_handlers[] = {
	{ MSG_GW_LISTEN, agent_h_listen },
	{ MSG_GW_UNLISTEN, agent_h_unlisten },
	{ MSG_AGENT_CONF, agent_h_conf },
	{ MSG_AGENT_NET, net_h_conf },
	{ MSG_AGENT_GONE, agent_h_gone },
	{ MSG_HELD_LIST, agent_h_held_list },
	{ MSG_TURN, agent_h_turn },
	{ MSG_KEY_FLUSH, gw_h_key_flush },
	{ MSG_LLM_WINDOW, llm_h_window },
	{ MSG_NONE, NULL },
};

static struct {
	struct httpd	*httpd;
	struct budget	 budget;
	struct event	*leave;		/* while stopping */
	uint64_t	 deadline;
	bool		 drained;
} gw;

struct httpd *
gw_httpd(void)
{
	return gw.httpd;
}

struct budget *
gw_budget(void)
{
	return &gw.budget;
}

void
gw_init(void)
{
	struct httpd_conf c;

	budget_init(&gw.budget, GW_BUDGET, GW_BUDGET_AGENT);
	httpd_conf_init(&c);
	c.max_conns = worker_conf()->max_connections != 0 ?
	    worker_conf()->max_connections : CONNS_MAX;
	c.max_conns_each = GW_CONNS_AGENT;
	c.fd_reserve = FD_RESERVE;
	c.on_head = greq_head;
	if ((gw.httpd = httpd_new(worker_base(), &c)) == NULL)
		fatal("HTTP server");
}

void
gw_free(void)
{
	agent_each(tunnel_cut);
	httpd_free(gw.httpd);
	if (gw.leave != NULL)
		event_free(gw.leave);
	agent_free_all();
	traceq_free();
	gw.httpd = NULL;
	gw.leave = NULL;
}

void
gw_peer_up(struct peer *p)
{
	switch (peer_proc(p)) {
	case PROC_KEEPER:
		agent_keeper_up();
		agent_each(events_keeper_up);
		break;
	case PROC_PROXY:
		/* What it took back meanwhile we have not heard. */
		agent_each(auth_flush);
		break;
	case PROC_TRACE:
		traceq_kick();
		break;
	default:
		break;
	}
}

void
gw_peer_drained(struct peer *p)
{
	if (peer_proc(p) == PROC_UPSTREAM)
		llm_drained();
	else if (peer_proc(p) == PROC_TRACE)
		traceq_kick();
}

int
gw_h_key_flush(struct peer *p, struct msg *m)
{
	struct agent *a;

	(void)p;
	if (*m->u.agent_id.agent_id == '\0')
		agent_each(auth_flush);
	else if ((a = agent_find(m->u.agent_id.agent_id)) != NULL)
		auth_flush(a);
	return 0;
}

/* ---- stopping ---- */

/* Leaves when all is answered and written, or time is over. */
static void
try_leave(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = { 0, FLUSH_TRY_MS * 1000 };

	(void)fd;
	(void)what;
	(void)arg;
	if (sys_now_ms() >= gw.deadline || (gw.drained && traceq_empty()))
		worker_exit();
	else
		evtimer_add(gw.leave, &tv);
}

static void
drained(void *arg)
{
	(void)arg;
	gw.drained = true;
}

void
gw_shutdown(uint32_t ms)
{
	if (gw.leave != NULL)
		return;
	gw.deadline = sys_now_ms() + ms - ms / 5;
	if ((gw.leave = evtimer_new(worker_base(), try_leave, NULL)) == NULL)
		fatal("timer");
	agent_each(events_end);
	agent_each(tunnel_cut);
	httpd_drain(gw.httpd, drained, NULL);
	try_leave(-1, 0, NULL);
}

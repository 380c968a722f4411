/*
 * The trace worker: the one writer and reader of all trace buckets.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: keeper, gateway, front.
 */
#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>

#include "intake.h"
#include "log.h"
#include "move.h"
#include "peer.h"
#include "post.h"
#include "trace.h"
#include "worker.h"

static int
h_pass_key(struct peer *p, struct msg *m)
{
	(void)p;
	return api_key(&m->u.pass_key);
}

static int
h_agent(struct peer *p, struct msg *m)
{
	const struct m_trace_agent *a = &m->u.trace_agent;

	if (agents_put(a->agent_id, a->slug, a->owner) == -1)
		peer_done(p, m->id, errno == EINVAL ? 400 : 507,
		    "the agent cannot be noted");
	else
		peer_done(p, m->id, 200, NULL);
	return 0;
}

static int
h_query(struct peer *p, struct msg *m)
{
	(void)p;
	return api_query(m->id, &m->u.trace_query);
}

static int
h_post(struct peer *p, struct msg *m)
{
	(void)p;
	return api_post(m->id, &m->u.trace_post);
}

static int
h_cancel(struct peer *p, struct msg *m)
{
	/* Only front has answers that do not end by themselves. */
	if (peer_proc(p) == PROC_FRONT)
		query_cancel(m->id);
	return 0;
}

static const struct msg_handler handlers[] = {
	{ MSG_PASS_KEY, h_pass_key },
	{ MSG_TRACE_AGENT, h_agent },
	{ MSG_TRACE_EVENT, intake_event },
	{ MSG_TRACE_MORE, intake_more },
	{ MSG_TRACE_EXPORT, h_trace_export },
	{ MSG_TRACE_IMPORT, h_trace_import },
	{ MSG_TRACE_QUERY, h_query },
	{ MSG_TRACE_POST, h_post },
	{ MSG_CANCEL, h_cancel },
	{ MSG_NONE, NULL },
};

static void
init(void)
{
	const char *dir = worker_conf()->state_dir;

	umask(077);
	bucket_init(dir);
	agents_init(dir);
	store_init(worker_base());
	query_init(worker_base());
	sweep_init(worker_base());
}

static void
conf(const struct worker_conf *c)
{
	sweep_conf(c->trace_retention);
}

static void
peer_down(struct peer *p)
{
	if (peer_proc(p) == PROC_FRONT)
		api_front_down();
	else
		intake_down(peer_proc(p));
	if (peer_proc(p) == PROC_KEEPER) {
		export_cancel_all();
		import_cancel_all();
	}
}

static void
peer_drained(struct peer *p)
{
	if (peer_proc(p) == PROC_FRONT)
		query_resume();
}

/* What came in is stored and acknowledged before the end. */
static void
shutdown(uint32_t ms)
{
	(void)ms;
	query_cancel_all();
	store_close();
	bucket_close_all();
	agents_close();
	worker_exit();
}

static const struct worker_ops ops = {
	.proc = PROC_TRACE,
	.handlers = handlers,
	.init = init,
	.conf = conf,
	.peer_down = peer_down,
	.peer_drained = peer_drained,
	.shutdown = shutdown,
};

int
main(int argc, char **argv)
{
	return worker_main(argc, argv, &ops);
}

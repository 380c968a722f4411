/*
 * What every worker does alike: start, configuration, sandbox, event loop.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every worker.  Talks to: supervisor.
 *
 * The supervisor has already changed user, dropped the capabilities and set
 * the limits; here come the steps that only the program itself can take.
 */
#include <sys/prctl.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "config.h"
#include "evbase.h"
#include "log.h"
#include "peer.h"
#include "sandbox.h"
#include "worker.h"

#define FLUSH_MS	500	/* at the end, for each peer */

static struct worker {
	const struct worker_ops	*ops;
	struct event_base	*base;
	struct peer		*super;
	struct peer		*peers[PROC_MAX];
	int			 held[PROC_MAX];	/* before CONF_END */
	struct worker_conf	 conf;
	bool			 have_conf;
	bool			 ready;
} w;

extern char **environ;

#ifdef AGENTD_SANITIZE
/* The leak check forks and ptraces, which no sandbox here allows. */
const char	*__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

static int	h_conf(struct peer *, struct msg *);
static int	h_conf_fd(struct peer *, struct msg *);
static int	h_conf_framework(struct peer *, struct msg *);
static int	h_conf_end(struct peer *, struct msg *);
static int	h_peer(struct peer *, struct msg *);
static int	h_log_level(struct peer *, struct msg *);
static int	h_shutdown(struct peer *, struct msg *);

static const struct msg_handler own_handlers[] = {
	{ MSG_CONF, h_conf },
	{ MSG_CONF_FD, h_conf_fd },
	{ MSG_CONF_FRAMEWORK, h_conf_framework },
	{ MSG_CONF_END, h_conf_end },
	{ MSG_PEER, h_peer },
	{ MSG_LOG_LEVEL, h_log_level },
	{ MSG_SHUTDOWN, h_shutdown },
	{ MSG_NONE, NULL },
};

struct event_base *
worker_base(void)
{
	return w.base;
}

const struct worker_conf *
worker_conf(void)
{
	return &w.conf;
}

struct peer *
worker_super(void)
{
	return w.super;
}

struct peer *
worker_peer(enum proc p)
{
	if (p == PROC_SUPER)
		return w.super;
	if (w.peers[p] == NULL)
		fatalx("no edge to %s", proc_name(p));
	return w.peers[p];
}

void
worker_peer_bad(struct peer *p, uint32_t type, const char *why)
{
	struct m_peer_bad bad;

	bad.proc = peer_proc(p);
	bad.type = type;
	bad.reason = why;
	peer_detach(p);
	if (peer_send(w.super, MSG_PEER_BAD, &bad) == -1)
		log_warn("report of %s", proc_name(peer_proc(p)));
}

void
worker_exit(void)
{
	event_base_loopbreak(w.base);
}

/* Without its supervisor a worker has no business here. */
static void
super_down(struct peer *p)
{
	(void)p;
	log_warnx("the supervisor is gone");
	_exit(1);
}

static void
up(struct peer *p)
{
	log_debug("connected to %s", proc_name(peer_proc(p)));
	if (w.ops->peer_up != NULL)
		w.ops->peer_up(p);
}

static void
down(struct peer *p)
{
	log_debug("%s is gone", proc_name(peer_proc(p)));
	if (w.ops->peer_down != NULL)
		w.ops->peer_down(p);
}

static void
drained(struct peer *p)
{
	if (w.ops->peer_drained != NULL)
		w.ops->peer_drained(p);
}

/* ---- messages of the supervisor ---- */

static void
conf_set(char **field, const char *value)
{
	free(*field);
	if ((*field = strdup(value)) == NULL)
		fatal("configuration");
}

static int
h_conf(struct peer *p, struct msg *m)
{
	const struct m_conf *in = &m->u.conf;

	(void)p;
	w.conf.generation = in->generation;
	conf_set(&w.conf.node_id, in->node_id);
	conf_set(&w.conf.state_dir, in->state_dir);
	conf_set(&w.conf.agents_dir, in->agents_dir);
	conf_set(&w.conf.incus_socket, in->incus_socket);
	conf_set(&w.conf.incus_project, in->incus_project);
	conf_set(&w.conf.incus_pool, in->incus_pool);
	conf_set(&w.conf.allowed_hosts, in->allowed_hosts);
	conf_set(&w.conf.image_keys, in->image_keys);
	conf_set(&w.conf.admin_group, in->admin_group);
	conf_set(&w.conf.ca_file, in->ca_file);
	w.conf.max_connections = in->max_connections;
	w.conf.max_calls_per_turn = in->max_calls_per_turn;
	w.conf.deploy_timeout = in->deploy_timeout;
	w.conf.trace_retention = in->trace_retention;
	w.conf.disk_scan = in->disk_scan;
	conf_set(&w.conf.trusted_exporters, in->trusted_exporters);
	w.conf.import_limit = in->import_limit;
	conf_set(&w.conf.warm_pool, in->warm_pool);
	w.conf.idle_suspend = in->idle_suspend;
	w.conf.idle_freeze = in->idle_freeze;
	w.have_conf = true;
	if (in->log_level <= LOG_L_DEBUG)
		log_set_level((enum log_level)in->log_level);
	return 0;
}

static int
h_conf_fd(struct peer *p, struct msg *m)
{
	(void)p;
	if (w.ops->fd == NULL)
		return 0;
	w.ops->fd(m->u.conf_fd.name, m->fd);
	m->fd = -1;
	return 0;
}

static int
h_conf_framework(struct peer *p, struct msg *m)
{
	(void)p;
	if (w.ops->framework != NULL)
		w.ops->framework(&m->u.framework);
	return 0;
}

static void
start(void)
{
	struct m_ready ready;
	int i;

	if (w.ops->init != NULL)
		w.ops->init();
	if (w.ops->conf != NULL)
		w.ops->conf(&w.conf);
	if (sandbox_enter(w.ops->proc, w.conf.state_dir) == -1)
		fatal("sandbox");
	w.ready = true;
	ready.table = msg_table_digest();
	ready.generation = w.conf.generation;
	if (peer_send(w.super, MSG_READY, &ready) == -1)
		fatal("ready");
	for (i = 0; i < PROC_MAX; i++)
		if (w.held[i] != -1) {
			peer_attach(w.peers[i], w.held[i]);
			w.held[i] = -1;
		}
}

static int
h_conf_end(struct peer *p, struct msg *m)
{
	struct m_ready ready;

	(void)m;
	if (!w.have_conf)
		return -1;
	if (!w.ready) {
		start();
		return 0;
	}
	if (w.ops->conf != NULL)
		w.ops->conf(&w.conf);
	ready.table = msg_table_digest();
	ready.generation = w.conf.generation;
	return peer_send(p, MSG_READY, &ready);
}

static int
h_peer(struct peer *p, struct msg *m)
{
	uint32_t proc = m->u.peer.proc;

	(void)p;
	if (proc >= PROC_MAX || w.peers[proc] == NULL)
		return -1;
	if (w.ready) {
		peer_attach(w.peers[proc], m->fd);
	} else {
		if (w.held[proc] != -1)
			close(w.held[proc]);
		w.held[proc] = m->fd;
	}
	m->fd = -1;
	return 0;
}

static int
h_log_level(struct peer *p, struct msg *m)
{
	(void)p;
	if (m->u.level.level > LOG_L_DEBUG)
		return -1;
	log_set_level((enum log_level)m->u.level.level);
	log_info("log level is %s",
	    log_level_name((enum log_level)m->u.level.level));
	return 0;
}

static int
h_shutdown(struct peer *p, struct msg *m)
{
	(void)p;
	log_debug("stopping");
	if (w.ops->shutdown != NULL)
		w.ops->shutdown(m->u.deadline.ms);
	else
		worker_exit();
	return 0;
}

/* ---- start ---- */

/* A message without a handler would count as the sender's fault. */
static void
check_handlers(void)
{
	const struct msg_handler *h;
	uint32_t type;
	bool found;

	for (type = MSG_NONE + 1; type < MSG_MAX; type++) {
		const struct msg_desc *d = msg_desc(type);

		if (d->flags & M_REP || !(d->to & (1U << w.ops->proc)))
			continue;
		found = false;
		for (h = own_handlers; h->type != MSG_NONE; h++)
			found |= h->type == type;
		for (h = w.ops->handlers; h != NULL && h->type != MSG_NONE; h++)
			found |= h->type == type;
		if (!found)
			fatalx("no handler for %s", d->name);
	}
}

static void
make_peers(void)
{
	static struct peer_ops edge_ops, super_ops;
	static struct msg_handler all[MSG_MAX];
	const struct msg_handler *h;
	size_t n = 0;
	int i;

	for (h = own_handlers; h->type != MSG_NONE; h++)
		all[n++] = *h;
	for (h = w.ops->handlers; h != NULL && h->type != MSG_NONE; h++)
		all[n++] = *h;
	super_ops.handlers = all;
	super_ops.down = super_down;
	super_ops.drained = drained;
	w.super = peer_new(w.base, w.ops->proc, PROC_SUPER, &super_ops);
	edge_ops.handlers = w.ops->handlers;
	edge_ops.up = up;
	edge_ops.down = down;
	edge_ops.bad = worker_peer_bad;
	edge_ops.drained = drained;
	for (i = 0; i < PROC_MAX; i++) {
		w.held[i] = -1;
		if (i != PROC_SUPER && i != (int)w.ops->proc &&
		    msg_edge(w.ops->proc, (enum proc)i))
			w.peers[i] = peer_new(w.base, w.ops->proc,
			    (enum proc)i, &edge_ops);
	}
}

int
worker_main(int argc, char **argv, const struct worker_ops *ops)
{
	int i;

	w.ops = ops;
	/* argv[1] is "journal" when fd 2 is a stream of journald. */
	log_init(proc_name(ops->proc), LOG_L_INFO,
	    argc > 1 && strcmp(argv[1], "journal") == 0);
	if (geteuid() == 0)
		fatalx("a worker does not run as root");
	if (prctl(PR_SET_DUMPABLE, 0) == -1 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
		fatal("prctl");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	setproctitle_init(argc, argv, environ);
	setproctitle("-agentd: %s", proc_name(ops->proc));
	tzset();
	check_handlers();
	w.base = evbase_new();
	make_peers();
	peer_attach(w.super, WORKER_SUPER_FD);
	if (!peer_is_up(w.super))
		fatalx("fd %d is not the supervisor", WORKER_SUPER_FD);
	event_base_dispatch(w.base);
	for (i = 0; i < PROC_MAX; i++)
		if (w.peers[i] != NULL)
			peer_flush(w.peers[i], FLUSH_MS);
	return 0;
}

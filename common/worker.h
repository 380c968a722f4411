/*
 * What every worker does alike: start, configuration, sandbox, event loop.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every worker.  Talks to: supervisor.
 *
 * A worker's main() is one call:
 *
 *	int
 *	main(int argc, char **argv)
 *	{
 *		return worker_main(argc, argv, &ops);
 *	}
 *
 * It finds the supervisor's socket as fd 3 and nothing else, reads CONF,
 * CONF_FD... and CONF_END, calls init, enters its sandbox (common/sandbox.h),
 * sends READY and runs the loop.
 */
#ifndef WORKER_H
#define WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "msg.h"
#include "peer.h"

#define WORKER_SUPER_FD	3

struct event_base;

/* A copy of CONF that lives as long as the configuration. */
struct worker_conf {
	uint32_t	 generation;
	char		*node_id;
	char		*state_dir;
	char		*agents_dir;
	char		*incus_socket;
	char		*incus_project;
	char		*incus_pool;
	char		*allowed_hosts;	/* one a line */
	char		*image_keys;	/* one a line */
	char		*admin_group;	/* keeper */
	char		*ca_file;
	uint32_t	 max_connections;
	uint32_t	 max_calls_per_turn;
	uint32_t	 deploy_timeout;
	uint32_t	 trace_retention;
	uint32_t	 disk_scan;	/* keeper, seconds */
	char		*trusted_exporters;	/* keeper: keys in hex, one a line */
	uint64_t	 import_limit;	/* bytes; keeper, mover */
	char		*warm_pool;	/* "framework number", one a line */
	uint32_t	 idle_suspend;	/* seconds, 0: never */
	uint32_t	 idle_freeze;
};

struct worker_ops {
	enum proc	 proc;
	/*
	 * Handlers for messages of all peers (the framework serves those of
	 * the supervisor named below itself).  Every message that msg.def
	 * allows to come here unasked must have one: checked at start.
	 */
	const struct msg_handler *handlers;
	/*
	 * Once, unsandboxed but as the worker's own user, with CONF and all
	 * CONF_FD seen: open databases, load what is loaded lazily.
	 */
	void	(*init)(void);
	/* A descriptor by role; it is the callee's.  Also on reload. */
	void	(*fd)(const char *role, int fd);
	/* One row, keeper only; also on reload, before conf(). */
	void	(*framework)(const struct m_framework *);
	/* CONF_END seen: at start after init(), and after each reload. */
	void	(*conf)(const struct worker_conf *);
	void	(*peer_up)(struct peer *);
	void	(*peer_down)(struct peer *);
	void	(*peer_drained)(struct peer *);
	/* Finish within ms, then call worker_exit(); NULL: exit at once. */
	void	(*shutdown)(uint32_t ms);
};

int	worker_main(int argc, char **argv, const struct worker_ops *);
/* The event loop's base and the configuration, valid from init() on. */
struct event_base	*worker_base(void);
const struct worker_conf *worker_conf(void);
/* The peer of an edge, up or down; fatal if msg.def has no such edge. */
struct peer	*worker_peer(enum proc);
/* The supervisor. */
struct peer	*worker_super(void);
/* Reports a peer that broke the rules and closes the edge. */
void	worker_peer_bad(struct peer *, uint32_t type, const char *why);
/* Ends the loop after the queues to all peers are written. */
void	worker_exit(void);

#endif /* WORKER_H */

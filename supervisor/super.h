/*
 * What the parts of the supervisor share: the workers and what is known of
 * each.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef SUPER_H
#define SUPER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stdint.h>

#include "log.h"
#include "msg.h"
#include "peer.h"
#include "restart.h"

struct catalog;
struct conf;
struct event;
struct event_base;

#define WORKER_START_MS	60000	/* until READY; migrations take their time */

enum worker_state {
	WS_DOWN,		/* not wanted */
	WS_BACKOFF,		/* waits for its next start */
	WS_STARTING,		/* runs, has not said READY */
	WS_RUNNING,
	WS_STOPPING		/* was told to end */
};

struct worker {
	enum proc		 proc;
	bool			 wanted;
	struct peer		*peer;
	struct event		*timer;		/* of the state it is in */
	pid_t			 pid;		/* 0: none */
	enum worker_state	 state;
	uint64_t		 started;	/* ms */
	uint32_t		 generation;	/* of CONF that it has taken */
	enum log_level		 level;
	uint32_t		 restarts;
	struct restart		 restart;
	char			 cause[256];	/* of its last end */
	char			 kill_why[200];	/* if it was our doing */
};

struct super {
	struct event_base	*base;
	struct conf		*conf;
	struct catalog		*catalog;
	uint32_t		 generation;
	uint32_t		 mask;		/* workers wanted: bits of proc */
	uint64_t		 started;	/* ms */
	bool			 stopping;
	bool			 was_ready;
	struct worker		 worker[PROC_MAX];
	void			(*on_ready)(void);	/* all run, again too */
	void			(*on_gone)(void);	/* all have ended */
};

/* ---- workers.c: their lives ---- */

/* Takes the struct, which must live on; starts all that are wanted. */
void	workers_start(struct super *);
/* Can it be told something?  One that is dying or killed cannot. */
bool	worker_is_up(const struct worker *);
/* READY has come with this generation. */
void	worker_ready(struct worker *, uint32_t generation);
/* Kills it for a reason that its cause will show; it is started again. */
void	worker_kill(struct worker *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
/* After SIGCHLD. */
void	workers_reap(void);
/* Ends all in order; with hurry at once.  on_gone follows. */
void	workers_stop(bool hurry);
const char *worker_state_name(enum worker_state);

/* ---- push.c: what workers are told ---- */

/* CONF to CONF_END; descriptors only if it has none yet. */
void	push_conf(struct super *, struct worker *, bool first);
/* New configuration and catalog are in place: to all. */
void	push_reload(struct super *);
/* Edges to all others that run. */
void	push_edges(struct super *, struct worker *);
/* A listener has changed. */
void	push_listener(struct super *, const char *role);

/* ---- control.c: what workers say ---- */

extern const struct peer_ops control_ops;
void	control_init(struct super *);

#endif /* SUPER_H */

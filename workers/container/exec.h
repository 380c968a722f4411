/*
 * A command in an instance: what its two halves share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus, and who holds the other end of fd.
 */
#ifndef EXEC_H
#define EXEC_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container.h"
#include "wsc.h"

#define EXEC_SECRET	128	/* most bytes of a WebSocket's secret */

/* The WebSockets of an operation; with a tty WS_IN is both ways. */
enum { WS_IN, WS_OUT, WS_ERR, WS_CONTROL, WS_N };

struct exec;
struct xf;

struct exec_ws {
	struct exec	*x;
	int		 n;		/* which */
	struct wsc	*ws;		/* NULL: closed, or not open yet */
	char		 secret[EXEC_SECRET + 1];
};

struct exec {
	TAILQ_ENTRY(exec)	 entry;
	uint64_t		 id;		/* of keeper's request */
	char			 agent_id[33];
	char			 instance[64];
	char			*body;		/* owned: of the POST */
	bool			 tty;
	char			 op_id[64];
	struct exec_ws		 ws[WS_N];
	unsigned int		 nopen;
	struct bufferevent	*bev;		/* the client */
	struct event		*hup;		/* the client left, read or not */
	struct event		*timer;		/* idle, and the last grace */
	unsigned int		 calls;		/* of incus_*, under way */
	bool			 running;	/* keeper heard so */
	bool			 exited;
	uint32_t		 code;		/* then: how */
	unsigned int		 waits;		/* for a slow reader */
	bool			 done;		/* the last frame is written */
	bool			 dying;		/* nobody waits: being killed */
	bool			 dead;		/* freed after the last call */
};

/* ---- exec.c ---- */

/* It cannot go on: says so to who waits for it, and ends it. */
void	exec_fail(struct exec *, unsigned int status, const char *, ...)
	    __attribute__((format(printf, 3, 4)));
/* All WebSockets are open. */
void	exec_run(struct exec *);
extern const struct wsc_ops exec_ws_ops;

/* ---- execin.c ---- */

/* One frame of the client; -1: it does not speak this. */
int	exec_take(struct exec *, const struct xf *);

/* ---- execreq.c: from the request to the open WebSockets ---- */

/* What is wrong with a request, or NULL; makes the body of the POST. */
const char	*execreq_check(struct exec *, const struct m_ct_exec *);
void		 execreq_start(struct exec *);

#endif /* EXEC_H */

/*
 * A worker that breaks the rules, to see what the supervisor does about it.
 *
 * SPDX-License-Identifier: ISC
 *
 * It is started under the name of the worker whose place it takes, and that
 * name says what it does:
 *	dialer		sends its peers a frame that no table knows
 *	trace		sends one to the supervisor
 *	proxy		claims to be of another build
 *	container	makes a system call that its filter does not allow
 *	front		ends
 *	gateway		closes its channel and stays
 */
#include <sys/syscall.h>

#include <err.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "chan.h"
#include "log.h"
#include "worker.h"

#define DELAY_MS	200	/* after READY, so that edges are there */
#define FD_MAX		32
#define EXIT_CODE	3

static struct worker_ops ops;
static struct msg_handler handlers[MSG_MAX];

static int
ignore(struct peer *p, struct msg *m)
{
	(void)p;
	(void)m;
	return 0;
}

/* Whatever may come is accepted: it does not fail by itself. */
static void
accept_all(enum proc self)
{
	uint32_t type;
	size_t n = 0;

	for (type = MSG_NONE + 1; type < MSG_MAX; type++)
		if (!(msg_desc(type)->flags & M_REP) &&
		    (msg_desc(type)->to & 1U << self) != 0 &&
		    (msg_desc(type)->from & ~P_SUPER) != 0)
			handlers[n++] = (struct msg_handler){ type, ignore };
	for (type = MSG_NONE + 1; type < MSG_MAX; type++)
		if (self == PROC_GATEWAY && (type == MSG_GW_LISTEN ||
		    type == MSG_GW_UNLISTEN))
			handlers[n++] = (struct msg_handler){ type, ignore };
}

static void
bad_frame(int fd)
{
	const struct chan_hdr h = { .len = 0xffffff, .type = 0xfff0, .id = 1 };

	/* Most of the numbers are no channel: their errors are no matter. */
	if (write(fd, &h, sizeof(h)) == -1)
		return;
}

static void
misbehave(evutil_socket_t sock, short what, void *arg)
{
	int fd;

	(void)sock;
	(void)what;
	(void)arg;
	switch (ops.proc) {
	case PROC_DIALER:
		for (fd = WORKER_SUPER_FD + 1; fd < FD_MAX; fd++)
			bad_frame(fd);
		break;
	case PROC_TRACE:
		bad_frame(WORKER_SUPER_FD);
		break;
	case PROC_CONTAINER:
		syscall(SYS_ptrace, 0, 0, 0, 0);
		break;
	case PROC_FRONT:
		_exit(EXIT_CODE);
	case PROC_GATEWAY:
		close(WORKER_SUPER_FD);
		/* Nothing else may end it. */
		for (;;)
			(void)poll(NULL, 0, -1);
	default:
		break;
	}
}

static void
init(void)
{
	struct m_ready ready = { .table = "0000", .generation = 1 };

	if (ops.proc == PROC_PROXY &&
	    peer_send(worker_super(), MSG_READY, &ready) == -1)
		fatal("ready");
}

static void
conf(const struct worker_conf *c)
{
	const struct timeval tv = { 0, DELAY_MS * 1000 };
	struct event *ev;

	(void)c;
	ev = evtimer_new(worker_base(), misbehave, NULL);
	if (ev == NULL || event_add(ev, &tv) == -1)
		fatal("timer");
}

int
main(int argc, char **argv)
{
	const char *dash = strrchr(argv[0], '-');
	int self = dash == NULL ? -1 : proc_by_name(dash + 1);

	if (self == -1 || self == PROC_SUPER)
		errx(2, "start it as agentd-WORKER");
	ops.proc = (enum proc)self;
	accept_all(ops.proc);
	ops.handlers = handlers;
	ops.init = init;
	ops.conf = conf;
	return worker_main(argc, argv, &ops);
}

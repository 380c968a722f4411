/*
 * The dialer: connects where upstream and gateway ask and hands the socket over.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: dialer. Talks to: upstream, gateway, the network.
 *
 * It is the only worker that opens connections to the outside, and it sees
 * neither a secret nor a byte of what goes over them.
 */
#include <sys/types.h>

#include <errno.h>
#include <stdlib.h>

#include "dial.h"
#include "log.h"
#include "worker.h"

/* Who asked. */
struct asked {
	uint64_t	 id;
	enum proc	 proc;
};

static void	init(void);
static void	peer_down(struct peer *);
static int	h_dial(struct peer *, struct msg *);
static void	dialed(void *, unsigned, const char *, int);

static const struct msg_handler handlers[] = {
	{ MSG_DIAL, h_dial },
	{ 0, NULL }
};

static const struct worker_ops ops = {
	.proc = PROC_DIALER,
	.handlers = handlers,
	.init = init,
	.peer_down = peer_down,
};

int
main(int argc, char **argv)
{
	return worker_main(argc, argv, &ops);
}

static void
init(void)
{
	dial_init(worker_base());
}

static bool
is_of(const void *arg, const void *proc)
{
	return ((const struct asked *)arg)->proc ==
	    *(const enum proc *)proc;
}

static void
peer_down(struct peer *p)
{
	enum proc proc = peer_proc(p);

	dial_cancel(is_of, &proc, free);
}

static int
h_dial(struct peer *p, struct msg *m)
{
	const struct m_dial *d = &m->u.dial;
	struct asked *id;

	if (d->port == 0 || d->port > 65535 || d->allow_private > 1)
		return -1;
	if ((id = malloc(sizeof(*id))) == NULL)
		fatal("dial");
	id->id = m->id;
	id->proc = peer_proc(p);
	dial_start(d->host, (uint16_t)d->port, d->allow_private != 0, dialed,
	    id);
	return 0;
}

static void
dialed(void *arg, unsigned status, const char *error, int fd)
{
	struct m_dialed res = { .status = status, .error = error };
	struct asked *id = arg;

	log_set_request(id->id);
	if (status != 200)
		log_info("dial: %u %s", status, error);
	if (peer_reply_id(worker_peer(id->proc), id->id, MSG_DIALED, false,
	    &res, fd) == -1)
		log_warn("cannot answer %s", proc_name(id->proc));
	log_set_request(0);
	free(id);
}

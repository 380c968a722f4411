/*
 * The dialer: connects where upstream asks and hands the socket over.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: dialer. Talks to: upstream, the network.
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

static void
peer_down(struct peer *p)
{
	if (peer_proc(p) == PROC_UPSTREAM)
		dial_cancel_all(free);
}

static int
h_dial(struct peer *p, struct msg *m)
{
	const struct m_dial *d = &m->u.dial;
	uint64_t *id;

	(void)p;
	if (d->port == 0 || d->port > 65535 || d->allow_private > 1)
		return -1;
	if ((id = malloc(sizeof(*id))) == NULL)
		fatal("dial");
	*id = m->id;
	dial_start(d->host, (uint16_t)d->port, d->allow_private != 0, dialed,
	    id);
	return 0;
}

static void
dialed(void *arg, unsigned status, const char *error, int fd)
{
	struct m_dialed res = { .status = status, .error = error };
	uint64_t *id = arg;

	log_set_request(*id);
	if (status != 200)
		log_info("dial: %u %s", status, error);
	if (peer_reply_id(worker_peer(PROC_UPSTREAM), *id, MSG_DIALED, false,
	    &res, fd) == -1)
		log_warn("cannot answer upstream");
	log_set_request(0);
	free(id);
}

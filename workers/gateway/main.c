/*
 * agentd-gateway: everything that an agent can reach.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: agents, keeper, proxy, trace, upstream.
 */
#include <sys/types.h>

#include "gateway.h"
#include "worker.h"

static const struct worker_ops ops = {
	.proc = PROC_GATEWAY,
	.handlers = gw_handlers,
	.init = gw_init,
	.peer_up = gw_peer_up,
	.peer_drained = gw_peer_drained,
	.shutdown = gw_shutdown,
};

int
main(int argc, char **argv)
{
	return worker_main(argc, argv, &ops);
}

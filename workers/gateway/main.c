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

static const struct msg_handler handlers[] = {
	{ MSG_GW_LISTEN, agent_h_listen },
	{ MSG_GW_UNLISTEN, agent_h_unlisten },
	{ MSG_AGENT_CONF, agent_h_conf },
	{ MSG_AGENT_GONE, agent_h_gone },
	{ MSG_TURN, agent_h_turn },
	{ MSG_KEY_FLUSH, gw_h_key_flush },
	{ MSG_LLM_WINDOW, llm_h_window },
	{ MSG_NONE, NULL },
};

static const struct worker_ops ops = {
	.proc = PROC_GATEWAY,
	.handlers = handlers,
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

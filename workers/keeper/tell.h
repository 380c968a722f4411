/*
 * What other workers are told of agents.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef TELL_H
#define TELL_H

#include <stdint.h>

#include "peer.h"

struct agent;

/* AGENT_POLICY to proxy; the id of the request, or 0 if proxy is not there. */
uint64_t	tell_policy(const struct agent *, int timeout_ms,
		    peer_reply_fn, void *);
/* All agents to a proxy that has come up, but those whose job asks itself. */
void		tell_policies(void);
/* AGENT_LISTEN for all agents that may have a socket. */
void		tell_sockets(void);

#endif /* TELL_H */

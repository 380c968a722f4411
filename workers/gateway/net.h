/*
 * Connections of agents to the outside.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 */
#ifndef NET_H
#define NET_H

#include "gateway.h"

/* net.c */
int	net_h_conf(struct peer *, struct msg *);
/* May it?  *private: also at an address of the host's own networks. */
bool	net_allows(const struct agent *, const char *host, uint16_t port,
	    bool *private);
/* Tells the trace, at most once a minute for each host. */
void	net_denied(struct agent *, const char *host, uint16_t port,
	    const char *reason);

/* connect.c: POST /api/agent/connect */
void	connect_post(struct greq *);

/* tunnel.c */
bool	tunnel_room(const struct agent *);
/* Takes over both; what the agent has sent already goes first. */
void	tunnel_new(struct agent *, struct bufferevent *, int fd,
	    const char *host, uint16_t port);
/* Cuts what the policy does not allow any more. */
void	tunnel_check(struct agent *);
void	tunnel_cut(struct agent *);

#endif /* NET_H */

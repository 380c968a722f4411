/*
 * What agents may reach.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include "agent.h"
#include "keeper.h"

/*
 * A policy and the lines of its domains for a new agent, in their one
 * spelling; the client has its 422 or 403 if that is false.
 */
bool	network_fill(struct client, const struct pass *, struct agent *,
	    const char *policy, const char *domains);
/*
 * The domains of an imported agent: what is no domain is dropped, and so are
 * private ones, which mean other machines here.
 */
void	network_take(struct agent *, const char *domains);
/* To gateway, behind AGENT_CONF. */
void	network_tell(const struct agent *);
/* Makes Incus agree with the row, when nothing else is under way. */
void	network_assert(struct agent *);
/* The members "network" and "domains". */
void	network_json(struct jbuf *, const struct agent *);
int	h_agent_network(struct peer *, struct msg *);

#endif /* NETWORK_H */

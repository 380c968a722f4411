/*
 * Messages about providers: from keeper, to upstream, for front.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: proxy. Talks to: keeper, upstream, gateway, front.
 */
#ifndef PROVIDERS_H
#define PROVIDERS_H

#include "peer.h"

struct db;

void	 providers_init(struct db *);
/* Tells upstream every route: it has just come up. */
void	 providers_push(void);
/* Tells gateway that what it cached of an agent is stale; "": of all. */
void	 providers_flush(const char *agent_id);

/* Handlers. */
int	 providers_h_pass_key(struct peer *, struct msg *);
int	 providers_h_list(struct peer *, struct msg *);
int	 providers_h_put(struct peer *, struct msg *);
int	 providers_h_drop(struct peer *, struct msg *);

#endif /* PROVIDERS_H */

/*
 * The host wants the agent to finish: no new turn, and word of it.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#ifndef LINK_PREPARE_H
#define LINK_PREPARE_H

struct event_base;
struct gw;
struct prepare;
struct turn;

/* NULL when out of memory. */
struct prepare *prepare_new(struct event_base *, struct gw *, struct turn *);
void	 prepare_free(struct prepare *);

/*
 * From now on no turn begins; once the open one is over the gateway is told,
 * with this id, until it has taken it.
 */
void	 prepare_begin(struct prepare *, const char *id);
/* It goes on after all. */
void	 prepare_lift(struct prepare *);

#endif /* LINK_PREPARE_H */

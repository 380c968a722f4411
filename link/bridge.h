/*
 * The event stream: messages come in, presence goes out.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#ifndef LINK_BRIDGE_H
#define LINK_BRIDGE_H

struct bridge;
struct conf;
struct event_base;
struct gw;
struct inbox;
struct turn;

/* NULL when out of memory. Subscribes as soon as there is a key. */
struct bridge *bridge_new(struct event_base *, const struct conf *,
	    struct gw *, struct inbox *, struct turn *);
void	 bridge_free(struct bridge *);

/* Ends the stream for good: the agent is no longer present. */
void	 bridge_stop(struct bridge *);

#endif /* LINK_BRIDGE_H */

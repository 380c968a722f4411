/*
 * Tells the gateway which events are dealt with.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#ifndef LINK_ACK_H
#define LINK_ACK_H

#include <stdbool.h>

struct ack;
struct event_base;
struct gw;
struct inbox;

/* NULL when out of memory. */
struct ack *ack_new(struct event_base *, struct gw *, const struct inbox *);
void	 ack_free(struct ack *);

/* Sends what inbox_acked() says now; repeats it until it is taken. */
void	 ack_send(struct ack *);

/* Nothing is left to send. */
bool	 ack_idle(const struct ack *);

/* Called each time it becomes idle. */
void	 ack_on_idle(struct ack *, void (*)(void *), void *);

#endif /* LINK_ACK_H */

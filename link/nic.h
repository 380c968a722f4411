/*
 * The container's network card, if the agent has one.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: the kernel.
 */
#ifndef LINK_NIC_H
#define LINK_NIC_H

struct event_base;
struct nic;

/* Sets the card up, now or when it comes. NULL: cannot watch (logged). */
struct nic	*nic_new(struct event_base *);
void		 nic_free(struct nic *);

#endif /* LINK_NIC_H */

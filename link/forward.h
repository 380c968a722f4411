/*
 * The two loopback listeners, forwarded to the agent's socket.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway, the runtime.
 */
#ifndef LINK_FORWARD_H
#define LINK_FORWARD_H

#include <stdbool.h>

struct conf;
struct evbuffer;
struct event_base;
struct forward;
struct gw;
struct turn;

/* Binds both listeners. NULL: cannot listen (logged). */
struct forward *forward_new(struct event_base *, const struct conf *,
	    struct gw *, struct turn *);
void	 forward_free(struct forward *);

/* An answer of the link itself, after which the connection is closed. */
void	 forward_refuse(struct evbuffer *, int status, const char *why,
	    bool head_only);

#endif /* LINK_FORWARD_H */

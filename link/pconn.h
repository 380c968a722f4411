/*
 * The proxy for what the runtime reaches outside: CONNECT and http://.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway, the runtime.
 */
#ifndef LINK_PCONN_H
#define LINK_PCONN_H

struct conf;
struct event_base;
struct gw;
struct pconns;

/* NULL: cannot listen (logged); the agent works without it. */
struct pconns	*pconns_new(struct event_base *, const struct conf *,
		    struct gw *);
void		 pconns_free(struct pconns *);

#endif /* LINK_PCONN_H */

/*
 * Names of hosts that an agent may reach, and whether one is among them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper, gateway. Talks to: nobody.
 *
 * A line is NAME[:PORT][ private]: NAME is exact or *.NAME (whatever is below
 * it); without a port it means 80 and 443; "private" lifts, for that name, the
 * rule that no address of the host's own networks is reached.
 */
#ifndef DOMAIN_H
#define DOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOMAIN_HOST_MAX	253
#define DOMAIN_LINE_MAX	(DOMAIN_HOST_MAX + 2 + 6 + 8)
#define DOMAINS_MAX	8192	/* bytes of a list */

struct domain {
	char		host[DOMAIN_HOST_MAX + 1];	/* lower-case */
	bool		wild;		/* all below host, not host itself */
	uint16_t	port;		/* 0: 80 and 443 */
	bool		private;
};

/* NULL and *out, or why that line cannot be allowed: constant text. */
const char	*domain_parse(const char *, size_t, struct domain *out);
/* The one spelling of it, into buf of DOMAIN_LINE_MAX + 1 bytes. */
void		 domain_text(const struct domain *, char *buf);
bool		 domain_match(const struct domain *, const char *host,
		    uint16_t port);
/*
 * Is host:port in a list of such lines?  *private says whether by a line
 * with "private".
 */
bool		 domain_listed(const char *list, const char *host,
		    uint16_t port, bool *private);

/*
 * Splits "host:port" or "[v6]:port": a lower-case name without its final
 * dot, or an address.  NULL, or why it is neither: constant text.
 */
const char	*hostport_parse(const char *, char host[DOMAIN_HOST_MAX + 1],
		    uint16_t *port);

#endif /* DOMAIN_H */

/*
 * Which addresses and host spellings the dialer may connect to.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: dialer. Talks to: nobody.
 */
#ifndef ADDR_H
#define ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <stdbool.h>
#include <stdint.h>

#define HOST_MAX	253	/* bytes of a host name */

enum addr_class {
	ADDR_PUBLIC,
	ADDR_PRIVATE,		/* only for a provider with allow_private */
	ADDR_FORBIDDEN		/* for nobody */
};

enum host_kind {
	HOST_BAD,		/* not a host name or a plain address */
	HOST_NAME,		/* to be resolved */
	HOST_ADDR		/* *ss is set */
};

union addr {
	struct sockaddr		sa;
	struct sockaddr_in	in;
	struct sockaddr_in6	in6;
};

/* Class of an address; *what (may be NULL) says which block it is in. */
enum addr_class	 addr_class(const struct sockaddr *, const char **what);
/* May it be connected to? */
bool		 addr_allowed(const struct sockaddr *, bool allow_private,
		    const char **what);
/*
 * Reads a host. Addresses have one spelling: four decimal numbers without
 * leading zeros, or IPv6 without brackets and zone. The port is set as well.
 */
enum host_kind	 host_parse(const char *, uint16_t port, union addr *);

#endif /* ADDR_H */

/*
 * Reads the base URL of a provider.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 */
#ifndef URL_H
#define URL_H

#include <stdbool.h>
#include <stdint.h>

struct url {
	bool		 tls;
	bool		 v6;		/* host is an IPv6 address */
	char		 host[256];	/* lower case, without brackets */
	uint16_t	 port;
	char		 path[512];	/* "" or "/..." without a final slash */
	char		 authority[272]; /* what the Host field says */
};

/*
 * http://HOST[:PORT][/PATH] or https://. 0, or -1 and *why is constant text.
 * The dialer judges the host itself.
 */
int	 url_parse(const char *, struct url *, const char **why);

#endif /* URL_H */

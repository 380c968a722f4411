/*
 * Fuzzes the lists of hosts: what is taken has one spelling that is taken
 * again, and matches itself.
 *
 * SPDX-License-Identifier: ISC
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "domain.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[DOMAIN_LINE_MAX + 1], again[DOMAIN_LINE_MAX + 1];
	char host[DOMAIN_HOST_MAX + 1], *s;
	struct domain d, e;
	uint16_t port;
	bool private;

	if ((s = malloc(size + 1)) == NULL)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	if (domain_parse(s, size, &d) == NULL) {
		domain_text(&d, text);
		if (domain_parse(text, strlen(text), &e) != NULL)
			abort();
		domain_text(&e, again);
		if (strcmp(text, again) != 0)
			abort();
		if (!d.wild && !domain_match(&d, d.host,
		    d.port != 0 ? d.port : 443))
			abort();
	}
	if (hostport_parse(s, host, &port) == NULL)
		(void)domain_listed(s, host, port, &private);
	free(s);
	return 0;
}

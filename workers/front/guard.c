/*
 * Which names and which web pages may be used to reach us.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 *
 * A page of another site can make a browser send requests to 127.0.0.1, and
 * by DNS rebinding even under a name of its own. Such a request carries the
 * page's Host or Origin.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "front.h"
#include "log.h"

static struct {
	char	*hosts;		/* one a line; NULL: none */
} guard;

void
guard_hosts(const char *hosts)
{
	char *copy;

	if ((copy = strdup(hosts)) == NULL) {
		log_warn("allowed_hosts");
		return;
	}
	free(guard.hosts);
	guard.hosts = copy;
}

static bool
same(const char *a, size_t alen, const char *b, size_t blen)
{
	return (alen == blen && strncasecmp(a, b, alen) == 0);
}

/* The parser has checked the form: name, or [address], then :port or none. */
bool
guard_host_ok(const char *host)
{
	static const char *const ours[] = { "localhost", "127.0.0.1",
	    "[::1]" };
	const char *p;
	size_t len, n, i;

	len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	for (i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (same(host, len, ours[i], strlen(ours[i])))
			return (true);
	for (p = guard.hosts; p != NULL && *p != '\0';
	    p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		if (same(host, len, p, n))
			return (true);
	}
	return (false);
}

bool
guard_origin_ok(const char *host, const char *origin, const char *site)
{
	if (site != NULL && strcmp(site, "same-origin") != 0 &&
	    strcmp(site, "none") != 0)
		return (false);
	if (origin == NULL)
		return (true);
	if (strncasecmp(origin, "http://", 7) == 0)
		origin += 7;
	else if (strncasecmp(origin, "https://", 8) == 0)
		origin += 8;
	else
		return (false);
	return (strcasecmp(origin, host) == 0);
}

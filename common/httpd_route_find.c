/*
 * HTTP server: finds a method and path in a table of routes, without IO.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway. Talks to: nobody.
 */
#include <string.h>

#include "httpd.h"

static const struct httpd_route *
row(const void *table, size_t stride, size_t i)
{
	return ((const void *)((const char *)table + i * stride));
}

/* Compare segment by segment; both start with a slash. */
static bool
match(const char *pat, const char *path, struct httpd_params *out)
{
	size_t plen, len;

	out->n = 0;
	for (;;) {
		if (*pat == '\0' || *path == '\0')
			return (*pat == *path);
		/* Both are at a slash here. */
		if (*pat != '/' || *path != '/')
			return (false);
		plen = strcspn(++pat, "/");
		len = strcspn(++path, "/");
		if (*pat == '{') {
			if (len == 0 || out->n == HTTPD_MAX_PARAMS)
				return (false);
			out->p[out->n].name = pat + 1;
			out->p[out->n].namelen = plen - 2;
			out->p[out->n].value = path;
			out->p[out->n].len = len;
			out->n++;
		} else if (plen != len || memcmp(pat, path, len) != 0)
			return (false);
		pat += plen;
		path += len;
	}
}

/* A pattern with fewer parameters is the closer match. */
int
httpd_route_find(const void *table, size_t n, size_t stride,
    const char *method, const char *path, const struct httpd_route **out,
    struct httpd_params *params, char *allow, size_t size)
{
	const struct httpd_route *r;
	struct httpd_params p;
	unsigned best = HTTPD_MAX_PARAMS + 1;
	bool seen = false;
	size_t i;

	*out = NULL;
	if (size > 0)
		allow[0] = '\0';
	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	for (i = 0; i < n; i++) {
		r = row(table, stride, i);
		if (!match(r->pattern, path, &p))
			continue;
		if (seen)
			(void)strlcat(allow, ", ", size);
		(void)strlcat(allow, r->method, size);
		if (strcmp(r->method, "GET") == 0)
			(void)strlcat(allow, ", HEAD", size);
		seen = true;
		if (strcmp(r->method, method) != 0 || p.n >= best)
			continue;
		best = p.n;
		*out = r;
		if (params != NULL)
			*params = p;
	}
	return (*out != NULL ? 0 : seen ? 405 : 404);
}

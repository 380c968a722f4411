/*
 * Fuzz target: HTTP heads, chunked bodies and the route match.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: check --fuzz. Talks to: nobody.
 *
 * Each input is parsed whole and in small steps; both must agree.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "httpc.h"
#include "httpd.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static const struct httpd_route routes[] = {
	{ "GET",	"/api/agents",			0, 0 },
	{ "GET",	"/api/agents/{slug}",		0, 0 },
	{ "POST",	"/api/agents/deploy",		1, 0 },
	{ "GET",	"/api/agents/{slug}/trace",	0, 0 },
};

struct result {
	int	status;		/* 0 more, 200 done, else refused */
	size_t	used, body;
};

static void
routing(const struct http_head *h)
{
	char path[HTTP_MAX_TARGET + 1], value[64], allow[64];
	const struct httpd_route *r;
	struct httpd_params p;

	if (http_decode_path(h->path, h->pathlen, path, sizeof(path)) == -1)
		abort();
	(void)httpd_route_find(routes, 4, sizeof(routes[0]), h->method, path,
	    &r, &p, allow, sizeof(allow));
	(void)http_query_get(h->query, "limit", value, sizeof(value));
}

static struct result
request(const uint8_t *data, size_t len, size_t step)
{
	struct result res = { 0, 0, 0 };
	struct http_head h;
	struct http_chunk c;
	const char *body;
	size_t n = 0, run;
	ssize_t used;
	/* Exactly len bytes, so that the sanitizer sees a read beyond. */
	char *buf = malloc(len > 0 ? len : 1);
	enum http_result r = HTTP_MORE;

	memcpy(buf, data, len);
	http_head_init(&h);
	while (r == HTTP_MORE && n < len) {
		n = len - n < step ? len : n + step;
		r = http_head_parse(&h, buf, n);
	}
	if (r == HTTP_BAD)
		res.status = h.status;
	if (r == HTTP_DONE) {
		res.status = 200;
		res.used = h.len;
		routing(&h);
		http_chunk_init(&c, false);
		while (h.chunked && res.used < len && !http_chunk_done(&c)) {
			n = len - res.used < step ? len - res.used : step;
			used = http_chunk_next(&c, buf + res.used, n, &body,
			    &run);
			if (used == -1) {
				res.status = 400;
				break;
			}
			res.used += (size_t)used;
			res.body += run;
		}
	}
	free(buf);
	return (res);
}

static int
on_body(void *arg, const void *data, size_t len)
{
	size_t *sum = arg, i;

	for (i = 0; i < len; i++)
		*sum = *sum * 31 + ((const uint8_t *)data)[i];
	return (0);
}

static size_t
response(const uint8_t *data, size_t len, size_t step)
{
	static const struct httpc_cb cb = { NULL, on_body, NULL };
	struct httpc c;
	size_t at, n, sum = 0;

	httpc_init(&c, false, &cb, &sum);
	for (at = 0; at < len; at += n) {
		n = len - at < step ? len - at : step;
		if (httpc_feed(&c, data + at, n) != (ssize_t)n)
			break;
	}
	(void)httpc_eof(&c);
	sum = sum * 31 + (size_t)c.state;
	httpc_free(&c);
	return (sum);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct result a, b;

	a = request(data, len, len + 1);
	b = request(data, len, 3);
	if (a.status != b.status || (a.status == 200 &&
	    (a.used != b.used || a.body != b.body)))
		abort();
	if (response(data, len, len + 1) != response(data, len, 3))
		abort();
	return (0);
}

/*
 * HTTP server: routes a request, or answers why there is no route.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway. Talks to: clients and agents.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "httpd_int.h"

static bool
is_json(const char *type)
{
	size_t len;

	if (type == NULL)
		return (false);
	len = strcspn(type, "; \t");
	return (len == 16 && strncasecmp(type, "application/json", 16) == 0);
}

static int
keep_params(struct httpd_req *r)
{
	unsigned i, n = r->params.n;

	for (i = 0; i < n; i++) {
		r->param[i] = strndup(r->params.p[i].value,
		    r->params.p[i].len);
		if (r->param[i] == NULL) {
			r->params.n = i;
			return (-1);
		}
	}
	return (0);
}

const void *
httpd_route(struct httpd_req *r, const void *table, size_t n, size_t stride)
{
	const struct httpd_route *route;
	struct httpd_params params;
	char allow[128];
	int64_t len = httpd_req_length(r);
	int e;

	e = httpd_route_find(table, n, stride, r->head.method, r->path,
	    &route, &params, allow, sizeof(allow));
	if (e == 404) {
		httpd_error(r, 404, "no such resource");
		return (NULL);
	}
	if (e == 405) {
		httpd_add_header(r, "Allow", allow);
		httpd_error(r, 405, "method not allowed");
		return (NULL);
	}
	if (len > 0 && (uint64_t)len > route->max_body) {
		httpd_error(r, 413, "request body too large");
		return (NULL);
	}
	if (len != 0 && route->max_body > 0 &&
	    (route->flags & HTTPD_ROUTE_RAW) == 0 &&
	    !is_json(httpd_req_header(r, "content-type"))) {
		httpd_error(r, 415, "content type must be application/json");
		return (NULL);
	}
	r->params = params;
	if (keep_params(r) == -1) {
		httpd_error(r, 503, "out of memory");
		return (NULL);
	}
	return (route);
}

const char *
httpd_req_param(const struct httpd_req *r, const char *name)
{
	size_t len = strlen(name);
	unsigned i;

	for (i = 0; i < r->params.n; i++)
		if (r->params.p[i].namelen == len &&
		    memcmp(r->params.p[i].name, name, len) == 0)
			return (r->param[i]);
	return (NULL);
}

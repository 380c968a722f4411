/*
 * Builds the head of a request to a provider.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 *
 * Nothing of what the agent sent as headers goes out.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "config.h"
#include "httpc.h"
#include "log.h"
#include "request.h"
#include "route.h"

#define HEAD_MAX	8192

static void	add_key(struct httpc_req *, const char *);
static void	wipe(const void *, size_t, void *);

ssize_t
request_head(const struct route *r, const char *path, bool sse,
    uint64_t length, struct evbuffer *out)
{
	char target[sizeof(r->url.path) + 257], *head;
	struct httpc_req req;
	ssize_t len;

	if ((head = malloc(HEAD_MAX)) == NULL)
		fatal("request head");
	(void)snprintf(target, sizeof(target), "%s%s", r->url.path, path);
	httpc_req_start(&req, head, HEAD_MAX, "POST", target,
	    r->url.authority);
	add_key(&req, secret_find(r->id));
	httpc_req_field(&req, "User-Agent", "agentd/" PACKAGE_VERSION);
	httpc_req_field(&req, "Accept", sse ?
	    "text/event-stream, application/json" : "application/json");
	httpc_req_field(&req, "Accept-Encoding", "identity");
	httpc_req_field(&req, "Content-Type", "application/json");
	httpc_req_length(&req, length);
	if ((len = httpc_req_end(&req)) == -1) {
		freezero(head, HEAD_MAX);
		return -1;
	}
	if (evbuffer_add_reference(out, head, (size_t)len, wipe, NULL) == -1)
		fatalx("out of memory");
	return len;
}

/* Providers on the own network may have none. */
static void
add_key(struct httpc_req *req, const char *key)
{
	char bearer[8 + 4096];

	if (key == NULL || key[0] == '\0')
		return;
	(void)snprintf(bearer, sizeof(bearer), "Bearer %s", key);
	httpc_req_field(req, "Authorization", bearer);
	explicit_bzero(bearer, sizeof(bearer));
}

static void
wipe(const void *data, size_t len, void *arg)
{
	void *head;

	(void)len;
	(void)arg;
	/* It came from malloc(): the const is evbuffer's. */
	memcpy(&head, &data, sizeof(head));
	freezero(head, HEAD_MAX);
}

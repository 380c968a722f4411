/*
 * Fuzz target: the Server-Sent Events parser, and what it says written back.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: check --fuzz. Talks to: nobody.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sse.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static int
same(void *arg, const struct sse_event *e)
{
	const struct sse_event *want = arg;

	if (e->len != want->len || memcmp(e->data, want->data, e->len) != 0 ||
	    strcmp(e->id, want->id) != 0)
		abort();
	return (0);
}

static int
on_event(void *arg, const struct sse_event *e)
{
	struct sse s;
	struct sse_event copy = *e;
	size_t *sum = arg, size = sse_bound(e->id, e->name, e->data, e->len);
	char *buf = malloc(size);
	ssize_t n;

	*sum = *sum * 31 + e->len + strlen(e->id) + strlen(e->name);
	n = sse_write(buf, size, e->id, e->name, e->data, e->len);
	if (n == -1)
		abort();
	/* A NUL in an id is dropped by the parser, elsewhere it is text. */
	sse_init(&s, 1 << 20, same, &copy);
	if (sse_feed(&s, buf, (size_t)n) == -1)
		abort();
	sse_free(&s);
	free(buf);
	return (0);
}

static size_t
run(const uint8_t *data, size_t len, size_t step)
{
	struct sse s;
	size_t at, n, sum = 0;

	sse_init(&s, 4096, on_event, &sum);
	for (at = 0; at < len; at += n) {
		n = len - at < step ? len - at : step;
		if (sse_feed(&s, data + at, n) == -1)
			break;
	}
	sse_free(&s);
	return (sum);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (run(data, len, len + 1) != run(data, len, 3))
		abort();
	return (0);
}

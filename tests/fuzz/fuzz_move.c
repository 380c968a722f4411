/*
 * The parsers of an agent's file: framing, file tree, documents.
 *
 * SPDX-License-Identifier: ISC
 *
 * The first byte says which.  A tree that is taken must come out such that it
 * is taken again, and comes out the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "movefile.h"
#include "record.h"
#include "tar.h"

#define OUT_MAX	(1024 * 1024)

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct out {
	uint8_t	*p;
	size_t	 len;
};

static int
sink(void *arg, const void *data, size_t len)
{
	struct out *o = arg;

	if (len > OUT_MAX - o->len)
		return -1;
	memcpy(o->p + o->len, data, len);
	o->len += len;
	return 0;
}

static int
tree(bool strict, const uint8_t *p, size_t len, struct out *o)
{
	struct tar *t = tar_new(strict, OUT_MAX, sink, o);
	size_t half = len / 2;
	int r;

	o->len = 0;
	r = tar_feed(t, p, half);
	if (r == 0)
		r = tar_feed(t, p + half, len - half);
	if (r == 0)
		r = tar_end(t);
	tar_free(t);
	return r;
}

static void
fuzz_tree(bool strict, const uint8_t *p, size_t len)
{
	static uint8_t first[OUT_MAX], second[OUT_MAX];
	struct out a = { first, 0 }, b = { second, 0 };

	if (tree(strict, p, len, &a) == -1)
		return;
	if (tree(true, a.p, a.len, &b) == -1 || a.len != b.len ||
	    memcmp(a.p, b.p, a.len) != 0)
		abort();
}

static void
fuzz_documents(const char *p, size_t len)
{
	static struct record r;
	struct m_move_message msg;
	struct m_trace_event ev;
	struct texts t = { .n = 0 };
	const char *payload;
	char why[WHY_LEN];
	struct mf f;
	size_t n;

	memset(&f, 0, sizeof(f));
	(void)record_manifest(p, len, &f, &r, why);
	(void)record_agent(p, len, &r, why);
	(void)record_policy(p, len, &r, why);
	(void)record_message(p, len, &msg, &t, why);
	record_texts_free(&t);
	if (record_event(p, len, &ev, &t, &payload, &n, why) == 0 &&
	    (n < 2 || payload[0] != '{'))
		abort();
	record_texts_free(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct mf f;

	if (len == 0)
		return 0;
	switch (data[0] & 3) {
	case 0:
		mf_init(&f, NULL, NULL);
		if (mf_feed(&f, data + 1, len - 1) == 0)
			(void)mf_end(&f);
		break;
	case 1:
		fuzz_tree(true, data + 1, len - 1);
		break;
	case 2:
		fuzz_tree(false, data + 1, len - 1);
		break;
	default:
		fuzz_documents((const char *)data + 1, len - 1);
		break;
	}
	return 0;
}

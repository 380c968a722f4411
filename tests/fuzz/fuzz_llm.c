/*
 * Fuzz target: the scan and splice of LLM requests, the tap of replies.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: check --fuzz. Talks to: nobody.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jbuf.h"
#include "llmreq.h"
#include "tap.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* Scans; what is left is to be freed. */
static int
scan(struct llmreq *q, const char *body, size_t len, size_t step)
{
	const char *why, *param;
	size_t at, n;

	llmreq_init(q);
	for (at = 0; at < len; at += n) {
		n = len - at < step ? len - at : step;
		if (llmreq_feed(q, body + at, n) == -1)
			return -1;
	}
	return llmreq_end(q, body, &why, &param);
}

/* What was spliced is a request again, for the model that was put in. */
static void
check_spliced(const struct llmreq *was, const char *body, size_t len)
{
	struct llmreq q;
	struct splice s;
	struct jspan options, v;
	const void *p;
	char *out;
	size_t n, at = 0;

	if (llmreq_splice(was, body, len, "new \"one\"", &s) == -1)
		abort();
	if ((out = malloc(s.total + 1)) == NULL)
		abort();
	while ((n = splice_peek(&s, 5, &p)) > 0) {
		memcpy(out + at, p, n);
		at += n;
		splice_skip(&s, n);
	}
	out[at] = '\0';
	if (at != s.total || s.left != 0 || scan(&q, out, at, at + 1) == -1 ||
	    strcmp(q.name, "new \"one\"") != 0 || q.streams != was->streams)
		abort();
	options = llmreq_span(&q.options, out);
	if (q.streams && (options.type != JT_OBJECT ||
	    jscan_get(options.p, options.len, "include_usage", &v) != 1 ||
	    v.type != JT_TRUE))
		abort();
	llmreq_free(&q);
	splice_free(&s);
	free(out);
}

static void
request(const char *body, size_t len)
{
	struct llmreq whole, pieces;
	int a, b;

	a = scan(&whole, body, len, len + 1);
	b = scan(&pieces, body, len, 3);
	if (a != b)
		abort();
	if (a == 0)
		check_spliced(&whole, body, len);
	llmreq_free(&whole);
	llmreq_free(&pieces);
}

/* All that the tap kept, as JSON. */
static void
tapped(struct jbuf *j, const char *type, const char *p, size_t len,
    size_t step)
{
	struct tap t;
	size_t at, n;
	unsigned int i;

	tap_init(&t, type);
	for (at = 0; at < len; at += n) {
		n = len - at < step ? len - at : step;
		tap_feed(&t, p + at, n);
	}
	tap_end(&t);
	jbuf_init(j, 16 << 20);
	jb_arr(j);
	tap_put(j, &t.content, 100);
	tap_put(j, &t.content, TAP_TEXT_MAX);
	tap_put(j, &t.reasoning, 100);
	tap_put(j, &t.refusal, 100);
	for (i = 0; i < t.ntools; i++) {
		jb_str(j, t.tools[i].id);
		jb_str(j, t.tools[i].name);
		tap_put_args(j, &t.tools[i].args, 50);
		tap_put_args(j, &t.tools[i].args, TAP_TEXT_MAX);
	}
	jb_str(j, t.finish);
	jb_str(j, t.model);
	jb_str(j, t.error);
	jb_int(j, t.tokens_in);
	jb_int(j, t.tokens_out);
	jb_end(j);
	tap_free(&t);
}

static void
reply(const char *type, const char *p, size_t len)
{
	struct jbuf whole, pieces;
	const char *a, *b;
	size_t n;

	tapped(&whole, type, p, len, len + 1);
	tapped(&pieces, type, p, len, 3);
	a = jbuf_text(&whole, &n);
	b = jbuf_text(&pieces, NULL);
	if (a == NULL || b == NULL || strcmp(a, b) != 0 ||
	    jscan_buf(a, n, JSCAN_MAX_DEPTH, JSCAN_ANY_TOP, NULL, NULL,
	    NULL) == -1)
		abort();
	jbuf_free(&whole);
	jbuf_free(&pieces);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *copy;

	if (len == 0 || (copy = malloc(len)) == NULL)
		return 0;
	memcpy(copy, data + 1, len - 1);
	switch (data[0]) {
	case 'r':
		request(copy, len - 1);
		break;
	case 's':
		reply("text/event-stream", copy, len - 1);
		break;
	case 'd':
		reply("application/json", copy, len - 1);
		break;
	}
	free(copy);
	return 0;
}

/*
 * Fuzz target: the JSON scanner, and a walk over what it accepts.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: check --fuzz. Talks to: nobody.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jscan.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct seen {
	const char	*text;
	unsigned	 n;
};

static int
on_member(void *arg, const struct jscan_member *m)
{
	struct seen *s = arg;
	struct jspan key, val;

	s->n++;
	val.p = s->text + m->val_off;
	val.len = m->val_len;
	val.type = m->type;
	/* What it says where the key is must be that key. */
	key.p = s->text + m->key_off;
	key.type = JT_STRING;
	for (key.len = 2; !(key.p[key.len - 1] == '"' &&
	    jscan_string_eq(&key, m->key)); key.len++)
		if (key.p + key.len > val.p)
			abort();
	return (0);
}

/* Walk the first two levels; counts must match the brackets. */
static unsigned
walk(const char *p, size_t len, unsigned depth, bool valid)
{
	struct jiter it;
	struct jspan k, v;
	unsigned n = 0;
	char buf[64];
	int64_t i;
	int r;

	if (jscan_object(&it, p, len) == -1 && jscan_array(&it, p, len) == -1)
		return (0);
	while ((r = jscan_next(&it, &k, &v)) == 1) {
		n++;
		(void)jscan_unescape(&v, buf, sizeof(buf));
		(void)jscan_int(&v, INT64_MIN, INT64_MAX, &i);
		if (depth < 2)
			(void)walk(v.p, v.len, depth + 1, valid);
	}
	if (valid && r != 0)
		abort();
	return (n);
}

static int
run(const char *p, size_t len, size_t step, unsigned flags)
{
	struct seen s = { p, 0 };
	struct jscan j;
	size_t at, n;
	int r = 0;

	jscan_init(&j, 32, flags, on_member, &s);
	for (at = 0; at < len && r == 0; at += n) {
		n = len - at < step ? len - at : step;
		r = jscan_feed(&j, p + at, n);
	}
	if (r == 0)
		r = jscan_end(&j);
	jscan_free(&j);
	if (walk(p, len, 0, r == 0) != s.n && r == 0 &&
	    (flags & JSCAN_ANY_TOP) == 0)
		abort();
	return (r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *p = malloc(len > 0 ? len : 1);

	memcpy(p, data, len);
	if (run(p, len, len + 1, 0) != run(p, len, 3, 0) ||
	    run(p, len, len + 1, JSCAN_DUP_ALL | JSCAN_ANY_TOP) !=
	    run(p, len, 5, JSCAN_DUP_ALL | JSCAN_ANY_TOP))
		abort();
	free(p);
	return (0);
}

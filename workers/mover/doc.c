/*
 * Typed members of JSON objects.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc.h"
#include "log.h"
#include "sys.h"
#include "text.h"

#define DEPTH		96
#define NUMBER_LEN	64
#define TIME_MAX	4102444800.0	/* the year 2100 */

void
doc_fail(struct doc *d, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (d->bad)
		return;
	d->bad = true;
	n = snprintf(d->why, d->whylen, "%s: ", d->what);
	if (n < 0 || (size_t)n >= d->whylen)
		return;
	va_start(ap, fmt);
	vsnprintf(d->why + n, d->whylen - (size_t)n, fmt, ap);
	va_end(ap);
}

struct known {
	const char *const *keys;
	char		 key[32];	/* the first that is not */
};

static int
is_known(void *arg, const struct jscan_member *m)
{
	struct known *k = arg;
	size_t i;

	for (i = 0; k->keys[i] != NULL; i++)
		if (strcmp(k->keys[i], m->key) == 0)
			return 0;
	for (i = 0; i < sizeof(k->key) - 1 && i < m->keylen; i++)
		k->key[i] = m->key[i] > ' ' && m->key[i] < 0x7f ? m->key[i] :
		    '?';
	return -1;
}

void
doc_open(struct doc *d, const char *what, const char *p, size_t len,
    const char *const *keys, char *why, size_t whylen)
{
	struct known k = { .keys = keys, .key = "" };
	const char *broken = NULL;

	*d = (struct doc){ .p = p, .len = len, .what = what, .why = why,
	    .whylen = whylen, .bad = false };
	why[0] = '\0';
	if (jscan_buf(p, len, DEPTH, keys != NULL ? JSCAN_DUP_ALL : 0,
	    keys != NULL ? is_known : NULL, &k, &broken) == 0)
		return;
	if (k.key[0] != '\0')
		doc_fail(d, "there is a member %s, which is not known",
		    k.key);
	else
		doc_fail(d, "no JSON object: %s", broken != NULL ? broken :
		    "broken");
}

bool
doc_kind_ok(const char *s, enum doc_kind kind)
{
	const unsigned char *p;

	switch (kind) {
	case DOC_TEXT:
		return true;
	case DOC_ID:
		return sys_is_id(s);
	case DOC_SLUG:
		return sys_is_slug(s);
	case DOC_PLAIN:
		return text_is_plain(s, false);
	default:
		break;
	}
	for (p = (const unsigned char *)s; *p != '\0'; p++)
		if (*p < 0x21 || *p > 0x7e)
			return false;
	return true;
}

/* 1 and the span, 0: absent or null. */
static int
get(struct doc *d, const char *key, bool must, struct jspan *v)
{
	if (d->bad)
		return 0;
	if (jscan_get(d->p, d->len, key, v) == 1 && v->type != JT_NULL)
		return 1;
	if (must)
		doc_fail(d, "%s is missing", key);
	return 0;
}

void
doc_str(struct doc *d, const char *key, bool must, enum doc_kind kind,
    char *out, size_t size)
{
	struct jspan v;

	out[0] = '\0';
	if (!get(d, key, must, &v))
		return;
	if (v.type != JT_STRING || jscan_unescape(&v, out, size) == -1)
		doc_fail(d, "%s is no text of at most %zu bytes", key,
		    size - 1);
	else if (!(out[0] == '\0' && !must) && !doc_kind_ok(out, kind))
		doc_fail(d, "%s holds what it must not", key);
	else
		return;
	out[0] = '\0';
}

char *
doc_dup(struct doc *d, const char *key, bool must, enum doc_kind kind,
    size_t max)
{
	struct jspan v;
	size_t size = 1;
	char *p;

	/* Unescaped it is not longer than as it stands. */
	if (!d->bad && jscan_get(d->p, d->len, key, &v) == 1 &&
	    v.type == JT_STRING)
		size = v.len < max + 1 ? v.len : max + 1;
	if (size == 0)
		size = 1;
	if ((p = malloc(size)) == NULL)
		fatal("text of a file");
	doc_str(d, key, must, kind, p, size);
	return p;
}

void
doc_int(struct doc *d, const char *key, bool must, int64_t min, int64_t max,
    int64_t dflt, int64_t *out)
{
	struct jspan v;

	*out = dflt;
	if (!get(d, key, must, &v))
		return;
	if (jscan_int(&v, min, max, out) == -1) {
		doc_fail(d, "%s is no whole number of %lld to %lld", key,
		    (long long)min, (long long)max);
		*out = dflt;
	}
}

/* The text of a number, for the functions of the C library. */
static bool
number(struct doc *d, const char *key, bool must, char text[NUMBER_LEN])
{
	struct jspan v;

	if (!get(d, key, must, &v))
		return false;
	if (v.type != JT_NUMBER || v.len >= NUMBER_LEN) {
		doc_fail(d, "%s is no number", key);
		return false;
	}
	memcpy(text, v.p, v.len);
	text[v.len] = '\0';
	return true;
}

void
doc_time(struct doc *d, const char *key, bool must, double *out)
{
	char text[NUMBER_LEN];

	*out = 0;
	if (!number(d, key, must, text))
		return;
	*out = strtod(text, NULL);
	if (!isfinite(*out) || *out < 0 || *out > TIME_MAX) {
		doc_fail(d, "%s is no time", key);
		*out = 0;
	}
}

void
doc_cost(struct doc *d, const char *key, int64_t *out)
{
	char text[NUMBER_LEN];
	const char *p = text;
	int64_t n = 0;
	int places = -1;

	*out = -1;
	if (!number(d, key, false, text))
		return;
	for (; *p != '\0'; p++) {
		if (*p == '.' && places == -1) {
			places = 0;
			continue;
		}
		if (*p < '0' || *p > '9' || places == 12 ||
		    n > (INT64_MAX - 9) / 10)
			break;
		n = n * 10 + (*p - '0');
		places += places >= 0;
	}
	for (places = places < 0 ? 0 : places; places < 12 && *p == '\0' &&
	    n <= INT64_MAX / 10; places++)
		n *= 10;
	if (*p != '\0' || places != 12)
		doc_fail(d, "%s is no amount", key);
	else
		*out = n;
}

void
doc_lines(struct doc *d, const char *key, size_t max, char *out, size_t size)
{
	struct jspan v, k, e;
	struct jiter it;
	size_t n = 0, len = 0;
	ssize_t got;

	out[0] = '\0';
	if (!get(d, key, false, &v))
		return;
	if (v.type != JT_ARRAY || jscan_array(&it, v.p, v.len) == -1) {
		doc_fail(d, "%s is no list", key);
		return;
	}
	while (!d->bad && jscan_next(&it, &k, &e) == 1) {
		if (++n > max || size - len < 2) {
			doc_fail(d, "%s is too long", key);
			break;
		}
		if (len > 0)
			out[len++] = '\n';
		got = e.type == JT_STRING ?
		    jscan_unescape(&e, out + len, size - len) : -1;
		if (got <= 0 || !doc_kind_ok(out + len, DOC_PLAIN)) {
			doc_fail(d, "%s is no list of short texts", key);
			break;
		}
		len += (size_t)got;
	}
	if (d->bad)
		out[0] = '\0';
}

bool
doc_raw(struct doc *d, const char *key, enum jtype type, struct jspan *v)
{
	if (!get(d, key, true, v))
		return false;
	if (v->type == type)
		return true;
	doc_fail(d, "%s is of the wrong type", key);
	return false;
}

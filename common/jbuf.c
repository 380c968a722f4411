/*
 * Writes JSON text into a growing, bounded buffer, without a tree.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every worker, agent-link. Talks to: nobody.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jbuf.h"

void
jbuf_init(struct jbuf *j, size_t max)
{
	memset(j, 0, sizeof(*j));
	j->max = max;
}

void
jbuf_free(struct jbuf *j)
{
	if (j->secret)
		freezero(j->buf, j->size);
	else
		free(j->buf);
	j->buf = NULL;
	j->len = j->size = 0;
}

void
jbuf_reset(struct jbuf *j)
{
	j->len = 0;
	j->depth = 0;
	j->bad = j->key = false;
	j->comma = j->array = 0;
}

static void
put(struct jbuf *j, const char *s, size_t n)
{
	size_t want, size;
	char *p;

	if (j->bad || n > j->max || j->len > j->max - n) {
		j->bad = true;
		return;
	}
	want = j->len + n + 1;
	if (want > j->size) {
		size = j->size == 0 ? 256 : j->size;
		while (size < want)
			size *= 2;
		p = j->secret ? recallocarray(j->buf, j->size, size, 1) :
		    realloc(j->buf, size);
		if (p == NULL) {
			j->bad = true;
			return;
		}
		j->buf = p;
		j->size = size;
	}
	if (n > 0)
		memcpy(j->buf + j->len, s, n);
	j->len += n;
	j->buf[j->len] = '\0';
}

/* Before a value: the comma, and is a value allowed here at all? */
static void
value(struct jbuf *j)
{
	uint32_t bit;

	if (j->depth == 0) {
		if (j->len > 0)
			j->bad = true;	/* a second top-level value */
		return;
	}
	bit = 1U << (j->depth - 1);
	if ((j->array & bit) == 0) {
		if (!j->key)
			j->bad = true;
		j->key = false;
		return;
	}
	if (j->comma & bit)
		put(j, ",", 1);
	j->comma |= bit;
}

static void
start(struct jbuf *j, bool array)
{
	uint32_t bit;

	value(j);
	if (j->depth == JBUF_MAX_DEPTH) {
		j->bad = true;
		return;
	}
	bit = 1U << j->depth++;
	j->comma &= ~bit;
	j->array &= ~bit;
	if (array)
		j->array |= bit;
	put(j, array ? "[" : "{", 1);
}

void
jb_obj(struct jbuf *j)
{
	start(j, false);
}

void
jb_arr(struct jbuf *j)
{
	start(j, true);
}

void
jb_end(struct jbuf *j)
{
	if (j->depth == 0 || j->key) {
		j->bad = true;
		return;
	}
	j->depth--;
	put(j, j->array & (1U << j->depth) ? "]" : "}", 1);
}

/* Length of the valid UTF-8 sequence at p, 0 when there is none. */
static size_t
utf8_len(const unsigned char *p, size_t left)
{
	size_t n, i;
	unsigned lo = 0x80, hi = 0xbf;

	if (p[0] >= 0xc2 && p[0] <= 0xdf)
		n = 2;
	else if ((p[0] & 0xf0) == 0xe0)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] <= 0xf4)
		n = 4;
	else
		return (0);
	if (p[0] == 0xe0)
		lo = 0xa0;
	else if (p[0] == 0xed)
		hi = 0x9f;
	else if (p[0] == 0xf0)
		lo = 0x90;
	else if (p[0] == 0xf4)
		hi = 0x8f;
	if (left < n || p[1] < lo || p[1] > hi)
		return (0);
	for (i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return (0);
	return (n);
}

static void
escape(struct jbuf *j, unsigned char c)
{
	char esc[8];

	if (c == '"' || c == '\\') {
		esc[0] = '\\';
		esc[1] = (char)c;
		put(j, esc, 2);
	} else if (c == '\n')
		put(j, "\\n", 2);
	else if (c == '\t')
		put(j, "\\t", 2);
	else if (c == '\r')
		put(j, "\\r", 2);
	else {
		(void)snprintf(esc, sizeof(esc), "\\u%04x", c);
		put(j, esc, 6);
	}
}

static void
quoted(struct jbuf *j, const char *str, size_t len)
{
	const unsigned char *s = (const unsigned char *)str;
	size_t i, n, from = 0;

	put(j, "\"", 1);
	for (i = 0; i < len && !j->bad; i += n) {
		n = 1;
		if (s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' &&
		    s[i] != '\\')
			continue;
		if (s[i] >= 0x80 && (n = utf8_len(s + i, len - i)) > 0)
			continue;
		put(j, str + from, i - from);
		if (s[i] >= 0x80)
			put(j, "\xef\xbf\xbd", 3);
		else
			escape(j, s[i]);
		n = 1;
		from = i + 1;
	}
	if (!j->bad)
		put(j, str + from, len - from);
	put(j, "\"", 1);
}

void
jb_key(struct jbuf *j, const char *key)
{
	uint32_t bit;

	if (j->depth == 0 || j->key) {
		j->bad = true;
		return;
	}
	bit = 1U << (j->depth - 1);
	if (j->array & bit) {
		j->bad = true;
		return;
	}
	if (j->comma & bit)
		put(j, ",", 1);
	j->comma |= bit;
	quoted(j, key, strlen(key));
	put(j, ":", 1);
	j->key = true;
}

void
jb_strn(struct jbuf *j, const char *s, size_t len)
{
	value(j);
	quoted(j, s, len);
}

void
jb_str(struct jbuf *j, const char *s)
{
	if (s == NULL)
		jb_null(j);
	else
		jb_strn(j, s, strlen(s));
}

void
jb_raw(struct jbuf *j, const char *s, size_t len)
{
	value(j);
	if (len == 0)
		j->bad = true;
	put(j, s, len);
}

void
jb_int(struct jbuf *j, int64_t v)
{
	char num[24];
	int n;

	n = snprintf(num, sizeof(num), "%lld", (long long)v);
	jb_raw(j, num, (size_t)n);
}

void
jb_uint(struct jbuf *j, uint64_t v)
{
	char num[24];
	int n;

	n = snprintf(num, sizeof(num), "%llu", (unsigned long long)v);
	jb_raw(j, num, (size_t)n);
}

void
jb_double(struct jbuf *j, double v)
{
	char num[32];
	int n;

	if (!isfinite(v)) {
		jb_null(j);
		return;
	}
	/* 15 digits read well; 17 only when the value needs them. */
	n = snprintf(num, sizeof(num), "%.15g", v);
	if (strtod(num, NULL) != v)
		n = snprintf(num, sizeof(num), "%.17g", v);
	jb_raw(j, num, (size_t)n);
}

void
jb_time(struct jbuf *j, int64_t us)
{
	char num[32];
	uint64_t abs = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
	int n;

	n = snprintf(num, sizeof(num), "%s%llu.%06llu", us < 0 ? "-" : "",
	    (unsigned long long)(abs / 1000000),
	    (unsigned long long)(abs % 1000000));
	jb_raw(j, num, (size_t)n);
}

void
jb_bool(struct jbuf *j, bool v)
{
	jb_raw(j, v ? "true" : "false", v ? 4 : 5);
}

void
jb_null(struct jbuf *j)
{
	jb_raw(j, "null", 4);
}

void
jb_kstr(struct jbuf *j, const char *key, const char *s)
{
	jb_key(j, key);
	jb_str(j, s);
}

void
jb_kint(struct jbuf *j, const char *key, int64_t v)
{
	jb_key(j, key);
	jb_int(j, v);
}

void
jb_kbool(struct jbuf *j, const char *key, bool v)
{
	jb_key(j, key);
	jb_bool(j, v);
}

void
jb_ktime(struct jbuf *j, const char *key, int64_t us)
{
	jb_key(j, key);
	jb_time(j, us);
}

const char *
jbuf_text(struct jbuf *j, size_t *len)
{
	if (j->bad || j->depth != 0 || j->len == 0)
		return (NULL);
	if (len != NULL)
		*len = j->len;
	return (j->buf);
}

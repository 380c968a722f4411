/*
 * Walks and reads values inside a JSON text that jscan has validated.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link. Talks to: nobody.
 */
#include <string.h>

#include "jscan.h"

static const char *
skip_blank(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' ||
	    *p == '\r'))
		p++;
	return (p);
}

/* p is at the opening quote; returns behind the closing one, or NULL. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end; p++) {
		if (*p == '"')
			return (p + 1);
		if (*p == '\\' && ++p == end)
			break;
	}
	return (NULL);
}

/* Brackets are matched by count alone: the scanner has checked the rest. */
static const char *
skip_container(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		if (*p == '"') {
			if ((p = skip_string(p, end)) == NULL)
				return (NULL);
			continue;
		}
		if (*p == '{' || *p == '[')
			depth++;
		else if ((*p == '}' || *p == ']') && --depth == 0)
			return (p + 1);
		p++;
	}
	return (NULL);
}

static const char *
skip_value(const char *p, const char *end, enum jtype *type)
{
	const char *from = p;

	if (p == end)
		return (NULL);
	switch (*p) {
	case '"':
		*type = JT_STRING;
		return (skip_string(p, end));
	case '{':
		*type = JT_OBJECT;
		return (skip_container(p, end));
	case '[':
		*type = JT_ARRAY;
		return (skip_container(p, end));
	case 't':
		*type = JT_TRUE;
		break;
	case 'f':
		*type = JT_FALSE;
		break;
	case 'n':
		*type = JT_NULL;
		break;
	default:
		*type = JT_NUMBER;
	}
	while (p < end && strchr(" \t\n\r,]}", *p) == NULL)
		p++;
	return (p > from ? p : NULL);
}

static int
start(struct jiter *it, const char *p, size_t len, char open)
{
	it->end = p + len;
	it->p = skip_blank(p, it->end);
	if (it->p == it->end || *it->p != open)
		return (-1);
	it->p++;
	it->object = open == '{';
	it->first = true;
	return (0);
}

int
jscan_object(struct jiter *it, const char *p, size_t len)
{
	return (start(it, p, len, '{'));
}

int
jscan_array(struct jiter *it, const char *p, size_t len)
{
	return (start(it, p, len, '['));
}

int
jscan_next(struct jiter *it, struct jspan *key, struct jspan *val)
{
	const char *p = skip_blank(it->p, it->end), *q;

	if (p == it->end)
		return (-1);
	if (*p == (it->object ? '}' : ']'))
		return (0);
	if (!it->first) {
		if (*p != ',')
			return (-1);
		p = skip_blank(p + 1, it->end);
	}
	it->first = false;
	if (it->object) {
		if (p == it->end || *p != '"' ||
		    (q = skip_string(p, it->end)) == NULL)
			return (-1);
		if (key != NULL) {
			key->p = p;
			key->len = (size_t)(q - p);
			key->type = JT_STRING;
		}
		p = skip_blank(q, it->end);
		if (p == it->end || *p != ':')
			return (-1);
		p = skip_blank(p + 1, it->end);
	} else if (key != NULL) {
		key->p = NULL;
		key->len = 0;
		key->type = JT_NONE;
	}
	if ((q = skip_value(p, it->end, &val->type)) == NULL)
		return (-1);
	val->p = p;
	val->len = (size_t)(q - p);
	it->p = q;
	return (1);
}

int
jscan_get(const char *p, size_t len, const char *name, struct jspan *val)
{
	struct jiter it;
	struct jspan key;
	int r;

	if (jscan_object(&it, p, len) == -1)
		return (-1);
	while ((r = jscan_next(&it, &key, val)) == 1)
		if (jscan_string_eq(&key, name))
			return (1);
	return (r);
}

static int
hex4(const char *p, const char *end, uint32_t *out)
{
	int i;
	char c;

	if (end - p < 4)
		return (-1);
	for (*out = 0, i = 0; i < 4; i++) {
		c = p[i];
		if (c >= '0' && c <= '9')
			*out = *out * 16 + (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*out = *out * 16 + (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return (-1);
	}
	return (0);
}

static size_t
utf8_put(uint32_t c, char *out)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return (1);
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | (c >> 6));
		out[1] = (char)(0x80 | (c & 0x3f));
		return (2);
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | (c >> 12));
		out[1] = (char)(0x80 | ((c >> 6) & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return (3);
	}
	out[0] = (char)(0xf0 | (c >> 18));
	out[1] = (char)(0x80 | ((c >> 12) & 0x3f));
	out[2] = (char)(0x80 | ((c >> 6) & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return (4);
}

/*
 * The next character of a string body: its bytes in out (4 at most), its
 * length as result, -1 when broken. *pp moves on.
 */
static int
next_char(const char **pp, const char *end, char *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *p = *pp, *e;
	uint32_t c, lo;

	if (*p != '\\') {
		*out = *p;
		*pp = p + 1;
		return (1);
	}
	if (end - p < 2)
		return (-1);
	if (p[1] != 'u') {
		if (p[1] == '\0' || (e = strchr(from, p[1])) == NULL)
			return (-1);
		*out = to[e - from];
		*pp = p + 2;
		return (1);
	}
	if (hex4(p + 2, end, &c) == -1 || c == 0)
		return (-1);
	p += 6;
	if (c >= 0xdc00 && c <= 0xdfff)
		return (-1);
	if (c >= 0xd800 && c <= 0xdbff) {
		if (end - p < 6 || p[0] != '\\' || p[1] != 'u' ||
		    hex4(p + 2, end, &lo) == -1 || lo < 0xdc00 || lo > 0xdfff)
			return (-1);
		c = 0x10000 + ((c - 0xd800) << 10) + (lo - 0xdc00);
		p += 6;
	}
	*pp = p;
	return ((int)utf8_put(c, out));
}

static bool
string_body(const struct jspan *s, const char **p, const char **end)
{
	if (s->type != JT_STRING || s->len < 2)
		return (false);
	*p = s->p + 1;
	*end = s->p + s->len - 1;
	return (true);
}

bool
jscan_string_eq(const struct jspan *s, const char *want)
{
	const char *p, *end;
	char c[4];
	size_t left = strlen(want);
	int n;

	if (!string_body(s, &p, &end))
		return (false);
	while (p < end) {
		if ((n = next_char(&p, end, c)) == -1 || (size_t)n > left ||
		    memcmp(c, want, (size_t)n) != 0)
			return (false);
		want += n;
		left -= (size_t)n;
	}
	return (left == 0);
}

ssize_t
jscan_unescape(const struct jspan *s, char *dst, size_t size)
{
	const char *p, *end;
	char c[4];
	size_t len = 0;
	int n;

	if (!string_body(s, &p, &end) || size == 0)
		return (-1);
	while (p < end) {
		if ((n = next_char(&p, end, c)) == -1 ||
		    (size_t)n >= size - len)
			return (-1);
		memcpy(dst + len, c, (size_t)n);
		len += (size_t)n;
	}
	dst[len] = '\0';
	return ((ssize_t)len);
}

int
jscan_int(const struct jspan *s, int64_t min, int64_t max, int64_t *out)
{
	uint64_t v = 0, limit;
	size_t i = 0;
	bool neg;

	if (s->type != JT_NUMBER || s->len == 0)
		return (-1);
	neg = s->p[0] == '-';
	limit = (uint64_t)INT64_MAX + (neg ? 1 : 0);
	if (neg && s->len == 1)
		return (-1);
	for (i = neg ? 1 : 0; i < s->len; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return (-1);
		if (v > (limit - (uint64_t)(s->p[i] - '0')) / 10)
			return (-1);
		v = v * 10 + (uint64_t)(s->p[i] - '0');
	}
	/* Two steps, so that INT64_MIN needs no overflowing negation. */
	*out = neg && v > 0 ? -(int64_t)(v - 1) - 1 : (int64_t)v;
	return (*out < min || *out > max ? -1 : 0);
}

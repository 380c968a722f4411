/*
 * Zero-copy JSON scanner: a byte-wise validator that reports members.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link. Talks to: nobody.
 */
#include <stdlib.h>
#include <string.h>

#include "jscan_int.h"

void
jscan_init(struct jscan *s, unsigned maxdepth, unsigned flags, jscan_cb *cb,
    void *arg)
{
	memset(s, 0, sizeof(*s));
	s->maxdepth = maxdepth < JSCAN_MAX_DEPTH ? maxdepth : JSCAN_MAX_DEPTH;
	s->flags = flags;
	s->cb = cb;
	s->arg = arg;
	s->state = J_VALUE;
}

void
jscan_free(struct jscan *s)
{
	freezero(s->text, s->textsize);
	free(s->keys);
	s->text = NULL;
	s->keys = NULL;
	s->textsize = s->textlen = 0;
	s->nkeys = s->keysize = 0;
}

static bool
in_array(const struct jscan *s)
{
	unsigned d = s->depth - 1;

	return ((s->stack[d / 64] >> (d % 64)) & 1);
}

/* A value ended just before offset off. */
static int
value_end(struct jscan *s, uint64_t off)
{
	const struct jscan_key *k;

	s->state = s->depth == 0 ? J_TOP_END : J_AFTER;
	if (s->depth != 1 || in_array(s) || s->cb == NULL)
		return (0);
	k = &s->keys[s->topkey];
	s->m.key = s->text + k->off;
	s->m.keylen = k->len;
	s->m.val_len = off - s->m.val_off;
	if (s->cb(s->arg, &s->m) != 0)
		return (jscan_fail(s, "stopped by the caller"));
	return (0);
}

static int
open_container(struct jscan *s, bool array)
{
	uint64_t bit;

	if (s->depth == s->maxdepth)
		return (jscan_fail(s, "nested too deeply"));
	bit = (uint64_t)1 << (s->depth % 64);
	if (array)
		s->stack[s->depth / 64] |= bit;
	else
		s->stack[s->depth / 64] &= ~bit;
	s->level[++s->depth] = s->nkeys;
	s->state = array ? J_VALUE_OR_END : J_KEY_OR_END;
	return (0);
}

static int
close_container(struct jscan *s, bool array)
{
	const struct jscan_key *k;

	if (in_array(s) != array)
		return (jscan_fail(s, "mismatched bracket"));
	s->nkeys = s->level[s->depth--];
	s->textlen = 0;
	if (s->nkeys > 0) {
		k = &s->keys[s->nkeys - 1];
		s->textlen = k->off + k->len + 1;
	}
	return (value_end(s, s->off + 1));
}

static void
start_string(struct jscan *s, bool key)
{
	s->state = J_STRING;
	s->key = key;
	s->hi = 0;
	s->keep = key && (s->depth == 1 || (s->flags & JSCAN_DUP_ALL));
	if (s->keep)
		s->keystart = s->textlen;
	if (key && s->depth == 1)
		s->m.key_off = s->off;
}

static int
value_byte(struct jscan *s, unsigned char c)
{
	bool top = s->depth == 1 && !in_array(s);
	enum jtype type = JT_NUMBER;

	if (s->depth == 0 && c != '{' && !(s->flags & JSCAN_ANY_TOP))
		return (jscan_fail(s, "not a JSON object"));
	if (top)
		s->m.val_off = s->off;
	s->numlen = 0;
	switch (c) {
	case '{':
	case '[':
		if (top)
			s->m.type = c == '{' ? JT_OBJECT : JT_ARRAY;
		return (open_container(s, c == '['));
	case '"':
		type = JT_STRING;
		start_string(s, false);
		break;
	case 't':
		s->lit = "rue";
		type = JT_TRUE;
		s->state = J_LITERAL;
		break;
	case 'f':
		s->lit = "alse";
		type = JT_FALSE;
		s->state = J_LITERAL;
		break;
	case 'n':
		s->lit = "ull";
		type = JT_NULL;
		s->state = J_LITERAL;
		break;
	case '-':
		s->state = J_MINUS;
		break;
	case '0':
		s->state = J_ZERO;
		break;
	default:
		if (c < '1' || c > '9')
			return (jscan_fail(s, "a value was expected"));
		s->state = J_INT;
	}
	if (top)
		s->m.type = type;
	return (0);
}

static int
string_byte(struct jscan *s, unsigned char c)
{
	if (c == '"') {
		if (!s->key)
			return (value_end(s, s->off + 1));
		s->state = J_COLON;
		return (s->keep ? jscan_key_end(s) : 0);
	}
	if (c == '\\') {
		s->state = J_ESCAPE;
		return (0);
	}
	if (s->hi != 0 && s->keep)
		return (jscan_fail(s, "lone surrogate in key"));
	if (c < 0x20)
		return (jscan_fail(s, "control byte in string"));
	if (c >= 0x80) {
		s->utflo = 0x80;
		s->utfhi = 0xbf;
		if (c >= 0xc2 && c <= 0xdf)
			s->utfleft = 1;
		else if ((c & 0xf0) == 0xe0)
			s->utfleft = 2;
		else if (c >= 0xf0 && c <= 0xf4)
			s->utfleft = 3;
		else
			return (jscan_fail(s, "not UTF-8"));
		if (c == 0xe0)
			s->utflo = 0xa0;
		else if (c == 0xed)
			s->utfhi = 0x9f;
		else if (c == 0xf0)
			s->utflo = 0x90;
		else if (c == 0xf4)
			s->utfhi = 0x8f;
		s->state = J_UTF8;
	}
	return (s->keep ? jscan_key_byte(s, c) : 0);
}

static int
utf8_byte(struct jscan *s, unsigned char c)
{
	if (c < s->utflo || c > s->utfhi)
		return (jscan_fail(s, "not UTF-8"));
	s->utflo = 0x80;
	s->utfhi = 0xbf;
	if (--s->utfleft == 0)
		s->state = J_STRING;
	return (s->keep ? jscan_key_byte(s, c) : 0);
}

static int
escape_byte(struct jscan *s, unsigned char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *p;

	s->state = J_STRING;
	if (c == 'u') {
		s->state = J_HEX;
		s->hexleft = 4;
		s->hex = 0;
		return (0);
	}
	if (c == '\0' || (p = strchr(from, c)) == NULL)
		return (jscan_fail(s, "bad escape"));
	if (!s->keep)
		return (0);
	if (s->hi != 0)
		return (jscan_fail(s, "lone surrogate in key"));
	return (jscan_key_byte(s, (unsigned char)to[p - from]));
}

static int
hex_byte(struct jscan *s, unsigned char c)
{
	uint32_t v;

	if (c >= '0' && c <= '9')
		v = c - '0';
	else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		v = (uint32_t)(c | 0x20) - 'a' + 10;
	else
		return (jscan_fail(s, "bad escape"));
	s->hex = s->hex * 16 + v;
	if (--s->hexleft > 0)
		return (0);
	s->state = J_STRING;
	if (!s->keep)
		return (0);
	v = s->hex;
	if (s->hi != 0) {
		if (v < 0xdc00 || v > 0xdfff)
			return (jscan_fail(s, "lone surrogate in key"));
		v = 0x10000 + ((s->hi - 0xd800) << 10) + (v - 0xdc00);
		s->hi = 0;
		return (jscan_key_point(s, v));
	}
	if (v >= 0xdc00 && v <= 0xdfff)
		return (jscan_fail(s, "lone surrogate in key"));
	if (v >= 0xd800 && v <= 0xdbff) {
		s->hi = v;
		return (0);
	}
	return (jscan_key_point(s, v));
}

/* Next state of a number, or -1 when the byte does not belong to it. */
static int
number_next(int state, unsigned char c)
{
	bool digit = c >= '0' && c <= '9';

	switch (state) {
	case J_MINUS:
		return (c == '0' ? J_ZERO : digit ? J_INT : -1);
	case J_DOT:
		return (digit ? J_FRAC : -1);
	case J_E:
		if (c == '+' || c == '-')
			return (J_ESIGN);
		return (digit ? J_EXP : -1);
	case J_ESIGN:
	case J_EXP:
		return (digit ? J_EXP : -1);
	case J_FRAC:
		if (digit)
			return (J_FRAC);
		return (c == 'e' || c == 'E' ? J_E : -1);
	default:	/* J_ZERO, J_INT */
		if (digit && state == J_INT)
			return (J_INT);
		if (c == '.')
			return (J_DOT);
		return (c == 'e' || c == 'E' ? J_E : -1);
	}
}

static int
blank_or_punct(struct jscan *s, unsigned char c)
{
	if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
		return (0);
	switch (s->state) {
	case J_VALUE_OR_END:
		if (c == ']')
			return (close_container(s, true));
		return (value_byte(s, c));
	case J_VALUE:
		return (value_byte(s, c));
	case J_KEY_OR_END:
		if (c == '}')
			return (close_container(s, false));
		/* FALLTHROUGH */
	case J_KEY:
		if (c != '"')
			return (jscan_fail(s, "a key was expected"));
		start_string(s, true);
		return (0);
	case J_COLON:
		if (c != ':')
			return (jscan_fail(s, "a colon was expected"));
		s->state = J_VALUE;
		return (0);
	case J_AFTER:
		if (c == ',') {
			s->state = in_array(s) ? J_VALUE : J_KEY;
			return (0);
		}
		if (c == ']' || c == '}')
			return (close_container(s, c == ']'));
		return (jscan_fail(s, "a comma or bracket was expected"));
	default:
		return (jscan_fail(s, "text after the value"));
	}
}

/* 1: the byte ended a number and has to be looked at again. */
static int
step(struct jscan *s, unsigned char c)
{
	int next;

	switch (s->state) {
	case J_STRING:
		return (string_byte(s, c));
	case J_ESCAPE:
		return (escape_byte(s, c));
	case J_HEX:
		return (hex_byte(s, c));
	case J_UTF8:
		return (utf8_byte(s, c));
	case J_LITERAL:
		if (c != (unsigned char)*s->lit)
			return (jscan_fail(s, "bad literal"));
		return (*++s->lit == '\0' ? value_end(s, s->off + 1) : 0);
	case J_BROKEN:
		return (-1);
	}
	if (s->state < J_MINUS)
		return (blank_or_punct(s, c));
	if ((next = number_next(s->state, c)) != -1) {
		s->state = next;
		if (++s->numlen >= JSCAN_MAX_NUMBER)
			return (jscan_fail(s, "number too long"));
		return (0);
	}
	if (s->state < J_ZERO)
		return (jscan_fail(s, "bad number"));
	return (value_end(s, s->off) == -1 ? -1 : 1);
}

int
jscan_feed(struct jscan *s, const void *vdata, size_t len)
{
	const unsigned char *p = vdata, *end = p + len, *q;
	int r;

	while (p < end) {
		if (s->state == J_STRING && !s->key) {
			/* Most bytes of a body are plain text in strings. */
			for (q = p; q < end && *q >= 0x20 && *q < 0x80 &&
			    *q != '"' && *q != '\\'; q++)
				;
			s->off += (uint64_t)(q - p);
			if ((p = q) == end)
				break;
		}
		if ((r = step(s, *p)) == -1)
			return (-1);
		if (r == 0) {
			p++;
			s->off++;
		}
	}
	return (s->state == J_BROKEN ? -1 : 0);
}

int
jscan_end(struct jscan *s)
{
	if (s->state >= J_ZERO && s->state <= J_EXP && s->depth == 0 &&
	    value_end(s, s->off) == -1)
		return (-1);
	if (s->state == J_BROKEN)
		return (-1);
	if (s->state != J_TOP_END)
		return (jscan_fail(s, "text ends too early"));
	return (0);
}

int
jscan_buf(const void *buf, size_t len, unsigned maxdepth, unsigned flags,
    jscan_cb *cb, void *arg, const char **why)
{
	struct jscan s;
	int r;

	jscan_init(&s, maxdepth, flags, cb, arg);
	r = jscan_feed(&s, buf, len) == -1 || jscan_end(&s) == -1 ? -1 : 0;
	if (why != NULL)
		*why = s.why;
	jscan_free(&s);
	return (r);
}

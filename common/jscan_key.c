/*
 * Zero-copy JSON scanner: keys are unescaped, kept and compared.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link. Talks to: nobody.
 */
#include <stdlib.h>
#include <string.h>

#include "jscan_int.h"

int
jscan_fail(struct jscan *s, const char *why)
{
	s->state = J_BROKEN;
	s->why = why;
	return (-1);
}

/* Room for one more byte of kept text. */
static int
key_room(struct jscan *s)
{
	size_t size;
	char *p;

	if (s->textlen < s->textsize)
		return (0);
	size = s->textsize == 0 ? 256 : s->textsize * 2;
	if ((p = recallocarray(s->text, s->textsize, size, 1)) == NULL)
		return (jscan_fail(s, "out of memory"));
	s->text = p;
	s->textsize = size;
	return (0);
}

int
jscan_key_byte(struct jscan *s, unsigned char c)
{
	if (s->textlen - s->keystart >= JSCAN_MAX_KEY)
		return (jscan_fail(s, "key too long"));
	if (key_room(s) == -1)
		return (-1);
	s->text[s->textlen++] = (char)c;
	return (0);
}

int
jscan_key_point(struct jscan *s, uint32_t c)
{
	int r = 0;

	if (c == 0)
		return (jscan_fail(s, "NUL in key"));
	if (c < 0x80)
		return (jscan_key_byte(s, (unsigned char)c));
	if (c < 0x800)
		r |= jscan_key_byte(s, (unsigned char)(0xc0 | (c >> 6)));
	else {
		if (c < 0x10000)
			r |= jscan_key_byte(s, (unsigned char)(0xe0 | (c >> 12)));
		else {
			r |= jscan_key_byte(s, (unsigned char)(0xf0 | (c >> 18)));
			r |= jscan_key_byte(s,
			    (unsigned char)(0x80 | ((c >> 12) & 0x3f)));
		}
		r |= jscan_key_byte(s, (unsigned char)(0x80 | ((c >> 6) & 0x3f)));
	}
	r |= jscan_key_byte(s, (unsigned char)(0x80 | (c & 0x3f)));
	return (r);
}

static uint32_t
hash(const char *p, size_t len)
{
	uint32_t h = 2166136261U;

	while (len-- > 0)
		h = (h ^ (unsigned char)*p++) * 16777619U;
	return (h);
}

/* A compared key is complete: refuse a second one, remember the first. */
int
jscan_key_end(struct jscan *s)
{
	struct jscan_key *k, *n;
	size_t len = s->textlen - s->keystart;
	uint32_t h;
	unsigned i;

	if (s->hi != 0)
		return (jscan_fail(s, "lone surrogate in key"));
	if (s->nkeys == JSCAN_MAX_KEYS)
		return (jscan_fail(s, "too many keys"));
	if (s->nkeys == s->keysize) {
		i = s->keysize == 0 ? 16 : s->keysize * 2;
		n = recallocarray(s->keys, s->keysize, i, sizeof(*n));
		if (n == NULL)
			return (jscan_fail(s, "out of memory"));
		s->keys = n;
		s->keysize = i;
	}
	/* The NUL; an empty key may not even have made the buffer yet. */
	if (key_room(s) == -1)
		return (-1);
	h = hash(s->text + s->keystart, len);
	for (i = s->level[s->depth]; i < s->nkeys; i++) {
		k = &s->keys[i];
		if (k->hash == h && k->len == len &&
		    memcmp(s->text + k->off, s->text + s->keystart, len) == 0)
			return (jscan_fail(s, "duplicate key"));
	}
	s->text[s->textlen++] = '\0';
	if (s->depth == 1)
		s->topkey = s->nkeys;
	k = &s->keys[s->nkeys++];
	k->hash = h;
	k->off = (uint32_t)s->keystart;
	k->len = (uint32_t)len;
	return (0);
}

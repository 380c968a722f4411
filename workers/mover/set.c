/*
 * A set of texts.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "log.h"
#include "set.h"
#include "sys.h"

#define FIRST	1024		/* places; a power of two */

struct set {
	unsigned char	 key[crypto_shorthash_KEYBYTES];
	uint64_t	*v;		/* 0: free */
	size_t		 n, size, max;
};

struct set *
set_new(size_t max)
{
	struct set *s;

	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    (s->v = calloc(FIRST, sizeof(*s->v))) == NULL)
		fatal("set");
	s->size = FIRST;
	s->max = max;
	sys_random(s->key, sizeof(s->key));
	return s;
}

void
set_free(struct set *s)
{
	if (s == NULL)
		return;
	free(s->v);
	free(s);
}

static uint64_t
digest(const struct set *s, const char *text)
{
	uint64_t d;

	_Static_assert(sizeof(d) == crypto_shorthash_BYTES, "digest");
	(void)crypto_shorthash((unsigned char *)&d,
	    (const unsigned char *)text, strlen(text), s->key);
	return d != 0 ? d : 1;
}

/* Where it is, or the free place where it would be. */
static size_t
find(const uint64_t *v, size_t size, uint64_t d)
{
	size_t i = (size_t)d & (size - 1);

	while (v[i] != 0 && v[i] != d)
		i = (i + 1) & (size - 1);
	return i;
}

static void
grow(struct set *s)
{
	size_t i, size = s->size * 2;
	uint64_t *v;

	if ((v = calloc(size, sizeof(*v))) == NULL)
		fatal("set");
	for (i = 0; i < s->size; i++)
		if (s->v[i] != 0)
			v[find(v, size, s->v[i])] = s->v[i];
	free(s->v);
	s->v = v;
	s->size = size;
}

int
set_add(struct set *s, const char *text)
{
	uint64_t d = digest(s, text);
	size_t i;

	if (s->n >= s->max)
		return -1;
	if (s->n >= s->size / 4 * 3)
		grow(s);
	i = find(s->v, s->size, d);
	if (s->v[i] == 0)
		s->n++;
	s->v[i] = d;
	return 0;
}

bool
set_has(const struct set *s, const char *text)
{
	uint64_t d = digest(s, text);

	return s->v[find(s->v, s->size, d)] == d;
}

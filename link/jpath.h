/*
 * Picks values out of a validated JSON text by a path.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_JPATH_H
#define LINK_JPATH_H

#include <stdbool.h>
#include <stddef.h>

#include "jscan.h"

/* "a.0.b": keys by name, "0" is the first element of an array. */
bool	 jpath(const char *, size_t, const char *path, struct jspan *);

/* A string there equals this text. */
bool	 jpath_is(const char *, size_t, const char *path, const char *text);

/* Copies a short string; "" and false when it is not there or too long. */
bool	 jpath_copy(const char *, size_t, const char *path, char *, size_t);

/*
 * The text of a JT_STRING, to be freed. Half a surrogate pair, as runtimes
 * make when they cut by UTF-16 units, gives U+FFFD for the whole string.
 */
char	*jpath_text(const struct jspan *, size_t *);

/*
 * The texts of those parts of an array whose member at type is "text", one
 * behind the other, cut at max bytes: to be freed, NULL when there are none.
 */
char	*jpath_texts(const struct jspan *, const char *type, const char *text,
	    size_t max, size_t *len);

#endif /* LINK_JPATH_H */

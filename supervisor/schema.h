/*
 * Reads a YAML map into a struct by a table of its keys.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef SCHEMA_H
#define SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diag.h"
#include "ytree.h"

#define SCHEMA_LIST_MAX	64	/* items of a list */
#define SCHEMA_COUNTS_MAX 2048	/* bytes of an SK_COUNTS */

struct strlist {
	char	**v;		/* owned */
	size_t	  n;
};

enum schema_kind {
	SK_STR,			/* char *, min..max bytes, printable */
	SK_INT,			/* uint32_t, min..max */
	SK_SIZE,		/* uint64_t: bytes, or with KiB, MiB, GiB */
	SK_BOOL,		/* bool: true or false */
	SK_WORD,		/* uint32_t: which of words */
	SK_LIST,		/* struct strlist of SK_STR */
	SK_COUNTS,		/* char *: "name number" lines of a map, the
				   number min..max; check is for the name */
	SK_TIME,		/* uint32_t: seconds, or with s, m, h, d; "never"
				   is 0, all else min..max */
	SK_MAP			/* sub is its table, for the same struct */
};

#define SCHEMA_REQUIRED	0x01U

struct schema_key {
	const char		*name;		/* NULL ends the table */
	enum schema_kind	 kind;
	unsigned		 flags;
	size_t			 offset;	/* of the member */
	uint64_t		 min, max;
	const char *const	*words;		/* SK_WORD; ends with NULL */
	/* SK_STR and items of SK_LIST: NULL, or what is wrong with it. */
	const char		*(*check)(const char *);
	const struct schema_key	*sub;
};

/*
 * Values found replace those in the struct (strings there must be malloc'ed
 * or NULL); prefix ("log." or "") is for the messages.  Adds an error for
 * each unknown or missing key and each bad value.
 */
void	schema_read(const struct ynode *, const struct schema_key *,
	    const char *prefix, void *, struct diags *);
/* Frees all strings and lists that the table names. */
void	schema_free(const struct schema_key *, void *);
void	strlist_free(struct strlist *);

#endif /* SCHEMA_H */

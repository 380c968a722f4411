/*
 * Members of a JSON object as typed values, with the reason if one is wrong.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 */
#ifndef DOC_H
#define DOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jscan.h"

/* What a text may hold. */
enum doc_kind {
	DOC_TEXT,	/* anything but NUL */
	DOC_PLAIN,	/* see text_is_plain() */
	DOC_VISIBLE,	/* visible ASCII */
	DOC_ID,		/* 32 hex digits */
	DOC_SLUG
};

struct doc {
	const char	*p;
	size_t		 len;
	const char	*what;		/* for why: "record" */
	char		*why;		/* of whylen bytes */
	size_t		 whylen;
	bool		 bad;		/* an error sticks */
};

/* Only these keys may be there (NULL: any), none of them twice. */
void	doc_open(struct doc *, const char *what, const char *, size_t,
	    const char *const *keys, char *why, size_t whylen);
void	doc_fail(struct doc *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
bool	doc_kind_ok(const char *, enum doc_kind);
/* null and absent give "" or dflt, unless it must be there. */
void	doc_str(struct doc *, const char *key, bool must, enum doc_kind,
	    char *, size_t);
/* The same, allocated: never NULL. */
char	*doc_dup(struct doc *, const char *key, bool must, enum doc_kind,
	    size_t max);
void	doc_int(struct doc *, const char *key, bool must, int64_t min,
	    int64_t max, int64_t dflt, int64_t *);
void	doc_time(struct doc *, const char *key, bool must, double *);
/* Dollars into pico-dollars, exactly; -1 when absent. */
void	doc_cost(struct doc *, const char *key, int64_t *);
/* Texts of an array, one a line. */
void	doc_lines(struct doc *, const char *key, size_t max, char *, size_t);
/* A member as it stands: true if it is there and of that type. */
bool	doc_raw(struct doc *, const char *key, enum jtype, struct jspan *);

#endif /* DOC_H */

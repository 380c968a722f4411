/*
 * Private parts of the JSON scanner.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link. Talks to: nobody.
 */
#ifndef JSCAN_INT_H
#define JSCAN_INT_H

#include "jscan.h"

/* States of the scanner. */
enum {
	J_VALUE,	/* a value must come */
	J_VALUE_OR_END,	/* after '[' */
	J_KEY,		/* after ',' in an object */
	J_KEY_OR_END,	/* after '{' */
	J_COLON,
	J_AFTER,	/* after a value inside a container */
	J_TOP_END,	/* only blanks from here on */
	J_STRING, J_ESCAPE, J_HEX, J_UTF8, J_LITERAL,
	/* numbers: those that may end here come last */
	J_MINUS, J_DOT, J_E, J_ESIGN,
	J_ZERO, J_INT, J_FRAC, J_EXP,
	J_BROKEN
};

struct jscan_key {
	uint32_t	hash;
	uint32_t	off;	/* into text */
	uint32_t	len;
};

/* Always -1; the scan is broken from here on. */
int	 jscan_fail(struct jscan *, const char *);

/* The key at hand: a byte of it, a character of it, its end. 0 or -1. */
int	 jscan_key_byte(struct jscan *, unsigned char);
int	 jscan_key_point(struct jscan *, uint32_t);
int	 jscan_key_end(struct jscan *);

#endif

/*
 * Text of people that is shown to others: what may be in it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length of the valid UTF-8 sequence at s, its code point in *cp; else 0. */
size_t	text_char(const char *s, size_t len, uint32_t *cp);
/* Neither a control, nor what hides or reorders text. */
bool	text_is_safe(uint32_t cp);
/*
 * All of it is valid and safe: a name, a word.  What joins emoji and letters
 * of some scripts is allowed besides, and '\n' if it holds several lines.
 */
bool	text_is_plain(const char *, bool lines);
/* What is said of one that is not. */
#define TEXT_NOT_PLAIN	"has a control character, or one that hides or " \
			"reorders text"

/* In place: '?' for each character that is not, as in errors that repeat what
 * was sent. */
void	text_clean(char *);

#endif /* TEXT_H */

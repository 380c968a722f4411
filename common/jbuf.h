/*
 * Writes JSON text into a growing, bounded buffer, without a tree.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every worker, agent-link. Talks to: nobody.
 *
 * Errors stick: after an overflow or a misuse all calls do nothing and
 * jbuf_text() is NULL, so only the end needs a check. Commas are put in by
 * the functions; bytes that are not UTF-8 become U+FFFD.
 */
#ifndef JBUF_H
#define JBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JBUF_MAX_DEPTH	32

struct jbuf {
	char		*buf;		/* owned */
	size_t		 len, size, max;
	bool		 bad;
	bool		 key;		/* a key was written, a value is due */
	bool		 secret;	/* wipe when it moves and when freed */
	unsigned	 depth;
	uint32_t	 array;		/* bit per level: array, not object */
	uint32_t	 comma;		/* bit per level: not the first */
};

void	 jbuf_init(struct jbuf *, size_t);	/* max bytes of text */
void	 jbuf_free(struct jbuf *);
void	 jbuf_reset(struct jbuf *);		/* empty it, keep the memory */

/* The finished text, NUL-terminated, and its length; NULL if not balanced. */
const char *jbuf_text(struct jbuf *, size_t *);

void	 jb_obj(struct jbuf *);
void	 jb_arr(struct jbuf *);
void	 jb_end(struct jbuf *);			/* closes the innermost */
void	 jb_key(struct jbuf *, const char *);
void	 jb_str(struct jbuf *, const char *);	/* NULL gives null */
void	 jb_strn(struct jbuf *, const char *, size_t);
void	 jb_int(struct jbuf *, int64_t);
void	 jb_uint(struct jbuf *, uint64_t);
void	 jb_double(struct jbuf *, double);	/* not finite gives null */
void	 jb_time(struct jbuf *, int64_t);	/* microseconds: 12.345678 */
void	 jb_bool(struct jbuf *, bool);
void	 jb_null(struct jbuf *);
void	 jb_raw(struct jbuf *, const char *, size_t); /* valid JSON value */

/* Key and value in one call, for objects. */
void	 jb_kstr(struct jbuf *, const char *, const char *);
void	 jb_kint(struct jbuf *, const char *, int64_t);
void	 jb_kbool(struct jbuf *, const char *, bool);
void	 jb_ktime(struct jbuf *, const char *, int64_t);

#endif

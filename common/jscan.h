/*
 * Zero-copy JSON scanner: validates, reports where members are, no tree.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link. Talks to: nobody.
 *
 * Linear in the input, no recursion. RFC 8259 grammar, UTF-8 checked, any
 * trailing byte is an error. Lone surrogate escapes pass here (a body is
 * forwarded byte for byte) and are an error in jscan_unescape() and in keys
 * that are compared.
 */
#ifndef JSCAN_H
#define JSCAN_H

#include <sys/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSCAN_MAX_DEPTH		128
#define JSCAN_DEPTH		32	/* the usual limit */
#define JSCAN_MAX_KEYS		1000	/* compared keys open at one time */
#define JSCAN_MAX_KEY		256	/* bytes of one compared key */
#define JSCAN_MAX_NUMBER	128	/* bytes of one number */

#define JSCAN_DUP_ALL	0x1	/* refuse duplicate keys at every level */
#define JSCAN_ANY_TOP	0x2	/* the top value need not be an object */

enum jtype {
	JT_NONE, JT_NULL, JT_FALSE, JT_TRUE, JT_NUMBER, JT_STRING, JT_OBJECT,
	JT_ARRAY
};

/*
 * One member of the top-level object. Offsets count from the first byte fed;
 * the key is already unescaped, the value range includes quotes or brackets.
 */
struct jscan_member {
	const char	*key;		/* NUL-terminated, during the call */
	size_t		 keylen;
	uint64_t	 key_off;	/* of its opening quote */
	uint64_t	 val_off;
	uint64_t	 val_len;
	enum jtype	 type;
};

/* Non-zero stops the scan with an error. */
typedef int jscan_cb(void *, const struct jscan_member *);

struct jscan_key;
struct jscan {
	jscan_cb		*cb;		/* may be NULL */
	void			*arg;
	unsigned		 maxdepth, flags;
	const char		*why;		/* after an error */
	uint64_t		 off;		/* bytes scanned; where it broke */
	/* private */
	int			 state;
	unsigned		 numlen;	/* of the number being read */
	const char		*lit;		/* rest of true, false, null */
	unsigned		 depth, hexleft, utfleft;
	uint32_t		 hex, hi;	/* hi: a high surrogate waits */
	unsigned char		 utflo, utfhi;	/* range of the next byte */
	bool			 key;		/* the string is a key */
	bool			 keep;		/* ... which is compared */
	uint64_t		 stack[JSCAN_MAX_DEPTH / 64]; /* 1: array */
	struct jscan_member	 m;
	struct jscan_key	*keys;		/* owned */
	unsigned		 nkeys, keysize, topkey;
	unsigned		 level[JSCAN_MAX_DEPTH + 1];
	char			*text;		/* owned: the kept keys */
	size_t			 textlen, textsize, keystart;
};

void	 jscan_init(struct jscan *, unsigned, unsigned, jscan_cb *, void *);
void	 jscan_free(struct jscan *);
int	 jscan_feed(struct jscan *, const void *, size_t);	/* 0 or -1 */
int	 jscan_end(struct jscan *);	/* 0: one complete value; -1 */

/* Whole buffer at once. 0 or -1; *why (may be NULL) gets constant text. */
int	 jscan_buf(const void *, size_t, unsigned, unsigned, jscan_cb *, void *,
	    const char **);

/* A value inside a validated text. */
struct jspan {
	const char	*p;	/* quotes and brackets included */
	size_t		 len;
	enum jtype	 type;
};

/*
 * Walk the members of an object or the elements of an array. The text must
 * have been validated; on other text the walk is safe but may end early.
 * jscan_next: 1 and the next (key is NULL for arrays), 0 at the end, -1 bad.
 */
struct jiter {
	const char	*p, *end;
	bool		 object, first;
};

int	 jscan_object(struct jiter *, const char *, size_t);	/* 0 or -1 */
int	 jscan_array(struct jiter *, const char *, size_t);
int	 jscan_next(struct jiter *, struct jspan *, struct jspan *);

/* First member with that key in a validated object: 1, 0 absent, -1 bad. */
int	 jscan_get(const char *, size_t, const char *, struct jspan *);

/* Does the (escaped, quoted) string equal this plain text? */
bool	 jscan_string_eq(const struct jspan *, const char *);

/*
 * Unescape a quoted string into dst (NUL-terminated). Returns its length; -1
 * on a lone surrogate, an escaped NUL or when it does not fit.
 */
ssize_t	 jscan_unescape(const struct jspan *, char *, size_t);

/* A JSON integer in range: 0, else -1 (also for 1.0 and 1e3). */
int	 jscan_int(const struct jspan *, int64_t, int64_t, int64_t *);

#endif

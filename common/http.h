/*
 * The IO-free half of HTTP/1.1: heads, chunks, targets, field values.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link. Talks to: nobody.
 *
 * One parser, one meaning: whatever is not exactly what RFC 9112 asks of a
 * sender is refused, so that no two programs can read a message differently.
 * HTTP/1.0 is answered 505; obs-fold, bare CR or LF, chunk extensions and
 * request trailers are 400.
 */
#ifndef HTTP_H
#define HTTP_H

#include <sys/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_MAX_HEAD		16384	/* bytes, with the empty line */
#define HTTP_MAX_TARGET		4096
#define HTTP_MAX_FIELDS		64
#define HTTP_MAX_METHOD		16

enum http_result {
	HTTP_BAD = -1,		/* see status and why */
	HTTP_MORE = 0,		/* the head is not complete yet */
	HTTP_DONE = 1
};

struct http_field {
	char	*name;		/* NUL-terminated, as it came */
	char	*value;		/* NUL-terminated, blanks trimmed */
};

/*
 * A request head or (the status line fields) a response head. The strings
 * point into the caller's buffer, which must outlive them.
 */
struct http_head {
	/* request */
	char			*method;
	char			*target;	/* raw, as it came */
	const char		*path;		/* raw, not terminated */
	size_t			 pathlen;
	const char		*query;		/* raw, without '?', or NULL */
	char			*host;
	bool			 expect_100;
	/* response */
	int			 code;
	char			*reason;
	/* both */
	struct http_field	 field[HTTP_MAX_FIELDS];
	unsigned		 nfields;
	int64_t			 content_length; /* -1: none given */
	bool			 chunked;
	bool			 close;		/* Connection: close */
	size_t			 len;		/* bytes of the head */
	/* after HTTP_BAD */
	int			 status;	/* what to answer */
	const char		*why;		/* constant text */
	/* private */
	size_t			 scanned;
	int			 state;
};

void	 http_head_init(struct http_head *);

/*
 * Parse a head from the start of buf, which holds len bytes. Call again with
 * the same head and the grown (it may have moved) buffer after HTTP_MORE.
 * On HTTP_DONE, h->len bytes were used and the buffer was changed: strings
 * in it are now NUL-terminated. Never reads past len.
 */
enum http_result http_head_parse(struct http_head *, char *, size_t);
enum http_result http_rhead_parse(struct http_head *, char *, size_t);

/* First value of a field, name without case; NULL when absent. */
const char *http_head_field(const struct http_head *, const char *);

/* True when a comma separated field value lists the token (no case). */
bool	 http_list_has(const char *, const char *);

/* Standard reason phrase; "Unknown" for codes not in the table. */
const char *http_reason(int);

/*
 * Percent-decode len bytes into dst (size bytes, NUL-terminated). A path
 * refuses %2f, "." and ".." segments; both refuse control bytes, broken
 * escapes and text that is not UTF-8. In a query '+' means a blank.
 * Returns the length, -1 when refused or too long.
 */
ssize_t	 http_decode_path(const char *, size_t, char *, size_t);
ssize_t	 http_decode_query(const char *, size_t, char *, size_t);

/* True when every byte may stand in a token (method, field name). */
bool	 http_is_token(const char *, size_t);
/* A field's value: nothing in it can end the line early. */
bool	 http_is_value(const char *);

/*
 * Look up a query parameter and decode it into dst. 1: found, 0: absent,
 * -1: given twice, broken, or longer than size - 1.
 */
int	 http_query_get(const char *, const char *, char *, size_t);

/* Valid UTF-8 without surrogates, overlong forms or code points > 10ffff. */
bool	 http_utf8_valid(const char *, size_t);

/* Chunked transfer coding, decoded in place, nothing buffered. */
struct http_chunk {
	int		 state;
	unsigned	 digits;
	uint64_t	 left;		/* of the current chunk */
	size_t		 trailer;	/* bytes of trailers so far */
	bool		 trailers_ok;	/* responses: skip them; else refuse */
};

void	 http_chunk_init(struct http_chunk *, bool);

/*
 * Consume from data; *body and *bodylen name the (perhaps empty) run of body
 * bytes within it. Call until all is consumed or http_chunk_done(). Returns
 * bytes consumed, or -1 when the coding is broken.
 */
ssize_t	 http_chunk_next(struct http_chunk *, const char *, size_t,
	    const char **, size_t *);
bool	 http_chunk_done(const struct http_chunk *);

#endif

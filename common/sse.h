/*
 * Server-Sent Events: a push-style parser and a frame writer, without IO.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link, agentctl. Talks to: nobody.
 */
#ifndef SSE_H
#define SSE_H

#include <sys/types.h>
#include <stdbool.h>
#include <stddef.h>

#define SSE_MAX_ID	128
#define SSE_MAX_NAME	64

/* Valid only during the callback. */
struct sse_event {
	const char	*id;	/* last id seen, "" when none */
	const char	*name;	/* "message" when not given */
	const char	*data;	/* NUL-terminated, lines joined by LF */
	size_t		 len;
};

/* Non-zero stops the parser: sse_feed() then returns -1. */
typedef int sse_cb(void *, const struct sse_event *);

struct sse {
	sse_cb	*cb;
	void	*arg;
	size_t	 max;		/* bytes of one event, and of one line */
	char	*line;		/* owned */
	size_t	 linelen, linesize;
	char	*data;		/* owned */
	size_t	 datalen, datasize;
	bool	 has_data;
	bool	 skip_lf;	/* the last byte was a CR */
	unsigned bom;		/* bytes of a byte order mark seen */
	bool	 started;
	long	 retry_ms;	/* last "retry:" seen, -1 when none */
	char	 id[SSE_MAX_ID];
	char	 name[SSE_MAX_NAME];
};

/* max bounds a line and an event; callback and its argument. */
void	 sse_init(struct sse *, size_t, sse_cb *, void *);
void	 sse_free(struct sse *);
void	 sse_reset(struct sse *);	/* new connection; keeps the last id */

/* 0, or -1: an event or line is over the bound, or the callback said stop. */
int	 sse_feed(struct sse *, const void *, size_t);

/*
 * Write one frame into dst (NUL-terminated). id and name may be NULL. Returns
 * its length; -1 if it does not fit or id or name hold a line break.
 */
ssize_t	 sse_write(char *, size_t, const char *, const char *, const char *,
	    size_t);

/* Bytes sse_write() needs at most, with the NUL. */
size_t	 sse_bound(const char *, const char *, const char *, size_t);

#endif

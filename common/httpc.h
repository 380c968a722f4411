/*
 * Push-style HTTP/1.1 response parser without IO, and a request head builder.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream, agent-link. Talks to: nobody.
 */
#ifndef HTTPC_H
#define HTTPC_H

#include "http.h"

/*
 * A callback that returns non-zero stops the parser with an error. The head
 * and its strings are valid only during on_head. Informational (1xx) heads
 * are skipped; 101 is an error.
 */
struct httpc_cb {
	int	(*on_head)(void *, const struct http_head *);
	int	(*on_body)(void *, const void *, size_t);
	int	(*on_end)(void *);
};

enum httpc_state {
	HTTPC_HEAD, HTTPC_LENGTH, HTTPC_CHUNKED, HTTPC_TO_CLOSE, HTTPC_DONE,
	HTTPC_FAILED
};

struct httpc {
	const struct httpc_cb	*cb;
	void			*arg;
	enum httpc_state	 state;
	bool			 head_only;	/* the request was a HEAD */
	bool			 keepalive;	/* after HTTPC_DONE: may reuse */
	int			 code;		/* status, 0 before the head */
	uint64_t		 left;		/* of Content-Length */
	struct http_chunk	 chunk;
	struct http_head	 head;
	char			*buf;		/* owned; only while in a head */
	size_t			 len, size;
	const char		*why;		/* after HTTPC_FAILED */
};

/* No allocation; httpc_free() wipes and frees what feeding allocated. */
void	 httpc_init(struct httpc *, bool, const struct httpc_cb *, void *);
void	 httpc_free(struct httpc *);

/*
 * Feed bytes. Returns how many were used: fewer than len only once the
 * response is complete (the rest belongs to the next one); -1 on error.
 */
ssize_t	 httpc_feed(struct httpc *, const void *, size_t);

/* The peer closed. 0: the response is complete; -1: it was cut short. */
int	 httpc_eof(struct httpc *);

/*
 * Build a request head into a caller's buffer. Values with control bytes
 * make it fail. httpc_req_end() returns the length, or -1 if anything failed
 * or did not fit; the buffer is NUL-terminated.
 */
struct httpc_req {
	char	*buf;
	size_t	 len, size;
	bool	 bad;
};

void	 httpc_req_start(struct httpc_req *, char *, size_t, const char *,
	    const char *, const char *);	/* method, target, host */
void	 httpc_req_field(struct httpc_req *, const char *, const char *);
void	 httpc_req_length(struct httpc_req *, uint64_t);
ssize_t	 httpc_req_end(struct httpc_req *);

#endif

/*
 * One call of the gateway: a request body that comes in frames, a reply that
 * goes out in frames, a window for each.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: gateway.
 */
#ifndef STREAM_H
#define STREAM_H

#include <sys/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "peer.h"
#include "route.h"

#define STREAM_MAX	768		/* at one time: a socket each */
#define STREAM_CREDIT	(256U * 1024)	/* body bytes under way to us */
#define STREAM_WINDOW	4096U		/* least window of a reply */
#define STREAM_BODY_MAX	(33U * 1024 * 1024)
#define STREAM_FRAME	61440U		/* data in one frame */
#define STREAM_YOUNG_MS	10000		/* routes may still be on their way */
#define STREAM_PARK_MS	3000		/* and are waited for so long */

struct evbuffer;
struct event;
struct event_base;
struct stream;

/* Who answers: a provider over HTTP, or the built-in one. */
struct stream_ops {
	void	(*open)(struct stream *);
	void	(*body)(struct stream *);	/* more of it, or all */
	void	(*room)(struct stream *);	/* the window is open again */
	void	(*close)(struct stream *);	/* free what ctx is */
};

struct stream {
	RB_ENTRY(stream)	 entry;
	uint64_t		 id;
	char			 provider_id[ID_LEN + 1];
	struct route		*route;		/* referenced */
	struct event		*parked;	/* while it waits for a route */
	char			 path[257];
	bool			 sse;		/* the reply will be events */
	bool			 head_sent;
	uint64_t		 length;	/* of the body */
	uint64_t		 received;
	uint32_t		 credit;	/* the gateway may still send */
	uint64_t		 window;	/* we may still send */
	struct evbuffer		*body;		/* received, not passed on */
	const struct stream_ops	*ops;
	void			*ctx;
};

void	 stream_init(struct event_base *);
/* A route or a key has come: who waits for it may start. */
void	 stream_unpark(void);

/* Handlers of LLM_OPEN, LLM_BODY, LLM_WINDOW and CANCEL. */
int	 stream_h_open(struct peer *, struct msg *);
int	 stream_h_body(struct peer *, struct msg *);
int	 stream_h_window(struct peer *, struct msg *);
int	 stream_h_cancel(struct peer *, struct msg *);
/* The gateway is gone: so are all streams. */
void	 stream_drop_all(void);
/* The queue to the gateway has room again. */
void	 stream_drained(void);

/* Is the whole body here? */
bool	 stream_body_done(const struct stream *);
/* n bytes of the body have gone on: the gateway may send as many more. */
void	 stream_taken(struct stream *, size_t);
/* Reply bytes that may be sent now. */
size_t	 stream_room(const struct stream *);
void	 stream_head(struct stream *, unsigned status, const char *type,
	    const char *retry_after);
/* At most stream_room() bytes, after the head. */
void	 stream_data(struct stream *, const void *, size_t);
/* The reply is complete. Frees the stream, as do the next two. */
void	 stream_end(struct stream *);
/* The reply broke off. */
void	 stream_cut(struct stream *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));
/* Answers with an error of our own, or cuts if the head is out. */
void	 stream_fail(struct stream *, unsigned status, const char *, ...)
	    __attribute__((format(printf, 3, 4)));

#endif /* STREAM_H */

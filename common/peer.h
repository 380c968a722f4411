/*
 * The other end of an edge: sends messages, matches replies to requests,
 * calls the handlers.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "msg.h"

struct event_base;
struct peer;

/* A message that has come in. */
struct msg {
	uint32_t	 type;
	uint64_t	 id;		/* answer with it */
	bool		 more;		/* other frames of this id follow */
	int		 fd;		/* -1, or set to -1 by who keeps it */
	union msg_any	 u;		/* u.<payload> */
};

/*
 * A handler returns 0, or -1 if the sender broke the rules (not: if a user
 * did); the edge is then closed and the supervisor restarts the sender.
 */
struct msg_handler {
	uint32_t	 type;
	int		(*fn)(struct peer *, struct msg *);
};

/*
 * Called for each reply, the last one being without m->more; m is NULL when
 * none will come (errno: ETIMEDOUT, ECONNRESET, ENOTCONN).  After the last
 * call the request is over.
 */
typedef void (*peer_reply_fn)(struct msg *m, void *arg);

struct peer_ops {
	const struct msg_handler *handlers;	/* ends with type 0 */
	void	(*up)(struct peer *);		/* may be NULL, also below */
	void	(*down)(struct peer *);
	/* The other end broke the rules; the edge is closed already. */
	void	(*bad)(struct peer *, uint32_t type, const char *why);
	void	(*drained)(struct peer *);	/* room to send again */
};

#define PEER_PENDING_MAX	16384	/* open requests to one peer */
#define PEER_HOLD_MS		2000

/* A peer without a connection yet.  Fatal without memory (start-up only). */
struct peer	*peer_new(struct event_base *, enum proc self,
		    enum proc other, const struct peer_ops *);
void		 peer_free(struct peer *);
/* Takes over a connected socket; an older connection is closed first. */
void		 peer_attach(struct peer *, int);
/* Closes the connection; open requests fail with ECONNRESET. */
void		 peer_detach(struct peer *);
bool		 peer_is_up(const struct peer *);
enum proc	 peer_proc(const struct peer *);
size_t		 peer_queued(const struct peer *);
/* Blocks until all is written or ms are over (shutdown only). */
void		 peer_flush(struct peer *, int ms);

/*
 * All of these return 0, or -1 with errno ENOTCONN, ENOBUFS or EMSGSIZE.
 * The fd (or -1) is consumed in every case.
 */
/* A message nobody answers. */
int	peer_send(struct peer *, uint32_t type, const void *payload);
int	peer_send_fd(struct peer *, uint32_t type, const void *payload, int fd);
/* A message that belongs to an open request (either side's). */
int	peer_send_id(struct peer *, uint32_t type, uint64_t id, bool more,
	    const void *payload);
/* An answer; more says that others follow. */
int	peer_reply(struct peer *, const struct msg *, uint32_t type, bool more,
	    const void *payload);
int	peer_reply_id(struct peer *, uint64_t id, uint32_t type, bool more,
	    const void *payload, int fd);
/* Shorthand for MSG_DONE; error may be NULL. */
int	peer_done(struct peer *, uint64_t id, uint32_t status,
	    const char *error, ...) __attribute__((format(printf, 4, 5)));

/*
 * Asks.  timeout_ms counts until the first reply (0: none).  Returns the id,
 * or 0 with errno; the callback is then not called.
 */
uint64_t	peer_request(struct peer *, uint32_t type, const void *payload,
		    int timeout_ms, peer_reply_fn, void *arg);
uint64_t	peer_request_fd(struct peer *, uint32_t type,
		    const void *payload, int fd, int timeout_ms, peer_reply_fn,
		    void *arg);
/*
 * peer_request whose first frame announces others (TRACE_EVENT + TRACE_MORE).
 */
uint64_t	peer_request_more(struct peer *, uint32_t type,
		    const void *payload, int timeout_ms, peer_reply_fn,
		    void *arg);
/*
 * peer_request_fd that waits up to PEER_HOLD_MS for a peer that is down: it is
 * being restarted, and whoever asks need not know.  For requests of people;
 * not for what is followed by frames of the same id.
 */
uint64_t	peer_request_hold(struct peer *, uint32_t type,
		    const void *payload, int fd, int timeout_ms, peer_reply_fn,
		    void *arg);
/* Forgets an open request without a call; tell: sends CANCEL as well. */
void		peer_forget(struct peer *, uint64_t id, bool tell);

#endif /* PEER_H */

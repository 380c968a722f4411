/*
 * Framing over a Unix stream socket: typed frames, one descriptor a frame at
 * most, queues capped in bytes.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 */
#ifndef CHAN_H
#define CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msg.h"

struct event_base;

#define CHAN_QUEUE_MAX	(8U * 1024 * 1024)	/* bytes waiting to be sent */

/* Flags in a frame's header. */
#define CHAN_F_FD	0x0001U
#define CHAN_F_MORE	0x0002U

/* The header on the wire, in host order. */
struct chan_hdr {
	uint32_t	len;		/* of the payload */
	uint16_t	type;
	uint16_t	flags;
	uint64_t	id;
};

struct chan;

struct chan_ops {
	/*
	 * Header seen: 0 to go on, -1 to refuse the frame before any memory is
	 * taken for it.
	 */
	int	(*check)(void *, const struct chan_hdr *);
	/*
	 * A frame; fd is -1 or now the callee's.  -1: the frame was bad.
	 * The channel may be freed by the callee.
	 */
	int	(*frame)(void *, const struct chan_hdr *, const uint8_t *,
		    int);
	/* The channel is of no more use: why is NULL for a plain end. */
	void	(*closed)(void *, uint32_t type, const char *why);
	/* The queue was over half of its cap and is now below a quarter. */
	void	(*drained)(void *);
};

/* Takes over the non-blocking socket.  NULL with errno if memory is out. */
struct chan	*chan_new(struct event_base *, int, const struct chan_ops *,
		    void *);
/* Closes the socket and drops what is queued; NULL is allowed. */
void		 chan_free(struct chan *);
/*
 * Queues a frame.  The fd (or -1) is the channel's from here on, also when
 * -1 is returned: EMSGSIZE (a field over its maximum), ENOBUFS (queue full).
 */
int		 chan_send(struct chan *, uint32_t type, uint64_t id,
		    uint16_t flags, const void *payload, int fd);
/* The same with a payload that is encoded already. */
int		 chan_send_raw(struct chan *, uint32_t type, uint64_t id,
		    uint16_t flags, const uint8_t *, size_t len, int fd);
size_t		 chan_queued(const struct chan *);
/* Writes until the queue is empty or the timeout (ms) is over. */
int		 chan_flush(struct chan *, int);

#endif /* CHAN_H */

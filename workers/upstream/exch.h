/*
 * One HTTP exchange with a provider, for a stream.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: providers.
 */
#ifndef EXCH_H
#define EXCH_H

#include "stream.h"

#define EXCH_FIRST_MS	300000	/* until the reply begins */
#define EXCH_IDLE_MS	120000	/* between two of its bytes */
#define EXCH_STALL_MS	600000	/* for the gateway to open the window */
#define EXCH_REPLY_MAX	(256ULL * 1024 * 1024)
#define EXCH_KEEP	(256U * 1024)	/* of a body, to send it again */

struct event_base;

extern const struct stream_ops exch_ops;

void	 exch_init(struct event_base *);

#endif /* EXCH_H */

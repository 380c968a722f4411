/*
 * The demo provider: a canned answer, so that a first run needs no key.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 */
#ifndef DEMO_H
#define DEMO_H

#include <stddef.h>

#include "stream.h"

#define DEMO_BODY_MAX	(8U * 1024 * 1024)
#define DEMO_PACE_MS	12	/* between two pieces of a streamed reply */

struct event_base;

extern const struct stream_ops demo_ops;

void	 demo_init(struct event_base *);

#endif /* DEMO_H */

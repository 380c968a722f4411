/*
 * The API of the trace, for main.c.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: front.
 */
#ifndef POST_H
#define POST_H

#include <stdint.h>

#include "msg.h"

/* 0, or -1 if keeper sent no key. */
int	api_key(const struct m_pass_key *);
/* Both answer front themselves; 0. */
int	api_query(uint64_t id, const struct m_trace_query *);
int	api_post(uint64_t id, const struct m_trace_post *);
/* Front is gone, and with it all who asked. */
void	api_front_down(void);

#endif /* POST_H */

/*
 * Trace events on their way to the writer, kept until it has them on disk.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: trace.
 */
#ifndef TRACEQ_H
#define TRACEQ_H

#include <stdbool.h>

#include "msg.h"
#include "peer.h"

/* An event with nothing in it yet but agent, kind and source. */
void	 trace_event_init(struct m_trace_event *, const char *, const char *);
/*
 * Queues a copy; payload is a JSON object of at most GW_TRACE_MAX bytes.
 * Without room (16 MiB, 4 MiB an agent) the event is lost, counted, and the
 * count is put into the agent's trace when there is room again.
 */
void	 traceq_add(const struct m_trace_event *, const char *);
/* trace is there, or its channel has room: send what waits. */
void	 traceq_kick(void);
bool	 traceq_empty(void);
void	 traceq_free(void);	/* for tests: drops what waits */
/*
 * Sends one event at once, as peer_request does: for callers that wait for
 * the answer.  0 with errno; the payload may be of GW_TRACE_MAX bytes.
 */
uint64_t trace_send(struct m_trace_event *, const char *, int timeout_ms,
	    peer_reply_fn, void *);

#endif /* TRACEQ_H */

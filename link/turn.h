/*
 * One turn at a time: from a message to its final or error reply.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#ifndef LINK_TURN_H
#define LINK_TURN_H

#include <stdbool.h>
#include <stddef.h>

#include "inbox.h"
#include "outq.h"

struct conf;
struct event_base;
struct gw;
struct turn;

/*
 * A way to drive a runtime. start() brings the runtime up, with no host in
 * reach as yet; the kind calls turn_ready() whenever it can take a turn from
 * then on. run() gives it a message, ready or not: the kind calls
 * turn_running() once the runtime has it, then deltas and tool events as they
 * come, and ends with turn_done() or turn_failed(), exactly once, unless
 * abort() comes first: then it says nothing more about this attempt.
 */
struct kind {
	void	*(*create)(struct event_base *, const struct conf *,
		    struct turn *);
	void	 (*start)(void *);
	void	 (*run)(void *, const struct message *);
	void	 (*abort)(void *);
	void	 (*destroy)(void *);
};

extern const struct kind kind_http;
extern const struct kind kind_rpc;
extern const struct kind kind_acp;
extern const struct kind kind_exec;

/* NULL when out of memory. Owns nothing but its own state. */
struct turn *turn_new(struct event_base *, const struct conf *, struct gw *,
	    struct inbox *, const struct kind *);
void	 turn_free(struct turn *);

/*
 * Starts the runtime, once: now, or in so many ms unless a turn needs it
 * before; the last call counts. The callback, if one was set before, comes
 * each time the runtime becomes ready to take a turn: at its start, and after
 * each restart.
 */
void	 turn_start(struct turn *);
void	 turn_start_in(struct turn *, unsigned int ms);
void	 turn_on_ready(struct turn *, void (*)(void *), void *);

/* A message was queued, or a delivered one wants its ack again. */
void	 turn_wake(struct turn *);
void	 turn_ack(struct turn *);

/* Stops the turn with that trace id, open or waiting. */
void	 turn_abort(struct turn *, const char *trace_id);

/*
 * No new turns; the open one gets grace_ms to end, then an error. done is
 * called when nothing is left to send.
 */
void	 turn_shutdown(struct turn *, unsigned int grace_ms,
	    void (*done)(void *), void *);

/*
 * No turn begins until turn_release(); the callback comes when the open one
 * is over, at once if none is.
 */
void	 turn_hold(struct turn *, void (*)(void *), void *);
void	 turn_release(struct turn *);

/* Called when the inbox has room again for what it refused. */
void	 turn_on_room(struct turn *, void (*)(void *), void *);

/* By kinds. All but the first are ignored when no attempt runs. */
void	 turn_ready(struct turn *);
void	 turn_running(struct turn *);
void	 turn_delta(struct turn *, const char *, size_t);
void	 turn_reasoning(struct turn *, const char *, size_t);
size_t	 turn_mark(const struct turn *);
void	 turn_rollback(struct turn *, size_t);
void	 turn_tool_call(struct turn *, const struct tool_event *);
void	 turn_tool_result(struct turn *, const struct tool_event *);
void	 turn_done(struct turn *);
void	 turn_failed(struct turn *, const char *, ...)
	    __attribute__((__format__(printf, 2, 3)));

/* By the forwarder: NULL when no turn is open; else attempt and a ticket. */
const char *turn_open_id(const struct turn *, unsigned int *attempt,
	    unsigned int *ticket);

/* How a forwarded LLM call of that ticket ended. */
void	 turn_llm_ended(struct turn *, unsigned int ticket, bool ok);

#endif /* LINK_TURN_H */

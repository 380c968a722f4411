/*
 * The replies of one turn, in order, as JSON bodies for the gateway.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_OUTQ_H
#define LINK_OUTQ_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jbuf.h"

#define OUTQ_TEXT_MAX	(1UL << 20)	/* bytes of answer in one attempt */
#define OUTQ_FINAL_MAX	(240UL << 10)	/* a longer one is only in deltas */
#define OUTQ_DELTA_MAX	10000UL		/* below 64 KiB if all is escaped */
#define OUTQ_ARGS_MAX	(32UL << 10)
#define OUTQ_RESULT_MAX	(32UL << 10)
#define OUTQ_ITEMS_MAX	2000U		/* waiting replies */
#define OUTQ_TOOLS_MAX	(512UL << 10)	/* args and results of one turn */

enum reply_kind {
	REPLY_DELTA,
	REPLY_TOOL_CALL,
	REPLY_TOOL_RESULT,
	REPLY_REASONING,
	REPLY_FINAL,
	REPLY_ERROR
};

struct reply {
	TAILQ_ENTRY(reply) entry;
	enum reply_kind kind;
	uint64_t seq;
	unsigned int attempt;
	char *text;		/* owned; what a delta still collects */
	size_t len;
	bool encoded;		/* body is final, text is gone */
	struct jbuf body;
};

struct outq {
	TAILQ_HEAD(reply_list, reply) queue;
	unsigned int count;	/* of replies in queue */
	const char *id, *trace_id, *channel_id;	/* of the open message */
	uint64_t seq;		/* last one given */
	unsigned int attempt;
	size_t text_bytes;	/* of this attempt */
	size_t tool_bytes;
	char *text;		/* owned; the answer, while short enough */
	bool too_long;		/* for the final: text is gone */
	bool ended;		/* a final or an error is queued */
	bool oom;		/* what ends it says that memory ran out */
};

struct tool_event {
	const char *id;		/* of the call */
	const char *tool;
	const char *json;	/* call: arguments, a valid JSON value */
	size_t len;		/* of json, or of text */
	const char *text;	/* result: plain text */
	bool success;
	int64_t duration_ms;	/* -1 = unknown */
};

void	 outq_init(struct outq *);
void	 outq_clear(struct outq *);	/* frees all */

/*
 * Opens a turn; the strings must outlive it. seq0: the first seq is above
 * it (a restarted link must not reuse numbers of its former life).
 */
void	 outq_open(struct outq *, const char *id, const char *trace_id,
	    const char *channel_id, uint64_t seq0);

/* A new attempt: what waits of the last one is dropped, except on the wire. */
void	 outq_attempt(struct outq *, unsigned int);

/* 0, or -1 when the turn's bound is passed (nothing is queued then). */
int	 outq_delta(struct outq *, const char *, size_t);
int	 outq_reasoning(struct outq *, const char *, size_t);

/* Long arguments and results are cut, with a mark. -1 as above. */
int	 outq_tool_call(struct outq *, const struct tool_event *);
int	 outq_tool_result(struct outq *, const struct tool_event *);

/*
 * The answer so far is text_bytes long: a mark. Going back to one drops what
 * was said since from the final text (the runtime starts a message anew).
 */
void	 outq_rollback(struct outq *, size_t mark);

/* Ends the turn. Later calls of any kind are ignored. */
void	 outq_final(struct outq *);
void	 outq_error(struct outq *, const char *);

/*
 * The oldest reply and its body, which from now on stays as it is until
 * outq_pop(). NULL when there is none.
 */
const struct reply *outq_head(struct outq *, const char **, size_t *);
void	 outq_pop(struct outq *);

#endif /* LINK_OUTQ_H */

/*
 * The replies of one turn, in order, as JSON bodies for the gateway.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 *
 * A runtime makes tokens faster than a busy host takes them: deltas that wait
 * are joined, so a slow reader costs fewer requests, not more memory.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "outq.h"
#include "util.h"

#define BODY_MAX	(250UL << 10)	/* the gateway takes 256 KiB */
#define ERROR_MAX	2000UL		/* bytes of an error's text */

static const char *const kind_names[] = {
	[REPLY_DELTA] = "delta",
	[REPLY_TOOL_CALL] = "tool_call",
	[REPLY_TOOL_RESULT] = "tool_result",
	[REPLY_REASONING] = "reasoning",
	[REPLY_FINAL] = "final",
	[REPLY_ERROR] = "error",
};

static void
reply_free(struct reply *r)
{
	free(r->text);
	jbuf_free(&r->body);
	free(r);
}

static struct reply *
reply_new(struct outq *q, enum reply_kind kind)
{
	struct reply *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		fatal("reply");
	r->kind = kind;
	r->seq = ++q->seq;
	r->attempt = q->attempt;
	jbuf_init(&r->body, BODY_MAX);
	TAILQ_INSERT_TAIL(&q->queue, r, entry);
	q->count++;
	return r;
}

static void
reply_drop(struct outq *q, struct reply *r)
{
	TAILQ_REMOVE(&q->queue, r, entry);
	q->count--;
	reply_free(r);
}

void
outq_init(struct outq *q)
{
	memset(q, 0, sizeof(*q));
	TAILQ_INIT(&q->queue);
}

void
outq_clear(struct outq *q)
{
	struct reply *r, *next;

	for (r = TAILQ_FIRST(&q->queue); r != NULL; r = next) {
		next = TAILQ_NEXT(r, entry);
		reply_drop(q, r);
	}
	free(q->text);
	q->text = NULL;
}

void
outq_open(struct outq *q, const char *id, const char *trace_id,
    const char *channel_id, uint64_t seq0)
{
	outq_clear(q);
	outq_init(q);
	q->id = id;
	q->trace_id = trace_id;
	q->channel_id = channel_id;
	q->seq = seq0;
	q->attempt = 1;
}

void
outq_attempt(struct outq *q, unsigned int attempt)
{
	struct reply *r, *next;

	for (r = TAILQ_FIRST(&q->queue); r != NULL; r = next) {
		next = TAILQ_NEXT(r, entry);
		if (!r->encoded && r->kind == REPLY_DELTA)
			reply_drop(q, r);
	}
	free(q->text);
	q->text = NULL;
	q->text_bytes = 0;
	q->too_long = false;
	q->attempt = attempt;
}

/* Opens the body with the fields that all kinds have. */
static void
body_start(const struct outq *q, struct reply *r)
{
	struct jbuf *b = &r->body;

	jb_obj(b);
	jb_kstr(b, "kind", kind_names[r->kind]);
	jb_kstr(b, "id", q->id);
	jb_kstr(b, "trace_id", q->trace_id);
	jb_kstr(b, "channel_id", q->channel_id);
	jb_key(b, "seq");
	jb_uint(b, r->seq);
	jb_kint(b, "attempt", r->attempt);
	if (q->oom && (r->kind == REPLY_FINAL || r->kind == REPLY_ERROR))
		jb_kstr(b, "cause", "out_of_memory");
}

static void
body_end(struct reply *r)
{
	jb_end(&r->body);
	r->encoded = true;
	free(r->text);
	r->text = NULL;
}

/* Keeps the answer for the final as long as it may fit there. */
static void
keep_text(struct outq *q, const char *s, size_t len)
{
	char *p;

	if (q->text_bytes + len > OUTQ_FINAL_MAX)
		q->too_long = true;
	if (q->too_long) {
		free(q->text);
		q->text = NULL;
		return;
	}
	if ((p = realloc(q->text, q->text_bytes + len)) == NULL)
		fatal("answer");
	memcpy(p + q->text_bytes, s, len);
	q->text = p;
}

/* Adds to the waiting delta at the tail; returns how much it took. */
static size_t
delta_append(struct outq *q, const char *s, size_t len)
{
	struct reply *r = TAILQ_LAST(&q->queue, reply_list);
	size_t n;
	char *p;

	if (r == NULL || r->kind != REPLY_DELTA || r->encoded ||
	    OUTQ_DELTA_MAX - r->len < 4)
		r = reply_new(q, REPLY_DELTA);
	n = utf8_prefix(s, len, OUTQ_DELTA_MAX - r->len);
	if ((p = realloc(r->text, r->len + n)) == NULL)
		fatal("delta");
	memcpy(p + r->len, s, n);
	r->text = p;
	r->len += n;
	return n;
}

int
outq_delta(struct outq *q, const char *s, size_t len)
{
	size_t n;

	if (q->ended || len == 0)
		return 0;
	if (len > OUTQ_TEXT_MAX - q->text_bytes ||
	    q->count >= OUTQ_ITEMS_MAX)
		return -1;
	keep_text(q, s, len);
	q->text_bytes += len;
	for (; len > 0; s += n, len -= n)
		n = delta_append(q, s, len);
	return 0;
}

void
outq_rollback(struct outq *q, size_t mark)
{
	if (mark < q->text_bytes)
		q->text_bytes = mark;
}

int
outq_reasoning(struct outq *q, const char *s, size_t len)
{
	struct reply *r;

	if (q->ended || len == 0)
		return 0;
	len = utf8_prefix(s, len, OUTQ_RESULT_MAX);
	if (len > OUTQ_TOOLS_MAX - q->tool_bytes ||
	    q->count >= OUTQ_ITEMS_MAX)
		return -1;
	q->tool_bytes += len;
	r = reply_new(q, REPLY_REASONING);
	body_start(q, r);
	jb_key(&r->body, "content");
	jb_strn(&r->body, s, len);
	body_end(r);
	return 0;
}

/* How much of n bytes the turn's tool events may still hold. */
static size_t
tool_share(struct outq *q, size_t n, size_t max)
{
	if (n > max)
		n = max;
	if (n > OUTQ_TOOLS_MAX - q->tool_bytes)
		n = OUTQ_TOOLS_MAX - q->tool_bytes;
	q->tool_bytes += n;
	return n;
}

int
outq_tool_call(struct outq *q, const struct tool_event *ev)
{
	struct reply *r;
	struct jbuf *b;

	if (q->ended)
		return 0;
	if (q->count >= OUTQ_ITEMS_MAX)
		return -1;
	r = reply_new(q, REPLY_TOOL_CALL);
	b = &r->body;
	body_start(q, r);
	jb_kstr(b, "tool", ev->tool);
	jb_kstr(b, "tool_call_id", ev->id);
	jb_key(b, "args");
	if (tool_share(q, ev->len, OUTQ_ARGS_MAX) == ev->len)
		jb_raw(b, ev->json, ev->len);
	else {
		jb_obj(b);
		jb_kint(b, "truncated_bytes", (int64_t)ev->len);
		jb_end(b);
	}
	body_end(r);
	return 0;
}

int
outq_tool_result(struct outq *q, const struct tool_event *ev)
{
	struct reply *r;
	struct jbuf *b;
	size_t n;

	if (q->ended)
		return 0;
	if (q->count >= OUTQ_ITEMS_MAX)
		return -1;
	r = reply_new(q, REPLY_TOOL_RESULT);
	b = &r->body;
	body_start(q, r);
	jb_kstr(b, "tool", ev->tool);
	jb_kstr(b, "tool_call_id", ev->id);
	n = tool_share(q, ev->len, OUTQ_RESULT_MAX);
	n = utf8_prefix(ev->text, ev->len, n);
	jb_key(b, "result");
	jb_strn(b, ev->text, n);
	if (n < ev->len)
		jb_kint(b, "truncated_bytes", (int64_t)(ev->len - n));
	jb_kbool(b, "success", ev->success);
	if (ev->duration_ms >= 0)
		jb_kint(b, "duration_ms", ev->duration_ms);
	body_end(r);
	return 0;
}

void
outq_final(struct outq *q)
{
	struct reply *r;

	if (q->ended)
		return;
	r = reply_new(q, REPLY_FINAL);
	body_start(q, r);
	/* An empty content means: what the deltas said. */
	jb_key(&r->body, "content");
	jb_strn(&r->body, q->text != NULL ? q->text : "",
	    q->text != NULL ? q->text_bytes : 0);
	if (r->body.bad) {
		jbuf_reset(&r->body);
		body_start(q, r);
		jb_kstr(&r->body, "content", "");
	}
	body_end(r);
	q->ended = true;
}

void
outq_error(struct outq *q, const char *why)
{
	struct reply *r;

	if (q->ended)
		return;
	r = reply_new(q, REPLY_ERROR);
	body_start(q, r);
	jb_key(&r->body, "error");
	jb_strn(&r->body, why, utf8_prefix(why, strlen(why), ERROR_MAX));
	body_end(r);
	q->ended = true;
}

const struct reply *
outq_head(struct outq *q, const char **body, size_t *len)
{
	struct reply *r;

	if ((r = TAILQ_FIRST(&q->queue)) == NULL)
		return NULL;
	if (!r->encoded) {
		body_start(q, r);
		jb_key(&r->body, "content");
		jb_strn(&r->body, r->text, r->len);
		body_end(r);
	}
	if ((*body = jbuf_text(&r->body, len)) == NULL)
		fatalx("reply %llu does not fit its bound",
		    (unsigned long long)r->seq);
	return r;
}

void
outq_pop(struct outq *q)
{
	struct reply *r;

	if ((r = TAILQ_FIRST(&q->queue)) != NULL)
		reply_drop(q, r);
}

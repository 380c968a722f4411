/*
 * Live tails: what is committed goes to those who follow.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: front (through out.c).
 *
 * While front has no room, and while a tail still shows what was there
 * before, references wait in a ring.  Who is too far behind is cut off.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "query.h"
#include "trace.h"

#define SLICE_ROWS	64

static bool
is(const char *want, const char *have)
{
	return *want == '\0' || strcmp(want, have) == 0;
}

bool
filter_match(const struct filter *f, const struct envelope *v)
{
	return is(f->kind, v->kind) && is(f->channel_id, v->channel_id) &&
	    is(f->trace_id, v->trace_id) && v->created_at >= f->since &&
	    v->created_at <= f->until;
}

static bool
same(const struct ref *a, const struct ref *b)
{
	return a->hour == b->hour && a->pos == b->pos &&
	    a->fallback == b->fallback;
}

/* Was it committed while the query looked, and found? */
static bool
was_shown(const struct query *q, const struct ref *ref)
{
	size_t i;

	for (i = 0; i < q->nrefs; i++)
		if (same(&q->refs[i], ref))
			return true;
	return false;
}

/* false: the tail is too far behind. */
static bool
push(struct query *q, const struct ref *ref)
{
	if (q->npending == TAIL_PENDING)
		return false;
	if (q->pending == NULL && (q->pending = reallocarray(NULL,
	    TAIL_PENDING, sizeof(*q->pending))) == NULL)
		fatal("tail");
	q->pending[(q->oldest + q->npending++) % TAIL_PENDING] = *ref;
	return true;
}

void
tail_slice(struct query *q)
{
	const struct ref *ref;
	size_t rows;

	for (rows = 0; rows < SLICE_ROWS && q->npending > 0 && out_room();
	    rows++) {
		ref = &q->pending[q->oldest];
		if (!was_shown(q, ref) && query_show(q, ref) == -1)
			return;
		q->oldest = (q->oldest + 1) % TAIL_PENDING;
		q->npending--;
	}
	if (q->npending > 0) {
		if (out_room())
			query_wake(q);
		return;
	}
	/* Up to date: what was needed to get here can go. */
	free(q->pending);
	q->pending = NULL;
	q->oldest = 0;
	free(q->refs);
	q->refs = NULL;
	q->nrefs = q->refsize = 0;
	free(q->hours);
	q->hours = NULL;
	q->nhours = 0;
}

static bool
wants(const struct query *q, const struct tev *e, const struct envelope *v)
{
	return q->follow && strcmp(q->agent_id, e->agent_id) == 0 &&
	    filter_match(&q->filter, v);
}

void
query_publish(const struct tev *e, const struct ref *ref)
{
	struct query *q, *next;
	struct envelope v;
	struct jbuf b;
	const char *text = NULL;
	size_t len = 0;

	tev_envelope(e, &v);
	jbuf_init(&b, TRACE_JSON_MAX);
	TAILQ_FOREACH_SAFE(q, &queries, entry, next) {
		if (!wants(q, e, &v))
			continue;
		if (text == NULL) {
			envelope_json(&b, &v);
			if ((text = jbuf_text(&b, &len)) == NULL)
				break;
		}
		if (q->phase == Q_LIVE && q->npending == 0 && out_room() &&
		    out_row(q->id, "trace", text, len) == 0)
			continue;
		if (push(q, ref))
			continue;
		log_info("a tail of agent %s fell behind", q->agent_id);
		out_end(q->id, 503, "this tail fell too far behind: ask again");
		query_free(q);
	}
	jbuf_free(&b);
}

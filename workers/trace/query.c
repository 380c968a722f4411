/*
 * Queries: which events match, shown newest first or followed live.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: front (through out.c).
 *
 * A query goes through the hours from the newest back and notes where the
 * matching events are; then it reads and shows them.  Both in slices, one a
 * turn of the loop, so commits go on in between, and only as front takes the
 * rows.  A tail stays: tail.c hands it what is committed meanwhile.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "db.h"
#include "log.h"
#include "query.h"
#include "trace.h"

#define SLICE_ROWS	64
#define SLICE_BYTES	(512 * 1024)
#define FAR		1e300

struct query_list queries = TAILQ_HEAD_INITIALIZER(queries);

static struct {
	struct event_base	*base;
	size_t			 n;
} qs;

static void	on_slice(evutil_socket_t, short, void *);

void
query_init(struct event_base *base)
{
	qs.base = base;
}

size_t
query_count(void)
{
	return qs.n;
}

void
query_free(struct query *q)
{
	TAILQ_REMOVE(&queries, q, entry);
	qs.n--;
	if (q->ev != NULL)
		event_free(q->ev);
	free(q->kind);
	free(q->channel_id);
	free(q->trace_id);
	free(q->hours);
	free(q->refs);
	free(q->pending);
	free(q);
}

void
query_wake(struct query *q)
{
	event_active(q->ev, EV_TIMEOUT, 0);
}

/* ---- finding ---- */

static void
add_ref(struct query *q, const struct ref *ref)
{
	if (q->nrefs == q->refsize) {
		q->refsize = q->refsize == 0 ? 64 : q->refsize * 2;
		q->refs = reallocarray(q->refs, q->refsize,
		    sizeof(*q->refs));
		if (q->refs == NULL)
			fatal("query");
	}
	q->refs[q->nrefs++] = *ref;
}

/* One text for each index that can lead; the other filters are tests. */
#define SELECT_REF	"SELECT seq, created_at FROM trace_events WHERE "
#define ALL_TESTS	"(?1='' OR kind=?1) AND (?2='' OR channel_id=?2) " \
			"AND (?3='' OR trace_id=?3) AND created_at>=?4 AND " \
			"created_at<=?5 ORDER BY created_at DESC, seq DESC " \
			"LIMIT ?6"

static const char *
select_refs(const struct filter *f)
{
	if (*f->trace_id != '\0')
		return SELECT_REF "trace_id=?3 AND " ALL_TESTS;
	if (*f->channel_id != '\0')
		return SELECT_REF "channel_id=?2 AND " ALL_TESTS;
	if (*f->kind != '\0')
		return SELECT_REF "kind=?1 AND " ALL_TESTS;
	return SELECT_REF ALL_TESTS;
}

static int
scan_bucket(struct query *q, int64_t hour)
{
	const struct filter *f = &q->filter;
	struct db_stmt *s;
	struct db *db;
	struct ref ref;
	int r;

	if ((db = bucket_get(q->agent_id, hour, false)) == NULL)
		return errno == ENOENT ? 0 : -1;
	s = db_query(db, select_refs(f), "sssddi", f->kind, f->channel_id,
	    f->trace_id, f->since, f->until, (int)(q->limit - q->nrefs));
	if (s == NULL)
		return -1;
	memset(&ref, 0, sizeof(ref));
	ref.hour = hour;
	while ((r = db_step(s)) == 1) {
		ref.pos = db_int(s, 0);
		ref.created_at = db_double(s, 1);
		add_ref(q, &ref);
	}
	db_end(s);
	return r;
}

static int
newest_first(const void *a, const void *b)
{
	const struct ref *x = a, *y = b;

	if (x->created_at != y->created_at)
		return x->created_at < y->created_at ? 1 : -1;
	return x->pos < y->pos ? 1 : x->pos > y->pos ? -1 : 0;
}

/* A line of the fallback: is it in the bucket, or was it seen before? */
static int
on_line(void *arg, const struct ref *ref, const char *id)
{
	struct query *q = arg;
	struct db *db;
	int64_t n = 0;
	size_t i;

	for (i = q->first; i < q->nrefs; i++)
		if (q->refs[i].fallback && memcmp(q->refs[i].digest,
		    ref->digest, TRACE_DIGEST) == 0)
			return 0;
	db = bucket_get(q->agent_id, ref->hour, false);
	if (db != NULL && db_get_int(db, &n, "SELECT count(*) FROM "
	    "trace_events WHERE id=?1 AND digest=?2", "sb", id, ref->digest,
	    (size_t)TRACE_DIGEST) == 1 && n > 0)
		return 0;
	add_ref(q, ref);
	/* The newest lines come last, so the oldest have to go. */
	if (q->nrefs - q->first > 4 * QUERY_LIMIT) {
		qsort(q->refs + q->first, q->nrefs - q->first,
		    sizeof(*q->refs), newest_first);
		q->nrefs = q->first + QUERY_LIMIT;
	}
	return 0;
}

/* One hour; the hours do not overlap, so each can be cut by itself. */
static void
scan_hour(struct query *q)
{
	int64_t hour = q->hours[q->hour++];

	q->first = q->nrefs;
	if (scan_bucket(q, hour) == -1)
		log_warn("agent %s: an hour cannot be read", q->agent_id);
	if (fallback_scan(q->agent_id, hour, &q->filter, on_line, q) == -1)
		log_warn("agent %s: a fallback cannot be read", q->agent_id);
	if (q->nrefs > q->first)
		qsort(q->refs + q->first, q->nrefs - q->first,
		    sizeof(*q->refs), newest_first);
	if (q->nrefs > q->limit)
		q->nrefs = q->limit;
}

/* ---- showing ---- */

int
query_read(struct db *db, int64_t seq, struct jbuf *b)
{
	struct envelope v;
	struct db_stmt *s;
	int r;

	s = db_query(db, "SELECT id, created_at, trace_id, parent_id, "
	    "agent_name, kind, channel_id, thread_id, backend_name, model, "
	    "duration_ms, tokens_in, tokens_out, cost_pico, error, source, "
	    "payload FROM trace_events WHERE seq=?1", "q", seq);
	if (s == NULL)
		return -1;
	if ((r = db_step(s)) == 1) {
		v.id = db_text(s, 0);
		v.created_at = db_double(s, 1);
		v.trace_id = db_text(s, 2);
		v.parent_id = db_text(s, 3);
		v.agent_name = db_text(s, 4);
		v.kind = db_text(s, 5);
		v.channel_id = db_text(s, 6);
		v.thread_id = db_text(s, 7);
		v.backend_name = db_text(s, 8);
		v.model = db_text(s, 9);
		v.duration_ms = db_int(s, 10);
		v.tokens_in = db_int(s, 11);
		v.tokens_out = db_int(s, 12);
		v.cost_pico = db_int(s, 13);
		v.error = db_text(s, 14);
		v.source = db_text(s, 15);
		v.payload = db_text(s, 16);
		v.digest = NULL;
		envelope_json(b, &v);
	}
	db_end(s);
	return r == 1 ? 0 : -1;
}

ssize_t
query_show(struct query *q, const struct ref *ref)
{
	struct jbuf b;
	struct db *db;
	const char *text;
	size_t len = 0;
	ssize_t r = 0;

	jbuf_init(&b, TRACE_JSON_MAX);
	if (ref->fallback)
		fallback_read(q->agent_id, ref->hour, ref->pos, &b);
	else if ((db = bucket_get(q->agent_id, ref->hour, false)) != NULL)
		query_read(db, ref->pos, &b);
	/* Gone meanwhile, or damaged: the others are still worth showing. */
	if ((text = jbuf_text(&b, &len)) != NULL && len > 0)
		r = out_row(q->id, q->follow ? "trace" : "", text, len) == -1 ?
		    -1 : (ssize_t)len;
	jbuf_free(&b);
	return r;
}

/* The references in the order in which they are shown. */
static const struct ref *
ref_at(const struct query *q, size_t i)
{
	return &q->refs[q->follow ? q->nrefs - 1 - i : i];
}

static void
show_slice(struct query *q)
{
	size_t rows, bytes = 0;
	ssize_t n;

	for (rows = 0; rows < SLICE_ROWS && bytes < SLICE_BYTES &&
	    q->next < q->nrefs && out_room(); rows++) {
		if ((n = query_show(q, ref_at(q, q->next))) == -1)
			return;
		bytes += (size_t)n;
		q->next++;
	}
}

static void
on_slice(evutil_socket_t fd, short what, void *arg)
{
	struct query *q = arg;

	(void)fd;
	(void)what;
	if (!out_room())
		return;		/* query_resume() calls again */
	switch (q->phase) {
	case Q_SCAN:
		if (q->hour < q->nhours && q->nrefs < q->limit)
			scan_hour(q);
		else
			q->phase = Q_SHOW;
		query_wake(q);
		break;
	case Q_SHOW:
		show_slice(q);
		if (q->next < q->nrefs) {
			if (out_room())
				query_wake(q);
		} else if (q->follow) {
			q->phase = Q_LIVE;
			query_wake(q);
		} else {
			out_end(q->id, 200, NULL);
			query_free(q);
		}
		break;
	case Q_LIVE:
		tail_slice(q);
		break;
	}
}

/* ---- start and end ---- */

static size_t
count_of(const char *principal)
{
	struct query *q;
	size_t n = 0;

	TAILQ_FOREACH(q, &queries, entry)
		n += strcmp(q->principal, principal) == 0;
	return n;
}

static char *
copy(const char *s)
{
	char *p = strdup(s);

	if (p == NULL)
		fatal("query");
	return p;
}

const char *
query_start(uint64_t id, const char *principal, const char *agent_id,
    const struct filter *f, unsigned int limit, bool follow)
{
	struct query *q;

	if (qs.n >= QUERIES_MAX)
		return "too many queries at one time: try again";
	if (count_of(principal) >= QUERIES_OF_ONE)
		return "too many queries of yours at one time: try again";
	if ((q = calloc(1, sizeof(*q))) == NULL ||
	    (q->ev = evtimer_new(qs.base, on_slice, q)) == NULL)
		fatal("query");
	q->id = id;
	strlcpy(q->principal, principal, sizeof(q->principal));
	strlcpy(q->agent_id, agent_id, sizeof(q->agent_id));
	q->kind = copy(f->kind);
	q->channel_id = copy(f->channel_id);
	q->trace_id = copy(f->trace_id);
	q->filter.kind = q->kind;
	q->filter.channel_id = q->channel_id;
	q->filter.trace_id = q->trace_id;
	q->filter.since = f->since;
	q->filter.until = f->until == 0 ? FAR : f->until;
	q->limit = limit == 0 ? 100 : limit > QUERY_LIMIT ? QUERY_LIMIT :
	    limit;
	q->follow = follow;
	TAILQ_INSERT_TAIL(&queries, q, entry);
	qs.n++;
	if (hours_list(agent_id, q->filter.since, q->filter.until, &q->hours,
	    &q->nhours) == -1) {
		log_warn("agent %s: trace", agent_id);
		query_free(q);
		return "the trace cannot be read";
	}
	query_wake(q);
	return NULL;
}

void
query_cancel(uint64_t id)
{
	struct query *q;

	TAILQ_FOREACH(q, &queries, entry)
		if (q->id == id) {
			query_free(q);
			return;
		}
}

void
query_cancel_all(void)
{
	struct query *q, *next;

	TAILQ_FOREACH_SAFE(q, &queries, entry, next)
		query_free(q);
}

void
query_resume(void)
{
	struct query *q;

	TAILQ_FOREACH(q, &queries, entry)
		query_wake(q);
}

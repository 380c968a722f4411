/*
 * The queue of events and its way to the disk: one commit for many.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: nobody.
 *
 * All that came in during one turn of the loop is committed in the next,
 * so one lone event waits for nobody and a flood shares its syncs.  An event
 * is acknowledged after the commit of its bucket, or after the sync of the
 * .jsonl beside it when SQLite fails, or with a 507.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <errno.h>
#include <string.h>

#include <event2/event.h>

#include "db.h"
#include "log.h"
#include "trace.h"

#define BATCH		256	/* events a turn */

TAILQ_HEAD(tev_list, tev);

static struct {
	struct tev_list	 queue;
	size_t		 bytes;
	struct event	*ev;
} st = { .queue = TAILQ_HEAD_INITIALIZER(st.queue) };

static void	flush_batch(void);

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	flush_batch();
	if (!TAILQ_EMPTY(&st.queue))
		event_active(st.ev, EV_TIMEOUT, 0);
}

void
store_init(struct event_base *base)
{
	if ((st.ev = evtimer_new(base, on_turn, NULL)) == NULL)
		fatal("event");
}

size_t
store_waiting(void)
{
	return st.bytes;
}

int
store_add(struct tev *e)
{
	/* The last quarter is keeper's: agents cannot crowd out its events. */
	size_t room = e->from == PROC_KEEPER ? TRACE_QUEUE :
	    TRACE_QUEUE / 4 * 3;

	if (st.bytes + e->size > room) {
		tev_free(e);
		errno = ENOBUFS;
		return -1;
	}
	st.bytes += e->size;
	TAILQ_INSERT_TAIL(&st.queue, e, entry);
	event_active(st.ev, EV_TIMEOUT, 0);
	return 0;
}

void
store_flush(void)
{
	while (!TAILQ_EMPTY(&st.queue))
		flush_batch();
}

void
store_close(void)
{
	store_flush();
	if (st.ev != NULL)
		event_free(st.ev);
	st.ev = NULL;
}

/* ---- one bucket ---- */

/* 1: an event of that id is there and is this one; 2: is another; 0; -1. */
static int
lookup(struct db *db, const struct tev *e)
{
	struct db_stmt *s;
	const void *digest;
	size_t len;
	int r;

	s = db_query(db, "SELECT digest FROM trace_events WHERE id=?1", "s",
	    e->id);
	if (s == NULL)
		return -1;
	if ((r = db_step(s)) == 1) {
		digest = db_blob(s, 0, &len);
		r = len == TRACE_DIGEST &&
		    memcmp(digest, e->digest, len) == 0 ? 1 : 2;
	}
	db_end(s);
	return r;
}

/*
 * An event without a time of its own lands in the hour of its arrival, so
 * its first copy may be in the hour before.
 */
static bool
is_in_hour_before(const struct tev *e)
{
	struct db *db;

	if (!e->moved || e->minted)
		return false;
	db = bucket_get(e->agent_id, e->hour - 1, false);
	if (db == NULL)
		return false;
	return lookup(db, e) == 1;
}

static int
insert(struct db *db, const struct tev *e, int64_t *seq)
{
	if (db_exec(db, "INSERT INTO trace_events (id, created_at, trace_id, "
	    "parent_id, agent_name, kind, channel_id, thread_id, "
	    "backend_name, model, duration_ms, tokens_in, tokens_out, "
	    "cost_pico, error, source, payload, digest) VALUES (?1, ?2, ?3, "
	    "?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, "
	    "?18)", "sdssssssssqqqqsssb", e->id, e->created_at, e->trace_id,
	    e->parent_id, e->agent_name, e->kind, e->channel_id, e->thread_id,
	    e->backend_name, e->model, e->duration_ms, e->tokens_in,
	    e->tokens_out, e->cost_pico, e->error, e->source, e->payload,
	    e->digest, (size_t)TRACE_DIGEST) == -1)
		return -1;
	*seq = db_last_id(db);
	return 0;
}

/* 0; *seq is 0 for a repetition. */
static int
put(struct db *db, struct tev *e, int64_t *seq)
{
	int r;

	*seq = 0;
	if (e->minted)
		return insert(db, e, seq);
	if ((r = lookup(db, e)) == 2 && e->imported)
		r = 1;
	if (r == 2) {
		tev_conflict(e);
		r = lookup(db, e);
	}
	if (r == 0)
		return insert(db, e, seq);
	return r == 1 ? 0 : -1;
}

/* Commits events of one agent and hour: 0 or -1, nothing then. */
static int
commit(struct tev *const *list, size_t n, int64_t *seqs)
{
	struct db *db;
	size_t i;

	db = bucket_get(list[0]->agent_id, list[0]->hour, true);
	if (db == NULL || db_begin(db) == -1)
		goto fail;
	for (i = 0; i < n; i++)
		if (put(db, list[i], &seqs[i]) == -1) {
			db_rollback(db);
			goto fail;
		}
	if (db_commit(db) == -1)
		goto fail;
	return 0;
fail:
	log_warn("agent %s: bucket cannot be written", list[0]->agent_id);
	/* What such a file holds after a failed sync is anybody's guess. */
	if (errno == EIO || errno == EBADMSG)
		bucket_suspect(list[0]->agent_id, list[0]->hour);
	return -1;
}

static void
finish(struct tev *e, unsigned int status, const char *error)
{
	st.bytes -= e->size;
	if (e->done != NULL)
		e->done(e, status, error);
	tev_free(e);
}

static void
store_group(struct tev **list, size_t n)
{
	int64_t pos[BATCH];
	struct ref ref;
	bool fallback = false;
	size_t i;

	if (commit(list, n, pos) == -1) {
		if (fallback_write(list, n, pos) == -1) {
			for (i = 0; i < n; i++)
				finish(list[i], 507,
				    "the trace cannot be stored");
			return;
		}
		fallback = true;
	}
	memset(&ref, 0, sizeof(ref));
	ref.fallback = fallback;
	for (i = 0; i < n; i++) {
		ref.hour = list[i]->hour;
		ref.created_at = list[i]->created_at;
		ref.pos = pos[i];
		if (fallback)
			memcpy(ref.digest, list[i]->digest, TRACE_DIGEST);
		if (fallback || pos[i] != 0)
			query_publish(list[i], &ref);
		finish(list[i], 202, NULL);
	}
}

static bool
same_bucket(const struct tev *a, const struct tev *b)
{
	return a->hour == b->hour && strcmp(a->agent_id, b->agent_id) == 0;
}

static void
flush_batch(void)
{
	struct tev *batch[BATCH], *group[BATCH], *e;
	size_t i, k, n = 0, left;

	while (n < BATCH && (e = TAILQ_FIRST(&st.queue)) != NULL) {
		TAILQ_REMOVE(&st.queue, e, entry);
		if (is_in_hour_before(e))
			finish(e, 202, NULL);
		else
			batch[n++] = e;
	}
	/* Bucket by bucket, in the order of arrival within each. */
	while (n > 0) {
		for (i = k = left = 0; i < n; i++)
			if (same_bucket(batch[i], batch[0]))
				group[k++] = batch[i];
		for (i = 0; i < n; i++)
			if (!same_bucket(batch[i], group[0]))
				batch[left++] = batch[i];
		n = left;
		store_group(group, k);
	}
}

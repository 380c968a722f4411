/*
 * TRACE_EXPORT: all events of an agent as lines of JSON into a pipe.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: keeper; mover, through the pipe.
 *
 * Hour by hour, the oldest first, in slices and as fast as mover reads, so
 * that events are stored in between.  What comes meanwhile may be in it.
 */
#include <sys/queue.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "db.h"
#include "log.h"
#include "move.h"
#include "sys.h"
#include "trace.h"
#include "worker.h"

#define AT_ONCE		4
#define HIGH_WATER	(512U * 1024)
#define SLICE_ROWS	64
#define STALL_S		120
#define FAR		1e300

struct export {
	TAILQ_ENTRY(export) entry;
	uint64_t	 request;
	struct bufferevent *bev;
	char		 agent_id[33];
	int64_t		*hours;		/* newest first */
	size_t		 left;		/* hours to go, the last one first */
	int64_t		 seq;		/* the last one shown of this hour */
	uint64_t	 rows;
	bool		 all;
};

static TAILQ_HEAD(, export) exports = TAILQ_HEAD_INITIALIZER(exports);

static void
export_free(struct export *e)
{
	if (e->bev != NULL)
		bufferevent_free(e->bev);
	TAILQ_REMOVE(&exports, e, entry);
	free(e->hours);
	free(e);
}

void
export_cancel_all(void)
{
	struct export *e, *next;

	TAILQ_FOREACH_SAFE(e, &exports, entry, next)
		export_free(e);
}

static void
moved(uint64_t request, uint32_t status, const char *error, uint64_t rows)
{
	struct m_moved m = { .status = status, .error = error, .rows = rows };

	if (peer_reply_id(worker_peer(PROC_KEEPER), request, MSG_TRACE_MOVED,
	    false, &m, -1) == -1)
		log_warn("answer to keeper");
}

static void
end(struct export *e, uint32_t status, const char *error)
{
	bufferevent_free(e->bev);
	e->bev = NULL;
	moved(e->request, status, error, e->rows);
	export_free(e);
}

/* A line; an event that cannot be read is told of, not passed over. */
static int
put(struct export *e, struct jbuf *b)
{
	const char *text;
	size_t len;

	if ((text = jbuf_text(b, &len)) == NULL || len == 0)
		return -1;
	if (bufferevent_write(e->bev, text, len) == -1 ||
	    bufferevent_write(e->bev, "\n", 1) == -1)
		return -1;
	e->rows++;
	return 0;
}

/* ---- an hour ---- */

static size_t
next_rows(struct db *db, int64_t after, int64_t seqs[SLICE_ROWS])
{
	struct db_stmt *s;
	size_t n = 0;

	s = db_query(db, "SELECT seq FROM trace_events WHERE seq > ?1 "
	    "ORDER BY seq LIMIT ?2", "qi", after, SLICE_ROWS);
	while (s != NULL && n < SLICE_ROWS && db_step(s) == 1)
		seqs[n++] = db_int(s, 0);
	db_end(s);
	return n;
}

/* 1: there may be more, 0: no, -1. */
static int
from_bucket(struct export *e, int64_t hour)
{
	int64_t seqs[SLICE_ROWS];
	struct jbuf b;
	struct db *db;
	size_t i, n;
	int r = 0;

	if ((db = bucket_get(e->agent_id, hour, false)) == NULL)
		return errno == ENOENT ? 0 : -1;
	n = next_rows(db, e->seq, seqs);
	jbuf_init(&b, TRACE_JSON_MAX);
	for (i = 0; i < n && r == 0; i++) {
		jbuf_reset(&b);
		if (query_read(db, seqs[i], &b) == -1 || put(e, &b) == -1)
			r = -1;
		e->seq = seqs[i];
	}
	jbuf_free(&b);
	return r == -1 ? -1 : n == SLICE_ROWS;
}

/* A line of the fallback, unless it is in the bucket as well. */
static int
on_line(void *arg, const struct ref *ref, const char *id)
{
	struct export *e = arg;
	struct db *db = bucket_get(e->agent_id, ref->hour, false);
	struct jbuf b;
	int64_t n = 0;
	int r = -1;

	if (db != NULL && db_get_int(db, &n, "SELECT count(*) FROM "
	    "trace_events WHERE id=?1", "s", id) == 1 && n > 0)
		return 0;
	jbuf_init(&b, TRACE_JSON_MAX);
	if (fallback_read(e->agent_id, ref->hour, ref->pos, &b) == 0)
		r = put(e, &b);
	jbuf_free(&b);
	return r;
}

static void
slice(struct export *e)
{
	static const struct filter any = { .kind = "", .channel_id = "",
	    .trace_id = "", .since = -FAR, .until = FAR };
	int64_t hour;
	int r;

	while (e->left > 0 && evbuffer_get_length(bufferevent_get_output(
	    e->bev)) < HIGH_WATER) {
		hour = e->hours[e->left - 1];
		if ((r = from_bucket(e, hour)) == 0) {
			r = fallback_scan(e->agent_id, hour, &any, on_line,
			    e);
			e->left--;
			e->seq = 0;
		}
		if (r == -1) {
			end(e, 500, "an hour of the trace cannot be read");
			return;
		}
	}
	if (e->left == 0)
		e->all = true;
	if (e->all && evbuffer_get_length(bufferevent_get_output(e->bev)) ==
	    0)
		end(e, 200, NULL);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	(void)bev;
	slice(arg);
}

static void
on_gone(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	end(arg, 502, "the reader of the trace has left");
}

int
h_trace_export(struct peer *p, struct msg *m)
{
	const struct timeval stall = { STALL_S, 0 };
	struct export *e;
	size_t n = 0;

	(void)p;
	TAILQ_FOREACH(e, &exports, entry)
		n++;
	if (!sys_is_id(m->u.trace_move.agent_id))
		return -1;
	if (n >= AT_ONCE) {
		moved(m->id, 429, "other traces are being exported", 0);
		return 0;
	}
	/* What was acknowledged is on disk; what waits comes with it. */
	store_flush();
	if ((e = calloc(1, sizeof(*e))) == NULL ||
	    evutil_make_socket_nonblocking(m->fd) == -1 ||
	    (e->bev = bufferevent_socket_new(worker_base(), m->fd,
	    BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("export");
	m->fd = -1;
	e->request = m->id;
	(void)strlcpy(e->agent_id, m->u.trace_move.agent_id,
	    sizeof(e->agent_id));
	TAILQ_INSERT_TAIL(&exports, e, entry);
	if (hours_list(e->agent_id, -FAR, FAR, &e->hours, &e->left) == -1) {
		end(e, 500, "the trace cannot be read");
		return 0;
	}
	bufferevent_setcb(e->bev, NULL, on_written, on_gone, e);
	bufferevent_setwatermark(e->bev, EV_WRITE, HIGH_WATER / 4, 0);
	(void)bufferevent_set_timeouts(e->bev, NULL, &stall);
	(void)bufferevent_enable(e->bev, EV_READ | EV_WRITE);
	bufferevent_trigger(e->bev, EV_WRITE, 0);
	return 0;
}

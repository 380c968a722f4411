/*
 * Records for trace: stored with the change they tell of, sent until trace
 * has them on disk.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: trace.
 *
 * Sending twice is harmless, trace knows a record by its id.  So rows are
 * removed lazily, many in one transaction: a commit for each would cost an
 * fsync a record.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "sys.h"
#include "worker.h"

#define WINDOW		32		/* records under way */
#define ACKED_MAX	64		/* acknowledged, not yet removed */
#define SWEEP_MS	200
#define RETRY_MS	1000
#define TIMEOUT_MS	30000
#define ROWS_MAX	20000		/* then nothing new is accepted */
#define PAYLOAD_MAX	49152		/* trace_event.payload in msg.def */
#define MORE_MAX	61440		/* trace_more.data in msg.def */

struct flight {
	int64_t		 n;		/* row; 0: free */
	uint64_t	 req;
};

static struct {
	struct flight	 fl[WINDOW];
	unsigned	 nflights;
	int64_t		 sent;		/* all rows up to here were sent */
	int64_t		 rows;		/* waiting, about */
	int64_t		 acked[ACKED_MAX];
	size_t		 nacked;
	struct event	*sweep;
	struct event	*retry;
} tb;

static void	 send_waiting(void);

static void
arm(struct event *ev, int ms)
{
	struct timeval	 tv = { ms / 1000, ms % 1000 * 1000 };

	if (!evtimer_pending(ev, NULL))
		(void)evtimer_add(ev, &tv);
}

/* Removes the rows that trace has. */
static void
remove_acked(void)
{
	size_t	 i;

	if (tb.nacked == 0)
		return;
	if (db_in_tx(keeper_db()) || db_begin(keeper_db()) == -1) {
		arm(tb.sweep, SWEEP_MS);
		return;
	}
	for (i = 0; i < tb.nacked; i++)
		(void)db_exec(keeper_db(),
		    "DELETE FROM trace_outbox WHERE n = ?1", "q",
		    tb.acked[i]);
	if (db_commit(keeper_db()) == -1) {
		arm(tb.sweep, RETRY_MS);
		return;
	}
	tb.rows -= (int64_t)tb.nacked;
	tb.nacked = 0;
}

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	remove_acked();
	send_waiting();
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	send_waiting();
}

void
tracebox_init(void)
{
	tb.sweep = evtimer_new(worker_base(), on_sweep, NULL);
	tb.retry = evtimer_new(worker_base(), on_retry, NULL);
	if (tb.sweep == NULL || tb.retry == NULL)
		fatal("timer");
	if (db_get_int(keeper_db(), &tb.rows,
	    "SELECT count(*) FROM trace_outbox", "") != 1)
		fatalx("cannot read the records for trace");
}

bool
tracebox_room(struct client c)
{
	if (tb.rows < ROWS_MAX)
		return true;
	reply_error(c, 503, "trace does not take records at this time: "
	    "try again");
	return false;
}

void
tracebox_add(const char *agent_id, const char *kind, const char *trace_id,
    const char *channel_id, const char *error, struct jbuf *payload)
{
	const struct agent	*a;
	const char		*text;
	char			 id[ID_LEN + 1];
	size_t			 len;

	if ((text = jbuf_text(payload, &len)) == NULL)
		text = "{\"truncated\":true}";
	sys_id(id);
	a = agent_by_id(agent_id);
	if (db_exec(keeper_db(), "INSERT INTO trace_outbox (id, owner_id, "
	    "agent_id, kind, trace_id, channel_id, error, payload, "
	    "created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	    "ssssssssd", id, a != NULL ? a->owner : "", agent_id, kind,
	    trace_id, channel_id, error, text, sys_time()) == 1)
		tb.rows++;
	jbuf_free(payload);
}

void
tracebox_lifecycle(const char *agent_id, const char *event,
    const char *detail, const char *error)
{
	struct jbuf	 jb;

	jbuf_init(&jb, 8192);
	jb_obj(&jb);
	jb_kstr(&jb, "event", event);
	if (detail[0] != '\0')
		jb_kstr(&jb, "step", detail);
	if (error[0] != '\0')
		jb_kstr(&jb, "reason", error);
	jb_end(&jb);
	tracebox_add(agent_id, "lifecycle", "", "", error, &jb);
}

static void
flight_end(struct flight *fl)
{
	fl->n = 0;
	fl->req = 0;
	tb.nflights--;
}

static void
on_done(struct msg *m, void *arg)
{
	struct flight	*fl = arg;
	int64_t		 n = fl->n;
	uint32_t	 status;

	flight_end(fl);
	status = m != NULL && m->type == MSG_DONE ? m->u.done.status : 503;
	if (status >= 500) {
		/* Again from there on; what comes twice does no harm. */
		if (n <= tb.sent)
			tb.sent = n - 1;
		arm(tb.retry, RETRY_MS);
		return;
	}
	if (status >= 400)
		log_warnx("trace refuses record %lld: %u %s", (long long)n,
		    status, m->u.done.error);
	tb.acked[tb.nacked++] = n;
	if (tb.nacked == ACKED_MAX)
		remove_acked();
	else
		arm(tb.sweep, SWEEP_MS);
	if (!evtimer_pending(tb.retry, NULL))
		send_waiting();
}

/* The payload is sent in a first piece and as many more as it needs. */
static uint64_t
send_record(struct peer *p, struct m_trace_event *ev, const char *payload,
    struct flight *fl)
{
	struct m_trace_more	 more;
	size_t			 len = strlen(payload), off;
	uint64_t		 id;
	char			*first;

	if (len <= PAYLOAD_MAX) {
		ev->payload = payload;
		return peer_request(p, MSG_TRACE_EVENT, ev, TIMEOUT_MS,
		    on_done, fl);
	}
	if ((first = strndup(payload, PAYLOAD_MAX)) == NULL)
		return 0;
	ev->payload = first;
	id = peer_request_more(p, MSG_TRACE_EVENT, ev, TIMEOUT_MS, on_done,
	    fl);
	free(first);
	for (off = PAYLOAD_MAX; id != 0 && off < len; off += more.data.len) {
		more.data.ptr = payload + off;
		more.data.len = len - off > MORE_MAX ? MORE_MAX : len - off;
		if (peer_send_id(p, MSG_TRACE_MORE, id,
		    off + more.data.len < len, &more) == -1)
			log_warn("record to trace");
	}
	return id;
}

static int
send_row(struct db_stmt *s, struct flight *fl)
{
	struct m_trace_event	 ev;

	memset(&ev, 0, sizeof(ev));
	fl->n = db_int(s, 0);
	ev.id = db_text(s, 1);
	ev.agent_id = db_text(s, 2);
	ev.kind = db_text(s, 3);
	ev.trace_id = db_text(s, 4);
	ev.channel_id = db_text(s, 5);
	ev.error = db_text(s, 6);
	ev.created_at = db_double(s, 8);
	ev.duration_ms = ev.tokens_in = ev.tokens_out = ev.cost_pico = -1;
	ev.source = "keeper";
	fl->req = send_record(worker_peer(PROC_TRACE), &ev, db_text(s, 7), fl);
	if (fl->req == 0) {
		fl->n = 0;
		return -1;
	}
	tb.nflights++;
	return 0;
}

/* A place for one more; what is under way may all be acknowledged at once. */
static struct flight *
free_flight(void)
{
	size_t	 i;

	if (tb.nacked + tb.nflights >= ACKED_MAX)
		return NULL;
	for (i = 0; i < WINDOW; i++)
		if (tb.fl[i].n == 0)
			return &tb.fl[i];
	return NULL;
}

static bool
is_acked(int64_t n)
{
	size_t	 i;

	for (i = 0; i < tb.nacked; i++)
		if (tb.acked[i] == n)
			return true;
	for (i = 0; i < WINDOW; i++)
		if (tb.fl[i].n == n)
			return true;
	return false;
}

static void
send_waiting(void)
{
	struct db_stmt	*s;
	struct flight	*fl;
	int		 rc;

	if (!peer_is_up(worker_peer(PROC_TRACE)) || free_flight() == NULL ||
	    db_in_tx(keeper_db()))
		return;
	s = db_query(keeper_db(), "SELECT n, id, agent_id, kind, trace_id, "
	    "channel_id, error, payload, created_at FROM trace_outbox "
	    "WHERE n > ?1 ORDER BY n LIMIT ?2", "qi", tb.sent, WINDOW);
	if (s == NULL)
		return;
	while ((rc = db_step(s)) == 1 && (fl = free_flight()) != NULL) {
		if (!is_acked(db_int(s, 0)) && send_row(s, fl) == -1) {
			arm(tb.retry, RETRY_MS);
			break;
		}
		tb.sent = db_int(s, 0);
	}
	db_end(s);
	/* The count is only about right: a record may not have committed. */
	if (rc == 0 && tb.nflights == 0 && tb.nacked == 0)
		tb.rows = 0;
}

void
tracebox_kick(void)
{
	if (tb.rows > 0)
		send_waiting();
}

void
tracebox_up(void)
{
	tb.sent = 0;
	send_waiting();
}

void
tracebox_down(void)
{
	tb.sent = 0;
}

static void
on_agent_done(struct msg *m, void *arg)
{
	(void)arg;
	/* Without an answer: it is told again when trace is back. */
	if (m != NULL && m->u.done.status >= 300)
		log_warnx("trace: name of an agent: %s", m->u.done.error);
}

void
tracebox_agent(const struct agent *a)
{
	struct m_trace_agent	 m;

	m.agent_id = a->id;
	m.slug = a->slug;
	m.owner = a->owner;
	if (peer_request(worker_peer(PROC_TRACE), MSG_TRACE_AGENT, &m,
	    TIMEOUT_MS, on_agent_done, NULL) == 0 && errno != ENOTCONN)
		log_warn("name of an agent to trace");
}

/*
 * Events to agents: the outbox, the streams that carry it, presence.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: gateway.
 *
 * A row of the outbox is an open turn.  It is sent on every new stream of its
 * agent until the turn is over, in order of the event ids; the link drops
 * what it knows.  Only a window of them is under way, so that a thousand
 * queued messages never fill the channel to gateway.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "prepare.h"
#include "saga.h"
#include "worker.h"

#define WINDOW		16		/* open turns sent on a stream */
#define SEEN_EVERY	10.0		/* seconds: last_seen on disk */
#define LOOK_MS		1000

struct sub {
	uint64_t	 id;		/* of gateway's request */
	uint64_t	 sent;		/* highest event sent */
	unsigned	 open;		/* turns sent and not over */
	bool		 stuck;		/* gateway's queue is full */
};

static struct peer *
gateway(void)
{
	return worker_peer(PROC_GATEWAY);
}

void
bridge_turn(const struct agent *a, const char *trace_id,
    const char *channel_id, bool open)
{
	struct m_turn	 m;

	m.agent_id = a->id;
	m.trace_id = trace_id;
	m.channel_id = channel_id;
	m.open = open;
	if (peer_send(gateway(), MSG_TURN, &m) == -1 && errno != ENOTCONN)
		log_warn("agent %s: turn to gateway", a->slug);
}

/* last_seen need not be exact: a flapping link must not cost an fsync each. */
static void
presence_lost(struct agent *a)
{
	a->last_seen = sys_time();
	if (a->last_seen - a->seen_saved < SEEN_EVERY ||
	    db_in_tx(keeper_db()))
		return;
	if (agent_save(a) == 0)
		a->seen_saved = a->last_seen;
}

static void
sub_free(struct agent *a)
{
	free(a->sub);
	a->sub = NULL;
	presence_lost(a);
	prepare_lost(a);
	job_connected(a, false);
	/* The instance may have ended: look, if no event has said so. */
	if (a->state == AGENT_RUNNING && a->job == NULL && a->doing == NULL)
		reconcile_soon(LOOK_MS);
}

void
bridge_close(struct agent *a)
{
	if (a->sub == NULL)
		return;
	(void)reply_send(gateway(), a->sub->id, false, 200, "", 0, NULL);
	sub_free(a);
}

bool
bridge_cancel(uint64_t id)
{
	struct agent	*a;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (a->sub != NULL && a->sub->id == id) {
			sub_free(a);
			return true;
		}
	return false;
}

void
bridge_down(void)
{
	struct agent	*a;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (a->sub != NULL)
			sub_free(a);
}

int
bridge_event(struct agent *a, const char *event, struct jbuf *jb)
{
	return a->sub == NULL ? -1 : reply_send(gateway(), a->sub->id, true,
	    200, event, 0, jb);
}

/* ---- delivery ---- */

#define EVENT_COLS \
	"o.event_id, m.id, m.channel_id, m.author_id, m.content, " \
	"m.created_at, m.state"

static int
send_event(struct agent *a, struct db_stmt *s)
{
	const char	*id = db_text(s, 1);
	struct jbuf	 jb;
	int		 rc;

	jbuf_init(&jb, JSON_MAX);
	jb_obj(&jb);
	jb_kstr(&jb, "id", id);
	jb_kstr(&jb, "trace_id", id);
	jb_kstr(&jb, "channel_id", db_text(s, 2));
	jb_kstr(&jb, "from", db_text(s, 3));
	jb_kstr(&jb, "text", db_text(s, 4));
	jb_key(&jb, "created_at");
	jb_double(&jb, db_double(s, 5));
	jb_end(&jb);
	/* gateway must know the turn before the agent can use it. */
	bridge_turn(a, id, db_text(s, 2), true);
	rc = reply_send(gateway(), a->sub->id, true, 200, "user_message",
	    (uint64_t)db_int(s, 0), &jb);
	jbuf_free(&jb);
	return rc;
}

/* Sends what fits the window; returns the number of new deliveries. */
static unsigned
send_waiting(struct agent *a, char fresh[WINDOW][ID_LEN + 1])
{
	struct sub	*sub = a->sub;
	struct db_stmt	*s;
	unsigned	 n = 0;

	s = db_query(keeper_db(), "SELECT " EVENT_COLS " FROM outbox o JOIN "
	    "message m ON m.id = o.message_id WHERE o.agent_id = ?1 AND "
	    "o.event_id > ?2 ORDER BY o.event_id LIMIT ?3", "squ", a->id,
	    (int64_t)sub->sent, WINDOW - sub->open);
	while (s != NULL && sub->open < WINDOW && db_step(s) == 1) {
		if (send_event(a, s) == -1) {
			sub->stuck = true;
			break;
		}
		sub->sent = (uint64_t)db_int(s, 0);
		sub->open++;
		if (strcmp(db_text(s, 6), "queued") == 0)
			(void)strlcpy(fresh[n++], db_text(s, 1), ID_LEN + 1);
	}
	db_end(s);
	return n;
}

void
bridge_deliver(struct agent *a)
{
	char		 fresh[WINDOW][ID_LEN + 1];
	struct db	*db = keeper_db();
	unsigned	 i, n;

	if (a->sub == NULL || a->sub->stuck || a->queued == 0 ||
	    a->state != AGENT_RUNNING || a->prepare != NULL)
		return;
	n = send_waiting(a, fresh);
	if (n == 0 || db_begin(db) == -1)
		return;
	/* After sending: if this is lost the event only comes once more. */
	for (i = 0; i < n; i++) {
		(void)db_exec(db, "UPDATE outbox SET delivered_at = ?2 "
		    "WHERE message_id = ?1", "sd", fresh[i], sys_time());
		(void)db_exec(db, "UPDATE message SET state = 'delivered' "
		    "WHERE id = ?1 AND state = 'queued'", "s", fresh[i]);
	}
	if (db_commit(db) == -1)
		return;
	for (i = 0; i < n; i++)
		watch_state(a->channel_id, fresh[i], "delivered", "");
}

void
bridge_closed_turn(struct agent *a, uint64_t event_id)
{
	idle_touch(a);
	if (a->queued > 0)
		a->queued--;
	if (a->sub != NULL && event_id <= a->sub->sent && a->sub->open > 0)
		a->sub->open--;
	bridge_deliver(a);
}

void
bridge_drained(void)
{
	struct agent	*a;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (a->sub != NULL && a->sub->stuck) {
			a->sub->stuck = false;
			bridge_deliver(a);
		}
}

/*
 * gateway is new: it must know the open turns, an agent may be in the middle
 * of one.
 */
void
bridge_up(void)
{
	struct agent	*a;
	struct db_stmt	*s;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		keeper_tell_gateway(a);
	pool_gateway_up();
	s = db_query(keeper_db(), "SELECT o.agent_id, m.id, m.channel_id "
	    "FROM outbox o JOIN message m ON m.id = o.message_id "
	    "WHERE o.delivered_at > 0 ORDER BY o.agent_id, o.event_id", "");
	while (s != NULL && db_step(s) == 1)
		if ((a = agent_by_id(db_text(s, 0))) != NULL)
			bridge_turn(a, db_text(s, 1), db_text(s, 2), true);
	db_end(s);
}

/* ---- requests of gateway ---- */

int
h_bridge_sub(struct peer *p, struct msg *m)
{
	struct agent	*a;
	struct jbuf	 jb;

	a = agent_by_id(m->u.bridge_sub.agent_id);
	if (a == NULL || a->asleep || (a->state != AGENT_RUNNING &&
	    a->state != AGENT_DEPLOYING && a->prepare == NULL)) {
		jbuf_init(&jb, 256);
		jb_obj(&jb);
		jb_kstr(&jb, "error", a == NULL ? "there is no such agent" :
		    "the agent does not run");
		jb_end(&jb);
		(void)reply_send(p, m->id, false, a == NULL ? 404 : 409, "",
		    0, &jb);
		jbuf_free(&jb);
		return 0;
	}
	if (a->sub != NULL) {
		/* The new stream takes over. */
		(void)reply_send(p, a->sub->id, false, 200, "", 0, NULL);
		memset(a->sub, 0, sizeof(*a->sub));
	} else if ((a->sub = calloc(1, sizeof(*a->sub))) == NULL)
		fatal("subscription");
	a->sub->id = m->id;
	a->last_seen = sys_time();
	idle_touch(a);
	log_debug("agent %s: connected", a->slug);
	turn_fresh(a, m->u.bridge_sub.last_id);
	job_connected(a, true);
	prepare_connected(a);
	saga_link(a);
	bridge_deliver(a);
	return 0;
}

#define NO_ANSWER	"the agent gave no answer"

static int
fail_turns(char ids[WINDOW][ID_LEN + 1], unsigned n)
{
	struct db	*db = keeper_db();
	unsigned	 i;

	if (db_begin(db) == -1)
		return -1;
	for (i = 0; i < n; i++) {
		(void)db_exec(db, "DELETE FROM outbox WHERE message_id = ?1",
		    "s", ids[i]);
		(void)db_exec(db, "UPDATE message SET state = 'failed', "
		    "error = ?2 WHERE id = ?1", "ss", ids[i], NO_ANSWER);
	}
	return db_commit(db);
}

/*
 * The link is through with all events up to there.  A turn that it never
 * answered has failed: it will not come back to it.
 */
int
h_bridge_ack(struct peer *p, struct msg *m)
{
	const struct m_bridge_ack	*in = &m->u.bridge_ack;
	char				 ids[WINDOW][ID_LEN + 1];
	uint64_t			 events[WINDOW];
	struct db_stmt			*s;
	struct agent			*a;
	unsigned			 i, n = 0;

	if ((a = agent_by_id(in->agent_id)) == NULL) {
		(void)peer_done(p, m->id, 404, "there is no such agent");
		return 0;
	}
	s = db_query(keeper_db(), "SELECT event_id, message_id FROM outbox WHERE "
	    "agent_id = ?1 AND event_id <= ?2 AND delivered_at > 0 "
	    "ORDER BY event_id LIMIT ?3", "sqi", a->id,
	    (int64_t)(in->up_to > INT64_MAX ? INT64_MAX : in->up_to), WINDOW);
	while (s != NULL && n < WINDOW && db_step(s) == 1) {
		events[n] = (uint64_t)db_int(s, 0);
		(void)strlcpy(ids[n++], db_text(s, 1), sizeof(ids[0]));
	}
	db_end(s);
	if (n > 0 && fail_turns(ids, n) == -1) {
		(void)peer_done(p, m->id, 507, "cannot be stored");
		return 0;
	}
	for (i = 0; i < n; i++) {
		turn_forget(a, ids[i]);
		bridge_turn(a, ids[i], a->channel_id, false);
		watch_state(a->channel_id, ids[i], "failed", NO_ANSWER);
		bridge_closed_turn(a, events[i]);
	}
	(void)peer_done(p, m->id, 200, NULL);
	return 0;
}

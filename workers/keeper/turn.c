/*
 * Answers of agents: deltas in memory, the final text stored once.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: gateway.
 *
 * The row in the outbox says that a turn is open, the agent's message with
 * its trace_id that it is over; both change in one transaction, so a second
 * final finds the turn closed whatever happened in between.
 */
#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "worker.h"

#define TURN_MAX	(1024U * 1024)		/* bytes of deltas */
#define ALL_TURNS_MAX	(64U * 1024 * 1024)
#define TRACE_TEXT	(900U * 1024)		/* JSON in one record */
#define TRACE_CUT	(128U * 1024)		/* bytes, if it is more */

struct turn {
	TAILQ_ENTRY(turn) entry;
	struct agent	*agent;
	char		 trace_id[ID_LEN + 1];	/* the user's message */
	char		 channel_id[ID_LEN + 1];
	char		 msg_id[ID_LEN + 1];	/* the answer's */
	uint64_t	 event_id;
	uint64_t	 seq;			/* last one taken */
	uint32_t	 attempt;
	double		 started;
	bool		 announced;		/* watchers know the message */
	char		*text;			/* owned, NUL-terminated */
	size_t		 len;
};

static TAILQ_HEAD(turn_list, turn) turns = TAILQ_HEAD_INITIALIZER(turns);
static size_t	 total;

static void
turn_free(struct turn *t)
{
	TAILQ_REMOVE(&turns, t, entry);
	total -= t->len;
	free(t->text);
	free(t);
}

void
turn_forget_agent(struct agent *a)
{
	struct turn	*t, *next;

	for (t = TAILQ_FIRST(&turns); t != NULL; t = next) {
		next = TAILQ_NEXT(t, entry);
		if (t->agent == a)
			turn_free(t);
	}
}

static struct turn *
turn_in_memory(const struct agent *a, const char *trace_id)
{
	struct turn	*t;

	TAILQ_FOREACH(t, &turns, entry)
		if (t->agent == a && strcmp(t->trace_id, trace_id) == 0)
			return t;
	return NULL;
}

void
turn_forget(struct agent *a, const char *trace_id)
{
	struct turn	*t;

	if ((t = turn_in_memory(a, trace_id)) != NULL)
		turn_free(t);
}

/*
 * The id of the answer follows from the question's: after a restart a client
 * still finds the message that it has seen begin.
 */
static void
answer_id(const char *trace_id, char out[ID_LEN + 1])
{
	uint8_t	 digest[crypto_generichash_BYTES];

	(void)crypto_generichash(digest, sizeof(digest),
	    (const unsigned char *)trace_id, strlen(trace_id),
	    (const unsigned char *)"agentd answer id", 16);
	sys_hex(out, digest, ID_LEN / 2);
}

/* The open turn, from memory or by its row; NULL if there is none. */
static struct turn *
turn_get(struct agent *a, const char *trace_id)
{
	struct db_stmt	*s;
	struct turn	*t;

	if (!sys_is_id(trace_id))
		return NULL;
	if ((t = turn_in_memory(a, trace_id)) != NULL)
		return t;
	s = db_query(keeper_db(), "SELECT o.event_id, m.channel_id FROM "
	    "outbox o JOIN message m ON m.id = o.message_id WHERE "
	    "o.agent_id = ?1 AND o.message_id = ?2", "ss", a->id, trace_id);
	if (s == NULL)
		return NULL;
	if (db_step(s) == 1) {
		if ((t = calloc(1, sizeof(*t))) == NULL)
			fatal("turn");
		t->agent = a;
		t->attempt = 1;
		t->started = sys_time();
		t->event_id = (uint64_t)db_int(s, 0);
		(void)strlcpy(t->trace_id, trace_id, sizeof(t->trace_id));
		(void)strlcpy(t->channel_id, db_text(s, 1),
		    sizeof(t->channel_id));
		answer_id(trace_id, t->msg_id);
		TAILQ_INSERT_TAIL(&turns, t, entry);
	}
	db_end(s);
	return t;
}

static void
as_message(const struct turn *t, struct message *m, const char *content,
    const char *state, const char *error)
{
	memset(m, 0, sizeof(*m));
	m->id = t->msg_id;
	m->channel_id = t->channel_id;
	m->author_id = t->agent->slug;
	m->author_type = "agent";
	m->content = content;
	m->state = state;
	m->trace_id = t->trace_id;
	m->error = error;
	m->created_at = t->started;
}

void
turn_replay(const char *channel_id,
    void (*fn)(const struct message *, void *), void *arg)
{
	struct message	 m;
	struct turn	*t;

	TAILQ_FOREACH(t, &turns, entry)
		if (t->announced && strcmp(t->channel_id, channel_id) == 0) {
			as_message(t, &m, t->text != NULL ? t->text : "",
			    "streaming", "");
			fn(&m, arg);
		}
}

/* ---- deltas ---- */

static void
send_text(const struct turn *t, const char *event, const char *key,
    const char *text)
{
	struct jbuf	 jb;

	jbuf_init(&jb, JSON_MAX);
	jb_obj(&jb);
	jb_kstr(&jb, "message_id", t->msg_id);
	jb_kstr(&jb, "channel_id", t->channel_id);
	if (key != NULL)
		jb_kstr(&jb, key, text);
	jb_end(&jb);
	watch_send(t->channel_id, event, 0, &jb);
	jbuf_free(&jb);
}

/* A later attempt starts over: what the earlier one said is void. */
static void
turn_reset(struct turn *t, uint32_t attempt)
{
	t->attempt = attempt;
	t->seq = 0;
	total -= t->len;
	t->len = 0;
	free(t->text);
	t->text = NULL;
	if (t->announced)
		send_text(t, "message_reset", NULL, NULL);
}

/*
 * A subscriber that has not seen these events runs their turns from the
 * start, and counts from the start.
 */
void
turn_fresh(struct agent *a, uint64_t last_id)
{
	struct turn	*t;

	TAILQ_FOREACH(t, &turns, entry)
		if (t->agent == a && t->event_id > last_id)
			turn_reset(t, 1);
}

static int
delta(struct peer *p, uint64_t id, uint64_t seq, struct turn *t,
    const char *text)
{
	size_t		 add = strlen(text);
	struct message	 m;
	char		*grown;

	if (t->len + add > TURN_MAX || total + add > ALL_TURNS_MAX)
		return peer_done(p, id, 413, "the answer is over %u bytes",
		    TURN_MAX);
	if ((grown = realloc(t->text, t->len + add + 1)) == NULL)
		fatal("turn");
	memcpy(grown + t->len, text, add + 1);
	t->text = grown;
	t->len += add;
	total += add;
	if (seq != 0)
		t->seq = seq;
	if (!t->announced) {
		t->announced = true;
		as_message(t, &m, "", "streaming", "");
		watch_message(&m);
	}
	send_text(t, "message_delta", "delta", text);
	return peer_done(p, id, 202, NULL);
}

/* ---- the end of a turn ---- */

static void
trace_text(const struct turn *t, const char *text)
{
	struct jbuf	 jb;

	jbuf_init(&jb, TRACE_TEXT);
	jb_obj(&jb);
	jb_kstr(&jb, "content", text);
	jb_kstr(&jb, "message_id", t->msg_id);
	jb_kint(&jb, "attempt", t->attempt);
	jb_end(&jb);
	if (jbuf_text(&jb, NULL) == NULL) {
		jbuf_free(&jb);
		jbuf_init(&jb, TRACE_TEXT);
		jb_obj(&jb);
		jb_key(&jb, "content");
		jb_strn(&jb, text, TRACE_CUT);
		jb_kbool(&jb, "truncated", true);
		jb_kstr(&jb, "message_id", t->msg_id);
		jb_kint(&jb, "attempt", t->attempt);
		jb_end(&jb);
	}
	tracebox_add(t->agent->id, "message_out", t->trace_id, t->channel_id,
	    "", &jb);
}

static void
trace_error(const struct turn *t, const char *error)
{
	struct jbuf	 jb;

	jbuf_init(&jb, 65536);
	jb_obj(&jb);
	jb_kstr(&jb, "stage", "runtime");
	jb_kstr(&jb, "message", error);
	jb_kint(&jb, "attempt", t->attempt);
	jb_end(&jb);
	tracebox_add(t->agent->id, "error", t->trace_id, t->channel_id,
	    error, &jb);
}

/* One transaction; error is "" for an answer. */
static int
store(struct turn *t, struct message *m)
{
	struct db	*db = keeper_db();
	bool		 ok = m->error[0] == '\0';

	if (db_begin(db) == -1)
		return -1;
	(void)db_exec(db, "INSERT INTO message (id, owner_id, channel_id, "
	    "author_id, author_type, content, state, trace_id, error, "
	    "created_at, edited_at) VALUES (?1, ?2, ?3, ?4, 'agent', ?5, ?6, "
	    "?7, ?8, ?9, ?10)", "ssssssssdd", m->id, t->agent->owner,
	    m->channel_id, m->author_id, m->content, m->state, m->trace_id,
	    m->error, m->created_at, m->edited_at);
	m->seq = (uint64_t)db_last_id(db);
	(void)db_exec(db, "UPDATE message SET state = ?2, error = ?3 "
	    "WHERE id = ?1", "sss", t->trace_id, ok ? "answered" : "failed",
	    m->error);
	(void)db_exec(db, "DELETE FROM outbox WHERE message_id = ?1", "s",
	    t->trace_id);
	(void)db_exec(db, "UPDATE channel SET last_message_at = ?2 "
	    "WHERE id = ?1", "sd", t->channel_id, sys_time());
	if (ok)
		trace_text(t, m->content);
	else
		trace_error(t, m->error);
	return db_commit(db);
}

/* Who watches sees the message that has grown become what it is now. */
static void
tell_watchers(const struct turn *t, const struct message *m)
{
	struct jbuf	 jb;

	if (!t->announced) {
		watch_message(m);
	} else {
		jbuf_init(&jb, JSON_MAX);
		jb_obj(&jb);
		jb_kstr(&jb, "message_id", m->id);
		jb_kstr(&jb, "channel_id", m->channel_id);
		jb_kstr(&jb, "content", m->content);
		jb_key(&jb, "edited_at");
		jb_double(&jb, m->edited_at);
		jb_end(&jb);
		watch_send(t->channel_id, "message_edit", m->seq, &jb);
		jbuf_free(&jb);
		watch_state(t->channel_id, m->id, m->state, m->error);
	}
	watch_state(t->channel_id, t->trace_id,
	    m->error[0] == '\0' ? "answered" : "failed", m->error);
}

static int
finish(struct peer *p, uint64_t id, struct turn *t, const char *content,
    const char *error)
{
	struct agent	*a = t->agent;
	uint64_t	 event_id = t->event_id;
	struct message	 m;

	if (content[0] == '\0' && t->text != NULL)
		content = t->text;
	as_message(t, &m, content, error[0] == '\0' ? "complete" : "error",
	    error);
	if (t->announced)
		m.edited_at = sys_time();
	if (store(t, &m) == -1)
		return peer_done(p, id, 503, "the answer cannot be stored");
	(void)peer_done(p, id, 202, NULL);
	tell_watchers(t, &m);
	bridge_turn(a, t->trace_id, t->channel_id, false);
	turn_free(t);
	bridge_closed_turn(a, event_id);
	tracebox_kick();
	return 0;
}

/* Not open: was it ever? */
static int
refuse(struct peer *p, uint64_t id, const struct agent *a,
    const char *trace_id)
{
	int64_t	 one;

	if (a != NULL && db_get_int(keeper_db(), &one, "SELECT 1 FROM message "
	    "WHERE id = ?1 AND channel_id = ?2 AND author_type = 'user'",
	    "ss", trace_id, a->channel_id) == 1)
		return peer_done(p, id, 409, "this turn is over");
	return peer_done(p, id, 404, "there is no turn of this trace_id");
}

int
h_bridge_reply(struct peer *p, struct msg *m)
{
	const struct m_bridge_reply	*in = &m->u.bridge_reply;
	struct agent			*a;
	struct turn			*t;

	a = agent_by_id(in->agent_id);
	if (a == NULL || (t = turn_get(a, in->trace_id)) == NULL) {
		(void)refuse(p, m->id, a, in->trace_id);
		return 0;
	}
	if (in->attempt > t->attempt)
		turn_reset(t, in->attempt);
	/* Late, or sent again because our answer was lost: it is in. */
	if ((in->attempt != 0 && in->attempt < t->attempt) ||
	    (in->seq != 0 && in->seq <= t->seq)) {
		(void)peer_done(p, m->id, 202, NULL);
		return 0;
	}
	/* With the end of a turn, so once for each: it costs a commit. */
	if (strcmp(in->cause, "out_of_memory") == 0 &&
	    (strcmp(in->kind, "final") == 0 ||
	    strcmp(in->kind, "error") == 0))
		oom_told(a, in->trace_id, t->channel_id);
	if (strcmp(in->kind, "delta") == 0)
		(void)delta(p, m->id, in->seq, t, in->content);
	else if (strcmp(in->kind, "final") == 0)
		(void)finish(p, m->id, t, in->content, "");
	else if (strcmp(in->kind, "error") == 0)
		(void)finish(p, m->id, t, "", in->error[0] != '\0' ?
		    in->error : "the agent failed");
	else
		(void)peer_done(p, m->id, 202, NULL);
	return 0;
}

/*
 * Messages of users: stored once, with the event for the agent and the
 * record for trace, and then acknowledged.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 */
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "state.h"
#include "saga.h"
#include "sys.h"

#define QUEUED_MAX	1000		/* messages an agent has not answered */

void
chat_channel_add(const struct agent *a)
{
	(void)db_exec(keeper_db(), "INSERT INTO channel (id, owner_id, "
	    "agent_id, name, type, created_at) VALUES (?1, ?2, ?3, ?4, 'dm', "
	    "?5)", "ssssd", a->channel_id, a->owner, a->id, a->display_name,
	    sys_time());
	(void)db_exec(keeper_db(), "INSERT INTO channel_member (channel_id, "
	    "member, owner_id) VALUES (?1, ?2, ?3), (?1, ?3, ?3)", "sss",
	    a->channel_id, a->slug, a->owner);
}

/* Messages and members go with it. */
void
chat_channel_delete(const char *channel_id)
{
	(void)db_exec(keeper_db(), "DELETE FROM channel WHERE id = ?1", "s",
	    channel_id);
}

/* ---- the message object ---- */

void
message_from_row(struct db_stmt *s, struct message *m)
{
	m->seq = (uint64_t)db_int(s, 0);
	m->id = db_text(s, 1);
	m->channel_id = db_text(s, 2);
	m->author_id = db_text(s, 3);
	m->author_type = db_text(s, 4);
	m->content = db_text(s, 5);
	m->state = db_text(s, 6);
	m->trace_id = db_text(s, 7);
	m->error = db_text(s, 8);
	m->created_at = db_double(s, 9);
	m->edited_at = db_double(s, 10);
	m->note = NULL;
}

static void
empty_array(struct jbuf *jb, const char *key)
{
	jb_key(jb, key);
	jb_arr(jb);
	jb_end(jb);
}

void
message_json(struct jbuf *jb, const struct message *m)
{
	jb_obj(jb);
	jb_kstr(jb, "id", m->id);
	jb_kint(jb, "seq", (int64_t)m->seq);
	jb_kstr(jb, "channel_id", m->channel_id);
	jb_kstr(jb, "thread_id", NULL);
	jb_kstr(jb, "author_id", m->author_id);
	jb_kstr(jb, "author_type", m->author_type);
	jb_kstr(jb, "content", m->content);
	jb_kstr(jb, "content_type", "text");
	empty_array(jb, "content_blocks");
	empty_array(jb, "embeds");
	empty_array(jb, "components");
	empty_array(jb, "attachments");
	jb_key(jb, "reactions");
	jb_obj(jb);
	jb_end(jb);
	jb_kstr(jb, "state", m->state);
	if (m->note != NULL)
		jb_kstr(jb, "note", m->note);
	jb_key(jb, "edited_at");
	if (m->edited_at > 0)
		jb_double(jb, m->edited_at);
	else
		jb_null(jb);
	jb_kint(jb, "pinned", 0);
	jb_kint(jb, "ephemeral", 0);
	jb_key(jb, "metadata");
	jb_obj(jb);
	jb_kstr(jb, "trace_id", m->trace_id);
	if (m->error[0] != '\0')
		jb_kstr(jb, "error", m->error);
	jb_end(jb);
	jb_key(jb, "created_at");
	jb_double(jb, m->created_at);
	jb_end(jb);
}

/* ---- a new message ---- */

/* The same key again is the same message, not a second one. */
static bool
answer_known(struct client c, const struct pass *who, const char *key)
{
	struct message	 msg;
	struct db_stmt	*s;
	struct jbuf	 jb;
	bool		 found;

	if (key[0] == '\0')
		return false;
	s = db_query(keeper_db(), "SELECT " MESSAGE_COLS " FROM message "
	    "WHERE owner_id = ?1 AND idem_key = ?2", "ss", who->principal,
	    key);
	if (s == NULL)
		return false;
	if ((found = db_step(s) == 1)) {
		message_from_row(s, &msg);
		jbuf_init(&jb, JSON_MAX);
		message_json(&jb, &msg);
		reply_doc(c, 201, &jb);
	}
	db_end(s);
	return found;
}

/* The agent of a channel that this principal may use. */
struct agent *
chat_channel_agent(const struct pass *who, const char *channel_id)
{
	struct agent	*a = NULL;
	struct db_stmt	*s;

	s = db_query(keeper_db(), "SELECT agent_id FROM channel WHERE id = ?1",
	    "s", channel_id);
	if (s == NULL)
		return NULL;
	if (db_step(s) == 1)
		a = agent_by_id(db_text(s, 0));
	db_end(s);
	return a != NULL && agent_may(who, a) ? a : NULL;
}

static void
trace_message_in(const struct agent *a, const struct message *m)
{
	struct jbuf	 jb;

	jbuf_init(&jb, JSON_MAX);
	jb_obj(&jb);
	jb_kstr(&jb, "from", m->author_id);
	jb_kstr(&jb, "text", m->content);
	jb_kstr(&jb, "message_id", m->id);
	jb_kstr(&jb, "author_type", m->author_type);
	jb_kstr(&jb, "delivery", "queued");
	jb_end(&jb);
	tracebox_add(a->id, "message_in", m->id, m->channel_id, "", &jb);
}

/* One transaction: the message, the agent's event, trace's record, audit. */
static int
store(struct agent *a, const struct pass *who, struct message *m,
    const char *key)
{
	struct db	*db = keeper_db();

	if (db_begin(db) == -1)
		return -1;
	(void)db_exec(db, "INSERT INTO message (id, owner_id, channel_id, "
	    "author_id, author_type, content, state, trace_id, idem_key, "
	    "created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	    "sssssssssd", m->id, who->principal, m->channel_id, m->author_id,
	    m->author_type, m->content, m->state, m->trace_id,
	    key[0] != '\0' ? key : NULL, m->created_at);
	m->seq = (uint64_t)db_last_id(db);
	(void)db_exec(db, "UPDATE channel SET last_message_at = ?2 "
	    "WHERE id = ?1", "sd", m->channel_id, m->created_at);
	(void)db_exec(db, "UPDATE agent SET next_event = ?2 WHERE id = ?1",
	    "sq", a->id, (int64_t)a->next_event + 1);
	(void)db_exec(db, "INSERT INTO outbox (agent_id, event_id, owner_id, "
	    "message_id) VALUES (?1, ?2, ?3, ?4)", "sqss", a->id,
	    (int64_t)a->next_event + 1, a->owner, m->id);
	trace_message_in(a, m);
	audit_add(who, "CHAT_POST", m->channel_id, 201, m->id);
	if (db_commit(db) == -1)
		return -1;
	a->next_event++;
	a->queued++;
	return 0;
}

/* A channel without an agent is one of the archive. */
static void
no_agent(struct client c, const struct pass *who, const char *channel_id)
{
	struct db_stmt	*s;

	s = db_query(keeper_db(), "SELECT archived_slug FROM channel WHERE "
	    "id = ?1 AND archived_at <> '' AND (?2 = 1 OR owner_id = ?3)",
	    "sis", channel_id, who->role == ROLE_ADMIN, who->principal);
	if (s != NULL && db_step(s) == 1)
		reply_error(c, 409, "agent %s is archived: restore it first",
		    db_text(s, 0));
	else
		reply_error(c, 404, "there is no channel %s", channel_id);
	db_end(s);
}

static bool
may_post(struct client c, const struct pass *who, const struct agent *a,
    const struct m_chat_post *in)
{
	if (a == NULL)
		no_agent(c, who, in->channel_id);
	else if (in->content[0] == '\0')
		reply_error(c, 422, "content: must not be empty");
	else if (a->state == AGENT_DELETING || a->state == AGENT_DEPLOYING)
		reply_error(c, 409, "agent %s is %s", a->slug,
		    agent_status(a));
	else if (a->doing != NULL && strcmp(a->doing, saga_archive.name) == 0)
		reply_error(c, 409, "agent %s is being archived", a->slug);
	else if (a->queued >= QUEUED_MAX)
		reply_error(c, 429, "agent %s has %u messages to answer: "
		    "no more are taken", a->slug, a->queued);
	else
		return tracebox_room(c);
	return false;
}

int
h_chat_post(struct peer *p, struct msg *m)
{
	const struct m_chat_post	*in = &m->u.chat_post;
	struct client			 c = client_of(m);
	char				 id[ID_LEN + 1], note[400];
	struct message			 msg;
	struct agent			*a;
	struct pass			 who;
	struct jbuf			 jb;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	if (answer_known(c, &who, in->idempotency_key))
		return 0;
	a = chat_channel_agent(&who, in->channel_id);
	if (!may_post(c, &who, a, in))
		return 0;
	sys_id(id);
	memset(&msg, 0, sizeof(msg));
	msg.id = msg.trace_id = id;
	msg.channel_id = in->channel_id;
	msg.author_id = who.principal;
	msg.author_type = "user";
	msg.content = in->content;
	msg.state = "queued";
	msg.error = "";
	msg.created_at = sys_time();
	if (store(a, &who, &msg, in->idempotency_key) == -1) {
		reply_db_error(c);
		return 0;
	}
	msg.note = agent_note(a, note, sizeof(note));
	jbuf_init(&jb, JSON_MAX);
	message_json(&jb, &msg);
	reply_doc(c, 201, &jb);
	watch_message(&msg);
	idle_wake(a);
	bridge_deliver(a);
	tracebox_kick();
	return 0;
}

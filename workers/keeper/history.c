/*
 * Channels and what was said in them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 */
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "state.h"

#define HISTORY_DEFAULT	50
#define HISTORY_MAX	200
#define HISTORY_BYTES	(2U * 1024 * 1024)	/* of content in one answer */
#define CHANNELS_MAX	1000

/* ?2 is the principal, ?1 says whether that is an admin, who sees all. */
#define VISIBLE		"(?1 = 1 OR owner_id = ?2)"

static void
members(struct jbuf *jb, const char *channel_id)
{
	struct db_stmt	*s;

	jb_key(jb, "members");
	jb_arr(jb);
	s = db_query(keeper_db(), "SELECT member FROM channel_member "
	    "WHERE channel_id = ?1 ORDER BY member LIMIT 100", "s",
	    channel_id);
	while (s != NULL && db_step(s) == 1)
		jb_str(jb, db_text(s, 0));
	db_end(s);
	jb_end(jb);
}

static void
channel_json(struct jbuf *jb, struct db_stmt *s, void *arg)
{
	(void)arg;
	jb_obj(jb);
	jb_kstr(jb, "id", db_text(s, 0));
	jb_kstr(jb, "name", db_text(s, 1));
	jb_kstr(jb, "type", db_text(s, 2));
	jb_kstr(jb, "description", "");
	jb_kstr(jb, "topic", "");
	members(jb, db_text(s, 0));
	jb_key(jb, "settings");
	jb_obj(jb);
	if (db_text(s, 6)[0] != '\0') {
		jb_kbool(jb, "archived", true);
		jb_kstr(jb, "archived_at", db_text(s, 6));
		jb_kstr(jb, "archived_agent_id", db_text(s, 8));
		jb_kstr(jb, "archived_agent_slug", db_text(s, 7));
	}
	jb_end(jb);
	jb_kstr(jb, "created_by", db_text(s, 3));
	jb_key(jb, "created_at");
	jb_double(jb, db_double(s, 4));
	jb_key(jb, "last_message_at");
	if (db_double(s, 5) > 0)
		jb_double(jb, db_double(s, 5));
	else
		jb_null(jb);
	jb_end(jb);
}

int
h_chat_channels(struct peer *p, struct msg *m)
{
	const struct m_chat_list	*in = &m->u.chat_list;
	struct client			 c = client_of(m);
	struct db_stmt			*s;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	s = db_query(keeper_db(), "SELECT id, name, type, owner_id, "
	    "created_at, last_message_at, archived_at, archived_slug, "
	    "agent_id FROM channel WHERE " VISIBLE
	    " AND (?3 = '' OR EXISTS (SELECT 1 FROM channel_member WHERE "
	    "channel_id = channel.id AND member = ?3)) "
	    "ORDER BY created_at, id LIMIT ?4", "issi",
	    who.role == ROLE_ADMIN, who.principal, in->member, CHANNELS_MAX);
	reply_query(c, s, channel_json, NULL);
	return 0;
}

static bool
channel_visible(const struct pass *who, const char *id)
{
	int64_t	 one;

	return db_get_int(keeper_db(), &one, "SELECT 1 FROM channel WHERE "
	    VISIBLE " AND id = ?3", "iss", who->role == ROLE_ADMIN,
	    who->principal, id) == 1;
}

/*
 * The seq to begin with: of the newest ones before that time, as many as were
 * asked for and as fit in one answer, but at least one.
 */
static int64_t
first_seq(const char *channel_id, double before, uint32_t limit)
{
	struct db_stmt	*s;
	int64_t		 seq = 0, bytes = 0;

	s = db_query(keeper_db(), "SELECT seq, "
	    "length(CAST(content AS BLOB)) FROM message "
	    "WHERE channel_id = ?1 AND (?2 <= 0 OR created_at < ?2) "
	    "ORDER BY seq DESC LIMIT ?3", "sdu", channel_id, before, limit);
	while (s != NULL && db_step(s) == 1) {
		bytes += db_int(s, 1);
		if (seq != 0 && bytes > HISTORY_BYTES)
			break;
		seq = db_int(s, 0);
	}
	db_end(s);
	return seq;
}

/* A message, and why it waits. */
static void
noted_json(struct jbuf *jb, struct db_stmt *s, void *arg)
{
	struct agent	*a = arg;	/* NULL: it has none any more */
	char		 note[400];
	struct message	 msg;

	message_from_row(s, &msg);
	if (a != NULL && strcmp(msg.state, "queued") == 0)
		msg.note = agent_note(a, note, sizeof(note));
	message_json(jb, &msg);
}

/* The newest ones, told oldest first. */
int
h_chat_history(struct peer *p, struct msg *m)
{
	const struct m_chat_history	*in = &m->u.chat_history;
	struct client			 c = client_of(m);
	uint32_t			 limit = in->limit;
	struct db_stmt			*s;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	if (!channel_visible(&who, in->channel_id)) {
		reply_error(c, 404, "there is no channel %s", in->channel_id);
		return 0;
	}
	if (limit == 0)
		limit = HISTORY_DEFAULT;
	if (limit > HISTORY_MAX)
		limit = HISTORY_MAX;
	s = db_query(keeper_db(), "SELECT " MESSAGE_COLS " FROM message "
	    "WHERE channel_id = ?1 AND seq >= ?3 AND (?2 <= 0 OR "
	    "created_at < ?2) ORDER BY seq LIMIT ?4", "sdqu", in->channel_id,
	    in->before, first_seq(in->channel_id, in->before, limit), limit);
	reply_query(c, s, noted_json, chat_channel_agent(&who,
	    in->channel_id));
	return 0;
}

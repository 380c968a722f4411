/*
 * Live streams of channels.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 *
 * A stored message has a seq, which is the id of its event: a client that
 * comes back with the last one it saw gets what it missed.  A stream that
 * front cannot take any more is ended, and its client comes back the same way.
 */
#include <sys/queue.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "sys.h"
#include "worker.h"

#define WATCHES_MAX	4096
#define PER_PRINCIPAL	64
#define REPLAY_MAX	200		/* messages at once, then it ends */
#define REPLAY_BYTES	(2U * 1024 * 1024)

struct watch {
	TAILQ_ENTRY(watch)	 entry;
	struct client		 client;
	char			 principal[65];
	char			 channel_id[ID_LEN + 1];
	bool			 lost;	/* an event did not fit: to be ended */
};

static TAILQ_HEAD(watch_list, watch) watches = TAILQ_HEAD_INITIALIZER(watches);
static unsigned	 nwatches;

static void
watch_free(struct watch *w)
{
	TAILQ_REMOVE(&watches, w, entry);
	nwatches--;
	free(w);
}

static void
row(struct watch *w, const char *event, uint64_t seq, struct jbuf *jb)
{
	if (!w->lost && reply_row(w->client, event, seq, jb) == -1)
		w->lost = true;
}

static void
message_row(struct watch *w, const struct message *m)
{
	struct jbuf	 jb;

	jbuf_init(&jb, JSON_MAX);
	message_json(&jb, m);
	row(w, "message", m->seq, &jb);
	jbuf_free(&jb);
}

static void
replay_one(const struct message *m, void *arg)
{
	message_row(arg, m);
}

/* What was missed; false if there is more of it than may be sent at once. */
static bool
replay(struct watch *w, uint64_t after)
{
	struct message	 msg;
	struct db_stmt	*s;
	size_t		 bytes = 0;
	unsigned	 n = 0;

	s = db_query(keeper_db(), "SELECT " MESSAGE_COLS " FROM message WHERE "
	    "channel_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3", "sqi",
	    w->channel_id, (int64_t)after, REPLAY_MAX);
	while (s != NULL && bytes < REPLAY_BYTES && !w->lost &&
	    db_step(s) == 1) {
		message_from_row(s, &msg);
		bytes += strlen(msg.content);
		n++;
		message_row(w, &msg);
	}
	db_end(s);
	return s != NULL && n < REPLAY_MAX && bytes < REPLAY_BYTES;
}

static bool
may_watch(struct client c, const struct pass *who, const char *channel_id)
{
	struct watch	*w;
	unsigned	 n = 0;
	int64_t		 one;

	if (strlen(channel_id) > ID_LEN || db_get_int(keeper_db(), &one,
	    "SELECT 1 FROM channel WHERE id = ?1 AND (?2 = 1 OR "
	    "owner_id = ?3)", "sis", channel_id, who->role == ROLE_ADMIN,
	    who->principal) != 1) {
		reply_error(c, 404, "there is no channel %s", channel_id);
		return false;
	}
	TAILQ_FOREACH(w, &watches, entry)
		n += strcmp(w->principal, who->principal) == 0;
	if (n >= PER_PRINCIPAL || nwatches >= WATCHES_MAX) {
		reply_error(c, 429, "%s has %u open streams of channels: no "
		    "more are allowed", who->principal, n);
		return false;
	}
	return true;
}

int
h_chat_watch(struct peer *p, struct msg *m)
{
	const struct m_chat_watch	*in = &m->u.chat_watch;
	struct client			 c = client_of(m);
	struct watch			*w;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1 ||
	    !may_watch(c, &who, in->channel_id))
		return 0;
	if ((w = calloc(1, sizeof(*w))) == NULL)
		fatal("watch");
	w->client = c;
	(void)strlcpy(w->principal, who.principal, sizeof(w->principal));
	(void)strlcpy(w->channel_id, in->channel_id, sizeof(w->channel_id));
	TAILQ_INSERT_TAIL(&watches, w, entry);
	nwatches++;
	/* Accepted: front can begin to answer its client. */
	row(w, "", 0, NULL);
	if (in->last_event_id > 0 && !replay(w, in->last_event_id)) {
		(void)reply_end(c);
		watch_free(w);
		return 0;
	}
	turn_replay(w->channel_id, replay_one, w);
	return 0;
}

/* Ends the streams that have missed something. */
void
watch_drained(void)
{
	struct watch	*w, *next;

	for (w = TAILQ_FIRST(&watches); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		/* Without its end the client would wait for ever. */
		if (w->lost && (reply_end(w->client) == 0 ||
		    errno == ENOTCONN))
			watch_free(w);
	}
}

void
watch_send(const char *channel_id, const char *event, uint64_t seq,
    struct jbuf *jb)
{
	struct watch	*w;

	watch_drained();
	TAILQ_FOREACH(w, &watches, entry)
		if (strcmp(w->channel_id, channel_id) == 0)
			row(w, event, seq, jb);
}

static bool
watched(const char *channel_id)
{
	struct watch	*w;

	TAILQ_FOREACH(w, &watches, entry)
		if (strcmp(w->channel_id, channel_id) == 0)
			return true;
	return false;
}

void
watch_message(const struct message *m)
{
	struct jbuf	 jb;

	if (!watched(m->channel_id))
		return;
	jbuf_init(&jb, JSON_MAX);
	message_json(&jb, m);
	watch_send(m->channel_id, "message", m->seq, &jb);
	jbuf_free(&jb);
}

void
watch_state(const char *channel_id, const char *message_id,
    const char *state, const char *error)
{
	struct jbuf	 jb;

	jbuf_init(&jb, 65536);
	jb_obj(&jb);
	jb_kstr(&jb, "message_id", message_id);
	jb_kstr(&jb, "channel_id", channel_id);
	jb_kstr(&jb, "state", state);
	if (error[0] != '\0')
		jb_kstr(&jb, "error", error);
	jb_end(&jb);
	watch_send(channel_id, "message_state", 0, &jb);
	jbuf_free(&jb);
}

void
watch_close(const char *channel_id)
{
	struct watch	*w, *next;

	for (w = TAILQ_FIRST(&watches); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (strcmp(w->channel_id, channel_id) == 0) {
			(void)reply_end(w->client);
			watch_free(w);
		}
	}
}

bool
watch_cancel(struct client c)
{
	struct watch	*w;

	TAILQ_FOREACH(w, &watches, entry)
		if (w->client.id == c.id) {
			watch_free(w);
			return true;
		}
	return false;
}

void
watch_down(void)
{
	struct watch	*w, *next;

	for (w = TAILQ_FIRST(&watches); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		watch_free(w);
	}
}

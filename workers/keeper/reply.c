/*
 * Answers to front: documents, rows, errors.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, gateway.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "chan.h"
#include "keeper.h"
#include "log.h"
#include "text.h"
#include "worker.h"

#define RESULT_MAX	60000		/* result.json in msg.def */
#define PART_MAX	61440		/* trace_more.data in msg.def */

static uint32_t	 front_gen = 1;

struct client
client_of(const struct msg *m)
{
	struct client	 c = { m->id, front_gen };

	return c;
}

void
client_new_front(void)
{
	front_gen++;
}

int
reply_send(struct peer *p, uint64_t id, bool more, uint32_t status,
    const char *event, uint64_t event_id, struct jbuf *jb)
{
	struct m_trace_more	 part;
	struct m_result		 r;
	const char		*text = "";
	size_t			 len = 0;

	if (jb != NULL && (text = jbuf_text(jb, &len)) == NULL) {
		errno = EMSGSIZE;
		return -1;
	}
	/* All or nothing: half a document would spoil the next one. */
	if (peer_queued(p) + len + RESULT_MAX > CHAN_QUEUE_MAX) {
		errno = ENOBUFS;
		return -1;
	}
	for (; len > RESULT_MAX; text += part.data.len, len -= part.data.len) {
		part.data.ptr = text;
		part.data.len = len - RESULT_MAX > PART_MAX ? PART_MAX :
		    len - RESULT_MAX;
		if (peer_reply_id(p, id, MSG_RESULT_PART, true, &part,
		    -1) == -1)
			return -1;
	}
	r.status = status;
	r.event_id = event_id;
	r.event = event;
	r.json = text;
	return peer_reply_id(p, id, MSG_RESULT, more, &r, -1);
}

static int
to_front(struct client c, bool more, uint32_t status, const char *event,
    uint64_t event_id, struct jbuf *jb)
{
	if (c.id == 0 || c.gen != front_gen) {
		errno = ENOTCONN;
		return -1;
	}
	return reply_send(worker_peer(PROC_FRONT), c.id, more, status, event,
	    event_id, jb);
}

void
reply_doc(struct client c, uint32_t status, struct jbuf *jb)
{
	if (to_front(c, false, status, "", 0, jb) == -1) {
		if (errno == EMSGSIZE)
			reply_error(c, 500, "the answer is too long");
		else if (errno != ENOTCONN)
			log_warn("answer to front");
	}
	jbuf_free(jb);
}

int
reply_row(struct client c, const char *event, uint64_t event_id,
    struct jbuf *jb)
{
	return to_front(c, true, 200, event, event_id, jb);
}

int
reply_end(struct client c)
{
	int	 saved;

	if (to_front(c, false, 200, "", 0, NULL) == 0)
		return 0;
	saved = errno;
	if (saved != ENOTCONN)
		log_warn("end of an answer to front");
	errno = saved;
	return -1;
}

void
reply_error(struct client c, uint32_t status, const char *fmt, ...)
{
	struct jbuf	 jb;
	char		 text[1024];
	va_list		 ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_clean(text);
	jbuf_init(&jb, sizeof(text) * 8);
	jb_obj(&jb);
	jb_kstr(&jb, "error", text);
	jb_end(&jb);
	if (to_front(c, false, status, "", 0, &jb) == -1 && errno != ENOTCONN)
		log_warn("answer to front");
	jbuf_free(&jb);
}

void
reply_db_error(struct client c)
{
	reply_error(c, 507, "the state database cannot be written: "
	    "see the log of keeper");
}

void
reply_query(struct client c, struct db_stmt *s,
    void (*fn)(struct jbuf *, struct db_stmt *, void *), void *arg)
{
	struct jbuf	 jb;
	int		 rc = -1;

	jbuf_init(&jb, JSON_MAX);
	while (s != NULL && (rc = db_step(s)) == 1) {
		jbuf_reset(&jb);
		fn(&jb, s, arg);
		if (reply_row(c, "", 0, &jb) == -1)
			break;
	}
	db_end(s);
	jbuf_free(&jb);
	reply_list_end(c, rc == 0);
}

void
reply_list_end(struct client c, bool complete)
{
	/* Part of a list must not look like the whole. */
	if (complete)
		(void)reply_end(c);
	else
		reply_error(c, 503, "the list could not be sent: try again");
}

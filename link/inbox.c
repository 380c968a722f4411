/*
 * Messages that wait for their turn, and the ids of those that had it.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 *
 * The gateway delivers at least once; this makes it once. Acks are
 * cumulative, so a message may only be acked when none before it waits; when
 * the queue is full, all later ones are refused too until the stream is
 * opened anew, or the order would be lost.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "inbox.h"

struct inbox {
	TAILQ_HEAD(, message) queue;
	struct message *taken;
	unsigned int count;
	size_t bytes;
	bool full;			/* refused one on this stream */
	uint64_t last_event;		/* highest that was taken in */
	uint64_t acked;
	unsigned int nseen;		/* next slot of seen[] */
	char seen[INBOX_SEEN][MSG_ID_LEN + 1];
};

struct inbox *
inbox_new(void)
{
	struct inbox *in;

	if ((in = calloc(1, sizeof(*in))) != NULL)
		TAILQ_INIT(&in->queue);
	return in;
}

void
message_free(struct message *m)
{
	if (m == NULL)
		return;
	free(m->text);
	free(m);
}

void
inbox_free(struct inbox *in)
{
	struct message *m;

	if (in == NULL)
		return;
	while ((m = TAILQ_FIRST(&in->queue)) != NULL) {
		TAILQ_REMOVE(&in->queue, m, entry);
		message_free(m);
	}
	message_free(in->taken);
	free(in);
}

void
inbox_saw(struct inbox *in, uint64_t event_id)
{
	if (in->full || event_id <= in->last_event)
		return;
	in->last_event = event_id;
	if (in->taken == NULL && TAILQ_EMPTY(&in->queue))
		in->acked = event_id;
}

/* Linear, but short: strings differ in their first bytes. */
static bool
was_seen(const struct inbox *in, const char *id)
{
	unsigned int i;

	for (i = 0; i < INBOX_SEEN && in->seen[i][0] != '\0'; i++)
		if (strcmp(in->seen[i], id) == 0)
			return true;
	return false;
}

static bool
is_waiting(const struct inbox *in, const char *id)
{
	const struct message *m;

	if (in->taken != NULL && strcmp(in->taken->id, id) == 0)
		return true;
	TAILQ_FOREACH(m, &in->queue, entry)
		if (strcmp(m->id, id) == 0)
			return true;
	return false;
}

enum inbox_verdict
inbox_add(struct inbox *in, struct message *m)
{
	if (was_seen(in, m->id)) {
		inbox_saw(in, m->event_id);
		return INBOX_OVER;
	}
	if (is_waiting(in, m->id))
		return INBOX_WAITING;
	if (in->full || in->count >= INBOX_MAX ||
	    in->bytes + m->len > INBOX_BYTES) {
		in->full = true;
		return INBOX_FULL;
	}
	TAILQ_INSERT_TAIL(&in->queue, m, entry);
	in->count++;
	in->bytes += m->len;
	if (m->event_id > in->last_event)
		in->last_event = m->event_id;
	return INBOX_NEW;
}

struct message *
inbox_take(struct inbox *in)
{
	struct message *m;

	if (in->taken != NULL || (m = TAILQ_FIRST(&in->queue)) == NULL)
		return NULL;
	TAILQ_REMOVE(&in->queue, m, entry);
	in->count--;
	in->bytes -= m->len;
	in->taken = m;
	return m;
}

void
inbox_over(struct inbox *in, struct message *m)
{
	in->taken = NULL;
	(void)strlcpy(in->seen[in->nseen], m->id, sizeof(in->seen[0]));
	in->nseen = (in->nseen + 1) % INBOX_SEEN;
	if (TAILQ_EMPTY(&in->queue) && in->last_event > in->acked)
		in->acked = in->last_event;	/* aborts after it as well */
	else if (m->event_id > in->acked)
		in->acked = m->event_id;
	message_free(m);
}

bool
inbox_abort(struct inbox *in, const char *trace_id)
{
	struct message *m;

	TAILQ_FOREACH(m, &in->queue, entry) {
		if (strcmp(m->trace_id, trace_id) == 0) {
			m->aborted = true;
			return true;
		}
	}
	return false;
}

uint64_t
inbox_acked(const struct inbox *in)
{
	return in->acked;
}

uint64_t
inbox_last_event(const struct inbox *in)
{
	return in->last_event;
}

bool
inbox_wants_redelivery(const struct inbox *in)
{
	return in->full && in->count <= INBOX_MAX / 2 &&
	    in->bytes <= INBOX_BYTES / 2;
}

void
inbox_redelivery(struct inbox *in)
{
	in->full = false;
}

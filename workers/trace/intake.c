/*
 * TRACE_EVENT and TRACE_MORE: events of keeper and gateway, in one piece or
 * in several.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: keeper, gateway.
 *
 * The sender keeps an event until DONE comes, and sends it again when the
 * edge or this worker has gone in between; ids make that harmless.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include "intake.h"
#include "log.h"
#include "peer.h"
#include "sys.h"
#include "trace.h"
#include "worker.h"

#define PARTS_MAX	256	/* events that are not whole yet, of a peer */
#define PARTS_BYTES	(16U * 1024 * 1024)	/* of all of a peer's */

/* An event of which more is to come. */
struct part {
	TAILQ_ENTRY(part) entry;
	enum proc	 from;
	uint64_t	 id;		/* of the request */
	uint8_t		*head;		/* the first frame, encoded */
	size_t		 headlen;
	char		*payload;
	size_t		 len, size;
	unsigned int	 refused;	/* status: swallow the rest */
};
TAILQ_HEAD(part_list, part);

static struct {
	struct part_list parts;
	size_t		 n[PROC_MAX], bytes[PROC_MAX];
	uint32_t	 gen[PROC_MAX];	/* counts the connections */
} in = { .parts = TAILQ_HEAD_INITIALIZER(in.parts) };

static void
on_stored(const struct tev *e, unsigned int status, const char *error)
{
	/* The id means another request on a newer connection. */
	if (e->gen != in.gen[e->from])
		return;
	if (peer_done(worker_peer(e->from), e->request, status, error == NULL ?
	    NULL : "%s", error) == -1)
		log_warn("answer to %s", proc_name(e->from));
}

/* The event is whole: payload is consumed. */
static void
take(struct peer *p, uint64_t id, const struct m_trace_event *m,
    char *payload, size_t len)
{
	struct agent a;
	struct tev *e;

	if (agents_by_id(m->agent_id, &a) != 1)
		strlcpy(a.slug, "_unknown_", sizeof(a.slug));
	if (payload == NULL || (e = tev_new(m, a.slug, payload, len,
	    sys_time())) == NULL) {
		peer_done(p, id, 503, "out of memory");
		return;
	}
	e->done = on_stored;
	e->from = peer_proc(p);
	e->gen = in.gen[e->from];
	e->request = id;
	if (store_add(e) == -1)
		peer_done(p, id, 503, "too many events wait to be stored");
}

static void
part_free(struct part *part)
{
	TAILQ_REMOVE(&in.parts, part, entry);
	in.n[part->from]--;
	in.bytes[part->from] -= part->size;
	free(part->head);
	free(part->payload);
	free(part);
}

static struct part *
part_find(enum proc from, uint64_t id)
{
	struct part *part;

	TAILQ_FOREACH(part, &in.parts, entry)
		if (part->from == from && part->id == id)
			return part;
	return NULL;
}

static void
part_add(struct part *part, const void *data, size_t len)
{
	size_t size = part->size == 0 ? 131072 : part->size;

	if (part->refused == 0 && part->len + len > TRACE_PAYLOAD)
		part->refused = 413;
	while (size < part->len + len + 1)
		size *= 2;
	if (part->refused == 0 &&
	    in.bytes[part->from] - part->size + size > PARTS_BYTES)
		part->refused = 503;
	if (part->refused != 0)
		return;
	if (size != part->size) {
		if ((part->payload = realloc(part->payload, size)) == NULL)
			fatal("trace event");
		in.bytes[part->from] += size - part->size;
		part->size = size;
	}
	memcpy(part->payload + part->len, data, len);
	part->len += len;
	part->payload[part->len] = '\0';
}

static int
part_start(struct peer *p, const struct msg *m)
{
	const struct m_trace_event *ev = &m->u.trace_event;
	enum proc from = peer_proc(p);
	struct part *part;
	ssize_t n;

	if (in.n[from] >= PARTS_MAX) {
		peer_done(p, m->id, 503, "too many events in pieces");
		return 0;
	}
	if (part_find(from, m->id) != NULL ||
	    (n = msg_encoded_size(MSG_TRACE_EVENT, ev)) == -1)
		return -1;
	if ((part = calloc(1, sizeof(*part))) == NULL ||
	    (part->head = malloc((size_t)n)) == NULL)
		fatal("trace event");
	msg_encode(MSG_TRACE_EVENT, ev, part->head);
	part->headlen = (size_t)n;
	part->from = from;
	part->id = m->id;
	TAILQ_INSERT_TAIL(&in.parts, part, entry);
	in.n[from]++;
	part_add(part, ev->payload, strlen(ev->payload));
	return 0;
}

int
intake_event(struct peer *p, struct msg *m)
{
	const struct m_trace_event *ev = &m->u.trace_event;
	const char *why;
	char *payload;

	if ((why = tev_check(ev)) != NULL) {
		/* What follows of it belongs to no event: swallowed. */
		peer_done(p, m->id, 400, "%s", why);
		return 0;
	}
	if (m->more)
		return part_start(p, m);
	payload = strdup(ev->payload);
	take(p, m->id, ev, payload, strlen(ev->payload));
	return 0;
}

int
intake_more(struct peer *p, struct msg *m)
{
	const struct msg_bytes *data = &m->u.trace_more.data;
	struct part *part = part_find(peer_proc(p), m->id);
	union msg_any u;
	char *payload;
	size_t len;

	if (part == NULL)
		return 0;
	part_add(part, data->ptr, data->len);
	if (m->more)
		return 0;
	if (part->refused != 0) {
		if (part->refused == 413)
			peer_done(p, m->id, 413, "the payload is over %d "
			    "bytes", TRACE_PAYLOAD);
		else
			peer_done(p, m->id, part->refused, "too many events "
			    "in pieces: try again");
		part_free(part);
		return 0;
	}
	if (msg_decode(MSG_TRACE_EVENT, part->head, part->headlen, &u) == -1)
		fatalx("trace event: lost its head");
	payload = part->payload;
	len = part->len;
	part->payload = NULL;
	take(p, m->id, &u.trace_event, payload, len);
	part_free(part);
	return 0;
}

void
intake_down(enum proc from)
{
	struct part *part, *next;

	in.gen[from]++;
	TAILQ_FOREACH_SAFE(part, &in.parts, entry, next)
		if (part->from == from)
			part_free(part);
}

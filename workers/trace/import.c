/*
 * TRACE_IMPORT: events of an agent that comes from another server.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: keeper; mover, through a pipe.
 *
 * mover has parsed and checked the lines; here they come as frames: the head
 * of an event as the codec of the messages makes it, then its payload, each
 * behind its length (u32).  They keep ids and times; an event whose id is
 * there already is not stored a second time.
 */
#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "log.h"
#include "move.h"
#include "sys.h"
#include "trace.h"
#include "worker.h"

#define HIGH_WATER	(2U * 1024 * 1024)	/* of events not yet stored */
#define HEAD_MAX	16384
#define STALL_S		120
#define OLDEST		1577836800.0		/* the year 2020 */

struct import {
	TAILQ_ENTRY(import) entry;
	uint64_t	 request;
	struct bufferevent *bev;	/* NULL: all has been read */
	char		 agent_id[33];
	char		 slug[53];
	uint64_t	 rows;		/* that must come */
	uint64_t	 taken, stored;
	size_t		 waiting;	/* bytes on their way to the disk */
};

static TAILQ_HEAD(, import) imports = TAILQ_HEAD_INITIALIZER(imports);

static void	 end(struct import *, uint32_t, const char *);

static void
import_free(struct import *i)
{
	if (i->bev != NULL)
		bufferevent_free(i->bev);
	TAILQ_REMOVE(&imports, i, entry);
	free(i);
}

void
import_cancel_all(void)
{
	struct import *i, *next;

	TAILQ_FOREACH_SAFE(i, &imports, entry, next)
		import_free(i);
}

static void
end(struct import *i, uint32_t status, const char *error)
{
	struct m_moved m = { .status = status, .error = error,
	    .rows = i->stored };

	if (peer_reply_id(worker_peer(PROC_KEEPER), i->request,
	    MSG_TRACE_MOVED, false, &m, -1) == -1)
		log_warn("answer to keeper");
	import_free(i);
}

/* All is read and stored: is it all that was to come? */
static void
look(struct import *i)
{
	if (i->bev != NULL || i->stored < i->taken)
		return;
	if (i->stored != i->rows)
		end(i, 502, "not all events of the trace have come");
	else
		end(i, 200, NULL);
}

static void
on_stored(const struct tev *e, unsigned int status, const char *error)
{
	struct import *i;

	TAILQ_FOREACH(i, &imports, entry)
		if (i->request == e->request &&
		    strcmp(i->agent_id, e->agent_id) == 0)
			break;
	if (i == NULL)
		return;
	i->waiting -= e->size;
	if (status >= 300) {
		end(i, status, error);
		return;
	}
	i->stored++;
	if (i->bev != NULL && i->waiting < HIGH_WATER / 2) {
		(void)bufferevent_enable(i->bev, EV_READ);
		/* For what is in the buffer already. */
		bufferevent_trigger(i->bev, EV_READ,
		    BEV_TRIG_DEFER_CALLBACKS);
	}
	look(i);
}

/* ---- frames ---- */

static const char *
take(struct import *i, const uint8_t *head, size_t headlen,
    const uint8_t *payload, size_t len)
{
	struct m_trace_event *m;
	union msg_any u;
	struct tev *e;
	char *copy;

	if (msg_decode(MSG_TRACE_EVENT, head, headlen, &u) == -1)
		return "an event is broken";
	m = &u.trace_event;
	m->agent_id = i->agent_id;
	if (tev_check(m) != NULL || m->id[0] == '\0' ||
	    !(m->created_at >= OLDEST && m->created_at < sys_time() + 86400))
		return "an event is not valid";
	if ((copy = malloc(len + 1)) == NULL)
		fatal("event");
	memcpy(copy, payload, len);
	copy[len] = '\0';
	if ((e = tev_imported(m, i->slug, copy, len)) == NULL)
		return "out of memory";
	e->done = on_stored;
	e->from = PROC_KEEPER;
	e->request = i->request;
	i->waiting += e->size;
	i->taken++;
	return store_add(e) == -1 ? "too many events wait to be stored" :
	    NULL;
}

/* A length at that place, and what it counts: 1, 0 not all is there, -1. */
static int
sized(const uint8_t *p, size_t have, size_t max, size_t *at, const uint8_t **v,
    size_t *len)
{
	uint32_t n;

	if (have - *at < sizeof(n))
		return 0;
	memcpy(&n, p + *at, sizeof(n));
	if (n > max)
		return -1;
	if (have - *at - sizeof(n) < n)
		return 0;
	*v = p + *at + sizeof(n);
	*len = n;
	*at += sizeof(n) + n;
	return 1;
}

static void
on_data(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	const uint8_t *p, *head, *payload;
	size_t have, at, headlen, len;
	struct import *i = arg;
	const char *why = NULL;
	int r = 1;

	while (why == NULL && (have = evbuffer_get_length(in)) > 0 &&
	    i->waiting < HIGH_WATER) {
		if ((p = evbuffer_pullup(in, -1)) == NULL)
			fatal("event");
		at = 0;
		r = sized(p, have, HEAD_MAX, &at, &head, &headlen);
		if (r == 1)
			r = sized(p, have, 2 * TRACE_PAYLOAD, &at, &payload,
			    &len);
		if (r != 1)
			break;
		why = take(i, head, headlen, payload, len);
		(void)evbuffer_drain(in, at);
	}
	if (r == -1)
		why = "an event is too long";
	if (why != NULL)
		end(i, 502, why);
	else if (i->waiting >= HIGH_WATER)
		(void)bufferevent_disable(bev, EV_READ);
}

static void
on_end(struct bufferevent *bev, short what, void *arg)
{
	struct import *i = arg;

	if (!(what & BEV_EVENT_EOF) ||
	    evbuffer_get_length(bufferevent_get_input(bev)) > 0) {
		end(i, 502, "the trace is cut off");
		return;
	}
	bufferevent_free(bev);
	i->bev = NULL;
	look(i);
}

int
h_trace_import(struct peer *p, struct msg *m)
{
	const struct m_trace_move *t = &m->u.trace_move;
	const struct timeval stall = { STALL_S, 0 };
	struct agent a;
	struct import *i;

	(void)p;
	if (!sys_is_id(t->agent_id))
		return -1;
	if ((i = calloc(1, sizeof(*i))) == NULL ||
	    evutil_make_socket_nonblocking(m->fd) == -1 ||
	    (i->bev = bufferevent_socket_new(worker_base(), m->fd,
	    BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("import");
	m->fd = -1;
	i->request = m->id;
	i->rows = t->rows;
	(void)strlcpy(i->agent_id, t->agent_id, sizeof(i->agent_id));
	(void)strlcpy(i->slug, agents_by_id(t->agent_id, &a) == 1 ? a.slug :
	    "_unknown_", sizeof(i->slug));
	TAILQ_INSERT_TAIL(&imports, i, entry);
	bufferevent_setcb(i->bev, on_data, NULL, on_end, i);
	(void)bufferevent_set_timeouts(i->bev, &stall, NULL);
	(void)bufferevent_enable(i->bev, EV_READ);
	return 0;
}

/*
 * Trace events on their way to the writer, kept until it has them on disk.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: trace.
 *
 * Events wait in order of their making and at most INFLIGHT are with the
 * writer at a time.  When it dies, those go back to where they were.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "chan.h"
#include "gateway.h"
#include "jbuf.h"
#include "log.h"
#include "traceq.h"
#include "worker.h"

#define QUEUE_MAX	(16U * 1024 * 1024)
#define QUEUE_AGENT	(4U * 1024 * 1024)
#define INFLIGHT	256
#define RETRY_S		1	/* after the writer could not write */
#define FIRST_MAX	49152	/* of a payload, in TRACE_EVENT */
#define MORE_MAX	61440	/* in TRACE_MORE */

struct tev {
	TAILQ_ENTRY(tev) entry;
	uint64_t	 seq;
	size_t		 size;
	struct m_trace_event e;	/* strings point behind this struct */
};
TAILQ_HEAD(tev_list, tev);

static struct {
	struct tev_list	 waiting;
	struct tev_list	 sent;
	unsigned int	 nsent;
	size_t		 bytes;
	uint64_t	 seq;
	struct event	*retry;
} tq = {
	TAILQ_HEAD_INITIALIZER(tq.waiting), TAILQ_HEAD_INITIALIZER(tq.sent),
	0, 0, 0, NULL
};

static void	tev_answer(struct msg *, void *);
static void	say_gap(struct agent *);

void
trace_event_init(struct m_trace_event *e, const char *agent_id,
    const char *kind)
{
	memset(e, 0, sizeof(*e));
	e->agent_id = agent_id;
	e->kind = kind;
	e->duration_ms = e->tokens_in = e->tokens_out = e->cost_pico = -1;
	e->source = "gateway";
}

/* Room on the channel for the whole event: half of one is worth nothing. */
static bool
trace_room(struct peer *p, size_t len)
{
	return peer_queued(p) + len + len / 8 + 16384 < CHAN_QUEUE_MAX;
}

uint64_t
trace_send(struct m_trace_event *e, const char *payload, int timeout_ms,
    peer_reply_fn fn, void *arg)
{
	struct peer *p = worker_peer(PROC_TRACE);
	struct m_trace_more more;
	size_t len = strlen(payload), off = FIRST_MAX;
	char first[FIRST_MAX + 1];
	uint64_t id;

	if (peer_is_up(p) && !trace_room(p, len)) {
		errno = ENOBUFS;
		return 0;
	}
	if (len <= FIRST_MAX) {
		e->payload = payload;
		return peer_request(p, MSG_TRACE_EVENT, e, timeout_ms, fn,
		    arg);
	}
	memcpy(first, payload, FIRST_MAX);
	first[FIRST_MAX] = '\0';
	e->payload = first;
	id = peer_request_more(p, MSG_TRACE_EVENT, e, timeout_ms, fn, arg);
	e->payload = payload;
	for (; id != 0 && off < len; off += more.data.len) {
		more.data.ptr = payload + off;
		more.data.len = len - off < MORE_MAX ? len - off : MORE_MAX;
		if (peer_send_id(p, MSG_TRACE_MORE, id,
		    off + more.data.len < len, &more) == -1)
			/* Cannot be: there was room for all of it. */
			log_warn("trace event cut short");
	}
	return id;
}

/* Copies a string to *at, which moves on; returns the copy. */
static const char *
keep(char **at, const char *s)
{
	char *p = *at;
	size_t len;

	if (s == NULL)
		s = "";
	len = strlen(s) + 1;
	memcpy(p, s, len);
	*at += len;
	return p;
}

static size_t
width(const char *s)
{
	return s == NULL ? 1 : strlen(s) + 1;
}

static struct tev *
tev_new(const struct m_trace_event *e, const char *payload)
{
	struct tev *t;
	char *at, id[ID_LEN + 1];
	size_t n;

	sys_id(id);
	n = width(e->agent_id) + sizeof(id) + width(e->id) +
	    width(e->trace_id) + width(e->parent_id) + width(e->kind) +
	    width(e->channel_id) + width(e->thread_id) +
	    width(e->backend_name) + width(e->model) + width(e->error) +
	    width(e->source) + width(payload);
	if ((t = malloc(sizeof(*t) + n)) == NULL)
		return NULL;
	t->size = sizeof(*t) + n;
	t->e = *e;
	at = (char *)(t + 1);
	t->e.agent_id = keep(&at, e->agent_id);
	/* The writer drops what it has: a resent event must say who it is. */
	t->e.id = keep(&at, e->id != NULL && *e->id != '\0' ? e->id : id);
	t->e.trace_id = keep(&at, e->trace_id);
	t->e.parent_id = keep(&at, e->parent_id);
	t->e.kind = keep(&at, e->kind);
	t->e.channel_id = keep(&at, e->channel_id);
	t->e.thread_id = keep(&at, e->thread_id);
	t->e.backend_name = keep(&at, e->backend_name);
	t->e.model = keep(&at, e->model);
	t->e.error = keep(&at, e->error);
	t->e.source = keep(&at, e->source);
	t->e.payload = keep(&at, payload);
	if (t->e.created_at == 0)
		t->e.created_at = sys_time();
	return t;
}

void
traceq_add(const struct m_trace_event *e, const char *payload)
{
	struct agent *a = agent_find(e->agent_id);
	struct tev *t;

	if (a != NULL && a->gaps > 0)
		say_gap(a);
	if ((t = tev_new(e, payload)) == NULL ||
	    tq.bytes + t->size > QUEUE_MAX ||
	    (a != NULL && a->traced + t->size > QUEUE_AGENT)) {
		free(t);
		if (a != NULL && a->gaps++ == 0)
			log_warnx("agent %s: trace events are lost: the "
			    "writer does not take them", a->slug);
		return;
	}
	t->seq = ++tq.seq;
	tq.bytes += t->size;
	if (a != NULL)
		a->traced += t->size;
	TAILQ_INSERT_TAIL(&tq.waiting, t, entry);
	traceq_kick();
}

/* Tells the trace that something is missing from it. */
static void
say_gap(struct agent *a)
{
	struct m_trace_event e;
	struct jbuf j;
	const char *text;
	uint32_t n = a->gaps;
	char message[128];

	if (n == 0 || tq.bytes + 8192 > QUEUE_MAX ||
	    a->traced + 8192 > QUEUE_AGENT)
		return;
	a->gaps = 0;
	snprintf(message, sizeof(message), "%u event%s of this agent %s lost: "
	    "the trace writer was away for too long", n, n == 1 ? "" : "s",
	    n == 1 ? "was" : "were");
	trace_event_init(&e, a->id, "error");
	e.error = message;
	jbuf_init(&j, 1024);
	jb_obj(&j);
	jb_kstr(&j, "stage", "trace");
	jb_kstr(&j, "message", message);
	jb_kint(&j, "lost", n);
	jb_end(&j);
	if ((text = jbuf_text(&j, NULL)) != NULL)
		traceq_add(&e, text);
	jbuf_free(&j);
}

void
traceq_kick(void)
{
	struct tev *t;

	if (tq.retry != NULL && evtimer_pending(tq.retry, NULL))
		return;
	while (tq.nsent < INFLIGHT &&
	    (t = TAILQ_FIRST(&tq.waiting)) != NULL) {
		if (trace_send(&t->e, t->e.payload, 0, tev_answer, t) == 0)
			return;		/* traceq_kick comes again */
		TAILQ_REMOVE(&tq.waiting, t, entry);
		TAILQ_INSERT_TAIL(&tq.sent, t, entry);
		tq.nsent++;
	}
}

bool
traceq_empty(void)
{
	return TAILQ_EMPTY(&tq.waiting) && TAILQ_EMPTY(&tq.sent);
}

void
traceq_free(void)
{
	struct tev *t;

	while ((t = TAILQ_FIRST(&tq.waiting)) != NULL) {
		TAILQ_REMOVE(&tq.waiting, t, entry);
		free(t);
	}
	tq.bytes = 0;
	if (tq.retry != NULL)
		event_free(tq.retry);
	tq.retry = NULL;
}

static void
retry_now(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	traceq_kick();
}

/* Back to its place among those that wait. */
static void
tev_again(struct tev *t)
{
	struct tev *w;

	TAILQ_FOREACH(w, &tq.waiting, entry)
		if (w->seq > t->seq)
			break;
	if (w == NULL)
		TAILQ_INSERT_TAIL(&tq.waiting, t, entry);
	else
		TAILQ_INSERT_BEFORE(w, t, entry);
}

static void
tev_answer(struct msg *m, void *arg)
{
	struct timeval tv = { RETRY_S, 0 };
	struct tev *t = arg;
	struct agent *a;

	TAILQ_REMOVE(&tq.sent, t, entry);
	tq.nsent--;
	if (m == NULL || m->type != MSG_DONE || m->u.done.status >= 500) {
		tev_again(t);
		if (m == NULL)
			return;		/* until it is up again */
		if (tq.retry == NULL)
			tq.retry = evtimer_new(worker_base(), retry_now,
			    NULL);
		if (tq.retry == NULL || evtimer_add(tq.retry, &tv) == -1)
			fatal("timer");
		return;
	}
	if (m->u.done.status >= 400)
		log_warnx("trace refused a %s: %s", t->e.kind,
		    m->u.done.error);
	a = agent_find(t->e.agent_id);
	tq.bytes -= t->size;
	if (a != NULL)
		a->traced -= t->size < a->traced ? t->size : a->traced;
	free(t);
	if (a != NULL && a->gaps > 0)
		say_gap(a);
	if (traceq_empty())
		agent_each(say_gap);
	traceq_kick();
}

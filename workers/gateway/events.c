/*
 * The agent's event stream: what keeper has for it, as SSE.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: keeper.
 *
 * One stream an agent; a new one replaces the old.  When keeper restarts the
 * stream stays and subscribes again: keeper then sends every event that was
 * not acknowledged, and the link drops those it knows.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "log.h"
#include "worker.h"

#define QUEUE_MAX	(4U * 1024 * 1024)	/* bytes not read yet */
#define EVENT_MAX	(1024U * 1024)	/* bytes of one event */

/* An event that comes in pieces, in g->data. */
struct join {
	bool	 over;		/* too long: dropped */
	size_t	 len;
	char	 text[];
};

static void	events_row(struct msg *, void *);
static void	events_closed(struct greq *);
static void	join_free(struct greq *);

static int
subscribe(struct greq *g)
{
	struct m_bridge_sub q = { g->agent->id, g->last_event };

	g->peer = worker_peer(PROC_KEEPER);
	g->pending = peer_request(g->peer, MSG_BRIDGE_SUB, &q, 0, events_row,
	    g);
	return g->pending == 0 ? -1 : 0;
}

void
events_get(struct greq *g)
{
	struct agent *a = g->agent;
	struct greq *old = a->events;
	const char *last, *why;

	if (!bridge_session(g))
		return;
	if (greq_header(g, "Last-Event-ID", &last) == -1) {
		greq_error(g, 400, "Last-Event-ID is given twice");
		return;
	}
	if (last != NULL && *last != '\0') {
		g->last_event = (uint64_t)strtonum(last, 0, INT64_MAX, &why);
		if (why != NULL) {
			greq_error(g, 400, "Last-Event-ID is %s", why);
			return;
		}
	}
	g->stream = true;
	if (subscribe(g) == -1) {
		greq_away(g, PROC_KEEPER);
		return;
	}
	/* keeper has replaced the old one: no CANCEL for it. */
	if (old != NULL) {
		peer_forget(old->peer, old->pending, false);
		old->pending = 0;
		join_free(old);
		greq_end_stream(old);
	}
	a->events = g;
	g->closed = events_closed;
	httpd_sse_start(g->req, QUEUE_MAX, true);
	(void)httpd_sse_comment(g->req, "connected");
	hello_go();
}

bool
events_say(struct agent *a, const char *name)
{
	if (a->events == NULL)
		return false;
	(void)httpd_sse_event(a->events->req, NULL, name, "{}", 2);
	return true;
}

static void
events_closed(struct greq *g)
{
	join_free(g);
	if (g->agent->events == g)
		g->agent->events = NULL;
}

static void
join_free(struct greq *g)
{
	free(g->data);
	g->data = NULL;
}

void
events_end(struct agent *a)
{
	struct greq *g = a->events;

	if (g == NULL)
		return;
	a->events = NULL;
	join_free(g);
	greq_end_stream(g);
}

void
events_keeper_up(struct agent *a)
{
	struct greq *g = a->events;

	if (g != NULL && g->pending == 0 && subscribe(g) == -1)
		events_end(a);
}

/* A piece of an event; the RESULT that follows has the last one. */
static void
join_part(struct greq *g, const void *p, size_t len)
{
	struct join *j = g->data, *n;
	size_t had = j == NULL ? 0 : j->len;

	if (j != NULL && j->over)
		return;
	if (had + len > EVENT_MAX ||
	    (n = realloc(j, sizeof(*n) + had + len + 1)) == NULL) {
		if (j == NULL && (j = malloc(sizeof(*j) + 1)) == NULL)
			fatal("event");
		j->over = true;
		g->data = j;
		return;
	}
	memcpy(n->text + had, p, len);
	n->len = had + len;
	n->text[n->len] = '\0';
	n->over = false;
	g->data = n;
}

static void
events_send(struct greq *g, const struct m_result *r)
{
	const char *text = r->json;
	size_t len = strlen(text);
	struct join *j;
	char id[24];

	if (g->data != NULL) {
		join_part(g, text, len);
		j = g->data;
		if (j->over) {
			log_warnx("agent %s: event %llu is too long: dropped",
			    g->agent->slug, (unsigned long long)r->event_id);
			join_free(g);
			return;
		}
		text = j->text;
		len = j->len;
	}
	snprintf(id, sizeof(id), "%llu", (unsigned long long)r->event_id);
	if (r->event_id > g->last_event)
		g->last_event = r->event_id;
	/* A full queue cuts the client off: it will subscribe again. */
	(void)httpd_sse_event(g->req, r->event_id != 0 ? id : NULL,
	    *r->event != '\0' ? r->event : NULL, text, len);
	join_free(g);
}

static void
events_row(struct msg *m, void *arg)
{
	struct greq *g = arg;

	if (m == NULL) {
		/* keeper is gone; events_keeper_up() asks the next one. */
		g->pending = 0;
		join_free(g);
		return;
	}
	if (m->type == MSG_RESULT_PART && m->more) {
		join_part(g, m->u.trace_more.data.ptr,
		    m->u.trace_more.data.len);
		return;
	}
	if (m->type == MSG_RESULT && m->more) {
		events_send(g, &m->u.result);
		return;
	}
	g->pending = 0;
	if (m->type == MSG_RESULT && m->u.result.status >= 400)
		log_warnx("agent %s: events: %s", g->agent->slug,
		    m->u.result.json);
	events_end(g->agent);
}

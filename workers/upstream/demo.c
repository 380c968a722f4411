/*
 * The demo provider: a canned answer, so that a first run needs no key.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 *
 * It asks for one harmless command, if the runtime offers a tool for it, and
 * says in its answer that it is not an AI.
 */
#include <sys/types.h>

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "demo.h"
#include "demo_reply.h"
#include "log.h"
#include "sys.h"

struct demo {
	struct stream	*stream;
	struct evbuffer	*in;		/* the request */
	struct evbuffer	*out;		/* the reply, not sent yet */
	struct event	*timer;		/* paces a streamed reply */
	bool		 sse;
};

static struct event_base *base;

static void	demo_open(struct stream *);
static void	demo_body(struct stream *);
static void	demo_room(struct stream *);
static void	demo_close(struct stream *);
static void	answer(struct demo *);
static void	send_piece(evutil_socket_t, short, void *);
static void	wait_piece(struct demo *);

const struct stream_ops demo_ops = {
	.open = demo_open,
	.body = demo_body,
	.room = demo_room,
	.close = demo_close,
};

void
demo_init(struct event_base *b)
{
	base = b;
}

static void
demo_open(struct stream *s)
{
	struct demo *d;

	if ((d = calloc(1, sizeof(*d))) == NULL ||
	    (d->in = evbuffer_new()) == NULL ||
	    (d->out = evbuffer_new()) == NULL ||
	    (d->timer = evtimer_new(base, send_piece, d)) == NULL)
		fatalx("out of memory");
	d->stream = s;
	s->ctx = d;
	if (s->length > DEMO_BODY_MAX)
		stream_fail(s, 413, "the demo provider takes at most %u bytes",
		    DEMO_BODY_MAX);
	else if (s->length == 0)
		stream_fail(s, 400, "the request has no body");
}

static void
demo_body(struct stream *s)
{
	size_t len = evbuffer_get_length(s->body);
	struct demo *d = s->ctx;

	if (evbuffer_add_buffer(d->in, s->body) == -1)
		fatalx("out of memory");
	stream_taken(s, len);
	if (stream_body_done(s))
		answer(d);
}

static void
demo_room(struct stream *s)
{
	struct demo *d = s->ctx;

	if (evbuffer_get_length(d->out) > 0 &&
	    !evtimer_pending(d->timer, NULL))
		wait_piece(d);
}

static void
demo_close(struct stream *s)
{
	struct demo *d = s->ctx;

	event_free(d->timer);
	evbuffer_free(d->in);
	evbuffer_free(d->out);
	free(d);
}

static void
answer(struct demo *d)
{
	size_t len = evbuffer_get_length(d->in);
	struct demo_request req;
	char id[ID_LEN + 1];
	const char *why, *text;

	text = (const char *)evbuffer_pullup(d->in, -1);
	if (demo_parse(text, len, &req, &why) == -1) {
		stream_fail(d->stream, 400, "the demo provider cannot read the "
		    "request: %s", why);
		return;
	}
	sys_id(id);
	demo_write(&req, id, (int64_t)sys_time(), d->out);
	d->sse = req.stream;
	stream_head(d->stream, 200, d->sse ? "text/event-stream" :
	    "application/json", "");
	wait_piece(d);
}

/* Sends one event, or all there is room for of a plain reply. */
static void
send_piece(evutil_socket_t fd, short what, void *arg)
{
	struct demo *d = arg;
	struct evbuffer_ptr end;
	size_t len, room = stream_room(d->stream);

	(void)fd;
	(void)what;
	len = evbuffer_get_length(d->out);
	if (d->sse) {
		end = evbuffer_search(d->out, "\n\n", 2, NULL);
		if (end.pos != -1)
			len = (size_t)end.pos + 2;
	}
	if (len > room)
		len = room;
	if (len == 0)
		return;		/* demo_room() goes on */
	stream_data(d->stream, evbuffer_pullup(d->out, (ssize_t)len), len);
	if (evbuffer_drain(d->out, len) == -1)
		fatalx("evbuffer_drain");
	if (evbuffer_get_length(d->out) == 0)
		stream_end(d->stream);
	else
		wait_piece(d);
}

static void
wait_piece(struct demo *d)
{
	struct timeval tv = { 0, d->sse ? DEMO_PACE_MS * 1000 : 0 };

	if (evtimer_add(d->timer, &tv) == -1)
		fatalx("cannot set a timer");
}

/*
 * One call of the gateway.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: gateway.
 */
#include <sys/types.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "chan.h"
#include "demo.h"
#include "exch.h"
#include "jbuf.h"
#include "log.h"
#include "stream.h"
#include "worker.h"

/* Above this the gateway is slow as a whole: no stream adds to the queue. */
#define QUEUE_HIGH	(CHAN_QUEUE_MAX / 2)

RB_HEAD(stream_tree, stream);

static struct {
	struct event_base	*base;
	uint64_t		 started;	/* ms */
	struct stream_tree	 tree;
	unsigned		 count;
} self;

static int		 stream_cmp(const struct stream *,
			    const struct stream *);
static struct stream	*stream_find(uint64_t);
static bool		 path_valid(const char *);
static bool		 route_ready(const struct stream *);
static bool		 may_come(void);
static void		 park(struct stream *);
static void		 parked_over(evutil_socket_t, short, void *);
static void		 start(struct stream *);
static void		 send_end(struct stream *, bool, const char *);
static void		 log_call(const struct stream *, const char *,
			    const char *);
static void		 send_error(struct stream *, unsigned, const char *);
static void		 stream_free(struct stream *);
static void		 reply(const struct stream *, uint32_t, bool,
			    const void *);

RB_GENERATE_INTERNAL(stream_tree, stream, entry, stream_cmp,
    static __attribute__((unused)))

static int
stream_cmp(const struct stream *a, const struct stream *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

static struct stream *
stream_find(uint64_t id)
{
	struct stream key = { .id = id };

	return RB_FIND(stream_tree, &self.tree, &key);
}

int
stream_h_open(struct peer *p, struct msg *m)
{
	const struct m_llm_open *o = &m->u.llm_open;
	struct stream *s;

	(void)p;
	if (!sys_is_id(o->provider_id) || !path_valid(o->path) ||
	    o->length > STREAM_BODY_MAX || o->window < STREAM_WINDOW ||
	    o->window > INT32_MAX || stream_find(m->id) != NULL)
		return -1;
	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    (s->body = evbuffer_new()) == NULL)
		fatal("stream");
	s->id = m->id;
	(void)snprintf(s->provider_id, sizeof(s->provider_id), "%s",
	    o->provider_id);
	(void)snprintf(s->path, sizeof(s->path), "%s", o->path);
	s->sse = o->stream != 0;
	s->length = o->length;
	s->credit = STREAM_CREDIT;
	s->window = o->window;
	RB_INSERT(stream_tree, &self.tree, s);
	if (self.count++ >= STREAM_MAX) {
		stream_fail(s, 503, "too many calls are under way");
		return 0;
	}
	if (!route_ready(s) && may_come())
		park(s);
	else
		start(s);
	return 0;
}

/* Are its provider and the provider's key known? */
static bool
route_ready(const struct stream *s)
{
	const struct route *r = route_find(s->provider_id);

	return r != NULL && (r->demo || secret_find(r->id) != NULL);
}

/*
 * After a restart of this process a call may overtake the routes that proxy,
 * and the keys that keeper pushes.
 */
static bool
may_come(void)
{
	return sys_now_ms() - self.started < STREAM_YOUNG_MS ||
	    !peer_is_up(worker_peer(PROC_PROXY)) ||
	    !peer_is_up(worker_peer(PROC_KEEPER));
}

static void
park(struct stream *s)
{
	struct timeval tv = { STREAM_PARK_MS / 1000, 0 };

	s->parked = evtimer_new(self.base, parked_over, s);
	if (s->parked == NULL || evtimer_add(s->parked, &tv) == -1)
		fatalx("cannot set a timer");
}

static void
parked_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	start(arg);
}

/* The stream may be over when this returns. */
static void
start(struct stream *s)
{
	uint64_t id = s->id;
	struct route *r;

	if (s->parked != NULL)
		event_free(s->parked);
	s->parked = NULL;
	if ((r = route_find(s->provider_id)) == NULL) {
		stream_fail(s, 502, "the provider of this model is not known "
		    "(any more)");
		return;
	}
	s->route = route_ref(r);
	s->ops = r->demo ? &demo_ops : &exch_ops;
	s->ops->open(s);
	if (stream_find(id) == s && evbuffer_get_length(s->body) > 0)
		s->ops->body(s);
}

void
stream_init(struct event_base *base)
{
	self.base = base;
	self.started = sys_now_ms();
}

void
stream_unpark(void)
{
	struct stream *s, *next;

	RB_FOREACH_SAFE(s, stream_tree, &self.tree, next)
		if (s->parked != NULL && route_ready(s))
			start(s);
}

int
stream_h_body(struct peer *p, struct msg *m)
{
	const struct msg_bytes *data = &m->u.llm_data.data;
	struct stream *s;

	(void)p;
	if ((s = stream_find(m->id)) == NULL)
		return 0;	/* it ended while the frame was on its way */
	if (data->len > s->credit || data->len > s->length - s->received)
		return -1;
	s->credit -= (uint32_t)data->len;
	s->received += data->len;
	if (evbuffer_add(s->body, data->ptr, data->len) == -1)
		fatalx("out of memory");
	if (s->ops != NULL)
		s->ops->body(s);
	return 0;
}

int
stream_h_window(struct peer *p, struct msg *m)
{
	struct stream *s;

	(void)p;
	if ((s = stream_find(m->id)) == NULL)
		return 0;
	if (m->u.llm_window.bytes > INT32_MAX ||
	    s->window + m->u.llm_window.bytes > INT32_MAX)
		return -1;
	s->window += m->u.llm_window.bytes;
	if (s->ops != NULL && s->window > 0)
		s->ops->room(s);
	return 0;
}

int
stream_h_cancel(struct peer *p, struct msg *m)
{
	struct stream *s;

	(void)p;
	if ((s = stream_find(m->id)) != NULL) {
		log_debug("call cancelled");
		stream_free(s);
	}
	return 0;
}

void
stream_drop_all(void)
{
	struct stream *s;

	while ((s = RB_MIN(stream_tree, &self.tree)) != NULL)
		stream_free(s);
}

void
stream_drained(void)
{
	struct stream *s, *next;

	RB_FOREACH_SAFE(s, stream_tree, &self.tree, next)
		if (s->ops != NULL && s->window > 0)
			s->ops->room(s);
}

bool
stream_body_done(const struct stream *s)
{
	return s->received == s->length;
}

void
stream_taken(struct stream *s, size_t n)
{
	struct m_llm_window w = { .bytes = (uint32_t)n };

	if (n == 0 || stream_body_done(s))
		return;
	s->credit += w.bytes;
	if (peer_send_id(worker_peer(PROC_GATEWAY), MSG_LLM_WINDOW, s->id,
	    false, &w) == -1)
		log_warn("window to gateway");
}

size_t
stream_room(const struct stream *s)
{
	if (peer_queued(worker_peer(PROC_GATEWAY)) > QUEUE_HIGH)
		return 0;
	return s->window;
}

void
stream_head(struct stream *s, unsigned status, const char *type,
    const char *retry_after)
{
	struct m_llm_head h = {
		.status = status, .content_type = type,
		.retry_after = retry_after
	};

	s->head_sent = true;
	reply(s, MSG_LLM_HEAD, true, &h);
}

void
stream_data(struct stream *s, const void *data, size_t len)
{
	const char *p = data;
	struct m_llm_data d;

	if (!s->head_sent || len > s->window)
		fatalx("reply out of order or over its window");
	s->window -= len;
	while (len > 0) {
		d.data.ptr = p;
		d.data.len = len > STREAM_FRAME ? STREAM_FRAME : len;
		reply(s, MSG_LLM_DATA, true, &d);
		p += d.data.len;
		len -= d.data.len;
	}
}

void
stream_end(struct stream *s)
{
	send_end(s, true, "");
}

void
stream_cut(struct stream *s, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_call(s, "cut", text);
	send_end(s, false, text);
}

void
stream_fail(struct stream *s, unsigned status, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_call(s, "failed", text);
	if (s->head_sent)
		send_end(s, false, text);
	else
		send_error(s, status, text);
}

/* Under the gateway's id, from whatever callback it comes. */
static void
log_call(const struct stream *s, const char *what, const char *text)
{
	log_set_request(s->id);
	log_info("call %s: %s", what, text);
	log_set_request(0);
}

/* A complete reply with the error, in the form that runtimes know. */
static void
send_error(struct stream *s, unsigned status, const char *text)
{
	struct jbuf b;
	const char *json;
	size_t len;

	jbuf_init(&b, STREAM_WINDOW);
	jb_obj(&b);
	jb_key(&b, "error");
	jb_obj(&b);
	jb_kstr(&b, "message", text);
	jb_kstr(&b, "type", "upstream_error");
	jb_key(&b, "code");
	jb_int(&b, status);
	jb_end(&b);
	jb_end(&b);
	if ((json = jbuf_text(&b, &len)) == NULL)
		fatalx("an error text does not fit");
	stream_head(s, status, "application/json", "");
	/* Nothing was sent before it, so it is within the least window. */
	stream_data(s, json, len);
	jbuf_free(&b);
	send_end(s, true, text);
}

static void
send_end(struct stream *s, bool ok, const char *text)
{
	struct m_llm_end e = { .ok = ok, .error = text };

	reply(s, MSG_LLM_END, false, &e);
	stream_free(s);
}

static void
reply(const struct stream *s, uint32_t type, bool more, const void *payload)
{
	if (peer_reply_id(worker_peer(PROC_GATEWAY), s->id, type, more,
	    payload, -1) == -1)
		log_warn("%s to gateway", msg_name(type));
}

static void
stream_free(struct stream *s)
{
	RB_REMOVE(stream_tree, &self.tree, s);
	self.count--;
	if (s->parked != NULL)
		event_free(s->parked);
	if (s->ops != NULL)
		s->ops->close(s);
	route_unref(s->route);
	evbuffer_free(s->body);
	free(s);
}

/* "/word/word": what is put behind a base URL must not lead elsewhere. */
static bool
path_valid(const char *path)
{
	const char *p;

	if (path[0] != '/')
		return false;
	for (p = path; *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr("/-_.", *p) == NULL)
			return false;
		if (*p == '/' && (!isalnum((unsigned char)p[1])))
			return false;
	}
	return true;
}

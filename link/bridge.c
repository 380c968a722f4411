/*
 * The event stream: messages come in, presence goes out.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#include "config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "bridge.h"
#include "conf.h"
#include "gw.h"
#include "httpc.h"
#include "inbox.h"
#include "jscan.h"
#include "log.h"
#include "prepare.h"
#include "sse.h"
#include "sys.h"
#include "turn.h"
#include "util.h"

#define SILENCE_SECS	45		/* three ticks */
#define EVENT_MAX	(512UL << 10)	/* bytes of one event */

struct bridge {
	struct event_base *base;
	const struct conf *conf;
	struct gw *gw;
	struct inbox *inbox;
	struct turn *turn;
	struct prepare *prepare;
	struct bufferevent *bev;	/* NULL = no stream */
	struct httpc parser;
	struct sse sse;
	unsigned int key_nr;		/* the stream was opened with it */
	struct event *again;
	unsigned int step;
	bool stopped;
	bool reopen;			/* for what the inbox refused */
};

static void	bridge_open(void *);
static void	bridge_lost(struct bridge *, const char *);
static void	bridge_again(evutil_socket_t, short, void *);
static void	bridge_room(void *);
static int	bridge_event(void *, const struct sse_event *);
static int	rp_body(void *, const void *, size_t);

static const struct httpc_cb parser_cb = { NULL, rp_body, NULL };

struct bridge *
bridge_new(struct event_base *base, const struct conf *conf, struct gw *gw,
    struct inbox *inbox, struct turn *turn)
{
	struct bridge *b;

	if ((b = calloc(1, sizeof(*b))) == NULL)
		return NULL;
	b->base = base;
	b->conf = conf;
	b->gw = gw;
	b->inbox = inbox;
	b->turn = turn;
	b->again = evtimer_new(base, bridge_again, b);
	b->prepare = prepare_new(base, gw, turn);
	if (b->again == NULL || b->prepare == NULL) {
		prepare_free(b->prepare);
		free(b);
		return NULL;
	}
	gw_on_key(gw, bridge_open, b);
	turn_on_room(turn, bridge_room, b);
	return b;
}

static void
bridge_close(struct bridge *b)
{
	if (b->bev == NULL)
		return;
	bufferevent_free(b->bev);
	b->bev = NULL;
	httpc_free(&b->parser);
	sse_free(&b->sse);
}

void
bridge_free(struct bridge *b)
{
	if (b == NULL)
		return;
	bridge_close(b);
	gw_on_key(b->gw, NULL, NULL);
	turn_on_room(b->turn, NULL, NULL);
	prepare_free(b->prepare);
	event_free(b->again);
	free(b);
}

void
bridge_stop(struct bridge *b)
{
	b->stopped = true;
	evtimer_del(b->again);
	bridge_close(b);
}

static void
bridge_again(evutil_socket_t fd, short what, void *arg)
{
	struct bridge *b = arg;

	(void)fd;
	(void)what;
	if (b->reopen)
		bridge_close(b);
	b->reopen = false;
	bridge_open(b);
}

/* The inbox has room again: a new stream delivers what was refused. */
static void
bridge_room(void *arg)
{
	struct bridge *b = arg;

	if (b->stopped)
		return;
	b->reopen = true;
	timer_ms(b->again, 0);
}

/* The stream is gone: opens it anew after a delay. */
static void
bridge_lost(struct bridge *b, const char *why)
{
	unsigned int ms = retry_next(&b->step);

	log_debug("event stream: %s, again in %u ms", why, ms);
	bridge_close(b);
	timer_ms(b->again, ms);
}

static void
bridge_read(struct bufferevent *bev, void *arg)
{
	struct bridge *b = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	unsigned char *p;
	size_t len;

	while ((len = evbuffer_get_contiguous_space(in)) > 0) {
		p = evbuffer_pullup(in, (ssize_t)len);
		if (httpc_feed(&b->parser, p, len) == -1) {
			bridge_lost(b, b->parser.why);
			return;
		}
		evbuffer_drain(in, len);
		if (b->parser.code == 0 || b->parser.code == 200)
			continue;
		if (b->parser.code == 401) {
			bridge_close(b);
			gw_lost_key(b->gw, b->key_nr);
			/* If a newer key is there already, use it. */
			if (gw_key(b->gw) != NULL)
				timer_ms(b->again, retry_next(&b->step));
		} else
			bridge_lost(b, "not accepted");
		return;
	}
	if (b->parser.state == HTTPC_DONE)
		bridge_lost(b, "ended");
}

static void
bridge_eof(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	bridge_lost(arg, what & BEV_EVENT_TIMEOUT ? "silent" : "closed");
}

static int
bridge_request(struct bridge *b)
{
	struct httpc_req head;
	char buf[1024], text[192];
	ssize_t n;
	int ret = -1;

	httpc_req_start(&head, buf, sizeof(buf), "GET",
	    gw_events_url(b->gw), "agentd");
	httpc_req_field(&head, "Accept", "text/event-stream");
	if (inbox_last_event(b->inbox) > 0) {
		(void)snprintf(text, sizeof(text), "%llu",
		    (unsigned long long)inbox_last_event(b->inbox));
		httpc_req_field(&head, "Last-Event-ID", text);
	}
	(void)snprintf(text, sizeof(text), "Bearer %s", gw_key(b->gw));
	httpc_req_field(&head, "Authorization", text);
	if ((n = httpc_req_end(&head)) != -1)
		ret = bufferevent_write(b->bev, buf, (size_t)n);
	explicit_bzero(buf, sizeof(buf));
	explicit_bzero(text, sizeof(text));
	return ret;
}

/* Opens the stream if it is not open; also the call for a new key. */
static void
bridge_open(void *arg)
{
	struct bridge *b = arg;
	struct timeval tv = { SILENCE_SECS, 0 };
	int fd;

	if (b->stopped || b->bev != NULL || gw_key(b->gw) == NULL)
		return;
	evtimer_del(b->again);
	if ((fd = unix_connect(b->conf->socket)) == -1) {
		timer_ms(b->again, retry_next(&b->step));
		return;
	}
	b->bev = bufferevent_socket_new(b->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (b->bev == NULL) {
		close(fd);
		timer_ms(b->again, retry_next(&b->step));
		return;
	}
	httpc_init(&b->parser, false, &parser_cb, b);
	sse_init(&b->sse, EVENT_MAX, bridge_event, b);
	b->key_nr = gw_key_nr(b->gw);
	inbox_redelivery(b->inbox);
	bufferevent_setcb(b->bev, bridge_read, NULL, bridge_eof, b);
	bufferevent_set_timeouts(b->bev, &tv, &tv);
	bufferevent_enable(b->bev, EV_READ | EV_WRITE);
	if (bridge_request(b) == -1)
		bridge_lost(b, "cannot send");
}

static int
rp_body(void *arg, const void *p, size_t len)
{
	struct bridge *b = arg;

	return b->parser.code == 200 ? sse_feed(&b->sse, p, len) : 0;
}

/* A required id of an event: short, printable, no blank. */
static int
event_id(const struct sse_event *ev, const char *key, char *dst, size_t dstsz)
{
	struct jspan v;
	const char *c;

	if (jscan_get(ev->data, ev->len, key, &v) != 1 ||
	    v.type != JT_STRING || jscan_unescape(&v, dst, dstsz) < 1)
		return -1;
	for (c = dst; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			return -1;
	return 0;
}

/* NULL for a text that cannot be read: its turn ends with an error. */
static char *
event_text(const struct sse_event *ev, size_t *len)
{
	struct jspan v;
	ssize_t n;
	char *text;

	if (jscan_get(ev->data, ev->len, "text", &v) != 1 ||
	    v.type != JT_STRING)
		return NULL;
	if ((text = malloc(v.len)) == NULL)
		fatal("message");
	if ((n = jscan_unescape(&v, text, v.len)) == -1) {
		free(text);
		return NULL;
	}
	*len = (size_t)n;
	return text;
}

static void
user_message(struct bridge *b, const struct sse_event *ev, uint64_t event)
{
	struct message *m;

	if ((m = calloc(1, sizeof(*m))) == NULL)
		fatal("message");
	m->event_id = event;
	if (event_id(ev, "id", m->id, sizeof(m->id)) == -1 ||
	    event_id(ev, "trace_id", m->trace_id, sizeof(m->trace_id)) == -1 ||
	    event_id(ev, "channel_id", m->channel_id,
	    sizeof(m->channel_id)) == -1) {
		log_warnx("event %llu: a message without its ids",
		    (unsigned long long)event);
		message_free(m);
		inbox_saw(b->inbox, event);
		return;
	}
	m->text = event_text(ev, &m->len);
	switch (inbox_add(b->inbox, m)) {
	case INBOX_NEW:
		turn_wake(b->turn);
		return;
	case INBOX_OVER:
		turn_ack(b->turn);
		break;
	case INBOX_FULL:
		log_warnx("too many messages wait, %s is left with the host",
		    m->id);
		break;
	case INBOX_WAITING:
		break;
	}
	message_free(m);
}

static int
bridge_event(void *arg, const struct sse_event *ev)
{
	struct bridge *b = arg;
	char id[MSG_ID_LEN + 1];
	const char *errstr, *why;
	uint64_t event;

	b->step = 0;
	event = (uint64_t)strtonum(ev->id, 0, INT64_MAX, &errstr);
	if (errstr != NULL)
		event = 0;
	if (jscan_buf(ev->data, ev->len, JSCAN_DEPTH, 0, NULL, NULL,
	    &why) == -1) {
		/* Delivered again it would be as broken: pass over it. */
		log_warnx("event '%s' is broken: %s", ev->name, why);
		inbox_saw(b->inbox, event);
		return 0;
	}
	if (strcmp(ev->name, "user_message") == 0) {
		user_message(b, ev, event);
		return 0;
	}
	if (strcmp(ev->name, "abort") == 0 &&
	    event_id(ev, "trace_id", id, sizeof(id)) == 0)
		turn_abort(b->turn, id);
	else if (strcmp(ev->name, "prepare") == 0 &&
	    event_id(ev, "id", id, sizeof(id)) == 0 &&
	    sys_is_id(id))
		prepare_begin(b->prepare, id);
	else if (strcmp(ev->name, "resume") == 0)
		prepare_lift(b->prepare);
	else if (strcmp(ev->name, "start") == 0)
		turn_start(b->turn);
	inbox_saw(b->inbox, event);
	return 0;
}

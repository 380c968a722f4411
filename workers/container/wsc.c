/*
 * A WebSocket to Incus: connects, upgrades, reads and writes frames.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 *
 * Debian's libcurl has no WebSocket.  The mask of a client's frames protects
 * proxies on the way; there are none on a Unix socket, but it must be there.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "http.h"
#include "incus.h"
#include "log.h"
#include "sys.h"
#include "worker.h"
#include "ws.h"
#include "wsc.h"

#define OPEN_S		20	/* from connect() to 101 */
#define READ_MAX	65536	/* bytes taken in ahead */
#define WHY_LEN		200

struct wsc {
	struct bufferevent	*bev;
	struct event		*late;	/* to tell from the loop; deadline */
	const struct wsc_ops	*ops;
	void			*arg;
	struct ws		 ws;
	char			 key[WS_KEY_LEN + 1];
	bool			 open;
	bool			 bye;	/* a close frame was sent */
	bool			 busy;	/* in a callback: not to be freed */
	bool			 dead;
	char			 why[WHY_LEN];
};

void
wsc_free(struct wsc *w)
{
	if (w == NULL)
		return;
	if (w->busy) {
		w->dead = true;
		return;
	}
	if (w->bev != NULL)
		bufferevent_free(w->bev);
	event_free(w->late);
	free(w);
}

/* The last call; why NULL: in peace. */
static void
over(struct wsc *w, const char *why)
{
	bool nested = w->busy;

	if (w->dead)
		return;
	w->dead = true;
	w->busy = true;
	w->ops->closed(why, w->arg);
	w->busy = nested;
	wsc_free(w);
}

static void
frame(struct wsc *w, enum ws_op op, const void *data, size_t len)
{
	struct evbuffer *out = bufferevent_get_output(w->bev);
	uint8_t head[WS_HEAD_MAX], mask[4], piece[4096];
	const uint8_t *p = data;
	size_t n, at;

	sys_random(mask, sizeof(mask));
	n = ws_head(head, op, true, len, mask);
	if (evbuffer_add(out, head, n) == -1)
		fatal("WebSocket");
	for (at = 0; at < len; at += n) {
		n = len - at < sizeof(piece) ? len - at : sizeof(piece);
		memcpy(piece, p + at, n);
		ws_mask(piece, n, mask, at);
		if (evbuffer_add(out, piece, n) == -1)
			fatal("WebSocket");
	}
}

void
wsc_send(struct wsc *w, bool text, const void *data, size_t len)
{
	if (w->bev != NULL && w->open && !w->bye)
		frame(w, text ? WS_TEXT : WS_BINARY, data, len);
}

size_t
wsc_queued(const struct wsc *w)
{
	return w->bev == NULL ? 0 :
	    evbuffer_get_length(bufferevent_get_output(w->bev));
}

void
wsc_read(struct wsc *w, bool on)
{
	if (w->bev == NULL)
		return;
	if (!on)
		(void)bufferevent_disable(w->bev, EV_READ);
	else if (!(bufferevent_get_enabled(w->bev) & EV_READ)) {
		(void)bufferevent_enable(w->bev, EV_READ);
		/* What was taken in before has no event of its own. */
		bufferevent_trigger(w->bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
	}
}

void
wsc_finish(struct wsc *w)
{
	uint8_t code[2] = { WS_NORMAL >> 8, WS_NORMAL & 0xff };
	struct timeval tv = { OPEN_S, 0 };

	if (w->bye || w->bev == NULL)
		return;
	if (w->open)
		frame(w, WS_CLOSE, code, sizeof(code));
	else
		tv.tv_sec = 0;
	w->bye = true;
	(void)evtimer_add(w->late, &tv);
}

/* ---- what comes in ---- */

/* One frame or a piece of it; false: the connection is over. */
static bool
one(struct wsc *w, const struct ws_event *ev)
{
	switch (ev->op) {
	case WS_CONT:
		break;
	case WS_TEXT:
	case WS_BINARY:
		w->ops->data(ev->data, ev->len, ev->end, w->arg);
		break;
	case WS_PING:
		if (!w->bye && wsc_queued(w) < READ_MAX)
			frame(w, WS_PONG, ev->data, ev->len);
		break;
	case WS_PONG:
		break;
	case WS_CLOSE:
		return false;
	}
	return true;
}

static void
frames(struct wsc *w)
{
	struct evbuffer *in = bufferevent_get_input(w->bev);
	struct ws_event ev;
	uint8_t *p;
	size_t len;
	const char *why = NULL;
	ssize_t n;
	bool more = true;

	w->busy = true;
	while (more && !w->dead && (len = evbuffer_get_length(in)) > 0 &&
	    (bufferevent_get_enabled(w->bev) & EV_READ)) {
		if ((p = evbuffer_pullup(in, -1)) == NULL)
			fatal("WebSocket");
		if ((n = ws_read(&w->ws, p, len, &ev)) == 0)
			break;
		if (n == -1) {
			(void)snprintf(w->why, sizeof(w->why),
			    "Incus broke the WebSocket: %s", w->ws.why);
			why = w->why;
			more = false;
			break;
		}
		more = one(w, &ev);
		evbuffer_drain(in, (size_t)n);
	}
	w->busy = false;
	if (w->dead)
		wsc_free(w);
	else if (!more)
		over(w, why);
}

/* The answer to the upgrade: -1 after over(). */
static int
upgraded(struct wsc *w)
{
	struct evbuffer *in = bufferevent_get_input(w->bev);
	char *buf, want[WS_ACCEPT_LEN + 1];
	size_t len = evbuffer_get_length(in);
	struct http_head h;
	enum http_result r;
	const char *got;

	if (len > HTTP_MAX_HEAD)
		len = HTTP_MAX_HEAD;
	if ((buf = malloc(len)) == NULL)
		fatal("WebSocket");
	(void)evbuffer_copyout(in, buf, len);
	http_head_init(&h);
	r = http_rhead_parse(&h, buf, len);
	if (r == HTTP_MORE) {
		free(buf);
		return 0;
	}
	if (r == HTTP_BAD)
		(void)snprintf(w->why, sizeof(w->why),
		    "Incus gave a wrong answer: %s", h.why);
	else if (h.code != 101)
		(void)snprintf(w->why, sizeof(w->why),
		    "Incus opens no WebSocket: it answers %d", h.code);
	else if (ws_accept(w->key, want) == -1 ||
	    (got = http_head_field(&h, "sec-websocket-accept")) == NULL ||
	    strcmp(got, want) != 0)
		(void)snprintf(w->why, sizeof(w->why),
		    "Incus did not answer the key of the WebSocket");
	else
		w->open = true;
	if (w->open)
		evbuffer_drain(in, h.len);
	free(buf);
	if (w->open)
		return 1;
	over(w, w->why);
	return -1;
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct wsc *w = arg;

	(void)bev;
	if (w->dead)
		return;
	if (!w->open) {
		if (upgraded(w) != 1)
			return;
		if (!w->bye)
			(void)evtimer_del(w->late);
		w->busy = true;
		w->ops->opened(w->arg);
		w->busy = false;
		if (w->dead) {
			wsc_free(w);
			return;
		}
	}
	frames(w);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct wsc *w = arg;

	(void)bev;
	if (!w->open || w->dead || wsc_queued(w) > 0)
		return;
	w->busy = true;
	w->ops->drained(w->arg);
	w->busy = false;
	if (w->dead)
		wsc_free(w);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct wsc *w = arg;

	(void)bev;
	(void)what;
	if (w->dead)
		return;
	if (w->bye)
		over(w, NULL);
	else
		over(w, "Incus closed the connection");
}

/* The deadline; or what could not be told from within wsc_open(). */
static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	struct wsc *w = arg;

	(void)fd;
	(void)what;
	if (w->bye)
		over(w, NULL);
	else
		over(w, w->why[0] != '\0' ? w->why :
		    "Incus did not open a WebSocket in time");
}

/* ---- the beginning ---- */

static int
connect_to(const char *path)
{
	struct sockaddr_un sun;
	int fd, saved;

	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0)) == -1)
		return -1;
	/* On a Unix socket it is done at once or not at all. */
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		saved = errno;
		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static void
start(struct wsc *w, int fd, const char *path)
{
	uint8_t random[16];

	if ((w->bev = bufferevent_socket_new(worker_base(), fd,
	    BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("WebSocket");
	bufferevent_setcb(w->bev, on_read, on_write, on_event, w);
	bufferevent_setwatermark(w->bev, EV_READ, 0, READ_MAX);
	/* No deadline to write: a command may read its input much later. */
	sys_random(random, sizeof(random));
	ws_key(random, w->key);
	if (evbuffer_add_printf(bufferevent_get_output(w->bev),
	    "GET %s HTTP/1.1\r\nHost: incus\r\nConnection: Upgrade\r\n"
	    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
	    "Sec-WebSocket-Key: %s\r\n\r\n", path, w->key) == -1 ||
	    bufferevent_enable(w->bev, EV_READ | EV_WRITE) == -1)
		fatal("WebSocket");
}

struct wsc *
wsc_open(const char *path, size_t max, const struct wsc_ops *ops, void *arg)
{
	struct timeval tv = { OPEN_S, 0 };
	struct wsc *w;
	int fd;

	if ((w = calloc(1, sizeof(*w))) == NULL ||
	    (w->late = evtimer_new(worker_base(), on_late, w)) == NULL)
		fatal("WebSocket");
	w->ops = ops;
	w->arg = arg;
	ws_init(&w->ws, WS_FROM_SERVER, max);
	if ((fd = connect_to(incus_socket_path())) == -1) {
		(void)snprintf(w->why, sizeof(w->why),
		    "Incus cannot be reached on %s: %s", incus_socket_path(),
		    strerror(errno));
		tv.tv_sec = 0;
	} else {
		start(w, fd, path);
	}
	(void)evtimer_add(w->late, &tv);
	return w;
}

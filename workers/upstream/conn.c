/*
 * Connections to providers.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: dialer, providers.
 */
#include <sys/types.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>

#include "conn.h"
#include "log.h"
#include "tls.h"
#include "worker.h"

enum conn_state { CONN_DIALING, CONN_TLS, CONN_READY, CONN_IDLE, CONN_DEAD };

struct conn {
	TAILQ_ENTRY(conn)	 entry;		/* while idle */
	enum conn_state		 state;
	struct route		*route;		/* referenced */
	uint64_t		 dial;		/* request id while dialling */
	struct bufferevent	*bev;
	SSL			*ssl;		/* bev's; NULL for http */
	struct event		*timer;		/* handshake, idle */
	bool			 reused;
	const struct conn_ops	*ops;
	void			*arg;
};

static struct {
	struct event_base	*base;
	unsigned		 idle;	/* of all providers */
} self;

static void	leave_pool(struct conn *);
static bool	is_quiet(struct conn *);
static void	dial(struct conn *);
static void	dialed(struct msg *, void *);
static void	start(struct conn *, int);
static void	failed(struct conn *, unsigned, const char *);
static void	on_read(struct bufferevent *, void *);
static void	on_write(struct bufferevent *, void *);
static void	on_event(struct bufferevent *, short, void *);
static void	on_timer(evutil_socket_t, short, void *);
static void	set_timer(struct conn *, unsigned);

void
conn_init(struct event_base *b)
{
	self.base = b;
}

struct conn *
conn_open(struct route *r, bool fresh, const struct conn_ops *ops, void *arg)
{
	struct conn *c, *next;

	/* The one that was used last is the least likely to be stale. */
	TAILQ_FOREACH_SAFE(c, &r->idle, entry, next) {
		if (fresh)
			break;
		if (!is_quiet(c)) {
			conn_close(c);
			continue;
		}
		leave_pool(c);
		c->reused = true;
		c->ops = ops;
		c->arg = arg;
		return c;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL)
		fatal("connection");
	c->route = route_ref(r);
	c->ops = ops;
	c->arg = arg;
	if ((c->timer = evtimer_new(self.base, on_timer, c)) == NULL)
		fatalx("out of memory");
	dial(c);
	return c;
}

static void
leave_pool(struct conn *c)
{
	TAILQ_REMOVE(&c->route->idle, c, entry);
	c->route->nidle--;
	self.idle--;
	c->state = CONN_READY;
	evtimer_del(c->timer);
}

/*
 * Neither an end nor bytes wait on an idle connection. The loop would find
 * them, too, but perhaps only after the call that is about to use it.
 */
static bool
is_quiet(struct conn *c)
{
	char b;

	return recv(bufferevent_getfd(c->bev), &b, 1,
	    MSG_PEEK | MSG_DONTWAIT) == -1 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void
dial(struct conn *c)
{
	struct m_dial d = {
		.host = c->route->url.host, .port = c->route->url.port,
		.allow_private = c->route->allow_private
	};

	c->dial = peer_request(worker_peer(PROC_DIALER), MSG_DIAL, &d,
	    CONN_DIAL_MS, dialed, c);
	/* The caller does not expect to be called from conn_open(). */
	if (c->dial == 0)
		set_timer(c, 0);
}

static void
dialed(struct msg *m, void *arg)
{
	struct conn *c = arg;
	int fd;

	c->dial = 0;
	if (m == NULL) {
		failed(c, errno == ETIMEDOUT ? 504 : 502, errno == ETIMEDOUT ?
		    "no connection in time" : "the dialer is restarting");
		return;
	}
	if (m->u.dialed.status != 200 || m->fd == -1) {
		failed(c, m->u.dialed.status, m->u.dialed.error);
		return;
	}
	fd = m->fd;
	m->fd = -1;
	start(c, fd);
}

static void
start(struct conn *c, int fd)
{
	if (c->route->ctx == NULL) {
		c->bev = bufferevent_socket_new(self.base, fd,
		    BEV_OPT_CLOSE_ON_FREE);
	} else {
		c->ssl = tls_client(c->route->ctx, c->route->url.host);
		c->bev = bufferevent_openssl_socket_new(self.base, fd,
		    c->ssl, BUFFEREVENT_SSL_CONNECTING,
		    BEV_OPT_CLOSE_ON_FREE);
	}
	if (c->bev == NULL)
		fatalx("out of memory");
	bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, CONN_INPUT);
	bufferevent_setwatermark(c->bev, EV_WRITE, CONN_OUTPUT, 0);
	if (c->ssl != NULL) {
		c->state = CONN_TLS;
		set_timer(c, CONN_TLS_MS);
		return;
	}
	c->state = CONN_READY;
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	c->ops->ready(c->arg);
}

bool
conn_is_ready(const struct conn *c)
{
	return c->state == CONN_READY;
}

bool
conn_is_reused(const struct conn *c)
{
	return c->reused;
}

struct bufferevent *
conn_bev(struct conn *c)
{
	return c->bev;
}

void
conn_release(struct conn *c)
{
	struct route *r = c->route;

	if (r->gone || self.idle >= CONN_IDLE_ALL ||
	    evbuffer_get_length(bufferevent_get_input(c->bev)) > 0 ||
	    evbuffer_get_length(bufferevent_get_output(c->bev)) > 0) {
		conn_close(c);
		return;
	}
	if (r->nidle >= CONN_IDLE_MAX)
		conn_close(TAILQ_LAST(&r->idle, conn_list));
	c->state = CONN_IDLE;
	c->ops = NULL;
	c->arg = NULL;
	TAILQ_INSERT_HEAD(&r->idle, c, entry);
	r->nidle++;
	self.idle++;
	set_timer(c, CONN_IDLE_MS);
}

void
conn_close(struct conn *c)
{
	if (c == NULL)
		return;
	if (c->state == CONN_IDLE)
		leave_pool(c);
	/* An answer that is under way brings a socket: it is closed. */
	if (c->dial != 0)
		peer_forget(worker_peer(PROC_DIALER), c->dial, false);
	if (c->bev != NULL)
		bufferevent_free(c->bev);
	event_free(c->timer);
	route_unref(c->route);
	free(c);
}

void
conn_drop_idle(struct route *r)
{
	struct conn *c, *next;

	TAILQ_FOREACH_SAFE(c, &r->idle, entry, next)
		conn_close(c);
}

static void
failed(struct conn *c, unsigned status, const char *why)
{
	c->state = CONN_DEAD;
	evtimer_del(c->timer);
	if (c->bev != NULL)
		bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	c->ops->failed(c->arg, status, why);
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	/* Nobody asked: it may be a 408, or a trick to answer a later call. */
	if (c->state == CONN_IDLE)
		conn_close(c);
	else if (c->state == CONN_READY)
		c->ops->readable(c->arg);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->state == CONN_READY)
		c->ops->written(c->arg);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct conn *c = arg;
	char why[256];
	int error = EVUTIL_SOCKET_ERROR();

	if (c->state == CONN_IDLE) {
		conn_close(c);
		return;
	}
	if (what & BEV_EVENT_CONNECTED) {
		evtimer_del(c->timer);
		c->state = CONN_READY;
		bufferevent_enable(bev, EV_READ | EV_WRITE);
		c->ops->ready(c->arg);
		return;
	}
	if (c->state == CONN_TLS) {
		tls_why(c->ssl, bufferevent_get_openssl_error(bev), why,
		    sizeof(why));
		failed(c, 502, why);
		return;
	}
	if (c->state != CONN_READY)
		return;
	if (what & BEV_EVENT_EOF) {
		c->ops->eof(c->arg);
		return;
	}
	/* Under TLS also an end without a farewell: something may be cut. */
	failed(c, 502, c->ssl != NULL ? "the connection broke" :
	    strerror(error));
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	switch (c->state) {
	case CONN_DIALING:
		failed(c, 502, "the dialer is restarting");
		break;
	case CONN_TLS:
		failed(c, 504, "no TLS handshake in time");
		break;
	case CONN_IDLE:
		conn_close(c);
		break;
	case CONN_READY:
	case CONN_DEAD:
		break;
	}
}

static void
set_timer(struct conn *c, unsigned ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (evtimer_add(c->timer, &tv) == -1)
		fatalx("cannot set a timer");
}

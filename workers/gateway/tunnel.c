/*
 * Bytes between an agent and a host that it may reach.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: agents (agent-link), hosts.
 *
 * Both sockets are given: the agent's by httpd, the host's by dialer.  Of
 * either direction at most twice TUNNEL_BUF is held here.
 */
#include <sys/types.h>
#include <sys/socket.h>

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "domain.h"
#include "log.h"
#include "net.h"
#include "worker.h"

#define TUNNEL_BUF	(64UL * 1024)
#define TUNNEL_IDLE_S	300	/* without a byte either way */
#define TUNNEL_LAST_S	15	/* for the rest, when one side is gone */
#define TUNNELS_MAX	1024	/* of all agents */

struct side {
	struct tunnel		*t;
	struct bufferevent	*bev;
	bool			 eof;		/* it sends no more */
	bool			 shut;		/* we send no more */
};

struct tunnel {
	TAILQ_ENTRY(tunnel)	 entry;
	struct agent		*agent;
	struct side		 cl, up;
	struct event		*timer;
	uint64_t		 in, out;	/* bytes from, to the host */
	uint16_t		 port;
	char			 host[DOMAIN_HOST_MAX + 1];
};

static unsigned int ntunnels;

static void
tunnel_free(struct tunnel *t)
{
	struct agent *a = t->agent;

	log_debug("agent %s: %s:%u: %llu bytes in, %llu out", a->slug,
	    t->host, t->port, (unsigned long long)t->in,
	    (unsigned long long)t->out);
	TAILQ_REMOVE(&a->tunnels, t, entry);
	a->ntunnels--;
	ntunnels--;
	bufferevent_free(t->cl.bev);
	bufferevent_free(t->up.bev);
	event_free(t->timer);
	free(t);
	agent_unref(a);
}

static void
set_timer(struct tunnel *t)
{
	struct timeval tv = { t->cl.eof || t->up.eof ? TUNNEL_LAST_S :
	    TUNNEL_IDLE_S, 0 };

	(void)evtimer_add(t->timer, &tv);
}

static struct side *
other(struct side *s)
{
	return s == &s->t->cl ? &s->t->up : &s->t->cl;
}

/* Moves what the other side has room for; false if the tunnel is gone. */
static bool
move(struct side *from)
{
	struct side *to = other(from);
	struct tunnel *t = from->t;
	struct evbuffer *in = bufferevent_get_input(from->bev);
	struct evbuffer *out = bufferevent_get_output(to->bev);
	size_t n = evbuffer_get_length(in);

	if (n > 0 && evbuffer_get_length(out) < TUNNEL_BUF) {
		if (from == &t->up)
			t->in += n;
		else
			t->out += n;
		if (evbuffer_add_buffer(out, in) == -1) {
			tunnel_free(t);
			return false;
		}
		set_timer(t);
	}
	if (!from->eof || evbuffer_get_length(in) > 0 ||
	    evbuffer_get_length(out) > 0)
		return true;
	/* All of it is written: the other side hears that it was all. */
	if (!to->shut)
		(void)shutdown(bufferevent_getfd(to->bev), SHUT_WR);
	to->shut = true;
	if (t->cl.shut && t->up.shut) {
		tunnel_free(t);
		return false;
	}
	return true;
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	(void)bev;
	(void)move(arg);
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	(void)bev;
	(void)move(other(arg));
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct side *s = arg;

	(void)bev;
	if (!(what & BEV_EVENT_EOF)) {
		tunnel_free(s->t);
		return;
	}
	s->eof = true;
	set_timer(s->t);
	(void)move(s);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tunnel_free(arg);
}

static void
begin(struct side *s, struct tunnel *t, struct bufferevent *bev)
{
	s->t = t;
	s->bev = bev;
	bufferevent_setcb(bev, on_read, on_write, on_event, s);
	bufferevent_setwatermark(bev, EV_READ, 0, TUNNEL_BUF);
	/* Also when it is empty: the end is passed on then. */
	bufferevent_setwatermark(bev, EV_WRITE, 0, 0);
	(void)bufferevent_enable(bev, EV_READ | EV_WRITE);
}

bool
tunnel_room(const struct agent *a)
{
	return a->ntunnels < GW_TUNNELS_AGENT && ntunnels < TUNNELS_MAX;
}

void
tunnel_new(struct agent *a, struct bufferevent *cl, int fd, const char *host,
    uint16_t port)
{
	struct bufferevent *up;
	struct tunnel *t;

	t = calloc(1, sizeof(*t));
	up = bufferevent_socket_new(worker_base(), fd, BEV_OPT_CLOSE_ON_FREE);
	if (t == NULL || up == NULL ||
	    (t->timer = evtimer_new(worker_base(), on_timer, t)) == NULL)
		fatal("connection");
	t->agent = a;
	agent_ref(a);
	(void)strlcpy(t->host, host, sizeof(t->host));
	t->port = port;
	TAILQ_INSERT_TAIL(&a->tunnels, t, entry);
	a->ntunnels++;
	ntunnels++;
	begin(&t->cl, t, cl);
	begin(&t->up, t, up);
	set_timer(t);
	(void)move(&t->cl);
}

void
tunnel_check(struct agent *a)
{
	struct tunnel *t, *next;
	bool private;

	agent_ref(a);
	TAILQ_FOREACH_SAFE(t, &a->tunnels, entry, next)
		if (!net_allows(a, t->host, t->port, &private))
			tunnel_free(t);
	agent_unref(a);
}

void
tunnel_cut(struct agent *a)
{
	struct tunnel *t, *next;

	agent_ref(a);
	TAILQ_FOREACH_SAFE(t, &a->tunnels, entry, next)
		tunnel_free(t);
	agent_unref(a);
}

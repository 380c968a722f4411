/*
 * The proxy for what the runtime reaches outside: CONNECT and http://.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway, the runtime.
 *
 * What may be reached is not judged here: the gateway is asked for each
 * connection. So nothing is gained by going around the link.
 */
#include "config.h"

#include <arpa/inet.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "conf.h"
#include "forward.h"
#include "gw.h"
#include "httpc.h"
#include "log.h"
#include "pconn.h"
#include "preq.h"
#include "util.h"

#define CONNS_MAX	64
#define BUF_MAX		(64UL << 10)	/* bytes per direction */
#define HEAD_MS		15000		/* for the request head */
#define ANSWER_MS	20000		/* for the gateway's answer */
#define IDLE_MS		330000		/* the gateway's is shorter */
#define LAST_MS		5000		/* for the rest, one side is gone */

struct pconn;

struct side {
	struct pconn *c;
	struct bufferevent *bev;
	bool eof, shut;
};

struct pconn {
	TAILQ_ENTRY(pconn) entry;
	struct pconns *all;
	struct side cl, up;		/* up.bev: NULL until asked */
	struct event *timer;
	bool open;			/* bytes go both ways */
	bool refused;			/* the gateway's no goes back */
	unsigned int key_nr;
	struct preq req;
};

struct pconns {
	struct event_base *base;
	const struct conf *conf;
	struct gw *gw;
	struct evconnlistener *lev;
	unsigned int count;
	TAILQ_HEAD(, pconn) list;
};

static void
pconn_free(struct pconn *c)
{
	TAILQ_REMOVE(&c->all->list, c, entry);
	c->all->count--;
	bufferevent_free(c->cl.bev);
	if (c->up.bev != NULL)
		bufferevent_free(c->up.bev);
	event_free(c->timer);
	preq_free(&c->req);
	free(c);
}

static void
pconn_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	pconn_free(arg);
}

/* Our own answer; then nothing but its way out. */
static void
pconn_refuse(struct pconn *c, int status, const char *why)
{
	forward_refuse(bufferevent_get_output(c->cl.bev), status, why, false);
	if (c->up.bev != NULL)
		bufferevent_free(c->up.bev);
	c->up.bev = NULL;
	c->up.eof = c->refused = true;
	timer_ms(c->timer, LAST_MS);
}

/* Moves what the other side has room for; may free the connection. */
static void
move(struct side *from, struct side *to)
{
	struct pconn *c = from->c;
	struct evbuffer *in = bufferevent_get_input(from->bev);
	struct evbuffer *out = bufferevent_get_output(to->bev);

	if (evbuffer_get_length(in) > 0 &&
	    evbuffer_get_length(out) < BUF_MAX) {
		evbuffer_add_buffer(out, in);
		timer_ms(c->timer, c->cl.eof || c->up.eof ? LAST_MS : IDLE_MS);
	}
	if (!from->eof || evbuffer_get_length(in) > 0 ||
	    evbuffer_get_length(out) > 0)
		return;
	if (!to->shut)
		(void)shutdown(bufferevent_getfd(to->bev), SHUT_WR);
	to->shut = true;
	if (c->refused || (c->cl.shut && c->up.shut))
		pconn_free(c);
}

/* The gateway has said yes: the runtime hears it, or its request goes out. */
static void
pconn_open(struct pconn *c)
{
	c->open = true;
	timer_ms(c->timer, IDLE_MS);
	if (c->req.connect)
		evbuffer_add_printf(bufferevent_get_output(c->cl.bev),
		    "HTTP/1.1 200 Connection established\r\n\r\n");
	else
		(void)bufferevent_write(c->up.bev, c->req.head,
		    strlen(c->req.head));
	move(&c->cl, &c->up);
}

/* The head of the gateway's answer. */
static void
answer(struct pconn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->up.bev);
	char buf[HTTP_MAX_HEAD + 1];
	struct http_head head;
	ssize_t n;

	n = evbuffer_copyout(in, buf, HTTP_MAX_HEAD);
	http_head_init(&head);
	switch (http_rhead_parse(&head, buf, n > 0 ? (size_t)n : 0)) {
	case HTTP_MORE:
		return;
	case HTTP_BAD:
		pconn_refuse(c, 502, "agentd sent a broken answer");
		return;
	case HTTP_DONE:
		break;
	}
	if (head.code == 101) {
		evbuffer_drain(in, head.len);
		pconn_open(c);
	} else if (head.code == 401) {
		gw_lost_key(c->all->gw, c->key_nr);
		pconn_refuse(c, 503, "the agent's key is being renewed");
	} else {
		c->refused = true;	/* as it is, with its sentence */
		timer_ms(c->timer, LAST_MS);
	}
}

static void
up_read(struct bufferevent *bev, void *arg)
{
	struct pconn *c = arg;

	(void)bev;
	if (!c->open && !c->refused)
		answer(c);
	if (c->up.bev != NULL && (c->open || c->refused))
		move(&c->up, &c->cl);
}

static void
up_written(struct bufferevent *bev, void *arg)
{
	struct pconn *c = arg;

	(void)bev;
	if (c->open)
		move(&c->cl, &c->up);
}

static void
up_event(struct bufferevent *bev, short what, void *arg)
{
	struct pconn *c = arg;

	(void)bev;
	if (!c->open && !c->refused)
		pconn_refuse(c, 502, "agentd broke off");
	else if (!(what & BEV_EVENT_EOF))
		pconn_free(c);
	else {
		c->up.eof = true;
		timer_ms(c->timer, LAST_MS);
		move(&c->up, &c->cl);
	}
}

/* Asks the gateway for the connection. */
static void
ask(struct pconn *c)
{
	struct pconns *all = c->all;
	struct httpc_req req;
	char buf[1024], auth[192];
	ssize_t n;
	int fd;

	if (gw_key(all->gw) == NULL ||
	    (fd = unix_connect(all->conf->socket)) == -1) {
		pconn_refuse(c, 503, "agentd does not answer");
		return;
	}
	c->key_nr = gw_key_nr(all->gw);
	c->up.bev = bufferevent_socket_new(all->base, fd,
	    BEV_OPT_CLOSE_ON_FREE);
	if (c->up.bev == NULL)
		fatal("connection");
	bufferevent_setcb(c->up.bev, up_read, up_written, up_event, c);
	bufferevent_setwatermark(c->up.bev, EV_READ, 0, BUF_MAX);
	bufferevent_enable(c->up.bev, EV_READ | EV_WRITE);
	httpc_req_start(&req, buf, sizeof(buf), "POST", "/api/agent/connect",
	    "agentd");
	(void)snprintf(auth, sizeof(auth), "Bearer %s", gw_key(all->gw));
	httpc_req_field(&req, "Authorization", auth);
	httpc_req_field(&req, "X-Agentd-Connect", c->req.target);
	httpc_req_field(&req, "Connection", "close");
	httpc_req_length(&req, 0);
	n = httpc_req_end(&req);
	explicit_bzero(auth, sizeof(auth));
	if (n == -1)
		pconn_refuse(c, 400, "that is no host and port");
	else
		(void)bufferevent_write(c->up.bev, buf, (size_t)n);
	explicit_bzero(buf, sizeof(buf));
	timer_ms(c->timer, ANSWER_MS);
}

static void
head(struct pconn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->cl.bev);
	struct evbuffer_ptr end;
	const char *why;
	char *buf;
	size_t len;

	end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	if (end.pos == -1) {
		if (evbuffer_get_length(in) >= HTTP_MAX_HEAD)
			pconn_refuse(c, 431, "request head is too long");
		return;
	}
	len = (size_t)end.pos + 4;
	if (len > HTTP_MAX_HEAD || (buf = malloc(len + 1)) == NULL) {
		pconn_refuse(c, 431, "request head is too long");
		return;
	}
	(void)evbuffer_remove(in, buf, len);
	buf[len] = '\0';
	why = preq_parse(&c->req, buf, len);
	free(buf);
	if (why != NULL)
		pconn_refuse(c, 400, why);
	else
		ask(c);
}

static void
cl_read(struct bufferevent *bev, void *arg)
{
	struct pconn *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);

	if (c->refused)
		evbuffer_drain(in, evbuffer_get_length(in));
	else if (c->open)
		move(&c->cl, &c->up);
	else if (c->up.bev == NULL)
		head(c);
	/* else: waits for the gateway's word */
}

static void
cl_written(struct bufferevent *bev, void *arg)
{
	struct pconn *c = arg;

	(void)bev;
	if (c->up.bev != NULL && (c->open || c->refused))
		move(&c->up, &c->cl);
	else if (c->refused) {
		(void)shutdown(bufferevent_getfd(c->cl.bev), SHUT_WR);
		timer_ms(c->timer, LAST_MS);
	}
}

static void
cl_event(struct bufferevent *bev, short what, void *arg)
{
	struct pconn *c = arg;

	(void)bev;
	if (!c->open || !(what & BEV_EVENT_EOF)) {
		pconn_free(c);
		return;
	}
	c->cl.eof = true;
	timer_ms(c->timer, IDLE_MS);
	move(&c->cl, &c->up);
}

static void
accepted(struct evconnlistener *lev, evutil_socket_t fd, struct sockaddr *sa,
    int salen, void *arg)
{
	struct pconns *all = arg;
	struct pconn *c;

	(void)lev;
	(void)sa;
	(void)salen;
	if (all->count >= CONNS_MAX) {
		close(fd);
		return;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL ||
	    (c->timer = evtimer_new(all->base, pconn_timer, c)) == NULL)
		fatal("connection");
	c->all = all;
	c->cl.c = c->up.c = c;
	c->cl.bev = bufferevent_socket_new(all->base, fd,
	    BEV_OPT_CLOSE_ON_FREE);
	if (c->cl.bev == NULL)
		fatal("connection");
	TAILQ_INSERT_TAIL(&all->list, c, entry);
	all->count++;
	bufferevent_setcb(c->cl.bev, cl_read, cl_written, cl_event, c);
	bufferevent_setwatermark(c->cl.bev, EV_READ, 0, BUF_MAX);
	bufferevent_enable(c->cl.bev, EV_READ | EV_WRITE);
	timer_ms(c->timer, HEAD_MS);
}

struct pconns *
pconns_new(struct event_base *base, const struct conf *conf, struct gw *gw)
{
	struct pconns *all;

	if ((all = calloc(1, sizeof(*all))) == NULL)
		return NULL;
	all->base = base;
	all->conf = conf;
	all->gw = gw;
	TAILQ_INIT(&all->list);
	all->lev = evconnlistener_new_bind(base, accepted, all,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
	    LEV_OPT_REUSEABLE, CONNS_MAX,
	    (const struct sockaddr *)&conf->proxy_listen,
	    (int)sizeof(conf->proxy_listen));
	if (all->lev == NULL) {
		log_warn("no proxy on 127.0.0.1:%u",
		    ntohs(conf->proxy_listen.sin_port));
		free(all);
		return NULL;
	}
	return all;
}

void
pconns_free(struct pconns *all)
{
	struct pconn *c, *next;

	if (all == NULL)
		return;
	TAILQ_FOREACH_SAFE(c, &all->list, entry, next)
		pconn_free(c);
	evconnlistener_free(all->lev);
	free(all);
}

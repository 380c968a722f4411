/*
 * HTTP server: one connection, from accept to close.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway. Talks to: clients and agents.
 *
 * Nothing is freed inside a callback of the application: replies, aborts and
 * errors only change the state and "kick" the connection, whose kick event
 * then does the freeing, the on_close call or the next request.
 */
#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <arpa/inet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "httpd_int.h"

void
httpd_arm(struct event *ev, unsigned ms)
{
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	if (ms == 0)
		(void)evtimer_del(ev);
	else
		(void)evtimer_add(ev, &tv);
}

void
httpd_conn_kick(struct httpd_conn *c)
{
	event_active(&c->kick, EV_TIMEOUT, 0);
}

static void
set_idle(struct httpd_conn *c, bool idle)
{
	if (c->idle == idle)
		return;
	if (idle)
		TAILQ_INSERT_TAIL(&c->srv->idle, c, idle_entry);
	else
		TAILQ_REMOVE(&c->srv->idle, c, idle_entry);
	c->idle = idle;
}

void
httpd_conn_kill(struct httpd_conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	if (c->state == CONN_REQUEST)
		c->req->notify = true;
	c->state = CONN_DEAD;
	set_idle(c, false);
	(void)bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	httpd_conn_kick(c);
}

struct bufferevent *
httpd_req_take(struct httpd_req *r)
{
	struct httpd_conn *c = r->conn;
	struct bufferevent *bev = c->bev;

	bufferevent_setcb(bev, NULL, NULL, NULL, NULL);
	(void)bufferevent_disable(bev, EV_READ);
	c->bev = NULL;
	c->state = CONN_DEAD;
	httpd_arm(&c->timer, 0);
	httpd_arm(&c->wtimer, 0);
	httpd_conn_kick(c);
	return bev;
}

void
httpd_conn_free(struct httpd_conn *c)
{
	struct evbuffer *in = c->bev == NULL ? NULL :
	    bufferevent_get_input(c->bev);

	set_idle(c, false);
	(void)event_del(&c->timer);
	(void)event_del(&c->wtimer);
	(void)event_del(&c->kick);
	httpd_req_free(c->req);
	if (c->data_free != NULL)
		c->data_free(c->data);
	if (in != NULL) {
		httpd_input_drain(in, evbuffer_get_length(in));
		bufferevent_free(c->bev);
	}
	httpd_conn_gone(c);
	free(c);
}

static void
access_hook(struct httpd_conn *c)
{
	const struct httpd_conf *conf = &c->srv->conf;

	if (conf->on_access != NULL && c->req != NULL && c->req->status != 0)
		conf->on_access(c->req, c->req->status, c->sent, conf->arg);
}

/* Tell the application, once, that its request is over. */
static void
notify(struct httpd_conn *c)
{
	struct httpd_req *r = c->req;

	if (r == NULL || !r->notify || r->told)
		return;
	r->told = true;
	if (r->on_close != NULL)
		r->on_close(r, r->close_arg);
}

static void
linger(struct httpd_conn *c)
{
	/* Closing with unread input would reset the connection and could
	 * destroy the reply before the client has read it. */
	if (c->eof || shutdown(c->fd, SHUT_WR) == -1) {
		httpd_conn_kill(c);
		return;
	}
	c->state = CONN_LINGER;
	httpd_arm(&c->timer, HTTPD_LINGER_MS);
	httpd_arm(&c->wtimer, 0);
	bufferevent_setwatermark(c->bev, EV_READ, 0, HTTPD_BODY_WINDOW);
	(void)bufferevent_enable(c->bev, EV_READ);
}

static void
next_request(struct httpd_conn *c)
{
	access_hook(c);
	if (c->req->head.len > 0)
		httpd_body_drop(c->req);
	httpd_req_free(c->req);
	c->req = NULL;
	if (c->close || c->eof) {
		linger(c);
		return;
	}
	c->state = CONN_HEAD;
	c->sent = c->sent_mark = 0;
	httpd_arm(&c->wtimer, 0);
	httpd_arm(&c->timer, c->srv->conf.idle_ms);
	set_idle(c, true);
	bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_MAX_HEAD);
	(void)bufferevent_enable(c->bev, EV_READ);
	if (evbuffer_get_length(bufferevent_get_input(c->bev)) > 0)
		httpd_conn_kick(c);
}

/* Answer on our own and end the application's part, if it has one. */
void
httpd_conn_refuse(struct httpd_conn *c, int status, const char *why)
{
	struct httpd_req *r = c->req;

	if (r->reply != REPLY_NONE) {
		httpd_conn_kill(c);
		return;
	}
	if (c->state == CONN_REQUEST)
		r->notify = true;
	c->close = true;
	httpd_reply_own(r, status, why);
	httpd_conn_kick(c);
}

static struct httpd_req *
req_new(struct httpd_conn *c)
{
	struct httpd_req *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return (NULL);
	r->conn = c;
	r->started = httpd_now_ms();
	http_head_init(&r->head);
	return (r);
}

/* Copy the new input behind what the parser has seen. */
static int
take_input(struct httpd_conn *c)
{
	struct httpd_req *r = c->req;
	struct evbuffer *in = bufferevent_get_input(c->bev);
	struct evbuffer_ptr pos;
	size_t n = evbuffer_get_length(in), size;
	char *p;

	if (n > HTTP_MAX_HEAD)
		n = HTTP_MAX_HEAD;
	if (n <= r->have)
		return (0);
	if (n > r->size) {
		for (size = 1024; size < n; size *= 2)
			;
		p = recallocarray(r->buf, r->size, size, 1);
		if (p == NULL)
			return (-1);
		r->buf = p;
		r->size = size;
	}
	if (evbuffer_ptr_set(in, &pos, r->have, EVBUFFER_PTR_SET) == -1 ||
	    evbuffer_copyout_from(in, &pos, r->buf + r->have,
	    n - r->have) != (ssize_t)(n - r->have))
		return (-1);
	r->have = n;
	return (0);
}

static int
head_done(struct httpd_conn *c)
{
	struct httpd_req *r = c->req;
	const struct http_head *h = &r->head;

	httpd_input_drain(bufferevent_get_input(c->bev), h->len);
	if ((r->path = malloc(h->pathlen + 1)) == NULL)
		return (-1);
	/* The parser has decoded it before: it cannot fail now. */
	if (http_decode_path(h->path, h->pathlen, r->path,
	    h->pathlen + 1) == -1)
		return (-1);
	r->head_only = strcmp(h->method, "HEAD") == 0;
	if (h->close)
		c->close = true;
	r->body = BODY_UNDECIDED;
	if (!h->chunked && h->content_length <= 0)
		r->body = BODY_DONE;
	http_chunk_init(&r->chunk, false);
	c->state = CONN_REQUEST;
	httpd_arm(&c->timer, 0);
	return (0);
}

static void
read_head(struct httpd_conn *c)
{
	struct httpd *srv = c->srv;

	if (evbuffer_get_length(bufferevent_get_input(c->bev)) == 0)
		return;
	if (c->req == NULL) {
		set_idle(c, false);
		if ((c->req = req_new(c)) == NULL) {
			httpd_conn_kill(c);
			return;
		}
		httpd_arm(&c->timer, srv->conf.head_ms);
	}
	if (take_input(c) == -1) {
		httpd_conn_kill(c);
		return;
	}
	switch (http_head_parse(&c->req->head, c->req->buf, c->req->have)) {
	case HTTP_MORE:
		return;
	case HTTP_BAD:
		httpd_conn_refuse(c, c->req->head.status, c->req->head.why);
		return;
	case HTTP_DONE:
		break;
	}
	if (head_done(c) == -1) {
		httpd_conn_kill(c);
		return;
	}
	srv->conf.on_head(c->req, srv->conf.arg);
}

/* What the client sends is for this request. */
static void
pump(struct httpd_conn *c)
{
	if (c->req->reply == REPLY_RAW)
		httpd_raw_pump(c);
	else
		httpd_body_pump(c);
}

static void
read_cb(struct bufferevent *bev, void *arg)
{
	struct httpd_conn *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);

	switch (c->state) {
	case CONN_HEAD:
		read_head(c);
		break;
	case CONN_REQUEST:
		pump(c);
		break;
	case CONN_LINGER:
		c->lingered += evbuffer_get_length(in);
		httpd_input_drain(in, evbuffer_get_length(in));
		if (c->lingered > HTTPD_LINGER_MAX)
			httpd_conn_kill(c);
		break;
	case CONN_FLUSH:
	case CONN_DEAD:
		break;
	}
}

static void
write_cb(struct bufferevent *bev, void *arg)
{
	struct httpd_conn *c = arg;
	struct httpd_req *r = c->req;
	size_t left = evbuffer_get_length(bufferevent_get_output(bev));

	if (left == 0)
		c->drained = true;
	if (c->state == CONN_FLUSH && left == 0)
		httpd_conn_kick(c);
	else if (c->state == CONN_REQUEST && (r->reply == REPLY_STREAM ||
	    r->reply == REPLY_RAW) && r->on_writable != NULL && left <= r->low)
		r->on_writable(r, r->writable_arg);
}

static void
event_cb(struct bufferevent *bev, short what, void *arg)
{
	struct httpd_conn *c = arg;

	(void)bev;
	/* Our reply may still reach a client that closed its sending side
	 * after we were done with what it sent. */
	if ((what & BEV_EVENT_EOF) && c->state == CONN_FLUSH) {
		c->eof = true;
		return;
	}
	httpd_conn_kill(c);
}

static void
timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct httpd_conn *c = arg;

	(void)fd;
	(void)what;
	if (c->state == CONN_HEAD && c->req != NULL)
		httpd_conn_refuse(c, 408, "request head took too long");
	else if (c->state != CONN_REQUEST)
		httpd_conn_kill(c);
	else if (c->req->body == BODY_DONE || c->req->body_paused)
		;
	else if (httpd_body_progress(c->req))
		httpd_arm(&c->timer, c->srv->conf.body_ms);
	else
		httpd_conn_refuse(c, 408, "request body took too long");
}

/* While a reply is being written: does it move at all? */
static void
wtimer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct httpd_conn *c = arg;
	size_t left = evbuffer_get_length(bufferevent_get_output(c->bev));
	uint64_t flushed = c->sent - (left < c->sent ? left : c->sent);

	(void)fd;
	(void)what;
	if (left > 0 && !c->drained &&
	    flushed - c->sent_mark < HTTPD_PROGRESS) {
		httpd_conn_kill(c);
		return;
	}
	c->sent_mark = flushed;
	c->drained = left == 0;
	httpd_arm(&c->wtimer, c->srv->conf.write_ms);
	if (c->state == CONN_REQUEST)
		httpd_reply_tick(c->req);
}

static void
kick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct httpd_conn *c = arg;

	(void)fd;
	(void)what;
	notify(c);
	switch (c->state) {
	case CONN_DEAD:
		access_hook(c);
		httpd_conn_free(c);
		break;
	case CONN_FLUSH:
		if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
			next_request(c);
		break;
	case CONN_HEAD:
		read_head(c);
		break;
	case CONN_REQUEST:
		pump(c);
		break;
	case CONN_LINGER:
		break;
	}
}

static void
name_peer(struct httpd_conn *c)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[INET6_ADDRSTRLEN] = "?";

	memset(&ss, 0, sizeof(ss));
	(void)strlcpy(c->peer, "unix", sizeof(c->peer));
	if (getpeername(c->fd, (struct sockaddr *)&ss, &len) == -1)
		return;
	if (ss.ss_family == AF_INET)
		(void)inet_ntop(AF_INET,
		    &((struct sockaddr_in *)&ss)->sin_addr, host,
		    sizeof(host));
	else if (ss.ss_family == AF_INET6)
		(void)inet_ntop(AF_INET6,
		    &((struct sockaddr_in6 *)&ss)->sin6_addr, host,
		    sizeof(host));
	else
		return;
	(void)strlcpy(c->peer, host, sizeof(c->peer));
}

/* On failure the fd stays the caller's. */
int
httpd_conn_new(struct httpd *srv, struct httpd_listener *l, int fd)
{
	struct httpd_conn *c;
	int one = 1;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return (-1);
	c->srv = srv;
	c->l = l;
	c->fd = fd;
	c->id = ++srv->next_id;
	c->state = CONN_HEAD;
	c->bev = bufferevent_socket_new(srv->base, fd,
	    BEV_OPT_CLOSE_ON_FREE);
	if (c->bev == NULL) {
		free(c);
		return (-1);
	}
	/* Fails on Unix sockets, which do not delay anything. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	name_peer(c);
	(void)evtimer_assign(&c->timer, srv->base, timer_cb, c);
	(void)evtimer_assign(&c->wtimer, srv->base, wtimer_cb, c);
	(void)event_assign(&c->kick, srv->base, -1, 0, kick_cb, c);
	bufferevent_setcb(c->bev, read_cb, write_cb, event_cb, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, HTTP_MAX_HEAD);
	if (bufferevent_enable(c->bev, EV_READ | EV_WRITE) == -1) {
		(void)bufferevent_setfd(c->bev, -1);
		bufferevent_free(c->bev);
		free(c);
		return (-1);
	}
	TAILQ_INSERT_TAIL(&srv->conns, c, entry);
	srv->nconns++;
	l->nconns++;
	set_idle(c, true);
	httpd_arm(&c->timer, srv->conf.idle_ms);
	return (0);
}

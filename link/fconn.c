/*
 * One request of the runtime on its way to the agent's socket and back.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway, the runtime.
 *
 * One request per connection: only the heads are parsed and bodies pass as
 * they come, at most BUF_MAX bytes at a time in either direction. The answer
 * is watched, not changed, so that a turn learns whether its LLM path broke.
 */
#include "config.h"

#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "conf.h"
#include "fconn.h"
#include "forward.h"
#include "gw.h"
#include "httpc.h"
#include "log.h"
#include "turn.h"
#include "util.h"

#define BUF_MAX		(64UL << 10)	/* bytes per direction */
#define HEAD_MS		15000		/* for the request head */
#define DIAL_TRIES	8		/* 50 ms doubling: about 7 s in all */
#define LINGER_MS	2000

struct fconn {
	TAILQ_ENTRY(fconn) entry;
	struct fconns *f;
	unsigned int *count;		/* connections of the listener */
	bool llm;
	struct bufferevent *cl;		/* the runtime */
	struct bufferevent *up;		/* the gateway; NULL until dialled */
	struct event *timer;
	bool started;			/* the request head is parsed */
	bool head_method;		/* HEAD: the answer has no body */
	bool parsing;
	bool lingering;			/* answered; reads what still comes */
	char *buf;			/* owned; the request head */
	size_t len;
	struct http_head head;		/* strings point into buf */
	struct httpc parser;		/* watches the answer */
	struct evbuffer *held;		/* the answer until its status */
	bool passing;			/* the status is known and passed on */
	bool up_eof, up_failed;		/* nothing more comes from there */
	unsigned int tries;
	unsigned int ticket;		/* of the open turn; 0 = none */
	unsigned int key_nr;
};


static void	conn_read(struct bufferevent *, void *);
static void	conn_event(struct bufferevent *, short, void *);
static void	conn_drained(struct bufferevent *, void *);
static void	conn_timer(evutil_socket_t, short, void *);
static void	conn_dial(struct fconn *);
static void	up_read(struct bufferevent *, void *);
static void	up_event(struct bufferevent *, short, void *);
static void	up_drained(struct bufferevent *, void *);

static const struct httpc_cb watch_cb = { NULL, NULL, NULL };

static void
conn_free(struct fconn *c)
{
	TAILQ_REMOVE(&c->f->list, c, entry);
	(*c->count)--;
	bufferevent_free(c->cl);
	if (c->up != NULL)
		bufferevent_free(c->up);
	if (c->parsing)
		httpc_free(&c->parser);
	evbuffer_free(c->held);
	free(c->buf);
	event_free(c->timer);
	free(c);
}

void
fconn_close_all(struct fconns *f)
{
	struct fconn *c, *next;

	for (c = TAILQ_FIRST(&f->list); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		conn_free(c);
	}
}

void
fconn_open(struct fconns *f, int fd, bool llm, unsigned int *count)
{
	struct fconn *c;
	int on = 1;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		fatal("connection");
	c->f = f;
	c->llm = llm;
	c->count = count;
	c->cl = bufferevent_socket_new(f->base, fd, BEV_OPT_CLOSE_ON_FREE);
	c->held = evbuffer_new();
	c->timer = evtimer_new(f->base, conn_timer, c);
	if (c->cl == NULL || c->held == NULL || c->timer == NULL)
		fatal("connection");
	/* A hint for speed: without it all works. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	http_head_init(&c->head);
	TAILQ_INSERT_TAIL(&f->list, c, entry);
	(*count)++;
	bufferevent_setcb(c->cl, conn_read, conn_drained, conn_event, c);
	bufferevent_setwatermark(c->cl, EV_READ, 0, BUF_MAX);
	bufferevent_setwatermark(c->cl, EV_WRITE, BUF_MAX / 2, 0);
	bufferevent_enable(c->cl, EV_READ | EV_WRITE);
	timer_ms(c->timer, HEAD_MS);
}

/* The turn learns how its LLM call ended; once. */
static void
conn_report(struct fconn *c, bool ok)
{
	if (c->llm && c->ticket != 0)
		turn_llm_ended(c->f->turn, c->ticket, ok);
	c->ticket = 0;
}

/*
 * Answered: sends what is left, then reads until the runtime closes, because
 * closing over unread bytes would take the answer from it.
 */
static void
conn_linger(struct fconn *c)
{
	if (c->up != NULL)
		bufferevent_free(c->up);
	c->up = NULL;
	c->lingering = true;
	bufferevent_setwatermark(c->cl, EV_WRITE, 0, 0);
	bufferevent_setcb(c->cl, conn_read, conn_drained, conn_event, c);
	if (evbuffer_get_length(bufferevent_get_output(c->cl)) == 0)
		conn_drained(c->cl, c);
	else
		timer_ms(c->timer, HEAD_MS);
}

/* Our own answer, for what never reached the gateway. */
static void
conn_refuse(struct fconn *c, int status, const char *why)
{
	forward_refuse(bufferevent_get_output(c->cl), status, why,
	    c->head_method);
	conn_report(c, status < 500);
	conn_linger(c);
}

static bool
is_hop_field(const char *name)
{
	static const char *const drop[] = { "Host", "Connection",
	    "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "TE",
	    "Trailer", "Transfer-Encoding", "Content-Length", "Upgrade",
	    "Expect", "Authorization" };
	size_t i;

	for (i = 0; i < sizeof(drop) / sizeof(drop[0]); i++)
		if (strcasecmp(name, drop[i]) == 0)
			return true;
	return strncasecmp(name, "x-agentd-", 9) == 0;
}

/* The head as the gateway gets it: our key and turn in place of theirs. */
static ssize_t
conn_build_head(struct fconn *c, char *buf, size_t size)
{
	struct fconns *f = c->f;
	struct httpc_req req;
	const char *turn;
	char text[192];
	unsigned int i, attempt;

	httpc_req_start(&req, buf, size, c->head.method, c->head.target,
	    "agentd");
	for (i = 0; i < c->head.nfields; i++)
		if (!is_hop_field(c->head.field[i].name))
			httpc_req_field(&req, c->head.field[i].name,
			    c->head.field[i].value);
	(void)snprintf(text, sizeof(text), "Bearer %s", gw_key(f->gw));
	httpc_req_field(&req, "Authorization", text);
	explicit_bzero(text, sizeof(text));
	turn = turn_open_id(f->turn, &attempt, &c->ticket);
	if (turn != NULL) {
		(void)snprintf(text, sizeof(text), "%u", attempt);
		httpc_req_field(&req, "x-agentd-turn", turn);
		httpc_req_field(&req, "x-agentd-attempt", text);
	}
	httpc_req_field(&req, "Connection", "close");
	if (c->head.chunked)
		httpc_req_field(&req, "Transfer-Encoding", "chunked");
	else if (c->head.content_length >= 0)
		httpc_req_length(&req, (uint64_t)c->head.content_length);
	return httpc_req_end(&req);
}

/* Moves what the other side has room for. */
static void
conn_move(struct fconn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->cl);
	struct evbuffer *out = bufferevent_get_output(c->up);

	if (evbuffer_get_length(out) < BUF_MAX)
		evbuffer_add_buffer(out, in);
}

/* Connected: the head goes out, the body follows. */
static void
conn_flow(struct fconn *c, int fd)
{
	struct fconns *f = c->f;
	char buf[HTTP_MAX_HEAD + 1024];
	ssize_t n;

	if ((n = conn_build_head(c, buf, sizeof(buf))) == -1) {
		close(fd);
		conn_refuse(c, 431, "request head is too long");
		return;
	}
	c->up = bufferevent_socket_new(f->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (c->up == NULL)
		fatal("connection");
	c->key_nr = gw_key_nr(f->gw);
	httpc_init(&c->parser, c->head_method, &watch_cb, c);
	c->parsing = true;
	bufferevent_setcb(c->up, up_read, up_drained, up_event, c);
	bufferevent_setwatermark(c->up, EV_READ, 0, BUF_MAX);
	bufferevent_setwatermark(c->up, EV_WRITE, BUF_MAX / 2, 0);
	bufferevent_enable(c->up, EV_READ | EV_WRITE);
	bufferevent_write(c->up, buf, (size_t)n);
	explicit_bzero(buf, sizeof(buf));
	free(c->buf);
	c->buf = NULL;
	timer_ms(c->timer, (unsigned int)f->conf->turn_timeout * 1000);
	conn_move(c);
}

/*
 * A gateway that is being restarted refuses for less than a second; nothing
 * of the request has been sent yet, so trying again is safe.
 */
static void
conn_dial(struct fconn *c)
{
	struct fconns *f = c->f;
	int fd;

	if (gw_key(f->gw) != NULL &&
	    (fd = unix_connect(f->conf->socket)) != -1) {
		conn_flow(c, fd);
		return;
	}
	if (c->tries >= DIAL_TRIES) {
		conn_refuse(c, 503, "agentd does not answer");
		return;
	}
	timer_ms(c->timer, retry_next(&c->tries));
}

static void
conn_start(struct fconn *c)
{
	unsigned int attempt;

	c->started = true;
	(void)turn_open_id(c->f->turn, &attempt, &c->ticket);
	c->head_method = strcmp(c->head.method, "HEAD") == 0;
	/* The key is between the link and the host. */
	if (strcmp(c->head.path, "/api/agent/hello") == 0) {
		conn_refuse(c, 403, "hello is for the link alone");
		return;
	}
	if (c->head.expect_100)
		evbuffer_add_printf(bufferevent_get_output(c->cl),
		    "HTTP/1.1 100 Continue\r\n\r\n");
	conn_dial(c);
}

/* The request head is collected apart: what follows it stays in the input. */
static void
conn_head(struct fconn *c, struct evbuffer *in)
{
	int n;

	if (c->buf == NULL && (c->buf = malloc(HTTP_MAX_HEAD + 1)) == NULL)
		fatal("request head");
	n = evbuffer_remove(in, c->buf + c->len, HTTP_MAX_HEAD + 1 - c->len);
	if (n <= 0)
		return;
	c->len += (size_t)n;
	switch (http_head_parse(&c->head, c->buf, c->len)) {
	case HTTP_MORE:
		break;
	case HTTP_DONE:
		if (evbuffer_prepend(in, c->buf + c->head.len,
		    c->len - c->head.len) == -1)
			fatal("request head");
		conn_start(c);
		break;
	case HTTP_BAD:
		conn_refuse(c, c->head.status, c->head.why);
		break;
	}
}

static void
conn_read(struct bufferevent *bev, void *arg)
{
	struct fconn *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);

	if (c->lingering)
		evbuffer_drain(in, evbuffer_get_length(in));
	else if (c->up != NULL)
		conn_move(c);
	else if (!c->started)
		conn_head(c, in);
	/* else: waits for the dial */
}

/* The runtime reads: the gateway's bytes may go on. */
static void
conn_drained(struct bufferevent *bev, void *arg)
{
	struct fconn *c = arg;

	if (c->lingering) {
		(void)shutdown(bufferevent_getfd(bev), SHUT_WR);
		timer_ms(c->timer, LINGER_MS);
	} else if (c->up != NULL)
		up_read(c->up, c);
}

static void
conn_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	/* The runtime left: the gateway cancels the call when we close. */
	conn_free(arg);
}

static void
conn_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fconn *c = arg;

	(void)fd;
	(void)what;
	if (c->lingering)
		conn_free(c);
	else if (c->up != NULL) {
		conn_report(c, false);
		conn_free(c);
	} else if (c->started)
		conn_dial(c);
	else
		conn_refuse(c, 408, "request head did not come");
}

/* The gateway's answer was cut: so must be the runtime's. */
static void
conn_cut(struct fconn *c)
{
	struct linger lg = { 1, 0 };

	conn_report(c, false);
	if (c->parser.code == 0) {
		conn_refuse(c, 502, "agentd broke off");
		return;
	}
	(void)setsockopt(bufferevent_getfd(c->cl), SOL_SOCKET, SO_LINGER,
	    &lg, sizeof(lg));
	conn_free(c);
}

/* The status is known: false when we answer in the gateway's place. */
static bool
conn_status(struct fconn *c)
{
	struct fconns *f = c->f;

	/* At once: the runtime may fail its turn before the body has come. */
	if (c->parser.code == 502 || c->parser.code == 503)
		conn_report(c, false);
	if (c->parser.code != 401) {
		evbuffer_add_buffer(bufferevent_get_output(c->cl), c->held);
		return true;
	}
	/* Our key, not the runtime's: some give up for long on a 401. */
	gw_lost_key(f->gw, c->key_nr);
	conn_refuse(c, 503, "the agent's key is being renewed");
	return false;
}

/* The answer is complete. */
static void
conn_answered(struct fconn *c)
{
	conn_report(c, true);
	conn_linger(c);
}

/* Passes on what one read brought; false when the connection is over. */
static bool
up_chunk(struct fconn *c, struct evbuffer *in, struct evbuffer *out)
{
	size_t len = evbuffer_get_contiguous_space(in);
	ssize_t n;

	n = httpc_feed(&c->parser, evbuffer_pullup(in, (ssize_t)len), len);
	if (n == -1) {
		log_warnx("gateway sent a broken answer: %s", c->parser.why);
		conn_cut(c);
		return false;
	}
	evbuffer_remove_buffer(in, c->passing ? out : c->held, (size_t)n);
	if (!c->passing && c->parser.code != 0) {
		c->passing = true;
		if (!conn_status(c))
			return false;
	}
	if (c->parser.state == HTTPC_DONE) {
		conn_answered(c);
		return false;
	}
	return true;
}

static void
up_read(struct bufferevent *bev, void *arg)
{
	struct fconn *c = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	struct evbuffer *out = bufferevent_get_output(c->cl);

	while (evbuffer_get_length(in) > 0) {
		if (evbuffer_get_length(out) >= BUF_MAX)
			return;		/* the runtime reads slowly */
		if (!up_chunk(c, in, out))
			return;
	}
	if (c->up_eof && httpc_eof(&c->parser) == 0)
		conn_answered(c);
	else if (c->up_eof || c->up_failed)
		conn_cut(c);
}

static void
up_drained(struct bufferevent *bev, void *arg)
{
	(void)bev;
	conn_move(arg);
}

static void
up_event(struct bufferevent *bev, short what, void *arg)
{
	struct fconn *c = arg;

	/* An early answer may lie behind a failed write: read on. */
	if ((what & BEV_EVENT_ERROR) && (what & BEV_EVENT_WRITING)) {
		bufferevent_disable(bev, EV_WRITE);
		return;
	}
	c->up_eof = what & BEV_EVENT_EOF;
	c->up_failed = !c->up_eof;
	up_read(bev, c);
}

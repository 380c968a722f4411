/*
 * Drives a runtime that serves an OpenAI-compatible chat endpoint.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: the runtime.
 *
 * probe (until the runtime says it is ready) -> post (the answer streams in).
 * The channel's id goes in "user": the runtime keeps one conversation for
 * each. Closing the connection is how a run is cancelled.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "chatreply.h"
#include "conf.h"
#include "httpc.h"
#include "jbuf.h"
#include "log.h"
#include "sys.h"
#include "turn.h"
#include "util.h"

#define TOKEN_MAX	512
#define REQUEST_MAX	(2UL << 20)	/* text of a message, all escaped */
#define PROBE_SECS	5

enum phase {
	P_IDLE,
	P_PROBE,	/* asks, or waits to ask again, with or without msg */
	P_POST
};

struct khttp {
	struct event_base *base;
	const struct conf *conf;
	struct turn *turn;
	enum phase phase;
	bool ready;			/* it answered the probe once */
	const struct message *msg;	/* NULL: none waits */
	uint64_t deadline;		/* to be ready by, sys_now_ms() */
	unsigned int step;
	struct event *timer;
	struct bufferevent *bev;
	bool connected;
	bool again;			/* this turn was sent twice */
	bool feeding;			/* a parser is at work */
	struct httpc parser;
	struct chatreply reply;
};

static void	khttp_timer(evutil_socket_t, short, void *);
static void	khttp_post(struct khttp *);
static void	khttp_probe(struct khttp *);
static int	rp_head(void *, const struct http_head *);
static int	rp_body(void *, const void *, size_t);

static const struct httpc_cb parser_cb = { rp_head, rp_body, NULL };

static void *
khttp_create(struct event_base *base, const struct conf *conf,
    struct turn *turn)
{
	struct khttp *k;

	if ((k = calloc(1, sizeof(*k))) == NULL)
		return NULL;
	k->base = base;
	k->conf = conf;
	k->turn = turn;
	if ((k->timer = evtimer_new(base, khttp_timer, k)) == NULL) {
		free(k);
		return NULL;
	}
	return k;
}

static void
khttp_close(struct khttp *k)
{
	/* The turn may stop us from within a parser: then its caller closes. */
	if (k->bev == NULL || k->feeding)
		return;
	bufferevent_free(k->bev);
	k->bev = NULL;
	httpc_free(&k->parser);
	chatreply_free(&k->reply);
}

static void
khttp_abort(void *arg)
{
	struct khttp *k = arg;

	k->phase = P_IDLE;
	k->msg = NULL;
	evtimer_del(k->timer);
	khttp_close(k);
}

static void
khttp_destroy(void *arg)
{
	struct khttp *k = arg;

	khttp_abort(k);
	event_free(k->timer);
	free(k);
}

/* A runtime without a probe is taken to be ready: a message will tell. */
static void
khttp_start(void *arg)
{
	struct khttp *k = arg;

	k->step = 0;
	if (k->conf->ready.path[0] == '\0')
		turn_ready(k->turn);
	else
		khttp_probe(k);
}

static void
khttp_run(void *arg, const struct message *msg)
{
	struct khttp *k = arg;

	k->msg = msg;
	k->step = 0;
	k->again = false;
	k->deadline = sys_now_ms() +
	    (uint64_t)k->conf->ready_timeout * 1000;
	if (k->ready || k->conf->ready.path[0] == '\0')
		khttp_post(k);
	else if (k->phase == P_IDLE)
		khttp_probe(k);
	else if (k->bev == NULL)
		timer_ms(k->timer, 0);	/* between two probes: now */
}

/* The runtime does not answer (yet): asks again until the deadline. */
static void
khttp_not_ready(struct khttp *k, const char *why)
{
	khttp_close(k);
	k->ready = false;
	k->phase = P_PROBE;
	if (k->msg != NULL && sys_now_ms() >= k->deadline) {
		khttp_abort(k);
		turn_failed(k->turn, "the agent's runtime was not ready "
		    "within %d seconds: %s", k->conf->ready_timeout, why);
		return;
	}
	timer_ms(k->timer, retry_next(&k->step));
}

static void
khttp_timer(evutil_socket_t fd, short what, void *arg)
{
	struct khttp *k = arg;

	(void)fd;
	(void)what;
	if (k->conf->ready.path[0] == '\0')
		khttp_post(k);
	else
		khttp_probe(k);
}

static void
khttp_end(struct khttp *k)
{
	char why[256];
	bool ok;

	k->feeding = true;
	ok = chatreply_end(&k->reply, k->parser.code, why, sizeof(why)) == 0;
	k->feeding = false;
	khttp_abort(k);
	if (ok)
		turn_done(k->turn);
	else
		turn_failed(k->turn, "the agent's runtime failed: %s", why);
}

static void
probe_end(struct khttp *k)
{
	int code = k->parser.code;
	char why[32];

	if (code != 200) {
		(void)snprintf(why, sizeof(why), "its probe says %d", code);
		khttp_not_ready(k, why);
		return;
	}
	khttp_close(k);
	k->ready = true;
	k->phase = P_IDLE;
	turn_ready(k->turn);
	if (k->msg != NULL)
		khttp_post(k);
}

static void
khttp_read(struct bufferevent *bev, void *arg)
{
	struct khttp *k = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	unsigned char *p;
	size_t len;
	ssize_t n;

	while ((len = evbuffer_get_contiguous_space(in)) > 0) {
		p = evbuffer_pullup(in, (ssize_t)len);
		k->feeding = true;
		n = httpc_feed(&k->parser, p, len);
		k->feeding = false;
		if (k->phase == P_IDLE) {	/* stopped meanwhile */
			khttp_close(k);
			return;
		}
		if (n == -1 && k->phase == P_PROBE) {
			khttp_not_ready(k, "its probe sends no HTTP");
			return;
		}
		if (k->phase == P_POST && chatreply_over(&k->reply)) {
			khttp_end(k);
			return;
		}
		if (n == -1) {
			khttp_abort(k);
			turn_failed(k->turn, "the agent's runtime sent a "
			    "broken answer");
			return;
		}
		evbuffer_drain(in, (size_t)n);
		if (k->parser.state == HTTPC_DONE) {
			if (k->phase == P_PROBE)
				probe_end(k);
			else
				khttp_end(k);
			return;
		}
	}
}

static void
khttp_event(struct bufferevent *bev, short what, void *arg)
{
	struct khttp *k = arg;

	(void)bev;
	if (what & BEV_EVENT_CONNECTED) {
		k->connected = true;
		if (k->phase == P_POST)
			turn_running(k->turn);
		return;
	}
	if (k->phase == P_PROBE || !k->connected) {
		khttp_not_ready(k, what & BEV_EVENT_TIMEOUT ?
		    "it does not answer its probe" : "it does not listen");
		return;
	}
	if ((what & BEV_EVENT_EOF) && httpc_eof(&k->parser) == 0) {
		khttp_end(k);
		return;
	}
	/* It was going down before it took the turn: its next life will. */
	if (k->parser.code == 0 && !k->again && !(what & BEV_EVENT_TIMEOUT)) {
		k->again = true;
		khttp_not_ready(k, "it closed the connection");
		return;
	}
	k->ready = false;
	khttp_abort(k);
	turn_failed(k->turn, "the agent's runtime closed the connection in "
	    "the middle of its answer");
}

/* Connects and sends a head and, for a POST, a body. */
static int
khttp_request(struct khttp *k, const struct conf_url *url,
    struct httpc_req *req, const char *body, size_t bodylen)
{
	ssize_t n;

	if ((n = httpc_req_end(req)) == -1)
		return -1;
	k->bev = bufferevent_socket_new(k->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (k->bev == NULL)
		return -1;
	httpc_init(&k->parser, false, &parser_cb, k);
	chatreply_init(&k->reply, k->turn);
	k->connected = false;
	bufferevent_setcb(k->bev, khttp_read, NULL, khttp_event, k);
	if (bufferevent_write(k->bev, req->buf, (size_t)n) == -1 ||
	    bufferevent_write(k->bev, body, bodylen) == -1)
		return -1;
	bufferevent_enable(k->bev, EV_READ | EV_WRITE);
	return bufferevent_socket_connect(k->bev,
	    (const struct sockaddr *)&url->addr, (int)sizeof(url->addr));
}

static void
host_of(const struct conf_url *url, char *buf, size_t size)
{
	(void)snprintf(buf, size, "127.0.0.1:%u", ntohs(url->addr.sin_port));
}

static void
khttp_probe(struct khttp *k)
{
	const struct conf_url *url = &k->conf->ready;
	struct timeval tv = { PROBE_SECS, 0 };
	struct httpc_req req;
	char buf[512], host[32];

	k->phase = P_PROBE;
	host_of(url, host, sizeof(host));
	httpc_req_start(&req, buf, sizeof(buf), "GET", url->path, host);
	httpc_req_field(&req, "Connection", "close");
	if (khttp_request(k, url, &req, "", 0) == -1) {
		khttp_not_ready(k, "no connection to it");
		return;
	}
	bufferevent_set_timeouts(k->bev, &tv, &tv);
}

/* The bearer of the runtime; "" when none is set. Read anew for each turn. */
static int
read_token(const struct conf *conf, char *token, size_t size)
{
	ssize_t n;
	int fd;

	token[0] = '\0';
	if (conf->token_file[0] == '\0')
		return 0;
	if ((fd = open(conf->token_file, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	n = read(fd, token, size - 1);
	close(fd);
	if (n <= 0)
		return -1;
	token[n] = '\0';
	token[strcspn(token, " \t\r\n")] = '\0';
	return 0;
}

static void
build_body(const struct khttp *k, struct jbuf *b)
{
	jbuf_init(b, REQUEST_MAX);
	jb_obj(b);
	jb_kstr(b, "model", k->conf->model);
	jb_kbool(b, "stream", true);
	jb_kstr(b, "user", k->msg->channel_id);
	jb_key(b, "messages");
	jb_arr(b);
	jb_obj(b);
	jb_kstr(b, "role", "user");
	jb_key(b, "content");
	jb_strn(b, k->msg->text, k->msg->len);
	jb_end(b);
	jb_end(b);
	jb_end(b);
}

static void
khttp_post(struct khttp *k)
{
	const struct conf_url *url = &k->conf->url;
	struct httpc_req req;
	struct jbuf b;
	const char *body;
	char buf[2048], host[32], token[TOKEN_MAX], auth[TOKEN_MAX + 8];
	size_t len;
	int ret = -1;

	k->phase = P_POST;
	if (read_token(k->conf, token, sizeof(token)) == -1) {
		log_warn("%s", k->conf->token_file);
		khttp_not_ready(k, "it has written no token");
		return;
	}
	build_body(k, &b);
	host_of(url, host, sizeof(host));
	httpc_req_start(&req, buf, sizeof(buf), "POST", url->path, host);
	httpc_req_field(&req, "Content-Type", "application/json");
	httpc_req_field(&req, "Accept", "text/event-stream");
	httpc_req_field(&req, "Connection", "close");
	if (token[0] != '\0') {
		(void)snprintf(auth, sizeof(auth), "Bearer %s", token);
		httpc_req_field(&req, "Authorization", auth);
		explicit_bzero(auth, sizeof(auth));
	}
	if ((body = jbuf_text(&b, &len)) != NULL) {
		httpc_req_length(&req, len);
		ret = khttp_request(k, url, &req, body, len);
	}
	jbuf_free(&b);
	explicit_bzero(token, sizeof(token));
	explicit_bzero(buf, sizeof(buf));
	if (ret == -1)
		khttp_not_ready(k, "no connection to it");
}

static int
rp_head(void *arg, const struct http_head *head)
{
	struct khttp *k = arg;

	if (k->phase == P_POST)
		chatreply_head(&k->reply, head->code,
		    http_head_field(head, "Content-Type"));
	return 0;
}

static int
rp_body(void *arg, const void *p, size_t len)
{
	struct khttp *k = arg;

	return k->phase == P_POST ? chatreply_feed(&k->reply, p, len) : 0;
}

const struct kind kind_http = {
	khttp_create, khttp_start, khttp_run, khttp_abort, khttp_destroy
};

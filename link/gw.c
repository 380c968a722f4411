/*
 * Client of the agent's socket: says hello, keeps the key, sends requests.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 *
 * One connection carries everything but the event stream and what the
 * runtime sends, one request at a time: the order of the replies of a turn is
 * the order on this connection. Whoever posts repeats what failed.
 */
#include "config.h"

#include <sys/queue.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "conf.h"
#include "gw.h"
#include "httpc.h"
#include "jbuf.h"
#include "jscan.h"
#include "log.h"
#include "util.h"

#define BODY_MAX	8192	/* bytes of an answer that are kept */
#define ANSWER_SECS	30
#define KEY_MAX		128
#define PATH_LEN	160
#define HOLD_MAX	30000	/* ms that the runtime may be held */

struct gw_req {
	TAILQ_ENTRY(gw_req) entry;
	char path[PATH_LEN];
	const char *body;	/* the caller's */
	size_t len;
	gw_cb *cb;
	void *arg;
	bool again;		/* a 401 has been answered by a hello */
};
TAILQ_HEAD(gw_reqs, gw_req);

struct gw {
	struct event_base *base;
	const struct conf *conf;
	struct event *timer;		/* next hello */
	struct event *kick;		/* pump soon: no caller is called back */
	unsigned int step;
	struct bufferevent *bev;	/* NULL = not connected */
	struct httpc parser;
	bool parsing;
	struct gw_reqs reqs;
	struct gw_req *cur;		/* on the wire; may be &hello */
	struct gw_req hello;
	char hello_body[256];
	bool ready;			/* the runtime is */
	bool said_ready;		/* in the last hello */
	char body[BODY_MAX];
	size_t bodylen;
	unsigned int retry_after;
	char key[KEY_MAX];
	unsigned int key_nr;
	char slug[64];
	char events_url[PATH_LEN];
	void (*on_key)(void *);
	void *on_key_arg;
	void (*on_hello)(void *, unsigned int);
	void *on_hello_arg;
};

static void	gw_pump(struct gw *);
static void	gw_finish(struct gw *, int);
static int	gw_send(struct gw *, struct gw_req *);
static gw_cb	gw_hello_done;
static void	gw_timer(evutil_socket_t, short, void *);

static int	rp_head(void *, const struct http_head *);
static int	rp_body(void *, const void *, size_t);

static const struct httpc_cb parser_cb = { rp_head, rp_body, NULL };

struct gw *
gw_new(struct event_base *base, const struct conf *conf)
{
	struct gw *gw;

	if ((gw = calloc(1, sizeof(*gw))) == NULL)
		return NULL;
	gw->base = base;
	gw->conf = conf;
	TAILQ_INIT(&gw->reqs);
	gw->hello.body = gw->hello_body;
	gw->hello.cb = gw_hello_done;
	gw->hello.arg = gw;
	(void)strlcpy(gw->hello.path, "/api/agent/hello",
	    sizeof(gw->hello.path));
	gw->timer = evtimer_new(base, gw_timer, gw);
	gw->kick = evtimer_new(base, gw_timer, gw);
	if (gw->timer == NULL || gw->kick == NULL) {
		gw_free(gw);
		return NULL;
	}
	timer_ms(gw->kick, 0);
	return gw;
}

static void
gw_disconnect(struct gw *gw)
{
	if (gw->bev != NULL)
		bufferevent_free(gw->bev);
	gw->bev = NULL;
	if (gw->parsing)
		httpc_free(&gw->parser);
	gw->parsing = false;
}

void
gw_free(struct gw *gw)
{
	struct gw_req *req;

	if (gw == NULL)
		return;
	gw_disconnect(gw);
	while ((req = TAILQ_FIRST(&gw->reqs)) != NULL) {
		TAILQ_REMOVE(&gw->reqs, req, entry);
		free(req);
	}
	if (gw->timer != NULL)
		event_free(gw->timer);
	if (gw->kick != NULL)
		event_free(gw->kick);
	freezero(gw, sizeof(*gw));
}

void
gw_on_hello(struct gw *gw, void (*cb)(void *, unsigned int), void *arg)
{
	gw->on_hello = cb;
	gw->on_hello_arg = arg;
}

void
gw_on_key(struct gw *gw, void (*cb)(void *), void *arg)
{
	gw->on_key = cb;
	gw->on_key_arg = arg;
}

const char *
gw_key(const struct gw *gw)
{
	return gw->key[0] != '\0' ? gw->key : NULL;
}

/* Beside the event stream: a rename of the agent changes nothing. */
void
gw_path(const struct gw *gw, const char *what, char *buf, size_t size)
{
	const char *slash = strrchr(gw->events_url, '/');

	(void)snprintf(buf, size, "%.*s/%s", slash == NULL ? 0 :
	    (int)(slash - gw->events_url), gw->events_url, what);
}

const char *
gw_events_url(const struct gw *gw)
{
	return gw->events_url;
}

unsigned int
gw_key_nr(const struct gw *gw)
{
	return gw->key_nr;
}

void
gw_lost_key(struct gw *gw, unsigned int nr)
{
	if (nr != gw->key_nr)
		return;
	explicit_bzero(gw->key, sizeof(gw->key));
	timer_ms(gw->kick, 0);
}

struct gw_req *
gw_post(struct gw *gw, const char *path, const char *body, size_t len,
    gw_cb *cb, void *arg)
{
	struct gw_req *req;

	if ((req = calloc(1, sizeof(*req))) == NULL)
		return NULL;
	if (strlcpy(req->path, path, sizeof(req->path)) >=
	    sizeof(req->path)) {
		free(req);
		return NULL;
	}
	req->body = body;
	req->len = len;
	req->cb = cb;
	req->arg = arg;
	TAILQ_INSERT_TAIL(&gw->reqs, req, entry);
	timer_ms(gw->kick, 0);
	return req;
}

void
gw_cancel(struct gw *gw, struct gw_req *req)
{
	TAILQ_REMOVE(&gw->reqs, req, entry);
	if (gw->cur == req) {
		/* Its answer must not be taken for the next one's. */
		gw->cur = NULL;
		gw_disconnect(gw);
	}
	free(req);
	timer_ms(gw->kick, 0);
}

static void
gw_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	gw_pump(arg);
}

void
gw_ready(struct gw *gw)
{
	if (gw->ready)
		return;
	gw->ready = true;
	/* One made ahead was told to ask again when it is ready. */
	if (gw->key[0] == '\0' && gw->cur == NULL) {
		evtimer_del(gw->timer);
		timer_ms(gw->kick, 0);
	}
}

static void
gw_hello(struct gw *gw)
{
	int n;

	n = snprintf(gw->hello_body, sizeof(gw->hello_body), "{\"link\":\"%s\","
	    "\"runtime\":\"%s\",\"kind\":\"%s\",\"ready\":%s}",
	    PACKAGE_VERSION, gw->conf->runtime,
	    conf_kind_name(gw->conf->kind), gw->ready ? "true" : "false");
	gw->hello.len = (size_t)n;
	gw->said_ready = gw->ready;
	gw->cur = &gw->hello;
}

/* Puts the next request on the wire: hello first while there is no key. */
static void
gw_pump(struct gw *gw)
{
	if (gw->cur != NULL || evtimer_pending(gw->timer, NULL))
		return;
	if (gw->key[0] == '\0')
		gw_hello(gw);
	else
		gw->cur = TAILQ_FIRST(&gw->reqs);
	if (gw->cur == NULL)
		return;
	if (gw_send(gw, gw->cur) == -1)
		gw_finish(gw, 0);
}

static void
gw_read(struct bufferevent *bev, void *arg)
{
	struct gw *gw = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	unsigned char *p;
	size_t len;
	ssize_t n;

	while ((len = evbuffer_get_contiguous_space(in)) > 0) {
		if (gw->cur == NULL) {		/* nobody asked */
			gw_disconnect(gw);
			return;
		}
		p = evbuffer_pullup(in, (ssize_t)len);
		if ((n = httpc_feed(&gw->parser, p, len)) == -1) {
			log_warnx("gateway sent a broken answer: %s",
			    gw->parser.why);
			gw_finish(gw, 0);
			return;
		}
		evbuffer_drain(in, (size_t)n);
		if (gw->parser.state == HTTPC_DONE) {
			gw_finish(gw, gw->parser.code);
			return;
		}
	}
}

static void
gw_event(struct bufferevent *bev, short what, void *arg)
{
	struct gw *gw = arg;
	int status = 0;

	(void)bev;
	if (gw->cur == NULL) {
		gw_disconnect(gw);	/* the gateway closed an idle one */
		return;
	}
	if ((what & BEV_EVENT_EOF) && httpc_eof(&gw->parser) == 0)
		status = gw->parser.code;
	gw_finish(gw, status);
}

static int
gw_connect(struct gw *gw)
{
	struct timeval tv = { ANSWER_SECS, 0 };
	int fd;

	if ((fd = unix_connect(gw->conf->socket)) == -1) {
		log_debug("%s: %s", gw->conf->socket, strerror(errno));
		return -1;
	}
	gw->bev = bufferevent_socket_new(gw->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (gw->bev == NULL) {
		close(fd);
		return -1;
	}
	bufferevent_setcb(gw->bev, gw_read, NULL, gw_event, gw);
	bufferevent_set_timeouts(gw->bev, NULL, &tv);
	bufferevent_enable(gw->bev, EV_READ | EV_WRITE);
	return 0;
}

static int
gw_send(struct gw *gw, struct gw_req *req)
{
	struct timeval tv = { ANSWER_SECS, 0 };
	struct httpc_req head;
	char buf[1024], auth[KEY_MAX + 8];
	ssize_t n;
	int ret = -1;

	if (gw->bev == NULL && gw_connect(gw) == -1)
		return -1;
	httpc_req_start(&head, buf, sizeof(buf), "POST", req->path, "agentd");
	httpc_req_field(&head, "Content-Type", "application/json");
	if (req != &gw->hello) {
		(void)snprintf(auth, sizeof(auth), "Bearer %s", gw->key);
		httpc_req_field(&head, "Authorization", auth);
	}
	httpc_req_length(&head, req->len);
	gw->bodylen = 0;
	gw->retry_after = 0;
	httpc_init(&gw->parser, false, &parser_cb, gw);
	gw->parsing = true;
	if ((n = httpc_req_end(&head)) != -1 &&
	    bufferevent_write(gw->bev, buf, (size_t)n) == 0 &&
	    bufferevent_write(gw->bev, req->body, req->len) == 0)
		ret = 0;
	/*
	 * Only while an answer is due: an idle connection may wait.  A hello
	 * may too: one made ahead is answered when it becomes somebody, and
	 * is frozen until then.
	 */
	bufferevent_set_timeouts(gw->bev, req == &gw->hello ? NULL : &tv, &tv);
	explicit_bzero(buf, sizeof(buf));
	explicit_bzero(auth, sizeof(auth));
	return ret;
}

/* Ends the request on the wire; status 0 = no answer came. */
static void
gw_finish(struct gw *gw, int status)
{
	struct gw_req *req = gw->cur;
	struct timeval tv = { ANSWER_SECS, 0 };

	gw->cur = NULL;
	if (status == 0 || !gw->parser.keepalive)
		gw_disconnect(gw);
	else {
		httpc_free(&gw->parser);
		gw->parsing = false;
		bufferevent_set_timeouts(gw->bev, NULL, &tv);
	}
	if (status == 401 && req != &gw->hello && !req->again) {
		req->again = true;
		gw_lost_key(gw, gw->key_nr);
		return;
	}
	if (req != &gw->hello)
		TAILQ_REMOVE(&gw->reqs, req, entry);
	req->cb(req->arg, status, gw->body, gw->bodylen, gw->retry_after);
	if (req == &gw->hello)
		explicit_bzero(gw->body, sizeof(gw->body));
	else
		free(req);
	gw_pump(gw);
}

static int
rp_head(void *arg, const struct http_head *head)
{
	struct gw *gw = arg;
	const char *v, *errstr;

	if ((v = http_head_field(head, "Retry-After")) != NULL) {
		gw->retry_after = 1000 *
		    (unsigned int)strtonum(v, 0, 60, &errstr);
		if (errstr != NULL)
			gw->retry_after = 0;
	}
	return 0;
}

static int
rp_body(void *arg, const void *p, size_t len)
{
	struct gw *gw = arg;

	if (len > sizeof(gw->body) - gw->bodylen)
		len = sizeof(gw->body) - gw->bodylen;
	memcpy(gw->body + gw->bodylen, p, len);
	gw->bodylen += len;
	return 0;
}

/* A required string of the hello answer, printable ASCII only. */
static int
hello_string(const char *body, size_t len, const char *key, char *dst,
    size_t dstsz)
{
	struct jspan v;
	const char *c;

	if (jscan_get(body, len, key, &v) != 1 || v.type != JT_STRING ||
	    jscan_unescape(&v, dst, dstsz) < 1)
		return -1;
	for (c = dst; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~')
			return -1;
	return 0;
}

/* How long the runtime is to wait, ms; 0 if that is not said. */
static unsigned int
hello_hold(const char *body, size_t len)
{
	struct jspan v;
	int64_t ms;

	if (jscan_get(body, len, "hold_ms", &v) != 1 ||
	    jscan_int(&v, 0, HOLD_MAX, &ms) == -1)
		return 0;
	return (unsigned int)ms;
}

static void
gw_hello_done(void *arg, int status, const char *body, size_t len,
    unsigned int retry_after)
{
	struct gw *gw = arg;
	unsigned int ms;

	if (status == 200 &&
	    jscan_buf(body, len, JSCAN_DEPTH, 0, NULL, NULL, NULL) == 0 &&
	    hello_string(body, len, "key", gw->key, sizeof(gw->key)) == 0 &&
	    hello_string(body, len, "slug", gw->slug,
	    sizeof(gw->slug)) == 0 &&
	    hello_string(body, len, "events_url", gw->events_url,
	    sizeof(gw->events_url)) == 0 && gw->events_url[0] == '/') {
		log_info("hello accepted, agent %s", gw->slug);
		gw->step = 0;
		gw->key_nr++;
		if (gw->on_hello != NULL)
			gw->on_hello(gw->on_hello_arg, hello_hold(body, len));
		if (gw->on_key != NULL)
			gw->on_key(gw->on_key_arg);
		return;
	}
	if (gw->on_hello != NULL)
		gw->on_hello(gw->on_hello_arg, 0);
	explicit_bzero(gw->key, sizeof(gw->key));
	ms = retry_next(&gw->step);
	if (retry_after > ms)
		ms = retry_after;
	/* It has got ready while it was told to come again when it is. */
	if (gw->ready && !gw->said_ready)
		ms = 0;
	/* A container often starts before its agent is ready: be quiet. */
	if (gw->step % 16 == 4)
		log_warnx("hello not accepted (%s %d), trying on",
		    status == 0 ? "no answer" : "status", status);
	timer_ms(gw->timer, ms);
}

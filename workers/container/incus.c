/*
 * Calls of the Incus REST API: requests, replies, operations.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 *
 * libcurl's multi socket interface on libevent: no thread, no poll, no
 * sleep.  An asynchronous answer (202) is followed by GET .../wait on the
 * same handle, which Incus answers when the operation ends.
 */
#include <sys/types.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <event2/event.h>

#include "incus.h"
#include "json.h"
#include "log.h"
#include "sys.h"

#define CONNECT_TIMEOUT_MS	5000
#define IDLE_CONNS		4
#define JSON_DEPTH		32
#define UPLOAD_IDLE_MS		60000	/* without a byte of the body */
#define PATH_LEN		512

struct call {
	CURL			*easy;
	struct curl_slist	*headers;
	char			 path[PATH_LEN];
	char			*body;		/* owned; may be NULL */
	char			*buf;		/* the reply */
	size_t			 len, size, max;
	uint64_t		 deadline;	/* sys_now_ms() */
	bool			 waiting;	/* for an operation */
	bool			 over;		/* the reply is too long */
	/* upload */
	int			 fd;		/* -1: none; not owned */
	uint64_t		 left;
	struct event		*readable;	/* fd has none at the moment */
	bool			 short_read;	/* fd ended early */
	void			(*sink)(const void *, size_t, void *);
	incus_fn		 fn;
	void			*arg;
};

static struct {
	struct event_base	*base;
	CURLM			*multi;
	struct event		*timer;
	char			*socket;
} in;

static void	reap(void);

/* ---- libcurl on libevent ---- */

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	int running, flags = 0;

	(void)arg;
	if (what & EV_READ)
		flags |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(in.multi, fd, flags, &running);
	reap();
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	int running;

	(void)fd;
	(void)what;
	(void)arg;
	curl_multi_socket_action(in.multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap();
}

static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sockp)
{
	struct event *ev = sockp;
	short events = EV_PERSIST;

	(void)easy;
	(void)arg;
	if (ev != NULL)
		event_free(ev);
	if (what == CURL_POLL_REMOVE)
		return 0;
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	if ((ev = event_new(in.base, fd, events, on_socket, NULL)) == NULL ||
	    event_add(ev, NULL) == -1)
		fatal("event");
	curl_multi_assign(in.multi, fd, ev);
	return 0;
}

static int
want_timer(CURLM *multi, long ms, void *arg)
{
	struct timeval tv;

	(void)multi;
	(void)arg;
	if (ms < 0) {
		event_del(in.timer);
		return 0;
	}
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	event_add(in.timer, &tv);
	return 0;
}

void
incus_init(struct event_base *base)
{
	in.base = base;
	/* No TLS here: its start would cost memory for nothing. */
	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK ||
	    (in.multi = curl_multi_init()) == NULL ||
	    (in.timer = evtimer_new(base, on_timer, NULL)) == NULL)
		fatalx("libcurl: cannot start");
	curl_multi_setopt(in.multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(in.multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(in.multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNS);
	curl_multi_setopt(in.multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
}

void
incus_socket(const char *path)
{
	free(in.socket);
	if ((in.socket = strdup(path)) == NULL)
		fatal("configuration");
}

/* ---- one call ---- */

static void
call_free(struct call *c)
{
	if (c->readable != NULL)
		event_free(c->readable);
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	free(c->body);
	free(c->buf);
	free(c);
}

static size_t
on_data(char *data, size_t one, size_t n, void *arg)
{
	struct call *c = arg;
	size_t size;
	char *p;

	n *= one;
	if (n > c->max - c->len) {
		c->over = true;
		return 0;
	}
	if (c->len + n > c->size) {
		size = c->size == 0 ? 4096 : c->size;
		while (size < c->len + n)
			size *= 2;
		if ((p = realloc(c->buf, size)) == NULL)
			fatal("reply of Incus");
		c->buf = p;
		c->size = size;
	}
	memcpy(c->buf + c->len, data, n);
	c->len += n;
	return n;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct call *c = arg;
	int running;

	(void)fd;
	if (what & EV_TIMEOUT)
		c->short_read = true;
	curl_easy_pause(c->easy, CURLPAUSE_CONT);
	curl_multi_socket_action(in.multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap();
}

/* Hands the body over as the descriptor gives it. */
static size_t
on_body(char *out, size_t one, size_t n, void *arg)
{
	static const struct timeval idle = { UPLOAD_IDLE_MS / 1000, 0 };
	struct call *c = arg;
	ssize_t got;

	n *= one;
	if (n > c->left)
		n = (size_t)c->left;
	if (n == 0)
		return 0;
	if (c->short_read)
		return CURL_READFUNC_ABORT;
	do
		got = read(c->fd, out, n);
	while (got == -1 && errno == EINTR);
	if (got == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		event_add(c->readable, &idle);
		return CURL_READFUNC_PAUSE;
	}
	if (got <= 0) {
		c->short_read = true;
		return CURL_READFUNC_ABORT;
	}
	if (c->sink != NULL)
		c->sink(out, (size_t)got, c->arg);
	c->left -= (uint64_t)got;
	return (size_t)got;
}

static void
setup(struct call *c)
{
	CURL *e = c->easy;

	curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, in.socket);
	curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	/* Neither "Expect: 100-continue" (it waits) nor curl's own type. */
	c->headers = curl_slist_append(c->headers, "Expect:");
	c->headers = curl_slist_append(c->headers, c->fd == -1 ?
	    "Content-Type: application/json" :
	    "Content-Type: application/octet-stream");
	if (c->headers == NULL)
		fatal("libcurl");
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers);
}

static void
start(struct call *c)
{
	char url[PATH_LEN + 16];
	uint64_t now = sys_now_ms();

	snprintf(url, sizeof(url), "http://incus%s", c->path);
	curl_easy_setopt(c->easy, CURLOPT_URL, url);
	curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS,
	    (long)(c->deadline > now ? c->deadline - now : 1));
	c->len = 0;
	if (curl_multi_add_handle(in.multi, c->easy) != CURLM_OK)
		fatalx("libcurl: cannot start a request");
}

static struct call *
call_new(const char *path, unsigned int timeout, incus_fn fn, void *arg)
{
	struct call *c;

	if ((c = calloc(1, sizeof(*c))) == NULL ||
	    (c->easy = curl_easy_init()) == NULL)
		fatal("request to Incus");
	if (strlcpy(c->path, path, sizeof(c->path)) >= sizeof(c->path))
		fatalx("request to Incus: path too long");
	c->deadline = sys_now_ms() + timeout * 1000ULL;
	c->fd = -1;
	c->max = INCUS_REPLY_MAX;
	c->fn = fn;
	c->arg = arg;
	return c;
}

void
incus_call(const char *method, const char *path, const char *body,
    unsigned int timeout, size_t max, incus_fn fn, void *arg)
{
	struct call *c;

	c = call_new(path, timeout, fn, arg);
	c->max = max;
	setup(c);
	if (body != NULL) {
		if ((c->body = strdup(body)) == NULL)
			fatal("request to Incus");
		curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body);
	}
	curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, method);
	start(c);
}

void
incus_upload(const char *path, int fd, uint64_t size, unsigned int timeout,
    void (*sink)(const void *, size_t, void *), incus_fn fn, void *arg)
{
	struct call *c;

	c = call_new(path, timeout, fn, arg);
	c->fd = fd;
	c->left = size;
	c->sink = sink;
	if ((c->readable = event_new(in.base, fd, EV_READ, on_readable, c)) ==
	    NULL)
		fatal("event");
	evutil_make_socket_nonblocking(fd);
	setup(c);
	curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, on_body);
	curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE,
	    (curl_off_t)size);
	curl_easy_setopt(c->easy, CURLOPT_UPLOAD_BUFFERSIZE, 131072L);
	/* A body that was read cannot be sent again on another connection. */
	curl_easy_setopt(c->easy, CURLOPT_FRESH_CONNECT, 1L);
	start(c);
}

/* ---- answers ---- */

/* An operation has been started: wait for its end on the same handle. */
static void
await(struct call *c, const char *id)
{
	uint64_t now = sys_now_ms();

	/* A second less than ours, so that Incus is the one to say so. */
	snprintf(c->path, sizeof(c->path), "/1.0/operations/%s/wait?timeout=%d",
	    id, c->deadline > now + 2000 ?
	    (int)((c->deadline - now) / 1000 - 1) : 1);
	c->waiting = true;
	free(c->body);
	c->body = NULL;
	if (c->readable != NULL)
		event_free(c->readable);
	c->readable = NULL;
	c->fd = -1;
	curl_easy_reset(c->easy);
	curl_slist_free_all(c->headers);
	c->headers = NULL;
	setup(c);
	start(c);
}

static void
failed(struct call *c, CURLcode code, struct incus_reply *r)
{
	long err = 0;

	if (c->short_read) {
		reply_fail(r, 400, "the data ended before the size that was "
		    "announced");
	} else if (c->over) {
		reply_fail(r, 502, "the answer of Incus is too long");
	} else if (code == CURLE_OPERATION_TIMEDOUT) {
		reply_fail(r, 504, "Incus did not answer in time");
	} else {
		curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &err);
		reply_fail(r, 503, "Incus cannot be reached on %s: %s",
		    in.socket, code == CURLE_COULDNT_CONNECT && err != 0 ?
		    strerror((int)err) : curl_easy_strerror(code));
		r->down = true;
	}
}

static void
done(struct call *c, CURLcode code)
{
	struct incus_reply r;
	struct json_object *doc = NULL;
	struct json_err err;
	const char *op = NULL;
	incus_fn fn = c->fn;
	void *arg = c->arg;
	long http = 0;

	memset(&r, 0, sizeof(r));
	curl_multi_remove_handle(in.multi, c->easy);
	if (code != CURLE_OK) {
		failed(c, code, &r);
	} else if ((doc = json_parse_strict(c->buf == NULL ? "" : c->buf,
	    c->len, JSON_DEPTH, &err)) == NULL) {
		reply_fail(&r, 502, "Incus gave an answer that is not JSON");
	} else {
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &http);
		op = reply_read(&r, doc, http, c->waiting);
	}
	if (op != NULL) {
		await(c, op);
	} else {
		call_free(c);
		fn(&r, arg);
	}
	if (doc != NULL)
		json_free(doc);
}

/* Ends every call that libcurl is through with. */
static void
reap(void)
{
	CURLMsg *m;
	CURLcode code;
	struct call *c;
	char *p;
	int n;

	while ((m = curl_multi_info_read(in.multi, &n)) != NULL) {
		if (m->msg != CURLMSG_DONE)
			continue;
		code = m->data.result;
		if (curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &p) !=
		    CURLE_OK)
			fatalx("libcurl: a request without its call");
		c = (struct call *)(void *)p;
		done(c, code);
	}
}

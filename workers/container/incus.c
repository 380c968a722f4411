/*
 * Calls of the Incus REST API: requests, replies, operations.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 *
 * An asynchronous answer (202) is followed by GET .../wait on the
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

#include "curl_loop.h"
#include "incus.h"
#include "json.h"
#include "log.h"
#include "sys.h"

#define CONNECT_TIMEOUT_MS	5000
#define JSON_DEPTH		32
#define FD_IDLE_MS		60000	/* without a byte of the body */
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
	bool			 no_wait;	/* it is the caller's business */
	bool			 over;		/* the reply is too long */
	/* upload and download */
	bool			 down;		/* the body goes to fd */
	int			 fd;		/* -1: none; not owned */
	uint64_t		 left;
	struct event		*ready;		/* waits for fd */
	bool			 short_read;	/* fd ended early */
	bool			 no_reader;	/* fd takes no more */
	void			(*sink)(const void *, size_t, void *);
	incus_fn		 fn;
	void			*arg;
};

static struct {
	struct event_base	*base;
	char			*socket;
} in;

static void	on_done(CURL *, CURLcode);

void
incus_init(struct event_base *base)
{
	in.base = base;
	curl_loop_init(base, on_done);
}

void
incus_socket(const char *path)
{
	free(in.socket);
	if ((in.socket = strdup(path)) == NULL)
		fatal("configuration");
}

const char *
incus_socket_path(void)
{
	return in.socket;
}

/* ---- one call ---- */

static void
call_free(struct call *c)
{
	if (c->ready != NULL)
		event_free(c->ready);
	curl_easy_cleanup(c->easy);
	curl_slist_free_all(c->headers);
	free(c->body);
	free(c->buf);
	free(c);
}

static size_t	 to_fd(struct call *, const char *, size_t);

static size_t
on_data(char *data, size_t one, size_t n, void *arg)
{
	struct call *c = arg;
	size_t size;
	long http = 0;
	char *p;

	n *= one;
	/* An error of Incus is a small document also where a body is due. */
	if (c->down && curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE,
	    &http) == CURLE_OK && http == 200)
		return to_fd(c, data, n);
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
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct call *c = arg;

	(void)fd;
	if (what & EV_TIMEOUT)
		*(c->down ? &c->no_reader : &c->short_read) = true;
	curl_easy_pause(c->easy, CURLPAUSE_CONT);
	curl_loop_kick();
}

static const struct timeval idle = { FD_IDLE_MS / 1000, 0 };

/*
 * Hands a piece of the body to the descriptor.  libcurl brings the same piece
 * again after a pause, so a part that was taken is remembered.
 */
static size_t
to_fd(struct call *c, const char *data, size_t n)
{
	ssize_t put;

	while (c->fd != -1 && c->len < n && !c->no_reader) {
		put = write(c->fd, data + c->len, n - c->len);
		if (put == -1 && errno == EINTR)
			continue;
		if (put == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			event_add(c->ready, &idle);
			return CURL_WRITEFUNC_PAUSE;
		}
		if (put <= 0)
			c->no_reader = true;
		else
			c->len += (size_t)put;
	}
	c->len = 0;
	if (c->no_reader || n > c->left) {
		c->over = !c->no_reader;
		return 0;
	}
	c->left -= n;
	if (c->sink != NULL)
		c->sink(data, n, c->arg);
	return n;
}

/* Hands the body over as the descriptor gives it. */
static size_t
on_body(char *out, size_t one, size_t n, void *arg)
{
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
		event_add(c->ready, &idle);
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
	c->headers = curl_slist_append(c->headers, c->fd == -1 || c->down ?
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
	curl_loop_add(c->easy);
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
incus_begin(const char *path, const char *body, unsigned int timeout,
    incus_fn fn, void *arg)
{
	struct call *c;

	c = call_new(path, timeout, fn, arg);
	c->no_wait = true;
	setup(c);
	if ((c->body = strdup(body)) == NULL)
		fatal("request to Incus");
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body);
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
	if ((c->ready = event_new(in.base, fd, EV_READ, on_ready, c)) == NULL)
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

void
incus_download(const char *path, int fd, uint64_t max, unsigned int timeout,
    void (*sink)(const void *, size_t, void *), incus_fn fn, void *arg)
{
	struct call *c;

	c = call_new(path, timeout, fn, arg);
	c->down = true;
	c->fd = fd;
	c->left = max;
	c->sink = sink;
	if (fd != -1) {
		evutil_make_socket_nonblocking(fd);
		if ((c->ready = event_new(in.base, fd, EV_WRITE, on_ready,
		    c)) == NULL)
			fatal("event");
	}
	setup(c);
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
	if (c->ready != NULL)
		event_free(c->ready);
	c->ready = NULL;
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
	} else if (c->no_reader) {
		reply_fail(r, 499, "whoever was to have the data has left");
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
on_done(CURL *easy, CURLcode code)
{
	struct incus_reply r;
	struct json_object *doc = NULL;
	struct json_err err;
	const char *op = NULL;
	struct call *c;
	incus_fn fn;
	void *arg;
	long http = 0;
	char *p;

	if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, &p) != CURLE_OK)
		fatalx("libcurl: a request without its call");
	c = (struct call *)(void *)p;
	fn = c->fn;
	arg = c->arg;
	memset(&r, 0, sizeof(r));
	if (code != CURLE_OK) {
		failed(c, code, &r);
	} else if (c->down && curl_easy_getinfo(c->easy,
	    CURLINFO_RESPONSE_CODE, &http) == CURLE_OK && http == 200) {
		r.status = 200;
	} else if ((doc = json_parse_strict(c->buf == NULL ? "" : c->buf,
	    c->len, JSON_DEPTH, &err)) == NULL) {
		reply_fail(&r, 502, "Incus gave an answer that is not JSON");
	} else {
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &http);
		op = reply_read(&r, doc, http, c->waiting);
		if (op != NULL && c->no_wait) {
			r.status = 200;
			op = NULL;
		}
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

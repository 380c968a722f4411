/*
 * Tests of the HTTP server over socket pairs and a loopback listener.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check. Talks to: itself.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>

#include <arpa/inet.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/event.h>

#include "httpd.h"

static const struct httpd_route routes[] = {
	{ "GET",	"/now",		0,	0 },
	{ "GET",	"/later",	0,	0 },
	{ "POST",	"/echo",	100,	0 },
	{ "PUT",	"/raw/{name}",	1 << 20, HTTPD_ROUTE_RAW },
	{ "GET",	"/stream",	0,	0 },
	{ "GET",	"/sse",		0,	0 },
	{ "POST",	"/refuse",	1 << 20, HTTPD_ROUTE_RAW },
};
#define NROUTES	(sizeof(routes) / sizeof(routes[0]))

static struct {
	struct event_base	*base;
	struct httpd		*srv;
	struct httpd_req	*held;	/* of /later, /stream, /sse */
	int			 heads, closed, writable, drained, accesses;
	size_t			 body;
	bool			 pause;
	char			 name[32];
} t;

static void
on_close(struct httpd_req *r, void *arg)
{
	(void)arg;
	if (t.held == r)
		t.held = NULL;
	t.closed++;
}

static void
echo(struct httpd_req *r, char *body, size_t len, void *arg)
{
	(void)arg;
	assert_int_equal(body[len], '\0');
	httpd_reply(r, 200, "application/json", body, len);
}

static void
raw_body(struct httpd_req *r, const void *data, size_t len, void *arg)
{
	(void)arg;
	(void)data;
	t.body += len;
	if (t.pause) {
		httpd_req_pause(r);
		t.held = r;
	}
}

static void
raw_end(struct httpd_req *r, void *arg)
{
	char text[32];
	int n;

	(void)arg;
	n = snprintf(text, sizeof(text), "%zu", t.body);
	httpd_reply(r, 201, "text/plain", text, (size_t)n);
}

static const struct httpd_body_ops raw_ops = { raw_body, raw_end };

static void
on_head(struct httpd_req *r, void *arg)
{
	const struct httpd_route *route;

	(void)arg;
	t.heads++;
	httpd_req_on_close(r, on_close, NULL);
	route = httpd_route(r, routes, NROUTES, sizeof(routes[0]));
	if (route == NULL)
		return;
	if (route == &routes[0])
		httpd_reply(r, 200, "text/plain", "now", 3);
	else if (route == &routes[1])
		t.held = r;
	else if (route == &routes[2])
		(void)httpd_req_collect(r, 100, echo, NULL);
	else if (route == &routes[3]) {
		(void)strlcpy(t.name, httpd_req_param(r, "name"),
		    sizeof(t.name));
		(void)httpd_req_stream(r, 1 << 20, &raw_ops, NULL);
	} else if (route == &routes[4]) {
		t.held = r;
		httpd_stream_start(r, 200, "text/plain", 400000);
	} else if (route == &routes[5]) {
		t.held = r;
		httpd_sse_start(r, 0, true);
	} else
		httpd_error(r, 401, "say who you are \"%s\"", "x");
}

static void
on_access(struct httpd_req *r, int status, uint64_t bytes, void *arg)
{
	(void)r;
	(void)arg;
	assert_in_range(status, 200, 599);
	assert_true(bytes > 0);
	t.accesses++;
}

static void
stop_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	(void)event_base_loopbreak(t.base);
}

/* Let the server work for a while. */
static void
spin(int ms)
{
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	(void)event_base_once(t.base, -1, EV_TIMEOUT, stop_cb, NULL, &tv);
	(void)event_base_dispatch(t.base);
}

static int
setup(void **state)
{
	struct httpd_conf c;

	(void)state;
	memset(&t, 0, sizeof(t));
	t.base = event_base_new();
	httpd_conf_init(&c);
	c.head_ms = 100;
	c.body_ms = 100;
	c.idle_ms = 300;
	c.write_ms = 100;
	c.max_conns = 8;
	c.max_conns_each = 2;
	c.on_head = on_head;
	c.on_access = on_access;
	t.srv = httpd_new(t.base, &c);
	assert_non_null(t.srv);
	return (0);
}

static int
teardown(void **state)
{
	(void)state;
	httpd_free(t.srv);
	event_base_free(t.base);
	return (0);
}

static int
client(void)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    sv), 0);
	assert_int_equal(fcntl(sv[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(httpd_attach(t.srv, sv[1], NULL), 0);
	return (sv[0]);
}

static void
say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)),
	    (ssize_t)strlen(text));
}

static char answer[65536];

/* Read what comes within ms; false: the server has closed. */
static bool
hear_for(int fd, int ms)
{
	ssize_t n;
	size_t len = 0;

	spin(ms);
	while ((n = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
		len += (size_t)n;
	answer[len] = '\0';
	return (n != 0);
}

static bool
hear(int fd)
{
	return (hear_for(fd, 30));
}

static int
count(const char *what)
{
	const char *p = answer;
	int n = 0;

	while ((p = strstr(p, what)) != NULL) {
		n++;
		p++;
	}
	return (n);
}

#define HDR	" HTTP/1.1\r\nHost: a\r\n"
#define JSON	"Content-Type: application/json\r\n"

static void
test_keepalive(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "GET /now" HDR "\r\n");
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(answer, "Content-Length: 3\r\n"));
	assert_non_null(strstr(answer, "\r\n\r\nnow"));
	say(fd, "HEAD /now" HDR "\r\n");
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "Content-Length: 3\r\n"));
	assert_null(strstr(answer, "now"));
	say(fd, "GET /now" HDR "Connection: close\r\n\r\n");
	assert_false(hear(fd));
	assert_non_null(strstr(answer, "Connection: close\r\n"));
	assert_int_equal(t.accesses, 3);
	assert_int_equal(t.closed, 0);
	close(fd);
	spin(20);
	assert_int_equal(httpd_connections(t.srv), 0);
}

static void
test_pipeline(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "GET /later" HDR "\r\nGET /now" HDR "\r\nGET /now" HDR "\r\n");
	assert_true(hear(fd));
	assert_int_equal(t.heads, 1);	/* the second one waits */
	httpd_reply(t.held, 200, "text/plain", "later", 5);
	assert_true(hear(fd));
	assert_int_equal(t.heads, 3);
	assert_int_equal(count("HTTP/1.1 200"), 3);
	assert_true(strstr(answer, "later") < strstr(answer, "now"));
	close(fd);
}

static void
test_bytes(void **state)
{
	static const char text[] = "POST /echo" HDR JSON
	    "Transfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0"
	    "\r\n\r\nGET /now" HDR "\r\n";
	int fd = client();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(write(fd, text + i, 1), 1);
		(void)event_base_loop(t.base, EVLOOP_NONBLOCK);
	}
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "\r\n\r\n{\"a\":1}"));
	assert_int_equal(count("HTTP/1.1 200"), 2);
	close(fd);
}

static void
test_limits(void **state)
{
	char big[200];
	int fd = client();

	(void)state;
	say(fd, "POST /echo" HDR JSON "Content-Length: 101\r\n\r\n");
	assert_false(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 413"));
	close(fd);
	fd = client();
	memset(big, 'a', sizeof(big));
	say(fd, "POST /echo" HDR JSON "Transfer-Encoding: chunked\r\n\r\n"
	    "c8\r\n");
	assert_int_equal(write(fd, big, 200), 200);
	assert_false(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 413"));
	assert_int_equal(t.closed, 1);	/* the application had it already */
	close(fd);
	fd = client();
	say(fd, "POST /echo" HDR "Content-Type: text/plain\r\n"
	    "Content-Length: 2\r\n\r\n{}");
	assert_true(hear(fd));		/* the body was here: keep-alive */
	assert_non_null(strstr(answer, "HTTP/1.1 415"));
	say(fd, "POST /now" HDR "\r\n");
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 405"));
	assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
	say(fd, "GET /nowhere" HDR "\r\n");
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 404"));
	say(fd, "GET /now\r\n");
	assert_true(hear(fd));
	say(fd, "\r\n");
	assert_false(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 400"));
	close(fd);
}

static void
test_early_reply(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "POST /refuse" HDR "Content-Length: 9000\r\n\r\nabc");
	assert_false(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 401"));
	assert_non_null(strstr(answer, "{\"error\":\"say who you are "
	    "\\\"x\\\"\"}"));
	close(fd);
}

static void
test_expect(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "POST /echo" HDR JSON "Expect: 100-continue\r\n"
	    "Content-Length: 2\r\n\r\n");
	assert_true(hear(fd));
	assert_string_equal(answer, "HTTP/1.1 100 Continue\r\n\r\n");
	say(fd, "{}");
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	close(fd);
}

static void
test_slow(void **state)
{
	int fd = client(), fd2 = client(), fd3 = client();

	(void)state;
	say(fd, "GET /now");
	say(fd2, "POST /echo" HDR JSON "Content-Length: 9\r\n\r\n{");
	spin(250);
	assert_false(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 408"));
	assert_false(hear(fd2));
	assert_non_null(strstr(answer, "HTTP/1.1 408"));
	assert_int_equal(t.closed, 1);
	/* the third never said a word: closed without one */
	spin(200);
	assert_false(hear(fd3));
	assert_string_equal(answer, "");
	close(fd);
	close(fd2);
	close(fd3);
}

static void
test_pause(void **state)
{
	static char big[300000];
	size_t sent = 0;
	ssize_t n;
	int fd = client(), i;

	(void)state;
	t.pause = true;
	say(fd, "PUT /raw/a%20b" HDR "Content-Length: 300000\r\n\r\n");
	for (i = 0; i < 20; i++) {
		n = write(fd, big, sizeof(big) - sent);
		sent += n > 0 ? (size_t)n : 0;
		spin(5);
	}
	assert_string_equal(t.name, "a b");
	assert_true(t.body > 0 && t.body <= 65536);
	assert_true(sent < sizeof(big));	/* the client is held back */
	spin(200);		/* a pause is not a slow client */
	assert_int_equal(t.closed, 0);
	t.pause = false;
	httpd_req_resume(t.held);
	while (sent < sizeof(big)) {
		n = write(fd, big, sizeof(big) - sent);
		sent += n > 0 ? (size_t)n : 0;
		spin(1);
	}
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 201"));
	assert_non_null(strstr(answer, "\r\n\r\n300000"));
	close(fd);
}

static void
on_writable(struct httpd_req *r, void *arg)
{
	(void)arg;
	assert_true(httpd_stream_queued(r) <= 1000);
	t.writable++;
}

static void
test_stream(void **state)
{
	static char big[100000];
	int fd = client(), i;

	(void)state;
	say(fd, "GET /stream" HDR "\r\n");
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "Transfer-Encoding: chunked\r\n"));
	assert_int_equal(httpd_stream_write(t.held, "abc", 3), 0);
	assert_true(hear(fd));
	assert_string_equal(answer, "3\r\nabc\r\n");
	httpd_stream_on_writable(t.held, 1000, on_writable, NULL);
	/* more than a socket buffer holds */
	for (i = 0; i < 3; i++)
		assert_int_equal(httpd_stream_write(t.held, big,
		    sizeof(big)), 0);
	spin(10);
	assert_true(httpd_stream_queued(t.held) > 1000);
	assert_int_equal(t.writable, 0);
	for (i = 0; i < 10; i++)
		(void)hear(fd);
	assert_true(t.writable > 0);
	assert_int_equal(httpd_stream_write(t.held, "end", 3), 0);
	httpd_stream_end(t.held);
	assert_true(hear(fd));
	assert_string_equal(answer, "3\r\nend\r\n0\r\n\r\n");
	say(fd, "GET /now" HDR "\r\n");
	assert_true(hear(fd));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	assert_int_equal(t.closed, 0);
	close(fd);
}

/* A reader that never reads is cut off at the cap, others live on. */
static void
test_laggard(void **state)
{
	static char line[10000];
	int fd = client(), fd2 = client(), i;
	struct httpd_req *slow, *quick;

	(void)state;
	memset(line, 'x', sizeof(line));
	say(fd, "GET /sse" HDR "\r\n");
	spin(10);
	slow = t.held;
	say(fd2, "GET /sse" HDR "\r\n");
	spin(10);
	quick = t.held;
	for (i = 0; i < 100; i++) {
		if (httpd_sse_event(slow, "1", "e", line, sizeof(line)) == -1)
			break;
		assert_int_equal(httpd_sse_event(quick, "1", "e", line,
		    sizeof(line)), 0);
		(void)hear_for(fd2, 1);
	}
	assert_in_range(i, 20, 99);
	spin(10);
	assert_int_equal(t.closed, 1);
	assert_int_equal(httpd_sse_event(quick, NULL, NULL, "a\nb", 3), 0);
	assert_true(hear(fd2));
	assert_non_null(strstr(answer, "data: a\ndata: b\n\n"));
	spin(150);
	assert_true(hear(fd2));
	assert_non_null(strstr(answer, "event: tick\n"));
	close(fd);
	close(fd2);
}

static void
test_no_progress(void **state)
{
	static char big[300000];
	int fd = client();

	(void)state;
	say(fd, "GET /stream" HDR "\r\n");
	spin(10);
	assert_int_equal(httpd_stream_write(t.held, big, sizeof(big)), 0);
	spin(350);
	assert_int_equal(t.closed, 1);
	close(fd);
}

static void
test_disconnect(void **state)
{
	int fd = client();

	(void)state;
	say(fd, "GET /later" HDR "\r\n");
	spin(10);
	assert_non_null(t.held);
	close(fd);
	spin(10);
	assert_null(t.held);
	assert_int_equal(t.closed, 1);
	fd = client();
	say(fd, "GET /stream" HDR "\r\n");
	spin(10);
	close(fd);
	spin(10);
	assert_int_equal(t.closed, 2);
	fd = client();
	say(fd, "GET /stream" HDR "\r\n");
	spin(10);
	httpd_abort(t.held);
	assert_false(hear(fd));
	assert_null(strstr(answer, "0\r\n\r\n"));
	assert_int_equal(t.closed, 2);
	close(fd);
}

static void
drained(void *arg)
{
	(void)arg;
	t.drained++;
}

static void
test_drain(void **state)
{
	int fd = client(), fd2 = client();

	(void)state;
	say(fd, "GET /later" HDR "\r\n");
	spin(10);
	httpd_drain(t.srv, drained, NULL);
	assert_false(hear(fd2));	/* it was idle */
	assert_int_equal(t.drained, 0);
	httpd_reply(t.held, 200, "text/plain", "x", 1);
	assert_false(hear(fd));
	assert_non_null(strstr(answer, "Connection: close\r\n"));
	close(fd);
	spin(20);
	assert_int_equal(t.drained, 1);
	close(fd2);
}

static int
dial(const struct sockaddr_in *sin)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)sin,
	    sizeof(*sin)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return (fd);
}

static void
test_listener(void **state)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	int fd, c[3], i;

	(void)state;
	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	assert_int_equal(httpd_listen(t.srv, fd, NULL), 0);
	for (i = 0; i < 3; i++) {
		c[i] = dial(&sin);
		say(c[i], "GET /later" HDR "\r\n");
		spin(10);
	}
	/* two at a time: the third waits until one has gone */
	assert_int_equal(httpd_connections(t.srv), 2);
	assert_int_equal(t.heads, 2);
	assert_string_equal(httpd_req_peer(t.held), "127.0.0.1");
	close(c[0]);
	spin(20);
	assert_int_equal(t.heads, 3);
	assert_int_equal(httpd_unlisten(t.srv, fd), 0);
	assert_int_equal(httpd_unlisten(t.srv, fd), -1);
	spin(20);
	assert_int_equal(httpd_connections(t.srv), 0);
	assert_int_equal(t.closed, 3);
	close(c[1]);
	close(c[2]);
}

static void
test_routes(void **state)
{
	static const struct httpd_route tab[] = {
		{ "GET",	"/a/{x}",	0, 0 },
		{ "POST",	"/a/deploy",	0, 0 },
		{ "PUT",	"/a/{x}",	0, 0 },
		{ "GET",	"/a/{x}/b/{yy}", 0, 0 },
		{ "GET",	"/a/fixed",	0, 0 },
		{ "GET",	"/",		0, 0 },
	};
	const struct httpd_route *r;
	struct httpd_params p;
	char allow[64];

	(void)state;
#define FIND(m, path) httpd_route_find(tab, 6, sizeof(tab[0]), m, path, &r, \
    &p, allow, sizeof(allow))
	assert_int_equal(FIND("GET", "/a/x1"), 0);
	assert_ptr_equal(r, &tab[0]);
	assert_int_equal(p.n, 1);
	assert_int_equal(p.p[0].len, 2);
	assert_int_equal(FIND("HEAD", "/a/x1"), 0);
	assert_int_equal(FIND("GET", "/a/fixed"), 0);
	assert_ptr_equal(r, &tab[4]);
	assert_int_equal(FIND("GET", "/a/1/b/22"), 0);
	assert_int_equal(p.n, 2);
	assert_int_equal(memcmp(p.p[1].value, "22", 2), 0);
	assert_int_equal(FIND("GET", "/"), 0);
	assert_int_equal(FIND("GET", "/a/"), 404);
	assert_int_equal(FIND("GET", "/a"), 404);
	assert_int_equal(FIND("GET", "/a/x/"), 404);
	assert_int_equal(FIND("GET", "/a//b/c"), 404);
	assert_int_equal(FIND("GET", "//a/x"), 404);
	assert_int_equal(FIND("GET", "/A/x"), 404);
	assert_int_equal(FIND("DELETE", "/a/deploy"), 405);
	assert_string_equal(allow, "GET, HEAD, POST, PUT");
	assert_int_equal(FIND("get", "/a/x"), 405);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_keepalive), T(test_pipeline), T(test_bytes),
		T(test_limits), T(test_early_reply), T(test_expect),
		T(test_slow), T(test_pause), T(test_stream), T(test_laggard),
		T(test_no_progress), T(test_disconnect), T(test_drain),
		T(test_listener), T(test_routes),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}

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

#include "httpd_util.h"

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
	for (i = 0; i < 100 && strstr(answer, "event: tick\n") == NULL; i++)
		assert_true(hear(fd2));
	assert_in_range(i, 1, 99);
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

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define T_PATIENT(f) \
	cmocka_unit_test_setup_teardown(f, setup_patient, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_keepalive), T(test_pipeline), T(test_bytes),
		T(test_limits), T(test_early_reply), T(test_expect),
		T(test_slow), T(test_pause), T_PATIENT(test_stream),
		T_PATIENT(test_laggard), T(test_no_progress),
		T(test_disconnect), T(test_drain), T(test_listener),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return (cmocka_run_group_tests(tests, NULL, NULL));
}

/*
 * A server to test and a client to test it with, in one event loop.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check. Talks to: itself.
 */
#include <sys/socket.h>

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/event.h>

#include "httpd_util.h"

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

struct httpd_lab t;

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

void
spin(int ms)
{
	struct timeval tv = { ms / 1000, (ms % 1000) * 1000 };

	(void)event_base_once(t.base, -1, EV_TIMEOUT, stop_cb, NULL, &tv);
	(void)event_base_dispatch(t.base);
}

static void
start(int write_ms)
{
	struct httpd_conf c;

	memset(&t, 0, sizeof(t));
	t.base = event_base_new();
	httpd_conf_init(&c);
	c.head_ms = 100;
	c.body_ms = 100;
	c.idle_ms = 300;
	c.write_ms = write_ms;
	c.max_conns = 8;
	c.max_conns_each = 2;
	c.on_head = on_head;
	c.on_access = on_access;
	t.srv = httpd_new(t.base, &c);
	assert_non_null(t.srv);
}

int
setup(void **state)
{
	(void)state;
	start(100);
	return (0);
}

int
setup_patient(void **state)
{
	(void)state;
	start(2000);
	return (0);
}

int
teardown(void **state)
{
	(void)state;
	httpd_free(t.srv);
	event_base_free(t.base);
	return (0);
}

int
client(void)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    sv), 0);
	assert_int_equal(fcntl(sv[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(httpd_attach(t.srv, sv[1], NULL), 0);
	return (sv[0]);
}

void
say(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)),
	    (ssize_t)strlen(text));
}

char answer[65536];

bool
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

bool
hear(int fd)
{
	return (hear_for(fd, 30));
}

int
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

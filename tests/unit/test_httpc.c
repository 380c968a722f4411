/*
 * Tests of the HTTP response parser and the request head builder.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check. Talks to: nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "httpc.h"

struct got {
	int	heads, ends, code;
	char	body[256];
	size_t	len;
	char	type[64];
};

static int
on_head(void *arg, const struct http_head *h)
{
	struct got *g = arg;
	const char *t = http_head_field(h, "content-type");

	g->heads++;
	g->code = h->code;
	(void)strlcpy(g->type, t != NULL ? t : "", sizeof(g->type));
	return (0);
}

static int
on_body(void *arg, const void *data, size_t len)
{
	struct got *g = arg;

	assert_true(g->len + len < sizeof(g->body));
	memcpy(g->body + g->len, data, len);
	g->len += len;
	g->body[g->len] = '\0';
	return (0);
}

static int
on_end(void *arg)
{
	((struct got *)arg)->ends++;
	return (0);
}

static const struct httpc_cb cb = { on_head, on_body, on_end };

/* What comes after the last byte. */
enum fate { BAD, OPEN, DONE, DONE_AT_EOF };

#define OK "HTTP/1.1 200 OK\r\n"

static const struct {
	const char	*text;
	bool		 head_only;
	enum fate	 fate;
	const char	*body;
	bool		 keep;
} rows[] = {
	{ OK "Content-Length: 3\r\n\r\nabc", 0, DONE, "abc", 1 },
	{ OK "Content-Length: 0\r\n\r\n", 0, DONE, "", 1 },
	{ OK "Content-Length: 3\r\nConnection: close\r\n\r\nabc", 0, DONE,
	    "abc", 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n"
	    "\r\n", 0, DONE, "abcde", 1 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: x\r\n\r\n",
	    0, DONE, "a", 1 },
	{ OK "\r\nabc", 0, DONE_AT_EOF, "abc", 0 },
	{ "HTTP/1.0 200 OK\r\n\r\nabc", 0, DONE_AT_EOF, "abc", 0 },
	{ "HTTP/1.1 204 None\r\n\r\n", 0, DONE, "", 1 },
	{ "HTTP/1.1 304 Not\r\nContent-Length: 9\r\n\r\n", 0, DONE, "", 1 },
	{ OK "Content-Length: 9\r\n\r\n", 1, DONE, "", 1 },
	{ "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 0, DONE, "", 1 },
	{ "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 0, DONE, "", 1 },
	{ "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\na", 0,
	    DONE, "a", 1 },
	{ OK "Content-Length: 3\r\n\r\nab", 0, OPEN, "ab", 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", 0, OPEN, "abc",
	    0 },
	{ OK, 0, OPEN, "", 0 },
	{ "HTTP/1.1 101 Switch\r\n\r\n", 0, BAD, "", 0 },
	{ "HTTP/2 200 OK\r\n\r\n", 0, BAD, "", 0 },
	{ "HTTP/1.1 20 OK\r\n\r\n", 0, BAD, "", 0 },
	{ "HTTP/1.1 2000 OK\r\n\r\n", 0, BAD, "", 0 },
	{ "HTTP/1.1 099 OK\r\n\r\n", 0, BAD, "", 0 },
	{ "HTTP/1.1  200 OK\r\n\r\n", 0, BAD, "", 0 },
	{ "ICY 200 OK\r\n\r\n", 0, BAD, "", 0 },
	{ OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 0, BAD, "",
	    0 },
	{ OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
	    BAD, "", 0 },
	{ OK "Content-Length: x\r\n\r\n", 0, BAD, "", 0 },
	{ OK "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, BAD, "", 0 },
	{ OK "Transfer-Encoding: chunked\r\n\r\nz\r\n", 0, BAD, "", 0 },
	{ OK "X : 1\r\n\r\n", 0, BAD, "", 0 },
	{ OK "X: 1\n\r\n", 0, BAD, "", 0 },
	{ OK " X: 1\r\n\r\n", 0, BAD, "", 0 },
	{ OK "Content-Length: 0\r\nX: \x01\r\n\r\n", 0, BAD, "", 0 },
};

static void
run(size_t i, size_t step)
{
	struct httpc c;
	struct got g;
	size_t at, n, len = strlen(rows[i].text);
	bool bad = false;

	memset(&g, 0, sizeof(g));
	httpc_init(&c, rows[i].head_only, &cb, &g);
	for (at = 0; at < len && !bad; at += n) {
		n = len - at < step ? len - at : step;
		bad = httpc_feed(&c, rows[i].text + at, n) != (ssize_t)n;
	}
	if (rows[i].fate == BAD) {
		assert_true(bad);
		assert_int_equal(c.state, HTTPC_FAILED);
		assert_non_null(c.why);
	} else {
		assert_false(bad);
		assert_string_equal(g.body, rows[i].body);
		assert_int_equal(c.state == HTTPC_DONE,
		    rows[i].fate == DONE);
		assert_int_equal(httpc_eof(&c),
		    rows[i].fate == OPEN ? -1 : 0);
		assert_int_equal(g.ends, rows[i].fate == OPEN ? 0 : 1);
		if (rows[i].fate != OPEN)
			assert_int_equal(c.keepalive, rows[i].keep);
	}
	httpc_free(&c);
}

static void
test_table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		run(i, 1 << 20);
		run(i, 1);
		run(i, 7);
	}
}

/* What follows a response is left to the next one. */
static void
test_rest(void **state)
{
	static const char text[] = OK "Content-Type: a/b\r\n"
	    "Content-Length: 2\r\n\r\nabHTTP/1.1 404 No\r\n";
	struct httpc c;
	struct got g;

	(void)state;
	memset(&g, 0, sizeof(g));
	httpc_init(&c, false, &cb, &g);
	assert_int_equal(httpc_feed(&c, text, sizeof(text) - 1),
	    sizeof(text) - 1 - strlen("HTTP/1.1 404 No\r\n"));
	assert_int_equal(c.state, HTTPC_DONE);
	assert_string_equal(g.type, "a/b");
	httpc_free(&c);
}

static void
test_endless_head(void **state)
{
	struct httpc c;
	struct got g;
	size_t i;
	ssize_t n = 0;

	(void)state;
	memset(&g, 0, sizeof(g));
	httpc_init(&c, false, &cb, &g);
	(void)httpc_feed(&c, OK "X: ", 20);
	for (i = 0; i < 100000 && n != -1; i++)
		n = httpc_feed(&c, "a", 1);
	assert_int_equal(n, -1);
	assert_in_range(i, 16000, 17000);
	httpc_free(&c);
}

static void
test_builder(void **state)
{
	struct httpc_req r;
	char buf[128];
	ssize_t n;

	(void)state;
	httpc_req_start(&r, buf, sizeof(buf), "POST", "/v1?x", "h:1");
	httpc_req_field(&r, "Accept", "*/*");
	httpc_req_length(&r, 12);
	n = httpc_req_end(&r);
	assert_int_equal(n, (ssize_t)strlen(buf));
	assert_string_equal(buf, "POST /v1?x HTTP/1.1\r\nHost: h:1\r\n"
	    "Accept: */*\r\nContent-Length: 12\r\n\r\n");
	httpc_req_start(&r, buf, sizeof(buf), "GET", "/", "h");
	httpc_req_field(&r, "X", "a\r\nY: b");
	assert_int_equal(httpc_req_end(&r), -1);
	httpc_req_start(&r, buf, sizeof(buf), "GET", "/ x", "h");
	assert_int_equal(httpc_req_end(&r), -1);
	httpc_req_start(&r, buf, 20, "GET", "/", "host");
	assert_int_equal(httpc_req_end(&r), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_endless_head),
		cmocka_unit_test(test_builder),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}

/*
 * Tests of the HTTP head and chunk parsers: one table of messages, each fed
 * whole and byte by byte.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check. Talks to: nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http.h"
#include "httpd.h"

#define H	"Host: a\r\n"
#define GET	"GET / HTTP/1.1\r\n" H
#define POST	"POST / HTTP/1.1\r\n" H
#define CHUNKED	POST "Transfer-Encoding: chunked\r\n\r\n"
#define LINE(t)	"GET " t " HTTP/1.1\r\n" H "\r\n"
#define OK	200
#define MORE	0

struct row {
	const char	*text;
	size_t		 len;
	int		 want;	/* OK, MORE or the status of the refusal */
};
#define R(s, want) { s, sizeof(s) - 1, want }

static const struct row rows[] = {
	/* plain and complete */
	R(GET "\r\n", OK),
	R(LINE("/a/b?x=1&y=%20"), OK),
	R(LINE("/%41"), OK),
	R(LINE("/caf%C3%A9"), OK),
	R(LINE("/a//b"), OK),
	R(LINE("/a.b/..c/d.."), OK),
	R(LINE("/~u/!$&'()*+,;=:@"), OK),
	R(LINE("/?"), OK),
	R(LINE("/?a[0]=1"), OK),
	R("OPTIONS * HTTP/1.1\r\n" H "\r\n", OK),
	R("DELETE /x HTTP/1.1\r\n" H "\r\n", OK),
	R("M-SEARCH /x HTTP/1.1\r\n" H "\r\n", OK),
	R(LINE("http://a/x"), OK),
	R(LINE("HTTP://A/x"), OK),
	R(LINE("http://a"), OK),
	R(LINE("http://a?q=1"), OK),
	R("GET / HTTP/1.1\r\nHost: localhost:6969\r\n\r\n", OK),
	R("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", OK),
	R("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", OK),
	R("GET / HTTP/1.1\r\nhOsT:a\r\n\r\n", OK),
	R(GET "X: \t v \t \r\n\r\n", OK),
	R(GET "X:\r\n\r\n", OK),
	R(GET "X: a\tb\r\n\r\n", OK),
	R(GET "X: \xc3\xa9\r\n\r\n", OK),
	R(GET "X: 1\r\nX: 2\r\n\r\n", OK),
	R(GET "Connection: keep-alive\r\nAccept: */*\r\n\r\n", OK),
	R(GET "!#$%&'*+-.^_`|~09azAZ: token\r\n\r\n", OK),
	R(POST "Content-Length: 3\r\n\r\nabc", OK),
	R(POST "Content-Length: 0\r\n\r\n", OK),
	R(POST "Content-Length: 003\r\n\r\nabc", OK),
	R(POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\na", OK),
	R(CHUNKED "3\r\nabc\r\n0\r\n\r\n", OK),
	R(CHUNKED "0\r\n\r\n", OK),
	R(CHUNKED "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", OK),
	R(CHUNKED "0000003\r\nabc\r\n000\r\n\r\n", OK),
	/* complete so far */
	R("", MORE),
	R("GET", MORE),
	R("GET / HTTP/1.1\r\n", MORE),
	R(GET, MORE),
	R(GET "\r", MORE),
	R(POST "Content-Length: 3\r\n\r\nab", MORE),
	R(CHUNKED, MORE),
	R(CHUNKED "3\r\nabc", MORE),
	R(CHUNKED "3\r\nabc\r\n0\r\n", MORE),
	R(CHUNKED "3\r\nabc\r\n0\r\n\r", MORE),
	/* the request line */
	R("\r\n" GET "\r\n", 400),
	R("\n" GET "\r\n", 400),
	R(" GET / HTTP/1.1\r\n" H "\r\n", 400),
	R("GET  / HTTP/1.1\r\n" H "\r\n", 400),
	R("GET /  HTTP/1.1\r\n" H "\r\n", 400),
	R("GET / HTTP/1.1 \r\n" H "\r\n", 400),
	R("GET\t/ HTTP/1.1\r\n" H "\r\n", 400),
	R("GET /\tHTTP/1.1\r\n" H "\r\n", 400),
	R("GET / x HTTP/1.1\r\n" H "\r\n", 400),
	R("GET /\r\n" H "\r\n", 400),
	R("GET\r\n" H "\r\n", 400),
	R("GET \r\n" H "\r\n", 400),
	R("GET  HTTP/1.1\r\n" H "\r\n", 400),
	R(" / HTTP/1.1\r\n" H "\r\n", 400),
	R("G(T / HTTP/1.1\r\n" H "\r\n", 400),
	R("G\xc3T / HTTP/1.1\r\n" H "\r\n", 400),
	R("G\0T / HTTP/1.1\r\n" H "\r\n", 400),
	R("AAAAAAAAAAAAAAAAA / HTTP/1.1\r\n" H "\r\n", 400),
	R("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
	R("\x16\x03\x01\x02\x00", 400),
	R("GET / HTTP/1.0\r\n" H "\r\n", 505),
	R("GET / HTTP/0.9\r\n" H "\r\n", 505),
	R("GET / HTTP/1.2\r\n" H "\r\n", 505),
	R("GET / HTTP/2.0\r\n" H "\r\n", 505),
	R("GET / HTTP/1\r\n" H "\r\n", 400),
	R("GET / HTTP/1.10\r\n" H "\r\n", 400),
	R("GET / HTTP/11\r\n" H "\r\n", 400),
	R("GET / HTTP/01.1\r\n" H "\r\n", 400),
	R("GET / HTTP/a.b\r\n" H "\r\n", 400),
	R("GET / http/1.1\r\n" H "\r\n", 400),
	R("GET / XTTP/1.1\r\n" H "\r\n", 400),
	R("GET / HTTP/1,1\r\n" H "\r\n", 400),
	R("GET / \r\n" H "\r\n", 400),
	/* the target */
	R(LINE("a"), 400),
	R(LINE("a:80"), 400),
	R(LINE("*"), 400),
	R("CONNECT a:80 HTTP/1.1\r\n" H "\r\n", 400),
	R(LINE("ftp://a/"), 400),
	R(LINE("http://b/"), 400),
	R(LINE("http://a:80/"), 400),
	R(LINE("http://u@a/"), 400),
	R(LINE("http:///x"), 400),
	R(LINE("/#f"), 400),
	R(LINE("/a\"b"), 400),
	R(LINE("/a<b"), 400),
	R(LINE("/a\\b"), 400),
	R(LINE("/a^b"), 400),
	R(LINE("/a`b"), 400),
	R(LINE("/a{b}"), 400),
	R(LINE("/a|b"), 400),
	R(LINE("/\xc3\xa9"), 400),
	R(LINE("/a\x7f"), 400),
	R(LINE("/a\x01"), 400),
	R(LINE("/%"), 400),
	R(LINE("/%4"), 400),
	R(LINE("/%4g"), 400),
	R(LINE("/%00"), 400),
	R(LINE("/%0a"), 400),
	R(LINE("/%7f"), 400),
	R(LINE("/a%2fb"), 400),
	R(LINE("/a%2Fb"), 400),
	R(LINE("/.."), 400),
	R(LINE("/."), 400),
	R(LINE("/a/../b"), 400),
	R(LINE("/a/./b"), 400),
	R(LINE("/a/%2e%2e/b"), 400),
	R(LINE("/a/.%2e"), 400),
	R(LINE("/%ff"), 400),
	R(LINE("/%c0%af"), 400),
	R(LINE("/%ed%a0%80"), 400),
	R(LINE("/%f4%90%80%80"), 400),
	R(LINE("/?a=%"), 400),
	R(LINE("/?a=%zz"), 400),
	R(LINE("/?a=%00"), 400),
	R(LINE("/?a=%ff"), 400),
	/* Host */
	R("GET / HTTP/1.1\r\n\r\n", 400),
	R(GET H "\r\n", 400),
	R(GET "Host: b\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: a:\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: []\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
	/* lines and fields */
	R("GET / HTTP/1.1\n" H "\r\n", 400),
	R("GET / HTTP/1.1\rHost: a\r\n\r\n", 400),
	R(GET "X: a\n\r\n", 400),
	R(GET "X: a\rb\r\n\r\n", 400),
	R(GET "X: a\r\r\n\r\n", 400),
	R(GET "\n", 400),
	R(GET "\rX", 400),
	R(GET " folded: x\r\n\r\n", 400),
	R(GET "X: a\r\n b\r\n\r\n", 400),
	R(GET "X: a\r\n\tb\r\n\r\n", 400),
	R("GET / HTTP/1.1\r\n " H "\r\n", 400),
	R(GET "X : a\r\n\r\n", 400),
	R(GET "X\t: a\r\n\r\n", 400),
	R(GET ": a\r\n\r\n", 400),
	R(GET "X\r\n\r\n", 400),
	R(GET "X Y: a\r\n\r\n", 400),
	R(GET "X(: a\r\n\r\n", 400),
	R(GET "X\"Y: a\r\n\r\n", 400),
	R(GET "\xc3\xa9: a\r\n\r\n", 400),
	R(GET "X: a\0b\r\n\r\n", 400),
	R(GET "X\0: a\r\n\r\n", 400),
	R(GET "X: a\x0b\r\n\r\n", 400),
	R(GET "X: a\x7f\r\n\r\n", 400),
	R(GET "X: \x1b[0m\r\n\r\n", 400),
	/* fields of which there may be one */
	R(GET "Authorization: a\r\nAuthorization: a\r\n\r\n", 400),
	R(GET "Content-Type: a\r\ncontent-type: a\r\n\r\n", 400),
	R(GET "Origin: a\r\nOrigin: a\r\n\r\n", 400),
	R(GET "Cookie: a\r\nCookie: b\r\n\r\n", 400),
	R(GET "X-Agentd-Turn: a\r\nX-Agentd-Turn: b\r\n\r\n", 400),
	R(GET "Last-Event-ID: 1\r\nLast-Event-ID: 2\r\n\r\n", 400),
	R(GET "Expect: 200-ok\r\n\r\n", 417),
	R(GET "Expect: 100-continue, x\r\n\r\n", 417),
	/* framing */
	R(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 400),
	R(POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
	R(POST "Content-Length: 1, 1\r\n\r\na", 400),
	R(POST "Content-Length:\r\n\r\n", 400),
	R(POST "Content-Length: +1\r\n\r\na", 400),
	R(POST "Content-Length: -1\r\n\r\na", 400),
	R(POST "Content-Length: 0x1\r\n\r\na", 400),
	R(POST "Content-Length: 1a\r\n\r\na", 400),
	R(POST "Content-Length: 1 1\r\n\r\na", 400),
	R(POST "Content-Length: 1.0\r\n\r\na", 400),
	R(POST "Content-Length: 1_0\r\n\r\na", 400),
	R(POST "Content-Length: 9999999999999999\r\n\r\n", 400),
	R(POST "Content-Length: 18446744073709551617\r\n\r\na", 400),
	R(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
	R(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400),
	R(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
	    "\r\n", 400),
	R(POST "Transfer-Encoding: gzip\r\n\r\n", 400),
	R(POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
	R(POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
	R(POST "Transfer-Encoding: identity\r\n\r\n", 400),
	R(POST "Transfer-Encoding: xchunked\r\n\r\n", 400),
	R(POST "Transfer-Encoding: chunked;q=1\r\n\r\n", 400),
	R(POST "Transfer-Encoding: CHUNKED\r\n\r\n", 400),
	R(POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 400),
	R(POST "Transfer-Encoding:\r\n\r\n", 400),
	R(POST "Transfer-Encoding: chunked\x0b\r\n\r\n", 400),
	R(POST "Transfer-Encoding : chunked\r\n\r\n", 400),
	R(POST "Content-Length : 3\r\n\r\nabc", 400),
	/* chunks */
	R(CHUNKED "3;ext\r\nabc\r\n0\r\n\r\n", 400),
	R(CHUNKED "3;\r\nabc\r\n0\r\n\r\n", 400),
	R(CHUNKED "3 \r\nabc\r\n0\r\n\r\n", 400),
	R(CHUNKED " 3\r\nabc\r\n0\r\n\r\n", 400),
	R(CHUNKED "+3\r\nabc\r\n0\r\n\r\n", 400),
	R(CHUNKED "-3\r\nabc\r\n0\r\n\r\n", 400),
	R(CHUNKED "0x3\r\nabc\r\n0\r\n\r\n", 400),
	R(CHUNKED "g\r\n", 400),
	R(CHUNKED "\r\n", 400),
	R(CHUNKED "3\nabc\r\n0\r\n\r\n", 400),
	R(CHUNKED "3\rabc\r\n0\r\n\r\n", 400),
	R(CHUNKED "3\r\nabcd\r\n0\r\n\r\n", 400),
	R(CHUNKED "3\r\nabc\n0\r\n\r\n", 400),
	R(CHUNKED "3\r\nabc0\r\n\r\n", 400),
	R(CHUNKED "3\r\nabc\r\r0\r\n\r\n", 400),
	R(CHUNKED "00000003\r\nabc\r\n0\r\n\r\n", 400),
	R(CHUNKED "ffffffff\r\n", 400),
	R(CHUNKED "10000000000000000\r\n", 400),
	R(CHUNKED "0\r\nX: trailer\r\n\r\n", 400),
	R(CHUNKED "0\r\n\n", 400),
	R(CHUNKED "0\r\n\rX", 400),
	R(CHUNKED "0\n\n", 400),
};

/* Feed one message in steps; OK, MORE or a status. */
static int
run(const struct row *r, size_t step, size_t *bodylen)
{
	struct http_head h;
	struct http_chunk c;
	char *buf = malloc(r->len + 1);
	const char *body;
	size_t n, at, run_len;
	ssize_t used;
	int res = MORE;

	*bodylen = 0;
	memcpy(buf, r->text, r->len);
	http_head_init(&h);
	for (n = step < r->len ? step : r->len;; n += step) {
		if (n > r->len)
			n = r->len;
		switch (http_head_parse(&h, buf, n)) {
		case HTTP_BAD:
			res = h.status;
			goto out;
		case HTTP_DONE:
			goto body;
		case HTTP_MORE:
			if (n == r->len)
				goto out;
		}
	}
body:
	at = h.len;
	if (!h.chunked) {
		n = h.content_length > 0 ? (size_t)h.content_length : 0;
		*bodylen = n;
		res = r->len - at >= n ? OK : MORE;
		goto out;
	}
	http_chunk_init(&c, false);
	while (at < r->len && !http_chunk_done(&c)) {
		n = r->len - at < step ? r->len - at : step;
		used = http_chunk_next(&c, buf + at, n, &body, &run_len);
		if (used == -1) {
			res = 400;
			goto out;
		}
		at += (size_t)used;
		*bodylen += run_len;
	}
	res = http_chunk_done(&c) ? OK : MORE;
out:
	free(buf);
	return (res);
}

static void
test_table(void **state)
{
	size_t i, len1, len2;
	int whole, bytes;

	(void)state;
	assert_true(sizeof(rows) / sizeof(rows[0]) >= 120);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		whole = run(&rows[i], 1 << 20, &len1);
		bytes = run(&rows[i], 1, &len2);
		if (whole != rows[i].want || bytes != rows[i].want ||
		    len1 != len2)
			fail_msg("row %zu: want %d, whole %d, bytes %d: %s",
			    i, rows[i].want, whole, bytes, rows[i].text);
	}
}

static void
parse(struct http_head *h, char *buf, size_t size, const char *text)
{
	http_head_init(h);
	(void)strlcpy(buf, text, size);
	assert_int_equal(http_head_parse(h, buf, strlen(text)), HTTP_DONE);
}

static void
test_values(void **state)
{
	struct http_head h;
	char buf[512], val[64];

	(void)state;
	parse(&h, buf, sizeof(buf), "PUT /a/%41?x=1+2&y=%26&z HTTP/1.1\r\n"
	    "Host: local:1\r\nX-A: \t one \t\r\nConnection: a, Close\r\n"
	    "Content-Length: 42\r\n\r\nbody");
	assert_string_equal(h.method, "PUT");
	assert_string_equal(h.target, "/a/%41?x=1+2&y=%26&z");
	assert_int_equal(h.pathlen, 6);
	assert_int_equal(http_decode_path(h.path, h.pathlen, val,
	    sizeof(val)), 4);
	assert_string_equal(val, "/a/A");
	assert_string_equal(http_head_field(&h, "x-a"), "one");
	assert_null(http_head_field(&h, "x-b"));
	assert_true(h.close);
	assert_int_equal(h.content_length, 42);
	assert_int_equal(memcmp(buf + h.len, "body", 4), 0);
	assert_int_equal(http_query_get(h.query, "x", val, sizeof(val)), 1);
	assert_string_equal(val, "1 2");
	assert_int_equal(http_query_get(h.query, "y", val, sizeof(val)), 1);
	assert_string_equal(val, "&");
	assert_int_equal(http_query_get(h.query, "z", val, sizeof(val)), 1);
	assert_string_equal(val, "");
	assert_int_equal(http_query_get(h.query, "q", val, sizeof(val)), 0);
	assert_int_equal(http_query_get("a=1&%61=2", "a", val, sizeof(val)),
	    -1);
	assert_int_equal(http_query_get("a=12345", "a", val, 5), -1);
	assert_int_equal(http_query_get(NULL, "a", val, sizeof(val)), 0);
}

static void
test_limits(void **state)
{
	static char buf[HTTP_MAX_HEAD + 64];
	struct http_head h;
	size_t n;
	int i;

	(void)state;
	/* a head that does not end */
	n = (size_t)snprintf(buf, sizeof(buf), "%s", GET "X: ");
	memset(buf + n, 'a', sizeof(buf) - n);
	http_head_init(&h);
	assert_int_equal(http_head_parse(&h, buf, sizeof(buf)), HTTP_BAD);
	assert_int_equal(h.status, 431);
	/* a target that does not end, refused before the head is full */
	memset(buf, 'a', sizeof(buf));
	memcpy(buf, "GET /", 5);
	http_head_init(&h);
	assert_int_equal(http_head_parse(&h, buf, 5000), HTTP_BAD);
	assert_int_equal(h.status, 414);
	/* one more field than allowed */
	for (i = 0; i < 2; i++) {
		n = (size_t)snprintf(buf, sizeof(buf), "%s", GET);
		for (h.nfields = 1; h.nfields < 64 + (unsigned)i; h.nfields++)
			n += (size_t)snprintf(buf + n, sizeof(buf) - n,
			    "X: 1\r\n");
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "\r\n");
		http_head_init(&h);
		assert_int_equal(http_head_parse(&h, buf, n),
		    i == 0 ? HTTP_DONE : HTTP_BAD);
	}
	assert_int_equal(h.status, 431);
}

static void
test_lists(void **state)
{
	(void)state;
	assert_true(http_list_has("a, Close ,b", "close"));
	assert_true(http_list_has("close", "close"));
	assert_false(http_list_has("closed", "close"));
	assert_false(http_list_has("a close", "close"));
	assert_false(http_list_has("", "close"));
	assert_true(http_utf8_valid("\xf0\x9f\x98\x80", 4));
	assert_false(http_utf8_valid("\xf0\x9f\x98", 3));
	assert_false(http_utf8_valid("\xed\xa0\x80", 3));
	assert_string_equal(http_reason(404), "Not Found");
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_routes),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}

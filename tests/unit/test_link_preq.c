/*
 * Tests of the heads that the link's proxy takes.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "preq.h"

static void
test_connect(void **state)
{
	static const char h[] = "CONNECT example.com:443 HTTP/1.1\r\n"
	    "Host: example.com:443\r\n\r\n";
	struct preq r;

	(void)state;
	assert_null(preq_parse(&r, h, sizeof(h) - 1));
	assert_true(r.connect);
	assert_string_equal(r.target, "example.com:443");
	preq_free(&r);
}

static void
test_plain(void **state)
{
	static const char h[] = "GET http://example.com?q=1 HTTP/1.1\r\n"
	    "Host: example.com\r\nProxy-Connection: keep-alive\r\n"
	    "connection: keep-alive\r\nAccept: */*\r\n\r\n";
	static const char h2[] = "POST http://[::1]:81/a/b HTTP/1.1\r\n\r\n";
	struct preq r;

	(void)state;
	assert_null(preq_parse(&r, h, sizeof(h) - 1));
	assert_false(r.connect);
	assert_string_equal(r.target, "example.com:80");
	assert_string_equal(r.head, "GET /?q=1 HTTP/1.1\r\n"
	    "Host: example.com\r\nAccept: */*\r\nConnection: close\r\n\r\n");
	preq_free(&r);
	assert_null(preq_parse(&r, h2, sizeof(h2) - 1));
	assert_string_equal(r.target, "[::1]:81");
	assert_string_equal(r.head, "POST /a/b HTTP/1.1\r\n"
	    "Connection: close\r\n\r\n");
	preq_free(&r);
}

static void
test_bad(void **state)
{
	static const char *const bad[] = { "\r\n\r\n", "GET\r\n\r\n",
	    "GET / HTTP/1.1\r\n\r\n", "GET https://a/ HTTP/1.1\r\n\r\n",
	    "GET http:// HTTP/1.1\r\n\r\n", "GET http:///a HTTP/1.1\r\n\r\n",
	    "GET http://u:p@a/ HTTP/1.1\r\n\r\n", "CONNECT a:1\r\n\r\n",
	    "CONNECT a:1 SPDY/1\r\n\r\n" };
	char longer[700];
	struct preq r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_non_null(preq_parse(&r, bad[i], strlen(bad[i])));
		preq_free(&r);
	}
	memset(longer, 'a', sizeof(longer));
	memcpy(longer, "CONNECT ", 8);
	memcpy(longer + 600, " HTTP/1.1\r\n\r\n", 14);
	assert_non_null(preq_parse(&r, longer, 613));
	assert_non_null(preq_parse(&r, "CONNECT a:1 HTTP/1.1\0\r\n\r\n",
	    25));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

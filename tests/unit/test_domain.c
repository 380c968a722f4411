/*
 * Tests of lists of hosts: what may be in them, what they let through.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "domain.h"

static void
test_good(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
		{ "example.com", "example.com" },
		{ "EXAMPLE.com.", "example.com" },
		{ "*.example.com", "*.example.com" },
		{ "example.com:8443", "example.com:8443" },
		{ "localhost:8080 private", "localhost:8080 private" },
		{ "xn--bcher-kva.example", "xn--bcher-kva.example" },
		{ "a_b.example.org:65535", "a_b.example.org:65535" },
	};
	char text[DOMAIN_LINE_MAX + 1];
	struct domain d;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_null(domain_parse(good[i].in, strlen(good[i].in), &d));
		domain_text(&d, text);
		assert_string_equal(text, good[i].out);
	}
}

static void
test_hostile(void **state)
{
	static const char *const bad[] = {
		"", " ", "*", "*.", "*.com", "a.*.com", "*a.com", "**.a.com",
		".", "..", "a..b", ".a.b", "-a.com", "a-.com", "a.com-",
		"a.com:0", "a.com:65536", "a.com:080", "a.com:", "a.com:-1",
		"a.com:80:80", "a.com:http", "127.0.0.1", "10.0.0.1:80",
		"0x7f.1", "2130706433", "0177.0.0.1", "[::1]", "[::1]:80",
		"::1", "fe80::1", "a b.com", "a.com/x", "http://a.com",
		"user@a.com", "a.com%00", "a.com\n", "a\tb.com", "\x7f" "a.com",
		"b\xc3\xbc" "cher.example", "private", " private:1",
		"a.com  private", "a.com,b.com",
	};
	char longer[400], label[80];
	struct domain d;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (strcmp(bad[i], "private") == 0)
			continue;	/* a name like any other */
		if (domain_parse(bad[i], strlen(bad[i]), &d) == NULL)
			fail_msg("taken: '%s'", bad[i]);
	}
	memset(longer, 'a', sizeof(longer));
	for (i = 50; i < 300; i += 50)
		longer[i] = '.';
	assert_non_null(domain_parse(longer, 300, &d));
	memset(label, 'b', 64);
	assert_non_null(domain_parse(label, 64, &d));
	assert_null(domain_parse(label, 63, &d));
	/* A NUL is a control byte, not an end. */
	assert_non_null(domain_parse("a.com\0b", 7, &d));
}

static void
test_listed(void **state)
{
	static const char list[] = "example.com\n*.example.org:8443\n"
	    "intern.example:80 private";
	bool private;

	(void)state;
	assert_true(domain_listed(list, "example.com", 443, &private));
	assert_false(private);
	assert_true(domain_listed(list, "example.com", 80, &private));
	assert_false(domain_listed(list, "example.com", 22, &private));
	assert_false(domain_listed(list, "www.example.com", 443, &private));
	assert_false(domain_listed(list, "badexample.com", 443, &private));
	assert_true(domain_listed(list, "a.b.example.org", 8443, &private));
	assert_false(domain_listed(list, "example.org", 8443, &private));
	assert_false(domain_listed(list, "xexample.org", 8443, &private));
	assert_true(domain_listed(list, "intern.example", 80, &private));
	assert_true(private);
	assert_false(domain_listed("", "example.com", 443, &private));
}

static void
test_hostport(void **state)
{
	static const char *const bad[] = { "", ":80", "a", "a:", "a:0",
	    "a:99999", "a b:80", "[::1]", "[::1:80", "[x]:80", "[::1]80",
	    "a:80 ", "::1:80", "a\r\nb:80" };
	char host[DOMAIN_HOST_MAX + 1];
	uint16_t port;
	size_t i;

	(void)state;
	assert_null(hostport_parse("Example.COM.:443", host, &port));
	assert_string_equal(host, "example.com");
	assert_int_equal(port, 443);
	assert_null(hostport_parse("[::1]:80", host, &port));
	assert_string_equal(host, "::1");
	assert_null(hostport_parse("10.0.0.1:80", host, &port));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_non_null(hostport_parse(bad[i], host, &port));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_listed),
		cmocka_unit_test(test_hostport),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

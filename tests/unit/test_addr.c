/*
 * Tests the dialer's address table and its reading of hosts.
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "addr.h"

static const struct {
	const char	*host;
	enum addr_class	 class;
} addrs[] = {
	{ "1.1.1.1", ADDR_PUBLIC },
	{ "8.8.8.8", ADDR_PUBLIC },
	{ "9.255.255.255", ADDR_PUBLIC },
	{ "11.0.0.0", ADDR_PUBLIC },
	{ "100.63.255.255", ADDR_PUBLIC },
	{ "100.128.0.0", ADDR_PUBLIC },
	{ "126.255.255.255", ADDR_PUBLIC },
	{ "128.0.0.1", ADDR_PUBLIC },
	{ "172.15.255.255", ADDR_PUBLIC },
	{ "172.32.0.0", ADDR_PUBLIC },
	{ "192.167.255.255", ADDR_PUBLIC },
	{ "192.169.0.0", ADDR_PUBLIC },
	{ "198.17.255.255", ADDR_PUBLIC },
	{ "198.20.0.0", ADDR_PUBLIC },
	{ "223.255.255.255", ADDR_PUBLIC },
	{ "10.0.0.0", ADDR_PRIVATE },
	{ "10.255.255.255", ADDR_PRIVATE },
	{ "100.64.0.1", ADDR_PRIVATE },
	{ "100.127.255.255", ADDR_PRIVATE },
	{ "127.0.0.1", ADDR_PRIVATE },
	{ "127.255.255.254", ADDR_PRIVATE },
	{ "172.16.0.1", ADDR_PRIVATE },
	{ "172.31.255.255", ADDR_PRIVATE },
	{ "192.168.0.1", ADDR_PRIVATE },
	{ "192.168.255.255", ADDR_PRIVATE },
	{ "0.0.0.0", ADDR_FORBIDDEN },
	{ "0.1.2.3", ADDR_FORBIDDEN },
	{ "100.100.100.200", ADDR_FORBIDDEN },
	{ "168.63.129.16", ADDR_FORBIDDEN },
	{ "169.254.0.1", ADDR_FORBIDDEN },
	{ "169.254.169.254", ADDR_FORBIDDEN },
	{ "192.0.0.192", ADDR_FORBIDDEN },
	{ "192.0.2.1", ADDR_FORBIDDEN },
	{ "192.88.99.1", ADDR_FORBIDDEN },
	{ "198.18.0.1", ADDR_FORBIDDEN },
	{ "198.19.255.255", ADDR_FORBIDDEN },
	{ "198.51.100.7", ADDR_FORBIDDEN },
	{ "203.0.113.7", ADDR_FORBIDDEN },
	{ "224.0.0.1", ADDR_FORBIDDEN },
	{ "239.255.255.255", ADDR_FORBIDDEN },
	{ "240.0.0.1", ADDR_FORBIDDEN },
	{ "255.255.255.255", ADDR_FORBIDDEN },
	{ "2606:4700:4700::1111", ADDR_PUBLIC },
	{ "2a00:1450:4001:801::200e", ADDR_PUBLIC },
	{ "2001:200::1", ADDR_PUBLIC },
	{ "2003::1", ADDR_PUBLIC },
	{ "3ffd::1", ADDR_PUBLIC },
	{ "::1", ADDR_PRIVATE },
	{ "fc00::1", ADDR_PRIVATE },
	{ "fd12:3456::1", ADDR_PRIVATE },
	{ "fdff:ffff::1", ADDR_PRIVATE },
	{ "::", ADDR_FORBIDDEN },
	{ "::2", ADDR_FORBIDDEN },
	{ "::7f00:1", ADDR_FORBIDDEN },
	{ "::127.0.0.1", ADDR_FORBIDDEN },
	{ "::ffff:127.0.0.1", ADDR_FORBIDDEN },
	{ "::ffff:8.8.8.8", ADDR_FORBIDDEN },
	{ "::ffff:a9fe:a9fe", ADDR_FORBIDDEN },
	{ "0:0:0:0:0:FFFF:10.0.0.1", ADDR_FORBIDDEN },
	{ "::ffff:0:127.0.0.1", ADDR_FORBIDDEN },
	{ "64:ff9b::7f00:1", ADDR_FORBIDDEN },
	{ "64:ff9b::169.254.169.254", ADDR_FORBIDDEN },
	{ "64:ff9b:1::a00:1", ADDR_FORBIDDEN },
	{ "100::1", ADDR_FORBIDDEN },
	{ "2001::1", ADDR_FORBIDDEN },
	{ "2001:0:53aa:64c:0:0:f5ff:fffe", ADDR_FORBIDDEN },
	{ "2001:2::1", ADDR_FORBIDDEN },
	{ "2001:10::1", ADDR_FORBIDDEN },
	{ "2001:db8::1", ADDR_FORBIDDEN },
	{ "2002:7f00:1::", ADDR_FORBIDDEN },
	{ "2002:a9fe:a9fe::1", ADDR_FORBIDDEN },
	{ "3ffe::1", ADDR_FORBIDDEN },
	{ "3fff::1", ADDR_FORBIDDEN },
	{ "4000::1", ADDR_FORBIDDEN },
	{ "5f00::1", ADDR_FORBIDDEN },
	{ "fd00:ec2::254", ADDR_FORBIDDEN },
	{ "fd20:ce::254", ADDR_FORBIDDEN },
	{ "fe80::1", ADDR_FORBIDDEN },
	{ "febf::1", ADDR_FORBIDDEN },
	{ "fec0::1", ADDR_FORBIDDEN },
	{ "ff02::1", ADDR_FORBIDDEN },
};

static const char *const bad_hosts[] = {
	"", ".", "..", ".a", "a.", "a..b", "-a", "a-", "a.-b", "a-.b",
	"2130706433", "017700000001", "0x7f000001", "0x7f.0.0.1", "127.1",
	"127.0.1", "0177.0.0.1", "127.0.0.01", "127.0.0.0x1", "1.2.3.4.5",
	"256.0.0.1", "127.0.0.1.", "169.254.43518", "0x", "1", "a.0x7f",
	"a.1", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1\t", "127.0.0.1%lo",
	"[::1]", "[::1", "::1]", "fe80::1%eth0", "fe80::1%1", "::1%25lo",
	"1::2::3", "::ffff:0x7f.1", "::ffff:127.1", ":", ":::", "12345::",
	"user@host", "host:80", "host/path", "host#x", "host?x", "a_b",
	"a b", "a%2eb", "\xe2\x91\xa0.0.0.1", "127\343\200\2020.0.1",
	"localhost\n", "a,b", "*.example", "http://a",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
};

static const char *const names[] = {
	"localhost", "api.example.com", "a", "A-1.Example", "1a", "1.2.3.4a",
	"xn--bcher-kva.example", "0xg", "3com.net",
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
};

static void
test_class(void **state)
{
	const char *what;
	union addr a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
		if (host_parse(addrs[i].host, 443, &a) != HOST_ADDR)
			fail_msg("%s is no address", addrs[i].host);
		if (addr_class(&a.sa, &what) != addrs[i].class)
			fail_msg("%s: %s", addrs[i].host, what);
		assert_int_equal(addr_allowed(&a.sa, false, NULL),
		    addrs[i].class == ADDR_PUBLIC);
		assert_int_equal(addr_allowed(&a.sa, true, NULL),
		    addrs[i].class != ADDR_FORBIDDEN);
	}
}

static void
test_bad_hosts(void **state)
{
	union addr a;
	char big[300];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad_hosts) / sizeof(bad_hosts[0]); i++)
		if (host_parse(bad_hosts[i], 443, &a) != HOST_BAD)
			fail_msg("\"%s\" was taken", bad_hosts[i]);
	memset(big, 'a', sizeof(big));
	for (i = 50; i < sizeof(big); i += 50)
		big[i] = '.';
	big[254] = '\0';
	assert_int_equal(host_parse(big, 443, &a), HOST_BAD);
	big[253] = '\0';
	assert_int_equal(host_parse(big, 443, &a), HOST_NAME);
}

static void
test_names(void **state)
{
	union addr a;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (host_parse(names[i], 443, &a) != HOST_NAME)
			fail_msg("\"%s\" was refused", names[i]);
}

static void
test_other(void **state)
{
	struct sockaddr sa = { .sa_family = AF_UNIX };
	union addr a;

	(void)state;
	assert_int_equal(addr_class(&sa, NULL), ADDR_FORBIDDEN);
	assert_int_equal(host_parse("2606:4700::1", 443, &a), HOST_ADDR);
	assert_int_equal(ntohs(a.in6.sin6_port), 443);
	a.in6.sin6_scope_id = 1;
	assert_int_equal(addr_class(&a.sa, NULL), ADDR_FORBIDDEN);
	assert_int_equal(host_parse("1.2.3.4", 8080, &a), HOST_ADDR);
	assert_int_equal(ntohs(a.in.sin_port), 8080);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_class),
		cmocka_unit_test(test_bad_hosts),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

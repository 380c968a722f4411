/*
 * Which addresses and host spellings the dialer may connect to.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: dialer. Talks to: nobody.
 *
 * An admin names providers, yet a provider's DNS answers what it likes: so
 * the address is judged, after resolution and at every connect, and never
 * the name.
 */
#include <sys/types.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "addr.h"

struct block4 {
	uint32_t	 net;
	unsigned	 bits;
	enum addr_class	 class;
	const char	*what;
};

struct block6 {
	uint8_t		 net[16];
	unsigned	 bits;
	enum addr_class	 class;
	const char	*what;
};

#define IP4(a, b, c, d)	((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (d))

/* The first match counts: single addresses stand before their block. */
static const struct block4 blocks4[] = {
	{ IP4(100, 100, 100, 200), 32, ADDR_FORBIDDEN, "cloud metadata" },
	{ IP4(168, 63, 129, 16), 32, ADDR_FORBIDDEN, "cloud metadata" },
	{ IP4(0, 0, 0, 0), 8, ADDR_FORBIDDEN, "this network" },
	{ IP4(10, 0, 0, 0), 8, ADDR_PRIVATE, "private" },
	{ IP4(100, 64, 0, 0), 10, ADDR_PRIVATE, "carrier-grade NAT" },
	{ IP4(127, 0, 0, 0), 8, ADDR_PRIVATE, "loopback" },
	{ IP4(169, 254, 0, 0), 16, ADDR_FORBIDDEN, "link-local" },
	{ IP4(172, 16, 0, 0), 12, ADDR_PRIVATE, "private" },
	{ IP4(192, 0, 0, 0), 24, ADDR_FORBIDDEN, "protocol assignments" },
	{ IP4(192, 0, 2, 0), 24, ADDR_FORBIDDEN, "documentation" },
	{ IP4(192, 31, 196, 0), 24, ADDR_FORBIDDEN, "AS112" },
	{ IP4(192, 52, 193, 0), 24, ADDR_FORBIDDEN, "AMT" },
	{ IP4(192, 88, 99, 0), 24, ADDR_FORBIDDEN, "6to4 relay" },
	{ IP4(192, 168, 0, 0), 16, ADDR_PRIVATE, "private" },
	{ IP4(192, 175, 48, 0), 24, ADDR_FORBIDDEN, "AS112" },
	{ IP4(198, 18, 0, 0), 15, ADDR_FORBIDDEN, "benchmarking" },
	{ IP4(198, 51, 100, 0), 24, ADDR_FORBIDDEN, "documentation" },
	{ IP4(203, 0, 113, 0), 24, ADDR_FORBIDDEN, "documentation" },
	{ IP4(224, 0, 0, 0), 4, ADDR_FORBIDDEN, "multicast" },
	{ IP4(255, 255, 255, 255), 32, ADDR_FORBIDDEN, "broadcast" },
	{ IP4(240, 0, 0, 0), 4, ADDR_FORBIDDEN, "reserved" },
};

/*
 * Forms that carry an IPv4 address are forbidden as a whole: who means an
 * IPv4 address can write it, and a gateway would reach what the table of
 * IPv4 forbids. Global unicast is 2000::/3; whatever is not named before
 * the last row is reserved.
 */
static const struct block6 blocks6[] = {
	{ { [15] = 1 }, 128, ADDR_PRIVATE, "loopback" },
	{ { 0 }, 128, ADDR_FORBIDDEN, "unspecified" },
	{ { [10] = 0xff, 0xff }, 96, ADDR_FORBIDDEN, "IPv4-mapped" },
	{ { 0 }, 96, ADDR_FORBIDDEN, "IPv4-compatible" },
	{ { 0x00, 0x64, 0xff, 0x9b }, 96, ADDR_FORBIDDEN, "NAT64" },
	{ { 0x00, 0x64, 0xff, 0x9b, 0, 1 }, 48, ADDR_FORBIDDEN, "NAT64" },
	{ { 0x01, 0x00 }, 64, ADDR_FORBIDDEN, "discard" },
	{ { 0x20, 0x01 }, 32, ADDR_FORBIDDEN, "Teredo" },
	{ { 0x20, 0x01 }, 23, ADDR_FORBIDDEN, "protocol assignments" },
	{ { 0x20, 0x01, 0x0d, 0xb8 }, 32, ADDR_FORBIDDEN, "documentation" },
	{ { 0x20, 0x02 }, 16, ADDR_FORBIDDEN, "6to4" },
	{ { 0x26, 0x20, 0, 0x4f, 0x80 }, 48, ADDR_FORBIDDEN, "AS112" },
	{ { 0x3f, 0xfe }, 16, ADDR_FORBIDDEN, "6bone" },
	{ { 0x3f, 0xff }, 20, ADDR_FORBIDDEN, "documentation" },
	{ { 0x20 }, 3, ADDR_PUBLIC, "global" },
	{ { 0xfd, 0x00, 0x0e, 0xc2 }, 32, ADDR_FORBIDDEN, "cloud metadata" },
	{ { 0xfd, 0x20, 0x00, 0xce }, 32, ADDR_FORBIDDEN, "cloud metadata" },
	{ { 0xfc }, 7, ADDR_PRIVATE, "unique local" },
	{ { 0xfe, 0x80 }, 10, ADDR_FORBIDDEN, "link-local" },
	{ { 0xfe, 0xc0 }, 10, ADDR_FORBIDDEN, "site-local" },
	{ { 0xff }, 8, ADDR_FORBIDDEN, "multicast" },
	{ { 0 }, 0, ADDR_FORBIDDEN, "reserved" },
};

static enum addr_class	class4(uint32_t, const char **);
static enum addr_class	class6(const uint8_t *, const char **);
static bool		same_bits(const uint8_t *, const uint8_t *, unsigned);
static bool		name_valid(const char *);
static bool		label_numeric(const char *);

enum addr_class
addr_class(const struct sockaddr *sa, const char **what)
{
	const char *dummy;
	union addr a;

	if (what == NULL)
		what = &dummy;
	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&a.in, sa, sizeof(a.in));
		return class4(ntohl(a.in.sin_addr.s_addr), what);
	case AF_INET6:
		memcpy(&a.in6, sa, sizeof(a.in6));
		if (a.in6.sin6_scope_id != 0) {
			*what = "scoped";
			return ADDR_FORBIDDEN;
		}
		return class6(a.in6.sin6_addr.s6_addr, what);
	default:
		*what = "unknown family";
		return ADDR_FORBIDDEN;
	}
}

bool
addr_allowed(const struct sockaddr *sa, bool allow_private, const char **what)
{
	switch (addr_class(sa, what)) {
	case ADDR_PUBLIC:
		return true;
	case ADDR_PRIVATE:
		return allow_private;
	case ADDR_FORBIDDEN:
		break;
	}
	return false;
}

static enum addr_class
class4(uint32_t ip, const char **what)
{
	const struct block4 *b;
	size_t i;

	for (i = 0; i < sizeof(blocks4) / sizeof(blocks4[0]); i++) {
		b = &blocks4[i];
		if ((ip ^ b->net) >> (32 - b->bits) == 0) {
			*what = b->what;
			return b->class;
		}
	}
	*what = "global";
	return ADDR_PUBLIC;
}

static enum addr_class
class6(const uint8_t *ip, const char **what)
{
	size_t i = 0;

	/* The last row matches everything. */
	while (!same_bits(ip, blocks6[i].net, blocks6[i].bits))
		i++;
	*what = blocks6[i].what;
	return blocks6[i].class;
}

static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

enum host_kind
host_parse(const char *host, uint16_t port, union addr *a)
{
	const char *last;

	memset(a, 0, sizeof(*a));
	if (strchr(host, ':') != NULL) {
		/* inet_pton() knows no zones and no brackets */
		if (inet_pton(AF_INET6, host, &a->in6.sin6_addr) != 1)
			return HOST_BAD;
		a->in6.sin6_family = AF_INET6;
		a->in6.sin6_port = htons(port);
		return HOST_ADDR;
	}
	if (!name_valid(host))
		return HOST_BAD;
	last = strrchr(host, '.');
	last = last == NULL ? host : last + 1;
	if (!label_numeric(last))
		return HOST_NAME;
	/*
	 * What ends in a number is an IPv4 address to some resolver, in
	 * decimal, octal or hex and with one to four parts. inet_pton() takes
	 * one spelling alone.
	 */
	if (inet_pton(AF_INET, host, &a->in.sin_addr) != 1)
		return HOST_BAD;
	a->in.sin_family = AF_INET;
	a->in.sin_port = htons(port);
	return HOST_ADDR;
}

/* Letters, digits and inner hyphens, labels of 1 to 63, no final dot. */
static bool
name_valid(const char *host)
{
	size_t len = 0, label = 0;
	const unsigned char *p;

	for (p = (const unsigned char *)host; *p != '\0'; p++) {
		if (++len > HOST_MAX)
			return false;
		if (*p == '.') {
			if (label == 0 || p[-1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (*p >= 0x80 || (!isalnum(*p) && (*p != '-' || label == 0)))
			return false;
		if (++label > 63)
			return false;
	}
	return label > 0 && p[-1] != '-';
}

/* Decimal or octal digits, or hex behind 0x. */
static bool
label_numeric(const char *s)
{
	const char *digits = "0123456789";

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		s += 2;
		digits = "0123456789abcdefABCDEF";
	}
	return s[strspn(s, digits)] == '\0';
}

/*
 * Names of hosts that an agent may reach, and whether one is among them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper, gateway. Talks to: nobody.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "domain.h"

/* A decimal port of 1 to 65535 without leading zeros; 0 if it is none. */
static uint16_t
port_parse(const char *s, size_t len)
{
	unsigned long n = 0;
	size_t i;

	if (len == 0 || len > 5 || s[0] == '0')
		return 0;
	for (i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return 0;
		n = n * 10 + (unsigned long)(s[i] - '0');
	}
	return n <= 65535 ? (uint16_t)n : 0;
}

static bool
is_label_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '_';
}

/* Lower-case copy of a host name, or why it is none. */
static const char *
name_copy(const char *s, size_t len, char *out)
{
	size_t i, label = 0;

	if (len > 0 && s[len - 1] == '.')
		len--;
	if (len == 0)
		return "there is no name";
	if (len > DOMAIN_HOST_MAX)
		return "the name is longer than 253 bytes";
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x80)
			return "write an international name in its ASCII "
			    "form (xn--...)";
		if (c >= 'A' && c <= 'Z')
			c = (unsigned char)(c + ('a' - 'A'));
		out[i] = (char)c;
		if (c == '.') {
			if (label == 0 || out[i - 1] == '-')
				return "a part of the name is empty or ends "
				    "in '-'";
			label = 0;
			continue;
		}
		if (!is_label_byte(c) || (c == '-' && label == 0))
			return "only letters, digits, '-' and '.' may be in "
			    "a name";
		if (++label > 63)
			return "a part of the name is longer than 63 bytes";
	}
	out[len] = '\0';
	return label == 0 || out[len - 1] == '-' ?
	    "a part of the name is empty or ends in '-'" : NULL;
}

/* Whatever a resolver might take for an address. */
static bool
ends_in_number(const char *host)
{
	const char *last = strrchr(host, '.');

	last = last == NULL ? host : last + 1;
	if (last[0] == '0' && last[1] == 'x')
		return last[2 + strspn(last + 2, "0123456789abcdef")] == '\0';
	return last[strspn(last, "0123456789")] == '\0';
}

static const char *
read_host(const char *s, size_t len, struct domain *d)
{
	const char *why;

	if (len > 0 && (s[0] == '[' || memchr(s, ':', len) != NULL))
		return "an address is not allowed: give a name";
	if (len == 1 && s[0] == '*')
		return "'*' alone is everything: use the policy egress";
	if (len >= 2 && s[0] == '*' && s[1] == '.') {
		d->wild = true;
		s += 2;
		len -= 2;
	} else if (memchr(s, '*', len) != NULL) {
		return "'*' may only stand for whole names, as in "
		    "*.example.com";
	}
	if ((why = name_copy(s, len, d->host)) != NULL)
		return why;
	if (ends_in_number(d->host))
		return "an address is not allowed: give a name";
	if (d->wild && strchr(d->host, '.') == NULL)
		return "that is a whole top-level domain";
	return NULL;
}

const char *
domain_parse(const char *s, size_t len, struct domain *d)
{
	static const char tail[] = " private";
	const size_t ntail = sizeof(tail) - 1;
	const char *colon;
	size_t i;

	memset(d, 0, sizeof(*d));
	for (i = 0; i < len; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			return "it has a control character";
	if (len > ntail && memcmp(s + len - ntail, tail, ntail) == 0) {
		d->private = true;
		len -= ntail;
	}
	if (len == 0)
		return "there is no name";
	if (s[0] != '[' && (colon = memchr(s, ':', len)) != NULL) {
		size_t n = len - (size_t)(colon - s) - 1;

		if (memchr(colon + 1, ':', n) != NULL)
			return "an address is not allowed: give a name";
		if ((d->port = port_parse(colon + 1, n)) == 0)
			return "a port is 1 to 65535";
		len = (size_t)(colon - s);
	}
	return read_host(s, len, d);
}

void
domain_text(const struct domain *d, char *buf)
{
	char port[sizeof(":65535")] = "";

	if (d->port != 0)
		(void)snprintf(port, sizeof(port), ":%u", d->port);
	(void)snprintf(buf, DOMAIN_LINE_MAX + 1, "%s%s%s%s",
	    d->wild ? "*." : "", d->host, port, d->private ? " private" : "");
}

bool
domain_match(const struct domain *d, const char *host, uint16_t port)
{
	size_t n = strlen(d->host), len = strlen(host);

	if (d->port != 0 ? port != d->port : port != 80 && port != 443)
		return false;
	if (!d->wild)
		return strcmp(d->host, host) == 0;
	return len > n + 1 && host[len - n - 1] == '.' &&
	    strcmp(host + len - n, d->host) == 0;
}

bool
domain_listed(const char *list, const char *host, uint16_t port,
    bool *private)
{
	struct domain d;
	bool found = false;
	size_t len;

	*private = false;
	for (; *list != '\0'; list += len + (list[len] == '\n')) {
		len = strcspn(list, "\n");
		if (domain_parse(list, len, &d) != NULL ||
		    !domain_match(&d, host, port))
			continue;
		found = true;
		*private = *private || d.private;
	}
	return found;
}

const char *
hostport_parse(const char *s, char host[DOMAIN_HOST_MAX + 1], uint16_t *port)
{
	const char *colon, *end;
	struct in6_addr in6;
	size_t len;

	if (s[0] == '[') {
		if ((end = strchr(s, ']')) == NULL || end[1] != ':')
			return "an address in brackets needs a port";
		len = (size_t)(end - s) - 1;
		if (len > INET6_ADDRSTRLEN)
			return "that is no address";
		memcpy(host, s + 1, len);
		host[len] = '\0';
		if (inet_pton(AF_INET6, host, &in6) != 1)
			return "that is no address";
		colon = end + 1;
	} else {
		const char *why;

		if ((colon = strchr(s, ':')) == NULL)
			return "there is no port";
		if ((why = name_copy(s, (size_t)(colon - s), host)) != NULL)
			return why;
	}
	*port = port_parse(colon + 1, strlen(colon + 1));
	return *port == 0 ? "a port is 1 to 65535" : NULL;
}

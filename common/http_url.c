/*
 * Percent-decoding, query lookup, field lists and reason phrases of HTTP.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link. Talks to: nobody.
 */
#include <string.h>
#include <strings.h>

#include "http.h"

bool
http_utf8_valid(const char *s, size_t len)
{
	const unsigned char *p = (const unsigned char *)s, *end = p + len;
	unsigned n, lo, hi;

	while (p < end) {
		if (*p < 0x80) {
			p++;
			continue;
		}
		/* The second byte's range rules out overlong forms,
		 * surrogates and what lies beyond U+10FFFF. */
		lo = 0x80;
		hi = 0xbf;
		if (*p >= 0xc2 && *p <= 0xdf)
			n = 1;
		else if (*p >= 0xe0 && *p <= 0xef) {
			n = 2;
			if (*p == 0xe0)
				lo = 0xa0;
			else if (*p == 0xed)
				hi = 0x9f;
		} else if (*p >= 0xf0 && *p <= 0xf4) {
			n = 3;
			if (*p == 0xf0)
				lo = 0x90;
			else if (*p == 0xf4)
				hi = 0x8f;
		} else
			return (false);
		if ((size_t)(end - p) <= n || p[1] < lo || p[1] > hi)
			return (false);
		for (p += 2; n > 1; n--, p++)
			if ((*p & 0xc0) != 0x80)
				return (false);
	}
	return (true);
}

static int
hexval(char c)
{
	if (c >= '0' && c <= '9')
		return (c - '0');
	if (c >= 'a' && c <= 'f')
		return (c - 'a' + 10);
	if (c >= 'A' && c <= 'F')
		return (c - 'A' + 10);
	return (-1);
}

static ssize_t
decode(const char *src, size_t len, char *dst, size_t size, bool query)
{
	size_t i, n = 0;
	int c, hi, lo;

	for (i = 0; i < len; i++) {
		c = (unsigned char)src[i];
		if (c == '+' && query)
			c = ' ';
		else if (c == '%') {
			if (len - i < 3)
				return (-1);
			hi = hexval(src[i + 1]);
			lo = hexval(src[i + 2]);
			if (hi == -1 || lo == -1)
				return (-1);
			c = hi * 16 + lo;
			i += 2;
			/* A hidden slash would change what a segment is. */
			if (c == '/' && !query)
				return (-1);
		}
		if (c < 0x20 || c == 0x7f || n + 1 >= size)
			return (-1);
		dst[n++] = (char)c;
	}
	if (size == 0)
		return (-1);
	dst[n] = '\0';
	return (http_utf8_valid(dst, n) ? (ssize_t)n : -1);
}

ssize_t
http_decode_query(const char *src, size_t len, char *dst, size_t size)
{
	return (decode(src, len, dst, size, true));
}

ssize_t
http_decode_path(const char *src, size_t len, char *dst, size_t size)
{
	const char *p;
	size_t seg;
	ssize_t n;

	if ((n = decode(src, len, dst, size, false)) == -1)
		return (-1);
	for (p = dst; *p != '\0'; p += seg) {
		p += strspn(p, "/");
		seg = strcspn(p, "/");
		if ((seg == 1 && p[0] == '.') ||
		    (seg == 2 && p[0] == '.' && p[1] == '.'))
			return (-1);
	}
	return (n);
}

int
http_query_get(const char *query, const char *name, char *dst, size_t size)
{
	char key[64];
	const char *p, *eq;
	size_t len, keylen;
	int found = 0;

	if (query == NULL)
		return (0);
	for (p = query;; p += len + 1) {
		len = strcspn(p, "&");
		eq = memchr(p, '=', len);
		keylen = eq != NULL ? (size_t)(eq - p) : len;
		/* A name too long for key is none of ours. */
		if (decode(p, keylen, key, sizeof(key), true) != -1 &&
		    strcmp(key, name) == 0) {
			if (found || decode(p + keylen + (eq != NULL),
			    len - keylen - (eq != NULL), dst, size, true) == -1)
				return (-1);
			found = 1;
		}
		if (p[len] == '\0')
			return (found);
	}
}

bool
http_list_has(const char *list, const char *token)
{
	const char *p = list;
	size_t len, tlen = strlen(token);

	for (;;) {
		p += strspn(p, " \t,");
		if (*p == '\0')
			return (false);
		len = strcspn(p, ",");
		while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
			len--;
		if (len == tlen && strncasecmp(p, token, len) == 0)
			return (true);
		p += strcspn(p, ",");
	}
}

const char *
http_reason(int status)
{
	static const struct {
		int		 status;
		const char	*text;
	} table[] = {
		{ 100, "Continue" }, { 200, "OK" }, { 201, "Created" },
		{ 202, "Accepted" }, { 204, "No Content" },
		{ 301, "Moved Permanently" }, { 302, "Found" },
		{ 303, "See Other" }, { 304, "Not Modified" },
		{ 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" },
		{ 402, "Payment Required" }, { 403, "Forbidden" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" }, { 408, "Request Timeout" },
		{ 409, "Conflict" }, { 410, "Gone" },
		{ 411, "Length Required" }, { 412, "Precondition Failed" },
		{ 413, "Content Too Large" }, { 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" }, { 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 505, "HTTP Version Not Supported" },
		{ 507, "Insufficient Storage" },
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].status == status)
			return (table[i].text);
	return ("Unknown");
}

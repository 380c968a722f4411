/*
 * Reads the base URL of a provider.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 *
 * Whatever two readers of URLs could take differently is refused: user
 * names, escapes, queries, fragments, dot segments, empty ports.
 */
#include <sys/types.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "url.h"

static const char *parse_host(const char *, struct url *);
static const char *parse_port(const char *, struct url *);
static const char *parse_path(const char *, struct url *);

int
url_parse(const char *text, struct url *u, const char **why)
{
	const char *p;

	memset(u, 0, sizeof(*u));
	if (strncmp(text, "https://", 8) == 0) {
		u->tls = true;
		u->port = 443;
		p = text + 8;
	} else if (strncmp(text, "http://", 7) == 0) {
		u->port = 80;
		p = text + 7;
	} else {
		*why = "the URL must begin with https:// or http://";
		return -1;
	}
	if ((*why = parse_host(p, u)) != NULL)
		return -1;
	p += strlen(u->host) + (u->v6 ? 2 : 0);
	if (*p == ':') {
		if ((*why = parse_port(++p, u)) != NULL)
			return -1;
		p += strcspn(p, "/");
	}
	if ((*why = parse_path(p, u)) != NULL)
		return -1;
	for (text = u->host; *text != '\0'; text++)
		u->host[text - u->host] = (char)tolower((unsigned char)*text);
	(void)snprintf(u->authority, sizeof(u->authority),
	    u->v6 ? "[%s]" : "%s", u->host);
	if (u->port != (u->tls ? 443 : 80))
		(void)snprintf(u->authority + strlen(u->authority), 7, ":%u",
		    u->port);
	return 0;
}

static const char *
parse_host(const char *p, struct url *u)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
	static const char v6[] = "0123456789abcdefABCDEF:.";
	size_t len;

	if (*p == '[') {
		u->v6 = true;
		len = strspn(++p, v6);
		if (p[len] != ']')
			return "the IPv6 address in the URL is not valid";
	} else {
		len = strspn(p, name);
		if (strchr(":/", p[len]) == NULL)
			return "the URL has a character that a host name "
			    "cannot have";
	}
	if (len == 0)
		return "the URL has no host";
	if (len >= sizeof(u->host))
		return "the host in the URL is too long";
	memcpy(u->host, p, len);
	p += len + (u->v6 ? 1 : 0);
	if (strchr(":/", *p) == NULL)
		return "the URL has something behind the IPv6 address";
	return NULL;
}

static const char *
parse_port(const char *p, struct url *u)
{
	char digits[6];
	size_t len = strcspn(p, "/");
	const char *error;

	if (len == 0 || len >= sizeof(digits) || *p == '0' ||
	    strspn(p, "0123456789") != len)
		return "the port in the URL is not a number from 1 to 65535";
	memcpy(digits, p, len);
	digits[len] = '\0';
	u->port = (uint16_t)strtonum(digits, 1, 65535, &error);
	if (error != NULL)
		return "the port in the URL is not a number from 1 to 65535";
	return NULL;
}

static const char *
parse_path(const char *p, struct url *u)
{
	size_t len = strlen(p);
	const char *q;

	if (len >= sizeof(u->path))
		return "the path in the URL is too long";
	for (q = p; *q != '\0'; q++) {
		if (!isalnum((unsigned char)*q) &&
		    strchr("/-._~!$&'()*+,;=:", *q) == NULL)
			return "the path in the URL has a character that is "
			    "not allowed";
		if (q[0] == '/' && q[1] == '/')
			return "the path in the URL has an empty segment";
		if (q[0] == '/' && q[1] == '.')
			return "the path in the URL has a segment that "
			    "begins with a dot";
	}
	memcpy(u->path, p, len);
	if (len > 0 && u->path[len - 1] == '/')
		u->path[len - 1] = '\0';
	return NULL;
}

/*
 * The head of a request to the proxy.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preq.h"

/* "http://host[:port]" and the rest of it. */
static const char *
take_target(struct preq *r, const char *url, size_t len, const char **path)
{
	size_t n;

	if (len < 8 || strncasecmp(url, "http://", 7) != 0)
		return "this is a proxy: CONNECT, or a URL of http://";
	url += 7;
	len -= 7;
	for (n = 0; n < len && url[n] != '/' && url[n] != '?'; n++)
		if (url[n] == '@')
			return "no user may stand in the URL";
	if (n == 0 || n + 4 > sizeof(r->target))
		return "that is no host";
	(void)snprintf(r->target, sizeof(r->target), "%.*s%s", (int)n, url,
	    memchr(url, ':', n) == NULL ? ":80" : "");
	*path = url + n;
	return NULL;
}

static bool
is_field(const char *line, const char *name)
{
	size_t n = strlen(name);

	return strncasecmp(line, name, n) == 0 && line[n] == ':';
}

/* The fields that are for the host, one answer a connection. */
static void
copy_fields(FILE *f, const char *p)
{
	const char *eol;

	for (; (eol = strstr(p, "\r\n")) != NULL && eol != p; p = eol + 2)
		if (!is_field(p, "Connection") && !is_field(p, "Keep-Alive") &&
		    strncasecmp(p, "Proxy-", 6) != 0)
			(void)fprintf(f, "%.*s\r\n", (int)(eol - p), p);
	(void)fprintf(f, "Connection: close\r\n\r\n");
}

const char *
preq_parse(struct preq *r, const char *head, size_t len)
{
	const char *sp, *ver, *eol, *why, *path = "";
	size_t size;
	FILE *f;

	memset(r, 0, sizeof(*r));
	if (strlen(head) != len)
		return "the head has a NUL";
	eol = strstr(head, "\r\n");
	sp = strchr(head, ' ');
	ver = sp == NULL ? NULL : strchr(sp + 1, ' ');
	if (eol == NULL || ver == NULL || ver > eol ||
	    strncmp(ver, " HTTP/1.", 8) != 0)
		return "that is no request of HTTP/1";
	sp++;
	if ((size_t)(sp - head) == 8 && strncmp(head, "CONNECT ", 8) == 0) {
		r->connect = true;
		if ((size_t)(ver - sp) >= sizeof(r->target))
			return "that is no host and port";
		memcpy(r->target, sp, (size_t)(ver - sp));
		return NULL;
	}
	if ((why = take_target(r, sp, (size_t)(ver - sp), &path)) != NULL)
		return why;
	if ((f = open_memstream(&r->head, &size)) == NULL)
		return "out of memory";
	(void)fprintf(f, "%.*s%s%.*s HTTP/1.1\r\n", (int)(sp - head), head,
	    path < ver && *path == '/' ? "" : "/", (int)(ver - path), path);
	copy_fields(f, eol + 2);
	return fclose(f) == 0 ? NULL : "out of memory";
}

void
preq_free(struct preq *r)
{
	free(r->head);
	r->head = NULL;
}

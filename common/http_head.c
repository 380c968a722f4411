/*
 * Parses heads of HTTP/1.1 requests and responses, without IO.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link. Talks to: nobody.
 */
#include <string.h>
#include <strings.h>

#include "http.h"

/* States of the line scanner, which sees each byte once. */
enum { S_FIRST, S_LINE, S_CR, S_START, S_END };

/* A request line that is still open after this many bytes has a target
 * over the limit. */
#define MAX_LINE	(HTTP_MAX_METHOD + HTTP_MAX_TARGET + 12)

static enum http_result
bad(struct http_head *h, int status, const char *why)
{
	h->status = status;
	h->why = why;
	return (HTTP_BAD);
}

void
http_head_init(struct http_head *h)
{
	memset(h, 0, sizeof(*h));
	h->content_length = -1;
	h->state = S_FIRST;
}

bool
http_is_value(const char *s)
{
	for (; *s != '\0'; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return (false);
	return (true);
}

bool
http_is_token(const char *s, size_t len)
{
	static const char extra[] = "!#$%&'*+-.^_`|~";
	size_t i;
	unsigned char c;

	for (i = 0; i < len; i++) {
		c = (unsigned char)s[i];
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		    (c >= '0' && c <= '9'))
			continue;
		if (c == '\0' || strchr(extra, c) == NULL)
			return (false);
	}
	return (len > 0);
}

/*
 * Look for the end of the head and refuse bytes that no head may hold, so
 * that a broken head is answered before it is complete.
 */
static enum http_result
scan(struct http_head *h, const char *buf, size_t len, bool request)
{
	unsigned char c;

	while (h->scanned < len) {
		if (h->scanned >= HTTP_MAX_HEAD)
			return (bad(h, 431, "head too large"));
		c = (unsigned char)buf[h->scanned++];
		if (h->state == S_CR || h->state == S_END) {
			if (c != '\n')
				return (bad(h, 400, "CR without LF"));
			if (h->state == S_END) {
				h->len = h->scanned;
				return (HTTP_DONE);
			}
			h->state = S_START;
			continue;
		}
		if (c == '\r' && h->state == S_FIRST)
			return (bad(h, 400, "empty first line"));
		if (c == '\r') {
			h->state = h->state == S_START ? S_END : S_CR;
			continue;
		}
		if (c == '\n')
			return (bad(h, 400, "LF without CR"));
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return (bad(h, 400, "control byte in head"));
		if (h->state != S_LINE && (c == ' ' || c == '\t'))
			return (bad(h, 400, "line starts with a blank"));
		h->state = S_LINE;
		if (request && h->scanned == MAX_LINE + 1 &&
		    memchr(buf, '\r', MAX_LINE) == NULL)
			return (bad(h, 414, "request target too long"));
	}
	if (len >= HTTP_MAX_HEAD)
		return (bad(h, 431, "head too large"));
	return (HTTP_MORE);
}

static int
parse_length(const char *v, int64_t *out)
{
	size_t i;

	*out = 0;
	/* 15 digits are a petabyte and cannot overflow. */
	for (i = 0; v[i] >= '0' && v[i] <= '9'; i++) {
		if (i == 15)
			return (-1);
		*out = *out * 10 + (v[i] - '0');
	}
	return (i > 0 && v[i] == '\0' ? 0 : -1);
}

/* These decide what a message means or who sent it: one of each at most. */
static bool
is_single(const char *name)
{
	static const char *const names[] = { "host", "content-length",
	    "transfer-encoding", "content-type", "authorization", "expect",
	    "origin", "last-event-id", "cookie", "location" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(name, names[i]) == 0)
			return (true);
	return (strncasecmp(name, "x-agentd-", 9) == 0);
}

/* host = name / IPv4 / [IPv6], then an optional :port; nothing else. */
static bool
host_ok(const char *v)
{
	size_t n;

	if (*v == '[') {
		n = strspn(v + 1, "0123456789abcdefABCDEF:.");
		if (n == 0 || v[1 + n] != ']')
			return (false);
		v += n + 2;
	} else {
		n = strspn(v, "abcdefghijklmnopqrstuvwxyz"
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~");
		if (n == 0)
			return (false);
		v += n;
	}
	if (*v == '\0')
		return (true);
	if (*v++ != ':')
		return (false);
	n = strspn(v, "0123456789");
	return (n > 0 && n <= 5 && v[n] == '\0');
}

static enum http_result
special(struct http_head *h, const struct http_field *f, bool request)
{
	if (strcasecmp(f->name, "content-length") == 0) {
		if (parse_length(f->value, &h->content_length) == -1)
			return (bad(h, 400, "bad Content-Length"));
	} else if (strcasecmp(f->name, "transfer-encoding") == 0) {
		if (strcmp(f->value, "chunked") != 0)
			return (bad(h, 400,
			    "Transfer-Encoding is not chunked"));
		h->chunked = true;
	} else if (strcasecmp(f->name, "connection") == 0) {
		if (http_list_has(f->value, "close"))
			h->close = true;
	} else if (request && strcasecmp(f->name, "host") == 0) {
		if (!host_ok(f->value))
			return (bad(h, 400, "bad Host"));
		h->host = f->value;
	} else if (request && strcasecmp(f->name, "expect") == 0) {
		if (strcasecmp(f->value, "100-continue") != 0)
			return (bad(h, 417, "unknown expectation"));
		h->expect_100 = true;
	}
	return (HTTP_DONE);
}

/* One line without its CRLF, which becomes the NUL after the value. */
static enum http_result
field(struct http_head *h, char *line, size_t len, bool request)
{
	struct http_field *f;
	char *colon, *end = line + len;

	if (h->nfields == HTTP_MAX_FIELDS)
		return (bad(h, 431, "too many header fields"));
	if ((colon = memchr(line, ':', len)) == NULL)
		return (bad(h, 400, "header field without colon"));
	if (!http_is_token(line, (size_t)(colon - line)))
		return (bad(h, 400, "bad header field name"));
	f = &h->field[h->nfields];
	f->name = line;
	f->value = colon + 1;
	*colon = '\0';
	while (f->value < end && (*f->value == ' ' || *f->value == '\t'))
		f->value++;
	while (end > f->value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	if (is_single(f->name) && http_head_field(h, f->name) != NULL)
		return (bad(h, 400, "header field given twice"));
	h->nfields++;
	return (special(h, f, request));
}

static enum http_result
fields(struct http_head *h, char *p, char *end, bool request)
{
	char *cr;

	while (*p != '\r') {
		/* The scanner has seen a CRLF on every line. */
		if ((cr = memchr(p, '\r', (size_t)(end - p))) == NULL)
			return (bad(h, 400, "unfinished line"));
		if (field(h, p, (size_t)(cr - p), request) == HTTP_BAD)
			return (HTTP_BAD);
		p = cr + 2;
	}
	if (h->chunked && h->content_length != -1)
		return (bad(h, 400,
		    "both Content-Length and Transfer-Encoding"));
	return (HTTP_DONE);
}

/* Bytes that may stand in a target; the rest must be percent-encoded. */
static bool
target_ok(const char *t, size_t len)
{
	size_t i;
	unsigned char c;

	for (i = 0; i < len; i++) {
		c = (unsigned char)t[i];
		if (c <= ' ' || c >= 0x7f || strchr("\"#<>\\^`{|}", c) != NULL)
			return (false);
	}
	return (len > 0);
}

/* Find path and query in the target; *auth gets an absolute form's host. */
static enum http_result
target(struct http_head *h, const char **auth, size_t *authlen)
{
	char scratch[HTTP_MAX_TARGET + 1];
	const char *t = h->target, *q;

	*auth = NULL;
	*authlen = 0;
	if (strcmp(t, "*") == 0) {
		if (strcmp(h->method, "OPTIONS") != 0)
			return (bad(h, 400, "target * without OPTIONS"));
		h->path = t;
		h->pathlen = 1;
		return (HTTP_DONE);
	}
	if (*t != '/') {
		if (strncasecmp(t, "http://", 7) == 0)
			t += 7;
		else if (strncasecmp(t, "https://", 8) == 0)
			t += 8;
		else
			return (bad(h, 400, "bad request target"));
		*auth = t;
		*authlen = strcspn(t, "/?");
		t += *authlen;
	}
	h->pathlen = strcspn(t, "?");
	h->path = h->pathlen > 0 ? t : "/";
	q = t + h->pathlen;
	if (h->pathlen == 0)
		h->pathlen = 1;
	if (*q == '?')
		h->query = q + 1;
	if (http_decode_path(h->path, h->pathlen, scratch,
	    sizeof(scratch)) == -1)
		return (bad(h, 400, "bad path encoding"));
	if (h->query != NULL && http_decode_query(h->query, strlen(h->query),
	    scratch, sizeof(scratch)) == -1)
		return (bad(h, 400, "bad query encoding"));
	return (HTTP_DONE);
}

static enum http_result
request_line(struct http_head *h, char *line, size_t len)
{
	char *sp, *ver, *end = line + len;

	if ((sp = memchr(line, ' ', len)) == NULL)
		return (bad(h, 400, "bad request line"));
	h->method = line;
	if (!http_is_token(line, (size_t)(sp - line)))
		return (bad(h, 400, "bad method"));
	if (sp - line > HTTP_MAX_METHOD)
		return (bad(h, 400, "unknown method"));
	h->target = sp + 1;
	*sp = '\0';
	sp = memchr(h->target, ' ', (size_t)(end - h->target));
	if (sp == NULL)
		return (bad(h, 400, "bad request line"));
	ver = sp + 1;
	if (sp - h->target > HTTP_MAX_TARGET)
		return (bad(h, 414, "request target too long"));
	if (!target_ok(h->target, (size_t)(sp - h->target)))
		return (bad(h, 400, "bad request target"));
	*sp = '\0';
	if (end - ver != 8 || memcmp(ver, "HTTP/", 5) != 0 ||
	    ver[5] < '0' || ver[5] > '9' || ver[6] != '.' ||
	    ver[7] < '0' || ver[7] > '9')
		return (bad(h, 400, "bad HTTP version"));
	if (memcmp(ver, "HTTP/1.1", 8) != 0)
		return (bad(h, 505, "HTTP version not supported"));
	return (HTTP_DONE);
}

enum http_result
http_head_parse(struct http_head *h, char *buf, size_t len)
{
	const char *auth;
	size_t authlen;
	char *cr;
	enum http_result r;

	if ((r = scan(h, buf, len, true)) != HTTP_DONE)
		return (r);
	cr = memchr(buf, '\r', h->len);
	if (request_line(h, buf, (size_t)(cr - buf)) == HTTP_BAD ||
	    target(h, &auth, &authlen) == HTTP_BAD ||
	    fields(h, cr + 2, buf + h->len, true) == HTTP_BAD)
		return (HTTP_BAD);
	if (h->host == NULL)
		return (bad(h, 400, "no Host"));
	if (auth != NULL && (strlen(h->host) != authlen ||
	    strncasecmp(h->host, auth, authlen) != 0))
		return (bad(h, 400, "target and Host differ"));
	return (HTTP_DONE);
}

static enum http_result
status_line(struct http_head *h, char *line, size_t len)
{
	size_t i;

	if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 ||
	    (line[7] != '0' && line[7] != '1') || line[8] != ' ')
		return (bad(h, 502, "bad status line"));
	for (i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return (bad(h, 502, "bad status code"));
		h->code = h->code * 10 + (line[i] - '0');
	}
	if (h->code < 100 || (len > 12 && line[12] != ' '))
		return (bad(h, 502, "bad status code"));
	h->reason = line + (len > 12 ? 13 : 12);
	line[len] = '\0';
	if (line[7] == '0')
		h->close = true;
	return (HTTP_DONE);
}

enum http_result
http_rhead_parse(struct http_head *h, char *buf, size_t len)
{
	char *cr;
	enum http_result r;

	if ((r = scan(h, buf, len, false)) != HTTP_DONE)
		return (r);
	cr = memchr(buf, '\r', h->len);
	if (status_line(h, buf, (size_t)(cr - buf)) == HTTP_BAD)
		return (HTTP_BAD);
	return (fields(h, cr + 2, buf + h->len, false));
}

const char *
http_head_field(const struct http_head *h, const char *name)
{
	unsigned i;

	for (i = 0; i < h->nfields; i++)
		if (strcasecmp(h->field[i].name, name) == 0)
			return (h->field[i].value);
	return (NULL);
}

/*
 * Server-Sent Events: a push-style parser and a frame writer, without IO.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link, agentctl. Talks to: nobody.
 */
#include <stdlib.h>
#include <string.h>

#include "sse.h"

void
sse_init(struct sse *s, size_t max, sse_cb *cb, void *arg)
{
	memset(s, 0, sizeof(*s));
	s->cb = cb;
	s->arg = arg;
	s->max = max;
	s->retry_ms = -1;
}

void
sse_free(struct sse *s)
{
	freezero(s->line, s->linesize);
	freezero(s->data, s->datasize);
	s->line = s->data = NULL;
	s->linesize = s->datasize = 0;
	s->linelen = s->datalen = 0;
}

void
sse_reset(struct sse *s)
{
	s->linelen = s->datalen = 0;
	s->has_data = s->skip_lf = s->started = false;
	s->bom = 0;
	s->name[0] = '\0';
}

/* Append to a buffer that always keeps room for a NUL. */
static int
append(const struct sse *s, char **buf, size_t *len, size_t *size,
    const char *p, size_t n)
{
	size_t want, newsize;
	char *q;

	if (n > s->max || *len > s->max - n)
		return (-1);
	want = *len + n + 1;
	if (want > *size) {
		newsize = *size == 0 ? 256 : *size;
		while (newsize < want)
			newsize *= 2;
		if ((q = recallocarray(*buf, *size, newsize, 1)) == NULL)
			return (-1);
		*buf = q;
		*size = newsize;
	}
	if (n > 0)
		memcpy(*buf + *len, p, n);
	*len += n;
	(*buf)[*len] = '\0';
	return (0);
}

static int
add_data(struct sse *s, const char *p, size_t n)
{
	if (s->has_data &&
	    append(s, &s->data, &s->datalen, &s->datasize, "\n", 1) == -1)
		return (-1);
	s->has_data = true;
	return (append(s, &s->data, &s->datalen, &s->datasize, p, n));
}

/* The empty line: hand the event out. Without data there is none. */
static int
dispatch(struct sse *s)
{
	struct sse_event e;
	int r = 0;

	if (s->has_data) {
		e.id = s->id;
		e.name = s->name[0] != '\0' ? s->name : "message";
		e.data = s->data;
		e.len = s->datalen;
		r = s->cb(s->arg, &e) != 0 ? -1 : 0;
	}
	s->has_data = false;
	s->datalen = 0;
	s->name[0] = '\0';
	return (r);
}

static void
set_retry(struct sse *s, const char *v)
{
	long n = 0;
	const char *p;

	for (p = v; *p >= '0' && *p <= '9' && n < 100000000; p++)
		n = n * 10 + (*p - '0');
	if (p != v && *p == '\0')
		s->retry_ms = n;
}

static int
line_end(struct sse *s)
{
	char *line = s->line, *value;
	size_t len = s->linelen, vlen;

	s->linelen = 0;
	if (len == 0)
		return (dispatch(s));
	if ((value = memchr(line, ':', len)) == line)
		return (0);		/* comment */
	if (value == NULL)
		value = line + len;
	else {
		*value++ = '\0';
		if (value < line + len && *value == ' ')
			value++;
	}
	vlen = (size_t)(line + len - value);
	if (strcmp(line, "data") == 0)
		return (add_data(s, value, vlen));
	if (strcmp(line, "event") == 0) {
		if (vlen >= sizeof(s->name))
			return (-1);
		memcpy(s->name, value, vlen + 1);
	} else if (strcmp(line, "id") == 0) {
		if (vlen >= sizeof(s->id))
			return (-1);
		/* The standard ignores an id that holds a NUL. */
		if (memchr(value, '\0', vlen) == NULL)
			memcpy(s->id, value, vlen + 1);
	} else if (strcmp(line, "retry") == 0)
		set_retry(s, value);
	return (0);
}

/* Swallow a byte order mark at the very start; returns bytes used. */
static size_t
skip_bom(struct sse *s, const char *p, size_t len)
{
	static const char mark[] = "\xef\xbb\xbf";
	size_t i = 0;

	while (i < len && s->bom < 3 && p[i] == mark[s->bom]) {
		i++;
		s->bom++;
	}
	if (s->bom < 3 && i == len)
		return (i);
	s->started = true;
	return (i);
}

int
sse_feed(struct sse *s, const void *vdata, size_t len)
{
	const char *p = vdata, *end = p + len, *q;

	if (!s->started && len > 0) {
		p += skip_bom(s, p, len);
		/* Half a mark was no mark: give its bytes back. */
		if (s->started && s->bom > 0 && s->bom < 3 &&
		    append(s, &s->line, &s->linelen, &s->linesize,
		    "\xef\xbb", s->bom) == -1)
			return (-1);
	}
	while (p < end) {
		if (s->skip_lf) {
			s->skip_lf = false;
			if (*p == '\n') {
				p++;
				continue;
			}
		}
		for (q = p; q < end && *q != '\n' && *q != '\r'; q++)
			;
		if (append(s, &s->line, &s->linelen, &s->linesize, p,
		    (size_t)(q - p)) == -1)
			return (-1);
		if (q == end)
			break;
		s->skip_lf = *q == '\r';
		p = q + 1;
		if (line_end(s) == -1)
			return (-1);
	}
	return (0);
}

static bool
one_line(const char *s)
{
	return (s == NULL || strpbrk(s, "\r\n") == NULL);
}

size_t
sse_bound(const char *id, const char *name, const char *data, size_t len)
{
	size_t i, n = 16;

	n += id != NULL ? strlen(id) + 8 : 0;
	n += name != NULL ? strlen(name) + 8 : 0;
	for (i = 0; i < len; i++)
		if (data[i] == '\n' || data[i] == '\r')
			n += 7;
	return (n + len);
}

struct out {
	char	*p;
	size_t	 len, size;
	bool	 full;
};

static void
put(struct out *o, const char *s, size_t n)
{
	if (o->full || n >= o->size - o->len) {
		o->full = true;
		return;
	}
	memcpy(o->p + o->len, s, n);
	o->len += n;
	o->p[o->len] = '\0';
}

static void
put_field(struct out *o, const char *name, const char *s, size_t n)
{
	put(o, name, strlen(name));
	put(o, ": ", 2);
	put(o, s, n);
	put(o, "\n", 1);
}

ssize_t
sse_write(char *dst, size_t size, const char *id, const char *name,
    const char *data, size_t len)
{
	struct out o = { dst, 0, size, size == 0 };
	size_t i, n;

	if (!one_line(id) || !one_line(name))
		return (-1);
	if (id != NULL)
		put_field(&o, "id", id, strlen(id));
	if (name != NULL)
		put_field(&o, "event", name, strlen(name));
	for (i = 0;; i += n) {
		for (n = 0; i + n < len && data[i + n] != '\n' &&
		    data[i + n] != '\r'; n++)
			;
		put_field(&o, "data", data + i, n);
		if (i + n >= len)
			break;
		/* CRLF is one line break. */
		n += data[i + n] == '\r' && i + n + 1 < len &&
		    data[i + n + 1] == '\n' ? 2 : 1;
	}
	put(&o, "\n", 1);
	return (o.full ? -1 : (ssize_t)o.len);
}

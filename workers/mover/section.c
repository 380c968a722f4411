/*
 * Sections of a spooled file.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "mover.h"
#include "section.h"

#define FIRST	65536

void
section_init(struct section *s, int fd, uint64_t off)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->off = off;
}

static ssize_t
at(struct section *s, void *p, size_t n)
{
	ssize_t got;

	do
		got = pread(s->fd, p, n, (off_t)s->off);
	while (got == -1 && errno == EINTR);
	if (got > 0)
		s->off += (uint64_t)got;
	return got == 0 ? -1 : got;
}

ssize_t
section_read(struct section *s, void *p, size_t n)
{
	uint8_t len[MF_LEN];
	ssize_t got;

	if (s->end || n == 0)
		return 0;
	if (s->left == 0) {
		if (at(s, len, sizeof(len)) != sizeof(len))
			return -1;
		s->left = mf_get_len(len);
		if (s->left == 0) {
			s->end = true;
			return 0;
		}
	}
	if ((got = at(s, p, n < s->left ? n : s->left)) == -1)
		return -1;
	s->left -= (uint32_t)got;
	return got;
}

void
lines_init(struct lines *l, int fd, uint64_t off)
{
	memset(l, 0, sizeof(*l));
	section_init(&l->sec, fd, off);
}

void
lines_free(struct lines *l)
{
	free(l->buf);
	l->buf = NULL;
	l->pos = l->len = l->size = 0;
}

static int
more(struct lines *l)
{
	size_t size;
	ssize_t n;
	char *p;

	if (l->pos > 0) {
		memmove(l->buf, l->buf + l->pos, l->len - l->pos);
		l->len -= l->pos;
		l->pos = 0;
	}
	if (l->len == l->size) {
		size = l->size == 0 ? FIRST : l->size * 2;
		if (size > LINE_MAX_LEN)
			return -1;
		if ((p = realloc(l->buf, size)) == NULL)
			fatal("line of a file");
		l->buf = p;
		l->size = size;
	}
	if ((n = section_read(&l->sec, l->buf + l->len, l->size - l->len)) ==
	    -1)
		return -1;
	l->len += (size_t)n;
	l->eof = n == 0;
	return 0;
}

int
lines_next(struct lines *l, char **line, size_t *len)
{
	size_t seen = 0;
	char *nl;

	for (;;) {
		nl = l->len - l->pos == seen ? NULL : memchr(l->buf + l->pos +
		    seen, '\n', l->len - l->pos - seen);
		if (nl != NULL)
			break;
		seen = l->len - l->pos;
		if (l->eof)
			return seen == 0 ? 0 : -1;
		if (more(l) == -1)
			return -1;
	}
	*line = l->buf + l->pos;
	*len = (size_t)(nl - *line);
	*nl = '\0';
	l->pos += *len + 1;
	return 1;
}

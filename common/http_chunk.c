/*
 * Decodes the chunked transfer coding in place, without IO.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, upstream, agent-link. Talks to: nobody.
 */
#include <string.h>

#include "http.h"

/* Seven hex digits: no chunk needs more than 256 MiB, no sum overflows. */
#define MAX_DIGITS	7
#define MAX_TRAILER	4096

enum {
	C_SIZE, C_SIZE_LF, C_DATA, C_DATA_CR, C_DATA_LF, C_TRAILER,
	C_TRAILER_LINE, C_TRAILER_LF, C_END_LF, C_DONE
};

void
http_chunk_init(struct http_chunk *c, bool trailers_ok)
{
	memset(c, 0, sizeof(*c));
	c->trailers_ok = trailers_ok;
	c->state = C_SIZE;
}

bool
http_chunk_done(const struct http_chunk *c)
{
	return (c->state == C_DONE);
}

static int
size_byte(struct http_chunk *c, unsigned char b)
{
	unsigned v;

	if (b == '\r' && c->digits > 0) {
		c->state = C_SIZE_LF;
		return (0);
	}
	if (b >= '0' && b <= '9')
		v = b - '0';
	else if ((b | 0x20) >= 'a' && (b | 0x20) <= 'f')
		v = (b | 0x20) - 'a' + 10;
	else
		return (-1);
	if (++c->digits > MAX_DIGITS)
		return (-1);
	c->left = c->left * 16 + v;
	return (0);
}

static int
trailer_byte(struct http_chunk *c, unsigned char b)
{
	if (!c->trailers_ok || ++c->trailer > MAX_TRAILER)
		return (-1);
	if (b == '\r' && c->state == C_TRAILER_LINE) {
		c->state = C_TRAILER_LF;
		return (0);
	}
	if ((b < 0x20 && b != '\t') || b == 0x7f ||
	    (c->state == C_TRAILER && (b == ' ' || b == '\t')))
		return (-1);
	c->state = C_TRAILER_LINE;
	return (0);
}

/* One byte outside of chunk data. */
static int
control_byte(struct http_chunk *c, unsigned char b)
{
	switch (c->state) {
	case C_SIZE:
		return (size_byte(c, b));
	case C_SIZE_LF:
		c->state = c->left > 0 ? C_DATA : C_TRAILER;
		return (b == '\n' ? 0 : -1);
	case C_DATA_CR:
		c->state = C_DATA_LF;
		return (b == '\r' ? 0 : -1);
	case C_DATA_LF:
		c->state = C_SIZE;
		c->digits = 0;
		return (b == '\n' ? 0 : -1);
	case C_TRAILER:
		if (b == '\r') {
			c->state = C_END_LF;
			return (0);
		}
		return (trailer_byte(c, b));
	case C_TRAILER_LINE:
		return (trailer_byte(c, b));
	case C_TRAILER_LF:
		c->state = C_TRAILER;
		return (b == '\n' ? 0 : -1);
	case C_END_LF:
		c->state = C_DONE;
		return (b == '\n' ? 0 : -1);
	default:
		return (-1);
	}
}

ssize_t
http_chunk_next(struct http_chunk *c, const char *data, size_t len,
    const char **body, size_t *bodylen)
{
	size_t i = 0, run;

	*body = data;
	*bodylen = 0;
	while (i < len && c->state != C_DONE) {
		if (c->state != C_DATA) {
			if (control_byte(c, (unsigned char)data[i++]) == -1)
				return (-1);
			continue;
		}
		run = len - i < c->left ? len - i : (size_t)c->left;
		*body = data + i;
		*bodylen = run;
		c->left -= run;
		if (c->left == 0)
			c->state = C_DATA_CR;
		return ((ssize_t)(i + run));
	}
	return ((ssize_t)i);
}

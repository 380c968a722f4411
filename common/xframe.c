/*
 * Frames of an exec session.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container, front, agentctl.  Talks to: nobody.
 */
#include "xframe.h"

static void
put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16 & 0xff);
	p[2] = (uint8_t)(v >> 8 & 0xff);
	p[3] = (uint8_t)(v & 0xff);
}

static uint32_t
get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

ssize_t
xf_read(const uint8_t *buf, size_t len, struct xf *f)
{
	if (len > 0 && buf[0] >= XF_STREAMS)
		return -1;
	if (len < XF_HEAD)
		return 0;
	f->stream = (enum xf_stream)buf[0];
	f->len = get32(buf + 1);
	f->data = buf + XF_HEAD;
	if (f->len > XF_MAX)
		return -1;
	if (len - XF_HEAD < f->len)
		return 0;
	return (ssize_t)(XF_HEAD + f->len);
}

void
xf_head(uint8_t out[XF_HEAD], enum xf_stream stream, size_t len)
{
	out[0] = (uint8_t)stream;
	put32(out + 1, (uint32_t)len);
}

size_t
xf_resize(uint8_t out[XF_HEAD + 4], unsigned int cols, unsigned int rows)
{
	xf_head(out, XF_RESIZE, 4);
	put32(out + XF_HEAD, (cols & 0xffff) << 16 | (rows & 0xffff));
	return XF_HEAD + 4;
}

size_t
xf_exit(uint8_t out[XF_HEAD + 4], uint32_t status)
{
	xf_head(out, XF_EXIT, 4);
	put32(out + XF_HEAD, status);
	return XF_HEAD + 4;
}

int
xf_get_resize(const struct xf *f, unsigned int *cols, unsigned int *rows)
{
	uint32_t v;

	if (f->stream != XF_RESIZE || f->len != 4)
		return -1;
	v = get32(f->data);
	*cols = v >> 16;
	*rows = v & 0xffff;
	return *cols > 0 && *rows > 0 ? 0 : -1;
}

int
xf_get_exit(const struct xf *f, uint32_t *status)
{
	if (f->stream != XF_EXIT || f->len != 4)
		return -1;
	*status = get32(f->data);
	return 0;
}

/*
 * WebSocket frames.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container, front.  Talks to: nobody.
 *
 * Data is handed out as it comes, so a large frame is never kept; control
 * frames, of at most 125 bytes, are handed out whole.
 */
#include <string.h>

#include "ws.h"

#define FIN		0x80
#define RSV		0x70
#define MASKED		0x80

void
ws_init(struct ws *w, enum ws_side side, uint64_t max)
{
	memset(w, 0, sizeof(*w));
	w->side = side;
	w->max = max;
}

void
ws_mask(uint8_t *p, size_t n, const uint8_t mask[4], uint64_t at)
{
	size_t i;

	for (i = 0; i < n; i++)
		p[i] ^= mask[(at + i) & 3];
}

size_t
ws_head(uint8_t out[WS_HEAD_MAX], enum ws_op op, bool fin, uint64_t len,
    const uint8_t mask[4])
{
	size_t n = 2, i;

	out[0] = (uint8_t)((fin ? FIN : 0) | (unsigned int)op);
	if (len < 126) {
		out[1] = (uint8_t)len;
	} else if (len <= 0xffff) {
		out[1] = 126;
		n = 4;
	} else {
		out[1] = 127;
		n = 10;
	}
	for (i = n; i > 2; i--, len >>= 8)
		out[i - 1] = (uint8_t)(len & 0xff);
	if (mask != NULL) {
		out[1] |= MASKED;
		memcpy(out + n, mask, 4);
		n += 4;
	}
	return n;
}

static ssize_t
broken(struct ws *w, unsigned int code, const char *why)
{
	w->code = code;
	w->why = why;
	return -1;
}

/* The head of a frame, as it stands on the wire. */
struct head {
	uint8_t		 op;
	bool		 fin;
	uint64_t	 len;
	uint8_t		 mask[4];
};

/* Bytes of the head, 0 if not all are there. */
static ssize_t
read_head(struct ws *w, const uint8_t *p, size_t len, struct head *h)
{
	size_t need = 2, ext, i;

	if (len < need)
		return 0;
	if (p[0] & RSV)
		return broken(w, WS_PROTOCOL, "a reserved bit is set");
	if (((p[1] & MASKED) != 0) != (w->side == WS_FROM_CLIENT))
		return broken(w, WS_PROTOCOL, w->side == WS_FROM_CLIENT ?
		    "a client's frame is not masked" :
		    "a server's frame is masked");
	ext = (p[1] & 0x7f) == 127 ? 8 : (p[1] & 0x7f) == 126 ? 2 : 0;
	need += ext + (p[1] & MASKED ? 4 : 0);
	if (len < need)
		return 0;
	h->op = p[0] & 0x0f;
	h->fin = (p[0] & FIN) != 0;
	h->len = ext == 0 ? p[1] & 0x7f : 0;
	for (i = 0; i < ext; i++)
		h->len = h->len << 8 | p[2 + i];
	if ((ext == 2 && h->len < 126) || (ext == 8 && h->len <= 0xffff))
		return broken(w, WS_PROTOCOL, "a length is not the shortest");
	if (h->len >> 63)
		return broken(w, WS_PROTOCOL, "a length has its top bit set");
	memset(h->mask, 0, sizeof(h->mask));
	if (p[1] & MASKED)
		memcpy(h->mask, p + 2 + ext, 4);
	return (ssize_t)need;
}

/* What a close frame may say (RFC 6455, 7.4). */
static bool
code_ok(unsigned int code)
{
	return (code >= 1000 && code <= 1014 && code != 1004 &&
	    code != 1005 && code != 1006) || (code >= 3000 && code <= 4999);
}

static ssize_t
read_control(struct ws *w, const struct head *h, size_t head, uint8_t *p,
    size_t len, struct ws_event *ev)
{
	if (h->op > WS_PONG)
		return broken(w, WS_PROTOCOL, "an unknown opcode");
	if (!h->fin || h->len > WS_CONTROL_MAX)
		return broken(w, WS_PROTOCOL, "a control frame is cut or "
		    "over 125 bytes");
	if (len - head < h->len)
		return 0;
	ev->op = (enum ws_op)h->op;
	ev->data = p + head;
	ev->len = (size_t)h->len;
	ev->end = true;
	ws_mask(ev->data, ev->len, h->mask, 0);
	if (h->op == WS_CLOSE && h->len == 1)
		return broken(w, WS_PROTOCOL, "a close frame of one byte");
	if (h->op == WS_CLOSE) {
		ev->code = h->len == 0 ? 1005 :
		    (unsigned int)ev->data[0] << 8 | ev->data[1];
		if (h->len != 0 && !code_ok(ev->code))
			return broken(w, WS_PROTOCOL, "a close frame of a "
			    "wrong code");
	}
	return (ssize_t)(head + ev->len);
}

/* A data frame begins. */
static int
begin(struct ws *w, const struct head *h)
{
	if (h->op > WS_BINARY)
		return (int)broken(w, WS_PROTOCOL, "an unknown opcode");
	if ((h->op == WS_CONT) != (w->op != 0))
		return (int)broken(w, WS_PROTOCOL, w->op == 0 ?
		    "a continuation of nothing" :
		    "a message within a message");
	if (h->op != WS_CONT) {
		w->op = h->op;
		w->had = 0;
	}
	if (h->len > w->max - w->had)
		return (int)broken(w, WS_TOO_BIG, "a message is too long");
	w->had += h->len;
	w->left = h->len;
	w->at = 0;
	w->fin = h->fin;
	w->body = true;
	memcpy(w->mask, h->mask, sizeof(w->mask));
	return 0;
}

ssize_t
ws_read(struct ws *w, uint8_t *buf, size_t len, struct ws_event *ev)
{
	struct head h;
	ssize_t n = 0;
	size_t take;

	memset(ev, 0, sizeof(*ev));
	if (w->why != NULL)
		return -1;
	if (!w->body) {
		if ((n = read_head(w, buf, len, &h)) <= 0)
			return n;
		if (h.op >= WS_CLOSE)
			return read_control(w, &h, (size_t)n, buf, len, ev);
		if (begin(w, &h) == -1)
			return -1;
	}
	take = len - (size_t)n;
	if (take > w->left)
		take = (size_t)w->left;
	/* Nothing of the payload yet: the head was something all the same. */
	if (take == 0 && w->left > 0)
		return n;
	ev->op = (enum ws_op)w->op;
	ev->data = buf + n;
	ev->len = take;
	ws_mask(ev->data, take, w->mask, w->at);
	w->at += take;
	w->left -= take;
	if (w->left == 0) {
		w->body = false;
		ev->end = w->fin;
		if (w->fin)
			w->op = 0;
	}
	return n + (ssize_t)take;
}

/*
 * Fuzz target: the reader of WebSocket frames, whole and cut, of both sides.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: check --fuzz.  Talks to: nobody.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ws.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define MSG_MAX_LEN	4096

/* Digest of what was read, the same however the bytes were cut. */
static uint64_t
run(enum ws_side side, const uint8_t *data, size_t len, size_t step)
{
	struct ws w;
	struct ws_event ev;
	uint8_t *buf = malloc(len + 1);
	size_t at = 0, end = 0, i, msg = 0;
	uint64_t sum = 1;
	ssize_t n;

	memcpy(buf, data, len);
	ws_init(&w, side, MSG_MAX_LEN);
	for (;;) {
		n = ws_read(&w, buf + at, end - at, &ev);
		if (n == -1) {
			if (w.why == NULL || w.code < 1000)
				abort();
			sum = sum * 31 + w.code;
			break;
		}
		if ((size_t)n > end - at)
			abort();
		at += (size_t)n;
		if (n > 0 && ev.op != WS_CONT) {
			if (ev.len > 0 && (ev.data < buf ||
			    ev.data + ev.len > buf + end))
				abort();
			for (i = 0; i < ev.len; i++)
				sum = sum * 31 + ev.data[i];
			if (ev.end)
				sum = sum * 31 + (uint64_t)ev.op;
			if (ev.op < WS_CLOSE && (msg += ev.len) > MSG_MAX_LEN)
				abort();
			if (ev.op < WS_CLOSE && ev.end)
				msg = 0;
		}
		if (n == 0 && end == len)
			break;
		if (n == 0)
			end = len - end < step ? len : end + step;
	}
	free(buf);
	return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	enum ws_side side;

	if (len == 0)
		return 0;
	side = data[0] & 1 ? WS_FROM_CLIENT : WS_FROM_SERVER;
	if (run(side, data + 1, len - 1, len) !=
	    run(side, data + 1, len - 1, 3))
		abort();
	return 0;
}

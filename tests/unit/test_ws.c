/*
 * WebSocket frames and handshake: the examples of RFC 6455, and its refusals.
 *
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ws.h"

static void
handshake(void **state)
{
	static const uint8_t random[16] = "the sample nonce";
	char key[WS_KEY_LEN + 1], accept[WS_ACCEPT_LEN + 1];

	(void)state;
	ws_key(random, key);
	assert_string_equal(key, "dGhlIHNhbXBsZSBub25jZQ==");
	assert_int_equal(ws_accept(key, accept), 0);
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_int_equal(ws_accept("", accept), -1);
	assert_int_equal(ws_accept("dGhlIHNhbXBsZSBub25jZQ=", accept), -1);
	assert_int_equal(ws_accept("dGhlIHNhbXBsZSBub25jZQ=\n", accept), -1);
}

/* RFC 6455, 5.7: a masked "Hello", and one in two frames with a ping. */
static void
examples(void **state)
{
	uint8_t masked[] = { 0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f,
	    0x4d, 0x51, 0x58 };
	uint8_t parts[] = { 0x01, 0x03, 'H', 'e', 'l', 0x89, 0x01, '!', 0x80,
	    0x02, 'l', 'o' };
	struct ws w;
	struct ws_event ev;

	(void)state;
	ws_init(&w, WS_FROM_CLIENT, 100);
	assert_int_equal(ws_read(&w, masked, sizeof(masked), &ev), 11);
	assert_int_equal(ev.op, WS_TEXT);
	assert_true(ev.end);
	assert_int_equal(ev.len, 5);
	assert_memory_equal(ev.data, "Hello", 5);

	ws_init(&w, WS_FROM_SERVER, 100);
	assert_int_equal(ws_read(&w, parts, sizeof(parts), &ev), 5);
	assert_int_equal(ev.op, WS_TEXT);
	assert_false(ev.end);
	assert_memory_equal(ev.data, "Hel", 3);
	assert_int_equal(ws_read(&w, parts + 5, sizeof(parts) - 5, &ev), 3);
	assert_int_equal(ev.op, WS_PING);
	assert_memory_equal(ev.data, "!", 1);
	assert_int_equal(ws_read(&w, parts + 8, 4, &ev), 4);
	assert_int_equal(ev.op, WS_TEXT);
	assert_true(ev.end);
	assert_memory_equal(ev.data, "lo", 2);
}

/* Any length survives the way out and back, however it is cut. */
static void
there_and_back(void **state)
{
	static const size_t lens[] = { 0, 1, 125, 126, 127, 65535, 65536,
	    70001 };
	static const uint8_t mask[4] = { 1, 2, 0xfe, 0x80 };
	struct ws w;
	struct ws_event ev;
	uint8_t *buf;
	size_t i, at, used, step, head, got;
	ssize_t n;

	(void)state;
	assert_non_null(buf = malloc(70001 + WS_HEAD_MAX));
	for (i = 0; i < 2 * sizeof(lens) / sizeof(lens[0]); i++) {
		size_t len = lens[i / 2];

		step = i % 2 ? 1000000 : 7;
		head = ws_head(buf, WS_BINARY, true, len, mask);
		memset(buf + head, 'x', len);
		ws_mask(buf + head, len, mask, 0);
		ws_init(&w, WS_FROM_CLIENT, 70001);
		got = used = 0;
		ev.end = false;
		/* at: how far the wire is there */
		for (at = 0; !ev.end; ) {
			at = at + step < head + len ? at + step : head + len;
			n = ws_read(&w, buf + used, at - used, &ev);
			assert_true(n >= 0);
			used += (size_t)n;
			for (; ev.len > 0; ev.len--, got++)
				assert_int_equal(*ev.data++, 'x');
		}
		assert_int_equal(got, len);
		assert_int_equal(used, head + len);
	}
	free(buf);
}

static void
refused(enum ws_side side, const char *frames, size_t len, unsigned int code)
{
	struct ws w;
	struct ws_event ev;
	uint8_t buf[64];
	size_t at = 0;
	ssize_t n;

	memcpy(buf, frames, len);
	ws_init(&w, side, 100);
	while ((n = ws_read(&w, buf + at, len - at, &ev)) > 0)
		at += (size_t)n;
	assert_int_equal(n, -1);
	assert_int_equal(w.code, code);
	assert_non_null(w.why);
	/* It stays so. */
	assert_int_equal(ws_read(&w, buf, 0, &ev), -1);
}

#define BAD(side, s, code)	refused(side, s, sizeof(s) - 1, code)

static void
refusals(void **state)
{
	(void)state;
	BAD(WS_FROM_CLIENT, "\x81\x01x", WS_PROTOCOL);		/* no mask */
	BAD(WS_FROM_SERVER, "\x81\x81" "abcdx", WS_PROTOCOL);	/* a mask */
	BAD(WS_FROM_SERVER, "\xc1\x01x", WS_PROTOCOL);		/* RSV1 */
	BAD(WS_FROM_SERVER, "\x83\x01x", WS_PROTOCOL);		/* opcode */
	BAD(WS_FROM_SERVER, "\x8b\x00", WS_PROTOCOL);
	BAD(WS_FROM_SERVER, "\x80\x01x", WS_PROTOCOL);	/* nothing open */
	BAD(WS_FROM_SERVER, "\x01\x01x\x81\x01y", WS_PROTOCOL);
	BAD(WS_FROM_SERVER, "\x09\x01x", WS_PROTOCOL);		/* cut ping */
	BAD(WS_FROM_SERVER, "\x89\x7e\x00\x7ex", WS_PROTOCOL);	/* long ping */
	BAD(WS_FROM_SERVER, "\x81\x7e\x00\x05hello", WS_PROTOCOL);
	BAD(WS_FROM_SERVER, "\x81\x7f\0\0\0\0\0\0\0\x05hello", WS_PROTOCOL);
	BAD(WS_FROM_SERVER, "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
	    WS_PROTOCOL);
	BAD(WS_FROM_SERVER, "\x88\x01x", WS_PROTOCOL);		/* close */
	BAD(WS_FROM_SERVER, "\x88\x02\x03\xed", WS_PROTOCOL);	/* 1005 */
	BAD(WS_FROM_SERVER, "\x82\x65", WS_TOO_BIG);		/* 101 */
	/* In pieces too. */
	BAD(WS_FROM_SERVER, "\x02\x02xy\x80\x63", WS_TOO_BIG);
	BAD(WS_FROM_SERVER, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
	    WS_TOO_BIG);
}

static void
closing(void **state)
{
	uint8_t said[] = { 0x88, 0x04, 0x03, 0xe8, 'o', 'k' };
	uint8_t silent[] = { 0x88, 0x00 };
	struct ws w;
	struct ws_event ev;

	(void)state;
	ws_init(&w, WS_FROM_SERVER, 100);
	assert_int_equal(ws_read(&w, said, 5, &ev), 0);	/* not whole */
	assert_int_equal(ws_read(&w, said, 6, &ev), 6);
	assert_int_equal(ev.op, WS_CLOSE);
	assert_int_equal(ev.code, WS_NORMAL);
	assert_int_equal(ws_read(&w, silent, 2, &ev), 2);
	assert_int_equal(ev.code, 1005);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handshake),
		cmocka_unit_test(examples),
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(refusals),
		cmocka_unit_test(closing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

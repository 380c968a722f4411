/*
 * The handshake of WebSocket: SHA-1 and base64, for this one use.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container, front.  Talks to: nobody.
 *
 * SHA-1 keeps no secret here: the protocol wants it as a sign that the other
 * side has understood.
 */
#include <string.h>

#include "ws.h"

#define GUID	"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static const char b64[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void
base64(const uint8_t *p, size_t n, char *out)
{
	uint32_t v;
	size_t i;

	for (i = 0; i < n; i += 3) {
		v = (uint32_t)p[i] << 16;
		if (i + 1 < n)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < n)
			v |= p[i + 2];
		*out++ = b64[v >> 18];
		*out++ = b64[v >> 12 & 63];
		*out++ = i + 1 < n ? b64[v >> 6 & 63] : '=';
		*out++ = i + 2 < n ? b64[v & 63] : '=';
	}
	*out = '\0';
}

static uint32_t
rol(uint32_t v, unsigned int n)
{
	return v << n | v >> (32 - n);
}

/* One block of 64 bytes (FIPS 180-4, 6.1.2). */
static void
block(uint32_t h[5], const uint8_t *p)
{
	uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
	uint32_t f, k, t;
	unsigned int i;

	for (i = 0; i < 16; i++)
		w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
		    (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
	for (; i < 80; i++)
		w[i] = rol(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
	for (i = 0; i < 80; i++) {
		if (i < 20) {
			f = (b & c) | (~b & d);
			k = 0x5a827999;
		} else if (i < 40) {
			f = b ^ c ^ d;
			k = 0x6ed9eba1;
		} else if (i < 60) {
			f = (b & c) | (b & d) | (c & d);
			k = 0x8f1bbcdc;
		} else {
			f = b ^ c ^ d;
			k = 0xca62c1d6;
		}
		t = rol(a, 5) + f + e + k + w[i];
		e = d;
		d = c;
		c = rol(b, 30);
		b = a;
		a = t;
	}
	h[0] += a;
	h[1] += b;
	h[2] += c;
	h[3] += d;
	h[4] += e;
}

/* Of key and GUID: 60 bytes, so two blocks with the padding. */
static void
sha1_of(const char *key, uint8_t out[20])
{
	uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476,
	    0xc3d2e1f0 };
	uint8_t buf[128];
	size_t i, n = WS_KEY_LEN + sizeof(GUID) - 1;

	memset(buf, 0, sizeof(buf));
	memcpy(buf, key, WS_KEY_LEN);
	memcpy(buf + WS_KEY_LEN, GUID, sizeof(GUID) - 1);
	buf[n] = 0x80;
	buf[126] = (uint8_t)(n * 8 >> 8);
	buf[127] = (uint8_t)(n * 8 & 0xff);
	block(h, buf);
	block(h, buf + 64);
	for (i = 0; i < 20; i++)
		out[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void
ws_key(const uint8_t random[16], char out[WS_KEY_LEN + 1])
{
	base64(random, 16, out);
}

int
ws_accept(const char *key, char out[WS_ACCEPT_LEN + 1])
{
	uint8_t digest[20];

	/* 16 bytes: 22 digits and two fillers. */
	if (strlen(key) != WS_KEY_LEN || strspn(key, b64) != 22 ||
	    strcmp(key + 22, "==") != 0)
		return -1;
	sha1_of(key, digest);
	base64(digest, sizeof(digest), out);
	return 0;
}

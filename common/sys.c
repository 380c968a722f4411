/*
 * Clock, randomness and ids.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 */
#include <string.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"
#include "sys.h"

#define SLUG_MAX	52	/* a label of Incus, with room for a suffix */

uint64_t
sys_now_ms(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_BOOTTIME, &ts) == -1)
		fatal("clock_gettime");
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

double
sys_time(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_REALTIME, &ts) == -1)
		fatal("clock_gettime");
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void
sys_random(void *buf, size_t len)
{
	arc4random_buf(buf, len);
}

void
sys_hex(char *out, const void *data, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *p = data;
	size_t i;

	for (i = 0; i < n; i++) {
		*out++ = digits[p[i] >> 4];
		*out++ = digits[p[i] & 15];
	}
	*out = '\0';
}

static int
hexval(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int
sys_unhex(void *out, size_t n, const char *text)
{
	unsigned char *p = out;
	size_t i;
	int hi, lo;

	if (strlen(text) != 2 * n)
		return -1;
	for (i = 0; i < n; i++) {
		hi = hexval(text[2 * i]);
		lo = hexval(text[2 * i + 1]);
		if (hi == -1 || lo == -1)
			return -1;
		p[i] = (unsigned char)(hi << 4 | lo);
	}
	return 0;
}

void
sys_id(char id[ID_LEN + 1])
{
	unsigned char raw[ID_LEN / 2];

	sys_random(raw, sizeof(raw));
	sys_hex(id, raw, sizeof(raw));
}

int
sys_is_id(const char *s)
{
	size_t i;

	for (i = 0; i < ID_LEN; i++)
		if (hexval(s[i]) == -1)
			return 0;
	return s[ID_LEN] == '\0';
}

int
sys_is_slug(const char *s)
{
	size_t i, len = strlen(s);

	if (len == 0 || len > SLUG_MAX || s[0] == '-' || s[len - 1] == '-')
		return 0;
	for (i = 0; i < len; i++)
		if (!((s[i] >= 'a' && s[i] <= 'z') ||
		    (s[i] >= '0' && s[i] <= '9') || s[i] == '-'))
			return 0;
	return 1;
}

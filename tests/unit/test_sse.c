/*
 * Tests of the Server-Sent Events parser and writer.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check. Talks to: nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sse.h"

/* Events are written down as "id|name|data;" one after the other. */
static char log_buf[1024];

static int
on_event(void *arg, const struct sse_event *e)
{
	size_t n = strlen(log_buf);

	(void)arg;
	assert_int_equal(strlen(e->data), e->len);
	(void)snprintf(log_buf + n, sizeof(log_buf) - n, "%s|%s|%s;", e->id,
	    e->name, e->data);
	return (strcmp(e->data, "stop") == 0);
}

static const struct {
	const char	*text, *want;
} rows[] = {
	{ "data: a\n\n", "|message|a;" },
	{ "data:a\n\n", "|message|a;" },
	{ "data:  a\n\n", "|message| a;" },
	{ "data: a\r\n\r\n", "|message|a;" },
	{ "data: a\r\r", "|message|a;" },
	{ "data: a\r\n\n", "|message|a;" },
	{ "data: a\ndata: b\n\n", "|message|a\nb;" },
	{ "data\n\n", "|message|;" },
	{ "data\ndata\n\n", "|message|\n;" },
	{ "data:\n\n", "|message|;" },
	{ "event: x\ndata: a\n\ndata: b\n\n", "|x|a;|message|b;" },
	{ "id: 1\ndata: a\n\ndata: b\n\n", "1|message|a;1|message|b;" },
	{ "id: 1\n\ndata: b\n\n", "1|message|b;" },
	{ "id: 1\ndata: a\n\nid\ndata: b\n\n", "1|message|a;|message|b;" },
	{ ": comment\n\n:\n\n", "" },
	{ ":a\ndata: b\n\n", "|message|b;" },
	{ "event: x\n\n", "" },
	{ "other: x\ndata: a\n\n", "|message|a;" },
	{ "data: a", "" },
	{ "data: a\n", "" },
	{ "\n\n\n", "" },
	{ "\xef\xbb\xbf" "data: a\n\n", "|message|a;" },
	{ "\xef\xbb\xbf\n\ndata: a\n\n", "|message|a;" },
	{ "data: \xef\xbb\xbf\n\n", "|message|\xef\xbb\xbf;" },
	{ "retry: 1500\ndata: a\n\n", "|message|a;" },
	{ "data: {\"a\": \"b:c\"}\n\n", "|message|{\"a\": \"b:c\"};" },
};

static void
test_table(void **state)
{
	static const size_t steps[] = { 1, 2, 3, 1000 };
	struct sse s;
	size_t i, j, at, n, len;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (j = 0; j < sizeof(steps) / sizeof(steps[0]); j++) {
			sse_init(&s, 1000, on_event, NULL);
			log_buf[0] = '\0';
			len = strlen(rows[i].text);
			for (at = 0; at < len; at += n) {
				n = len - at < steps[j] ? len - at : steps[j];
				assert_int_equal(sse_feed(&s,
				    rows[i].text + at, n), 0);
			}
			assert_string_equal(log_buf, rows[i].want);
			sse_free(&s);
		}
}

static int
feed(size_t max, const char *text)
{
	struct sse s;
	int r;

	sse_init(&s, max, on_event, NULL);
	log_buf[0] = '\0';
	r = sse_feed(&s, text, strlen(text));
	sse_free(&s);
	return (r);
}

static void
test_bounds(void **state)
{
	char id[SSE_MAX_ID + 16];

	(void)state;
	assert_int_equal(feed(20, "data: 1234567890\n\n"), 0);
	assert_int_equal(feed(15, "data: 1234567890\n\n"), -1);
	assert_int_equal(feed(10, "data: 123\ndata: 456\ndata: 789\n\n"), -1);
	assert_int_equal(feed(10, ": comment that never ends"), -1);
	assert_int_equal(feed(100, "data: stop\n\ndata: a\n\n"), -1);
	assert_string_equal(log_buf, "|message|stop;");
	memset(id, 'a', sizeof(id));
	memcpy(id, "id: ", 4);
	memcpy(id + sizeof(id) - 3, "\n\n", 3);
	assert_int_equal(feed(1000, id), -1);
}

static void
test_state(void **state)
{
	struct sse s;

	(void)state;
	sse_init(&s, 1000, on_event, NULL);
	log_buf[0] = '\0';
	assert_int_equal(sse_feed(&s, "retry: 700\nid: 7\ndata: x", 25), 0);
	assert_int_equal(s.retry_ms, 700);
	sse_reset(&s);
	assert_int_equal(sse_feed(&s, "data: y\n\n", 9), 0);
	assert_string_equal(log_buf, "7|message|y;");
	sse_free(&s);
}

static void
roundtrip(const char *data, const char *want)
{
	struct sse s;
	size_t size = sse_bound("1", "ev", data, strlen(data));
	char *buf = malloc(size);
	ssize_t n;

	n = sse_write(buf, size, "1", "ev", data, strlen(data));
	assert_true(n > 0 && (size_t)n < size);
	sse_init(&s, 1000, on_event, NULL);
	log_buf[0] = '\0';
	assert_int_equal(sse_feed(&s, buf, (size_t)n), 0);
	assert_string_equal(log_buf, want);
	sse_free(&s);
	free(buf);
}

static void
test_write(void **state)
{
	char buf[64];

	(void)state;
	roundtrip("a", "1|ev|a;");
	roundtrip("", "1|ev|;");
	roundtrip("a\nb", "1|ev|a\nb;");
	roundtrip("a\r\nb\rc\n", "1|ev|a\nb\nc\n;");
	roundtrip("\n\n", "1|ev|\n\n;");
	assert_int_equal(sse_write(buf, sizeof(buf), NULL, NULL, "x", 1), 9);
	assert_string_equal(buf, "data: x\n\n");
	assert_int_equal(sse_write(buf, 9, NULL, NULL, "x", 1), -1);
	assert_int_equal(sse_write(buf, sizeof(buf), "1\n2", NULL, "", 0), -1);
	assert_int_equal(sse_write(buf, sizeof(buf), NULL, "a\r", "", 0), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_write),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}

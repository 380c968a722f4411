/*
 * Tests of agent-link's queue of replies: order, joining, bounds.
 * SPDX-License-Identifier: ISC
 * Runs in: tests. Talks to: nobody.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jpath.h"
#include "outq.h"

/* The next reply must be of this kind; its text, to be freed. */
static char *
pop(struct outq *q, enum reply_kind kind, const char *key, uint64_t *seq)
{
	const struct reply *r;
	const char *body, *why;
	struct jspan v;
	char *text = NULL;
	size_t len;

	r = outq_head(q, &body, &len);
	assert_non_null(r);
	assert_int_equal(r->kind, kind);
	assert_int_equal(jscan_buf(body, len, JSCAN_DEPTH, JSCAN_DUP_ALL,
	    NULL, NULL, &why), 0);
	assert_true(len <= 256 * 1024);
	assert_true(jpath_is(body, len, "trace_id", "t"));
	assert_true(jpath_is(body, len, "channel_id", "c"));
	*seq = r->seq;
	if (key != NULL && jpath(body, len, key, &v) && v.type == JT_STRING)
		text = jpath_text(&v, &len);
	outq_pop(q);
	return text;
}

static void
expect(struct outq *q, enum reply_kind kind, const char *key,
    const char *want)
{
	uint64_t seq;
	char *text = pop(q, kind, key, &seq);

	assert_non_null(text);
	assert_string_equal(text, want);
	free(text);
}

static void
open_queue(struct outq *q)
{
	outq_init(q);
	outq_open(q, "m", "t", "c", 100);
}

static void
test_waiting_deltas_are_joined(void **state)
{
	struct outq q;
	const char *body;
	size_t len;

	(void)state;
	open_queue(&q);
	assert_int_equal(outq_delta(&q, "a", 1), 0);
	assert_int_equal(outq_delta(&q, "b", 1), 0);
	/* On the wire now: it must not grow any more. */
	assert_int_equal(outq_head(&q, &body, &len)->seq, 101);
	assert_int_equal(outq_delta(&q, "c", 1), 0);
	assert_int_equal(outq_delta(&q, "d", 1), 0);
	outq_final(&q);
	assert_int_equal(outq_delta(&q, "late", 4), 0);
	outq_final(&q);
	outq_error(&q, "late");
	expect(&q, REPLY_DELTA, "content", "ab");
	expect(&q, REPLY_DELTA, "content", "cd");
	expect(&q, REPLY_FINAL, "content", "abcd");
	assert_null(outq_head(&q, &body, &len));
	outq_clear(&q);
}

static void
test_seq_rises_over_all_kinds(void **state)
{
	struct tool_event ev = { .id = "x", .tool = "sh", .json = "{\"a\":1}",
	    .len = 7, .duration_ms = -1 };
	struct outq q;
	uint64_t seq, last = 100;

	(void)state;
	open_queue(&q);
	(void)outq_delta(&q, "a", 1);
	assert_int_equal(outq_tool_call(&q, &ev), 0);
	ev.text = "out";
	ev.len = 3;
	assert_int_equal(outq_tool_result(&q, &ev), 0);
	(void)outq_delta(&q, "b", 1);
	outq_error(&q, "broken");
	free(pop(&q, REPLY_DELTA, NULL, &seq));
	assert_true(seq > last);
	last = seq;
	free(pop(&q, REPLY_TOOL_CALL, NULL, &seq));
	assert_true(seq > last);
	last = seq;
	expect(&q, REPLY_TOOL_RESULT, "result", "out");
	free(pop(&q, REPLY_DELTA, NULL, &seq));
	assert_true(seq > last);
	expect(&q, REPLY_ERROR, "error", "broken");
	outq_clear(&q);
}

static void
test_new_attempt_drops_what_waits(void **state)
{
	struct outq q;
	const char *body;
	size_t len;

	(void)state;
	open_queue(&q);
	(void)outq_delta(&q, "wire", 4);
	(void)outq_head(&q, &body, &len);
	(void)outq_delta(&q, "waits", 5);
	outq_attempt(&q, 2);
	(void)outq_delta(&q, "new", 3);
	outq_final(&q);
	expect(&q, REPLY_DELTA, "content", "wire");
	assert_int_equal(outq_head(&q, &body, &len)->attempt, 2);
	expect(&q, REPLY_DELTA, "content", "new");
	expect(&q, REPLY_FINAL, "content", "new");
	outq_clear(&q);
}

static void
test_rollback_corrects_the_final(void **state)
{
	struct outq q;

	(void)state;
	open_queue(&q);
	(void)outq_delta(&q, "good ", 5);
	(void)outq_delta(&q, "broken", 6);
	outq_rollback(&q, 5);
	(void)outq_delta(&q, "end", 3);
	outq_final(&q);
	expect(&q, REPLY_DELTA, "content", "good brokenend");
	expect(&q, REPLY_FINAL, "content", "good end");
	outq_clear(&q);
}

/* A delta is split between characters, and each part is small enough. */
static void
test_long_delta_is_split(void **state)
{
	struct outq q;
	char *text, *part, *all;
	const char *body;
	uint64_t seq;
	size_t i, n = 3 * 20000, len;

	(void)state;
	assert_non_null(text = malloc(n + 1));
	assert_non_null(all = calloc(1, n + 1));
	for (i = 0; i < n; i += 3)
		memcpy(text + i, "\xe2\x82\xac", 3);
	text[n] = '\0';
	open_queue(&q);
	assert_int_equal(outq_delta(&q, text, n), 0);
	for (i = 0; outq_head(&q, &body, &len) != NULL; i++) {
		assert_true(len <= 64 * 1024);
		part = pop(&q, REPLY_DELTA, "content", &seq);
		assert_null(strstr(part, "\xef\xbf\xbd"));
		(void)strlcat(all, part, n + 1);
		free(part);
	}
	assert_true(i >= 6);
	assert_string_equal(all, text);
	free(text);
	free(all);
	outq_clear(&q);
}

static void
test_escaped_text_stays_in_bounds(void **state)
{
	struct outq q;
	char buf[1000];
	const char *body;
	uint64_t seq;
	size_t len;
	int i;

	(void)state;
	memset(buf, 1, sizeof(buf));	/* six bytes each as JSON */
	open_queue(&q);
	for (i = 0; i < 125; i++)
		assert_int_equal(outq_delta(&q, buf, sizeof(buf)), 0);
	outq_final(&q);
	while (outq_head(&q, &body, &len)->kind == REPLY_DELTA) {
		assert_true(len <= 64 * 1024);
		free(pop(&q, REPLY_DELTA, NULL, &seq));
	}
	/* Too long for one reply when escaped: the deltas say it. */
	expect(&q, REPLY_FINAL, "content", "");
	outq_clear(&q);
}

static void
test_bounds_of_a_turn(void **state)
{
	struct tool_event ev = { .id = "x", .tool = "sh", .duration_ms = 5 };
	struct outq q;
	char *big;
	uint64_t seq;
	unsigned int i;

	(void)state;
	assert_non_null(big = malloc(100000));
	memset(big, 'a', 100000);
	open_queue(&q);
	for (i = 0; i < 10; i++)
		assert_int_equal(outq_delta(&q, big, 100000), 0);
	assert_int_equal(outq_delta(&q, big, 100000), -1);
	outq_clear(&q);

	open_queue(&q);
	ev.text = big;
	ev.len = 100000;
	assert_int_equal(outq_tool_result(&q, &ev), 0);
	free(pop(&q, REPLY_TOOL_RESULT, NULL, &seq));
	ev.json = "{}";
	ev.len = 2;
	for (i = 0; i < OUTQ_ITEMS_MAX; i++)
		assert_int_equal(outq_tool_call(&q, &ev), 0);
	assert_int_equal(outq_tool_call(&q, &ev), -1);
	assert_int_equal(outq_delta(&q, "a", 1), -1);
	outq_error(&q, "too much");
	assert_int_equal(q.count, OUTQ_ITEMS_MAX + 1);
	outq_clear(&q);
	free(big);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting_deltas_are_joined),
		cmocka_unit_test(test_seq_rises_over_all_kinds),
		cmocka_unit_test(test_new_attempt_drops_what_waits),
		cmocka_unit_test(test_rollback_corrects_the_final),
		cmocka_unit_test(test_long_delta_is_split),
		cmocka_unit_test(test_escaped_text_stays_in_bounds),
		cmocka_unit_test(test_bounds_of_a_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

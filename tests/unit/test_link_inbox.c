/*
 * Tests of agent-link's inbox: order, de-duplication, acks, overflow.
 * SPDX-License-Identifier: ISC
 * Runs in: tests. Talks to: nobody.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inbox.h"
#include "util.h"

static struct message *
make(unsigned int n)
{
	struct message *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	(void)snprintf(m->id, sizeof(m->id), "id%u", n);
	(void)snprintf(m->trace_id, sizeof(m->trace_id), "tr%u", n);
	m->event_id = n;
	m->text = strdup("hello");
	m->len = 5;
	return m;
}

static enum inbox_verdict
add(struct inbox *in, unsigned int n)
{
	struct message *m = make(n);
	enum inbox_verdict v = inbox_add(in, m);

	if (v != INBOX_NEW)
		message_free(m);
	return v;
}

static void
finish(struct inbox *in, const char *id)
{
	struct message *m = inbox_take(in);

	assert_non_null(m);
	assert_string_equal(m->id, id);
	assert_null(inbox_take(in));	/* one at a time */
	inbox_over(in, m);
}

static void
test_order_and_acks(void **state)
{
	struct inbox *in = inbox_new();

	(void)state;
	assert_int_equal(add(in, 1), INBOX_NEW);
	assert_int_equal(add(in, 2), INBOX_NEW);
	inbox_saw(in, 3);	/* an abort: covered only after 1 and 2 */
	assert_int_equal(inbox_acked(in), 0);
	finish(in, "id1");
	assert_int_equal(inbox_acked(in), 1);
	finish(in, "id2");
	assert_int_equal(inbox_acked(in), 3);
	inbox_saw(in, 7);
	assert_int_equal(inbox_acked(in), 7);
	inbox_free(in);
}

static void
test_delivered_again(void **state)
{
	struct inbox *in = inbox_new();
	struct message *m;

	(void)state;
	assert_int_equal(add(in, 1), INBOX_NEW);
	assert_int_equal(add(in, 1), INBOX_WAITING);
	m = inbox_take(in);
	assert_int_equal(add(in, 1), INBOX_WAITING);
	inbox_over(in, m);
	assert_int_equal(add(in, 1), INBOX_OVER);
	assert_null(inbox_take(in));
	inbox_free(in);
}

static void
test_seen_is_bounded(void **state)
{
	struct inbox *in = inbox_new();
	char id[16];
	unsigned int i;

	(void)state;
	for (i = 1; i <= INBOX_SEEN + 1; i++) {
		(void)snprintf(id, sizeof(id), "id%u", i);
		assert_int_equal(add(in, i), INBOX_NEW);
		finish(in, id);
	}
	assert_int_equal(add(in, 2), INBOX_OVER);
	assert_int_equal(add(in, 1), INBOX_NEW);	/* forgotten */
	inbox_free(in);
}

static void
test_overflow_keeps_the_order(void **state)
{
	struct inbox *in = inbox_new();
	char id[16];
	unsigned int i;

	(void)state;
	for (i = 1; i <= INBOX_MAX; i++)
		assert_int_equal(add(in, i), INBOX_NEW);
	assert_int_equal(add(in, i), INBOX_FULL);
	finish(in, "id1");
	/* There is room, but the one before it was refused. */
	assert_int_equal(add(in, i + 1), INBOX_FULL);
	assert_false(inbox_wants_redelivery(in));
	for (i = 2; i <= INBOX_MAX; i++) {
		(void)snprintf(id, sizeof(id), "id%u", i);
		finish(in, id);
	}
	assert_int_equal(inbox_acked(in), INBOX_MAX);
	assert_int_equal(inbox_last_event(in), INBOX_MAX);
	assert_true(inbox_wants_redelivery(in));
	inbox_redelivery(in);
	assert_int_equal(add(in, INBOX_MAX + 1), INBOX_NEW);
	assert_int_equal(add(in, INBOX_MAX + 2), INBOX_NEW);
	inbox_free(in);
}

static void
test_bytes_are_bounded(void **state)
{
	struct inbox *in = inbox_new();
	struct message *m;
	unsigned int i;

	(void)state;
	for (i = 1; i <= 4; i++) {
		m = make(i);
		m->len = INBOX_BYTES / 4;
		assert_int_equal(inbox_add(in, m), INBOX_NEW);
	}
	assert_int_equal(add(in, i), INBOX_FULL);
	inbox_free(in);
}

static void
test_abort_of_a_waiting_one(void **state)
{
	struct inbox *in = inbox_new();
	struct message *m;

	(void)state;
	assert_int_equal(add(in, 1), INBOX_NEW);
	assert_false(inbox_abort(in, "tr9"));
	assert_true(inbox_abort(in, "tr1"));
	m = inbox_take(in);
	assert_true(m->aborted);
	inbox_over(in, m);
	inbox_free(in);
}

static void
test_backoff(void **state)
{
	unsigned int step, i, ms;

	(void)state;
	for (i = 0; i < 100; i++) {
		step = 0;
		ms = retry_next(&step);
		assert_in_range(ms, 37, 63);
		ms = retry_next(&step);
		assert_in_range(ms, 75, 125);
		for (step = 6; step < 20;) {
			ms = retry_next(&step);
			assert_in_range(ms, 1500, 2500);
		}
	}
}

static void
test_utf8_prefix(void **state)
{
	(void)state;
	assert_int_equal(utf8_prefix("abc", 3, 5), 3);
	assert_int_equal(utf8_prefix("abcdef", 6, 5), 5);
	assert_int_equal(utf8_prefix("ab\xe2\x82\xac", 5, 4), 2);
	assert_int_equal(utf8_prefix("ab\xe2\x82\xac" "c", 6, 5), 5);
	assert_int_equal(utf8_prefix("\xf0\x9f\x98\x80x", 5, 3), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_acks),
		cmocka_unit_test(test_delivered_again),
		cmocka_unit_test(test_seen_is_bounded),
		cmocka_unit_test(test_overflow_keeps_the_order),
		cmocka_unit_test(test_bytes_are_bounded),
		cmocka_unit_test(test_abort_of_a_waiting_one),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_utf8_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Tests of how the trace worker is read: filters, order, limits, tails,
 * agents, retention.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "sys.h"
#include "trace_util.h"

/* Six events over three hours, two turns, two channels. */
static void
fill(void)
{
	static const struct {
		const char	*kind, *trace, *channel;
		double		 at;
	} list[] = {
		{ "message_in", "t1", "c1", NOW - 7000 },
		{ "llm_call", "t1", "c1", NOW - 6999 },
		{ "message_out", "t1", "c1", NOW - 3000 },
		{ "message_in", "t2", "c2", NOW - 2000 },
		{ "llm_call", "t2", "c2", NOW + 10 },
		{ "error", "t2", "c1", NOW + 20 },
	};
	struct m_trace_event m;
	char payload[32];
	size_t i;

	event_init(&m);
	for (i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		m.kind = list[i].kind;
		m.trace_id = list[i].trace;
		m.channel_id = list[i].channel;
		m.created_at = list[i].at;
		snprintf(payload, sizeof(payload), "{\"n\":%zu}", i);
		assert_int_equal(put(&m, payload, NOW), 202);
	}
}

/* The numbers of the rows, as text. */
static const char *
shown(const struct filter *f, unsigned int limit)
{
	static char text[64];
	const char *p;
	size_t i;

	ask(f, limit);
	text[0] = '\0';
	for (i = 0; i < rows.n; i++) {
		assert_non_null(p = strstr(rows.json[i], "{\"n\":"));
		strlcat(text, (char[]){ p[5], '\0' }, sizeof(text));
	}
	return text;
}

static void
test_filters(void **state)
{
	struct filter f;

	(void)state;
	fill();
	assert_string_equal(shown(NULL, 0), "543210");
	assert_string_equal(shown(NULL, 4), "5432");
	assert_string_equal(shown(NULL, 100000), "543210");
	filter_init(&f);
	f.kind = "llm_call";
	assert_string_equal(shown(&f, 0), "41");
	f.trace_id = "t1";
	assert_string_equal(shown(&f, 0), "1");
	f.kind = "";
	assert_string_equal(shown(&f, 0), "210");
	assert_string_equal(shown(&f, 2), "21");
	f.channel_id = "c2";
	assert_string_equal(shown(&f, 0), "");
	f.trace_id = "";
	assert_string_equal(shown(&f, 0), "43");
	f.channel_id = "c1";
	assert_string_equal(shown(&f, 1), "5");
	filter_init(&f);
	f.since = NOW - 3000;
	assert_string_equal(shown(&f, 0), "5432");
	f.until = NOW + 10;
	assert_string_equal(shown(&f, 0), "432");
	f.since = f.until;
	assert_string_equal(shown(&f, 0), "4");
	filter_init(&f);
	f.kind = "' OR 1=1 --";
	assert_string_equal(shown(&f, 0), "");
}

static void
test_nothing(void **state)
{
	(void)state;
	assert_int_equal(ask(NULL, 0), 0);
}

static void
test_many(void **state)
{
	struct m_trace_event m;
	char payload[32];
	size_t i;

	(void)state;
	event_init(&m);
	for (i = 0; i < 1500; i++) {
		snprintf(payload, sizeof(payload), "{\"i\":%zu}", i);
		/* All of one microsecond: the order of commit decides. */
		add(&m, payload, NOW);
	}
	store_flush();
	assert_int_equal(ask(NULL, 1000), 1000);
	for (i = 0; i < 1000; i++) {
		snprintf(payload, sizeof(payload), "{\"i\":%zu}", 1499 - i);
		assert_true(row_has(i, payload));
	}
}

/* Front is slow: the query waits for it and goes on where it was. */
static void
test_pause(void **state)
{
	struct filter f;
	int i;

	(void)state;
	fill();
	filter_init(&f);
	rows_clear();
	assert_null(query_start(7, "root", AGENT, &f, 0, false));
	rows.full = true;
	for (i = 0; i < 100; i++)
		turn();
	assert_int_equal(rows.n + (size_t)rows.ends, 0);
	rows.full = false;
	query_resume();
	for (i = 0; i < 100; i++)
		turn();
	assert_int_equal(rows.n, 6);
	assert_int_equal(rows.ends, 1);
	assert_int_equal(query_count(), 0);
}

static void
live_later(int i)
{
	struct m_trace_event m;
	char payload[32];

	event_init(&m);
	m.created_at = NOW + 100 + i * 0.1;
	m.kind = i % 2 ? "llm_call" : "message_in";
	snprintf(payload, sizeof(payload), "{\"live\":%d}", i);
	add(&m, payload, NOW);
}

static void
live(int i)
{
	live_later(i);
	store_flush();
	assert_int_equal(last_status, 202);
}

static void
test_tail(void **state)
{
	struct filter f;
	struct m_trace_event m;
	int i;

	(void)state;
	fill();
	filter_init(&f);
	rows_clear();
	assert_null(query_start(7, "root", AGENT, &f, 3, true));
	/* Committed while it still looks: shown once, in its place. */
	live(0);
	for (i = 0; i < 50; i++)
		turn();
	live(1);
	event_init(&m);
	m.agent_id = OTHER;
	assert_int_equal(put(&m, "{}", NOW), 202);
	turn();
	assert_in_range(rows.n, 4, 5);
	assert_true(row_has(rows.n - 2, "{\"live\":0}"));
	assert_true(row_has(rows.n - 1, "{\"live\":1}"));
	assert_true(row_has(rows.n - 3, "{\"n\":5}"));
	assert_true(row_has(rows.n - 4, "{\"n\":4}"));
	assert_string_equal(rows.event[0], "trace");
	assert_int_equal(rows.ends, 0);
	query_cancel(7);
	live(2);
	assert_in_range(rows.n, 4, 5);
	assert_int_equal(query_count(), 0);
}

static void
test_tail_filter(void **state)
{
	struct filter f;
	int i;

	(void)state;
	filter_init(&f);
	f.kind = "llm_call";
	rows_clear();
	assert_null(query_start(7, "root", AGENT, &f, 3, true));
	for (i = 0; i < 20; i++)
		turn();
	for (i = 0; i < 6; i++)
		live(i);
	assert_int_equal(rows.n, 3);
	assert_true(row_has(0, "{\"live\":1}"));
	assert_true(row_has(2, "{\"live\":5}"));
}

/* A repetition is no news. */
static void
test_tail_repetition(void **state)
{
	struct filter f;
	int i;

	(void)state;
	filter_init(&f);
	rows_clear();
	assert_null(query_start(7, "root", AGENT, &f, 3, true));
	for (i = 0; i < 20; i++)
		turn();
	{
		struct m_trace_event m;

		event_init(&m);
		m.id = "same";
		m.created_at = NOW;
		put(&m, "{}", NOW);
		put(&m, "{}", NOW);
	}
	assert_int_equal(rows.n, 1);
}

/* Behind a slow front a tail is bounded: first kept, then cut. */
static void
test_tail_bound(void **state)
{
	struct filter f;
	int i;

	(void)state;
	filter_init(&f);
	rows_clear();
	assert_null(query_start(7, "root", AGENT, &f, 3, true));
	for (i = 0; i < 20; i++)
		turn();
	rows.full = true;
	for (i = 0; i < TAIL_PENDING; i++)
		live_later(i);
	store_flush();
	assert_int_equal(rows.ends, 0);
	rows.full = false;
	query_resume();
	for (i = 0; i < 200; i++)
		turn();
	assert_int_equal(rows.n, TAIL_PENDING);
	for (i = 0; i < TAIL_PENDING; i++) {
		char text[32];

		snprintf(text, sizeof(text), "{\"live\":%d}", i);
		assert_true(row_has((size_t)i, text));
	}
	rows.full = true;
	for (i = 0; i < TAIL_PENDING + 1; i++)
		live_later(i);
	store_flush();
	assert_int_equal(rows.ends, 1);
	assert_int_equal(rows.status, 503);
	assert_int_equal(query_count(), 0);
}

static void
test_caps(void **state)
{
	struct filter f;
	int i, refused = 0;

	(void)state;
	filter_init(&f);
	for (i = 0; i < QUERIES_OF_ONE + 3; i++)
		refused += query_start((uint64_t)i, "root", AGENT, &f, 1,
		    true) != NULL;
	assert_int_equal(refused, 3);
	assert_null(query_start(999, "uid:1000", AGENT, &f, 1, true));
	query_cancel_all();
	assert_int_equal(query_count(), 0);
}

static void
test_agents(void **state)
{
	struct agent a;

	(void)state;
	assert_int_equal(agents_find("bob", &a), 0);
	assert_int_equal(agents_put(AGENT, "bob", "root"), 0);
	assert_int_equal(agents_find("bob", &a), 1);
	assert_string_equal(a.id, AGENT);
	assert_int_equal(agents_put(OTHER, "bob", "uid:7"), 0);
	assert_int_equal(agents_find("bob", &a), 1);
	assert_string_equal(a.id, OTHER);
	assert_string_equal(a.owner, "uid:7");
	/* keeper says it again: that does not make it the newest. */
	assert_int_equal(agents_put(AGENT, "bob", "root"), 0);
	assert_int_equal(agents_find("bob", &a), 1);
	assert_string_equal(a.id, OTHER);
	/* Read by id, also when the slug is another's. */
	assert_int_equal(agents_find(AGENT, &a), 1);
	assert_string_equal(a.owner, "root");
	assert_int_equal(agents_put("..", "bob", "root"), -1);
	assert_int_equal(agents_put(AGENT, "../x", "root"), -1);
	assert_int_equal(agents_find("../x", &a), 0);
	agents_close();
	agents_init(state_dir);
	assert_int_equal(agents_find("bob", &a), 1);
}

static void
test_retention(void **state)
{
	struct m_trace_event m;
	double now = sys_time();
	char name[HOUR_NAME], file[32];
	int i;

	(void)state;
	event_init(&m);
	m.created_at = now - 5 * 86400;
	assert_int_equal(put(&m, "{\"old\":1}", now), 202);
	bucket_name(name, hour_of(m.created_at));
	snprintf(file, sizeof(file), "%s.db", name);
	m.created_at = now;
	assert_int_equal(put(&m, "{\"new\":1}", now), 202);
	m.agent_id = OTHER;
	m.created_at = now - 5 * 86400;
	assert_int_equal(put(&m, "{\"old\":1}", now), 202);
	sweep_init(base);
	sweep_conf(0);
	for (i = 0; i < 20; i++)
		turn();
	assert_true(exists(AGENT, file));
	sweep_conf(3);
	for (i = 0; i < 20; i++)
		turn();
	store_flush();
	assert_false(exists(AGENT, file));
	assert_false(exists(OTHER, "."));
	assert_int_equal(ask(NULL, 0), 2);
	assert_true(row_has(0, "\"event\":\"retention\",\"hours\":1"));
	assert_true(row_has(1, "\"new\":1"));
}

#define T(f)	cmocka_unit_test_setup_teardown(f, trace_setup, trace_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_filters), T(test_nothing), T(test_many), T(test_pause),
		T(test_tail), T(test_tail_filter), T(test_tail_repetition),
		T(test_tail_bound), T(test_caps), T(test_agents),
		T(test_retention),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

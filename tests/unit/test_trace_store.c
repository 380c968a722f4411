/*
 * Tests of how the trace worker stores events: hours, repetitions, clamped
 * times, fallback, crash, hostile files.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <sys/types.h>
#include <sys/stat.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"
#include "trace_util.h"

#define HOUR	"2026-11-22T16"

static void
path_of(char *out, size_t size, const char *agent, const char *file)
{
	snprintf(out, size, "%s/%s", state_dir, agent);
	(void)mkdir(out, 0700);
	snprintf(out, size, "%s/%s/%s", state_dir, agent, file);
}

static void
test_names(void **state)
{
	static const char *const bad[] = {
		"", "2026-11-22T16", "2026-11-22T24.db", "2026-13-01T00.db",
		"2026-11-31T00.db", "2026-1-22T016.db", "+026-11-22T16.db",
		"2026-11-22 16.db", "agents.db", "..", "1960-01-01T00.db",
		NULL
	};
	char name[HOUR_NAME];
	const char *suffix;
	size_t i;

	(void)state;
	bucket_name(name, hour_of(NOW));
	assert_string_equal(name, HOUR);
	assert_int_equal(bucket_hour(HOUR ".db", &suffix), hour_of(NOW));
	assert_string_equal(suffix, ".db");
	assert_int_equal(bucket_hour(HOUR ".jsonl", &suffix), hour_of(NOW));
	for (i = 0; bad[i] != NULL; i++)
		assert_int_equal(bucket_hour(bad[i], &suffix), -1);
}

static void
test_checks(void **state)
{
	struct m_trace_event m;

	(void)state;
	event_init(&m);
	assert_null(tev_check(&m));
	m.kind = "message";
	assert_non_null(tev_check(&m));
	event_init(&m);
	m.agent_id = "../../../../etc/passwd0123456789";
	assert_non_null(tev_check(&m));
	event_init(&m);
	m.trace_id = "a b";
	assert_non_null(tev_check(&m));
	m.trace_id = "a\nb";
	assert_non_null(tev_check(&m));
	m.trace_id = "\xc3\xa4";
	assert_non_null(tev_check(&m));
}

static void
test_hours(void **state)
{
	struct m_trace_event m;

	(void)state;
	event_init(&m);
	m.created_at = NOW - 7200;
	assert_int_equal(put(&m, "{\"n\":1}", NOW), 202);
	m.created_at = NOW + 1;
	assert_int_equal(put(&m, "{\"n\":2}", NOW + 1), 202);
	m.created_at = NOW - 1;
	assert_int_equal(put(&m, "{\"n\":3}", NOW), 202);
	assert_true(exists(AGENT, "2026-11-22T14.db"));
	assert_true(exists(AGENT, "2026-11-22T15.db"));
	assert_true(exists(AGENT, "2026-11-22T16.db"));
	assert_int_equal(count_files(AGENT), 3);
	assert_int_equal(ask(NULL, 0), 3);
	assert_true(row_has(0, "\"n\":2"));
	assert_true(row_has(1, "\"n\":3"));
	assert_true(row_has(2, "\"n\":1"));
}

static void
test_clamp(void **state)
{
	static const double hostile[] = {
		1e18, -1e18, 1, 4102444800.0, -1, NAN, INFINITY, -INFINITY,
		5e-324
	};
	struct m_trace_event m;
	size_t i;

	(void)state;
	event_init(&m);
	for (i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		m.created_at = hostile[i];
		assert_int_equal(put(&m, "{}", NOW), 202);
	}
	/* Now, five minutes ahead (the same hour), a week ago: two. */
	assert_int_equal(count_files(AGENT), 2);
	assert_true(exists(AGENT, "2026-11-15T16.db"));
	assert_int_equal(ask(NULL, 0), 9);
	for (i = 0; i < rows.n; i++)
		assert_true(row_has(i, "{\"original_created_at\":"));
	assert_true(row_has(0, "1e+18") || row_has(1, "1e+18"));
	/* A time within the window is left alone, and so is its payload. */
	m.created_at = NOW - 86400;
	assert_int_equal(put(&m, "{}", NOW), 202);
	ask(NULL, 0);
	for (i = 0; i < rows.n; i++)
		if (row_has(i, "\"created_at\":1795276800"))
			break;
	assert_true(row_has(i, "\"payload\":{}"));
}

static void
test_payloads(void **state)
{
	struct m_trace_event m;

	(void)state;
	event_init(&m);
	put(&m, "[1]", NOW);
	ask(NULL, 0);
	assert_true(row_has(0, "\"payload\":{\"text\":\"[1]\"}"));
	put(&m, "{\"a\":1} x", NOW + 1);
	ask(NULL, 0);
	assert_true(row_has(0, "\"payload\":{\"text\":\"{\\\"a\\\":1} x\"}"));
	put(&m, "", NOW + 2);
	ask(NULL, 0);
	assert_true(row_has(0, "\"payload\":{}"));
	put(&m, "\n{\"a\":\n1}\n", NOW + 3);
	ask(NULL, 0);
	assert_true(row_has(0, "{\"a\": 1}"));
	assert_null(strchr(rows.json[0], '\n'));
	/* A payload that plays the writer moves one level down. */
	m.created_at = 1e18;
	put(&m, "{\"original_created_at\":5,\"x\":1}", NOW + 4);
	ask(NULL, 0);
	assert_true(row_has(0, "{\"original_created_at\":1e+18,\"payload\":"
	    "{\"original_created_at\":5,\"x\":1}}"));
}

static void
test_money(void **state)
{
	struct m_trace_event m;

	(void)state;
	event_init(&m);
	m.cost_pico = 1;
	put(&m, "", NOW);
	ask(NULL, 0);
	assert_true(row_has(0, "\"cost_usd\":0.000000000001,"));
	m.cost_pico = 1500000000000;
	put(&m, "", NOW + 1);
	ask(NULL, 0);
	assert_true(row_has(0, "\"cost_usd\":1.5,"));
	m.cost_pico = 0;
	put(&m, "", NOW + 2);
	ask(NULL, 0);
	assert_true(row_has(0, "\"cost_usd\":0.0,"));
}

static void
test_repetition(void **state)
{
	struct m_trace_event m;

	(void)state;
	event_init(&m);
	m.id = "one";
	assert_int_equal(put(&m, "{\"a\":1}", NOW), 202);
	assert_int_equal(put(&m, "{\"a\":1}", NOW + 5), 202);
	assert_int_equal(ask(NULL, 0), 1);
	/* Without a time of its own, sent again in the next hour. */
	assert_int_equal(put(&m, "{\"a\":1}", NOW + 3605), 202);
	assert_int_equal(ask(NULL, 0), 1);
	assert_false(exists(AGENT, "2026-11-22T17.db"));
}

/* A mebibyte of what is no JSON: cut, but there, and shown. */
static void
test_text_cut(void **state)
{
	struct m_trace_event m;
	char *text = malloc(TRACE_PAYLOAD + 1);

	(void)state;
	memset(text, 1, TRACE_PAYLOAD);
	text[TRACE_PAYLOAD] = '\0';
	event_init(&m);
	assert_int_equal(put(&m, text, NOW), 202);
	free(text);
	assert_int_equal(ask(NULL, 0), 1);
	assert_true(row_has(0, "\"cut_from\":1048576}"));
	assert_in_range(strlen(rows.json[0]), 6 * 262144, 6 * 262144 + 1000);
}

/* An agent that guesses an id cannot suppress the genuine event. */
static void
test_conflict(void **state)
{
	struct m_trace_event m;
	char first[65];
	int i;

	(void)state;
	event_init(&m);
	m.id = "one";
	m.created_at = NOW;
	assert_int_equal(put(&m, "{\"forged\":1}", NOW), 202);
	for (i = 0; i < 3; i++) {
		m.source = "gateway";
		assert_int_equal(put(&m, "{\"genuine\":1}", NOW), 202);
		assert_string_not_equal(last_id, "one");
		if (i == 0)
			strlcpy(first, last_id, sizeof(first));
		assert_string_equal(last_id, first);
	}
	assert_int_equal(ask(NULL, 0), 2);
	assert_true(row_has(0, "{\"conflict_of\":\"one\",\"genuine\":1}"));
	assert_true(row_has(1, "{\"forged\":1}"));
	/* The same in one commit. */
	m.id = "two";
	add(&m, "{\"b\":1}", NOW);
	add(&m, "{\"b\":2}", NOW);
	add(&m, "{\"b\":1}", NOW);
	store_flush();
	assert_int_equal(ask(NULL, 0), 4);
}

static void
test_fallback(void **state)
{
	struct m_trace_event m;
	char path[256];
	FILE *f;

	(void)state;
	/* A directory where the database should be. */
	path_of(path, sizeof(path), AGENT, HOUR ".db");
	assert_int_equal(mkdir(path, 0700), 0);
	event_init(&m);
	m.created_at = NOW;
	m.id = "one";
	assert_int_equal(put(&m, "{\"a\":1}", NOW), 202);
	m.id = "two";
	m.created_at = NOW + 1;
	m.kind = "error";
	assert_int_equal(put(&m, "{\"a\":2}", NOW), 202);
	assert_true(exists(AGENT, HOUR ".jsonl"));
	assert_int_equal(ask(NULL, 0), 2);
	assert_true(row_has(0, "\"a\":2"));
	assert_true(row_has(0, "}}"));
	assert_false(row_has(0, "digest"));
	/* A line that a crash tore, and one of somebody else. */
	path_of(path, sizeof(path), AGENT, HOUR ".jsonl");
	f = fopen(path, "a");
	fputs("{\"id\":\"x\",\"created_at\":1795363201}\n{\"v\":1,\"id", f);
	fclose(f);
	m.id = "three";
	assert_int_equal(put(&m, "{\"a\":3}", NOW), 202);
	assert_int_equal(ask(NULL, 0), 3);
	/* The database works again: what is sent again is shown once. */
	path_of(path, sizeof(path), AGENT, HOUR ".db");
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(put(&m, "{\"a\":3}", NOW), 202);
	m.id = "four";
	assert_int_equal(put(&m, "{\"a\":4}", NOW), 202);
	assert_true(exists(AGENT, HOUR ".db"));
	assert_int_equal(ask(NULL, 0), 4);
}

/* Of a long fallback the newest lines are shown, as of a bucket. */
static void
test_fallback_long(void **state)
{
	struct m_trace_event m;
	char path[256], payload[32];
	int i;

	(void)state;
	path_of(path, sizeof(path), AGENT, HOUR ".db");
	assert_int_equal(mkdir(path, 0700), 0);
	event_init(&m);
	m.id = "";
	for (i = 0; i < 5 * QUERY_LIMIT; i++) {
		m.created_at = NOW + i / 100.0;
		(void)snprintf(payload, sizeof(payload), "{\"a\":%d}", i);
		add(&m, payload, NOW);
	}
	turn();
	assert_int_equal(ask(NULL, 1), 1);
	assert_true(row_has(0, "\"a\":4999"));
	rows_clear();
	assert_int_equal(ask(NULL, QUERY_LIMIT), QUERY_LIMIT);
	assert_true(row_has(QUERY_LIMIT - 1, "\"a\":4000"));
}

static void
test_no_room(void **state)
{
	struct m_trace_event m;
	char path[256];
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/" AGENT, state_dir);
	f = fopen(path, "w");
	fclose(f);
	event_init(&m);
	assert_int_equal(put(&m, "{}", NOW), 507);
	assert_int_equal(store_waiting(), 0);
	/* Others are not concerned. */
	m.agent_id = OTHER;
	assert_int_equal(put(&m, "{}", NOW), 202);
}

static void
test_damaged(void **state)
{
	struct m_trace_event m;
	char path[256];
	FILE *f;

	(void)state;
	path_of(path, sizeof(path), AGENT, HOUR ".db");
	f = fopen(path, "w");
	fputs("this is no database, and it is long enough to be looked at\n",
	    f);
	fclose(f);
	event_init(&m);
	assert_int_equal(put(&m, "{\"a\":1}", NOW), 202);
	assert_true(exists(AGENT, HOUR ".jsonl"));
	assert_int_equal(ask(NULL, 0), 1);
}

/* Links lead nowhere. */
static void
test_symlinks(void **state)
{
	struct m_trace_event m;
	char path[256], target[256];

	(void)state;
	snprintf(target, sizeof(target), "%s/elsewhere", state_dir);
	assert_int_equal(mkdir(target, 0700), 0);
	event_init(&m);
	path_of(path, sizeof(path), AGENT, HOUR ".db");
	strlcat(target, "/x", sizeof(target));
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(put(&m, "{}", NOW), 202);
	assert_true(exists(AGENT, HOUR ".jsonl"));
	path_of(path, sizeof(path), AGENT, "2026-11-22T17.jsonl");
	assert_int_equal(symlink(target, path), 0);
	path_of(path, sizeof(path), AGENT, "2026-11-22T17.db");
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(put(&m, "{}", NOW + 3600), 507);
	snprintf(path, sizeof(path), "%s/" OTHER, state_dir);
	*strrchr(target, '/') = '\0';
	assert_int_equal(symlink(target, path), 0);
	m.agent_id = OTHER;
	assert_int_equal(put(&m, "{}", NOW), 507);
	assert_int_equal(rmdir(target), 0);
}

static void
copy_file(const char *from, const char *to)
{
	char buf[8192];
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	size_t n;

	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0)
		assert_int_equal(fwrite(buf, 1, n, out), n);
	fclose(in);
	assert_int_equal(fclose(out), 0);
}

/*
 * No close, no checkpoint: what is on the disk at the last acknowledgement
 * is all there is after a crash.
 */
static void
test_crash(void **state)
{
	static const char *const files[] = { HOUR ".db", HOUR ".db-wal" };
	struct m_trace_event m;
	char id[16], from[256], dir[128], to[256];
	size_t i;

	(void)state;
	event_init(&m);
	for (i = 0; i < 300; i++) {
		snprintf(id, sizeof(id), "e%zu", i);
		m.id = id;
		add(&m, "{}", NOW);
		if (i % 7 == 0)
			store_flush();
	}
	store_flush();
	assert_int_equal(acks, 300);
	snprintf(dir, sizeof(dir), "%s/crashed", state_dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	snprintf(to, sizeof(to), "%s/" AGENT, dir);
	assert_int_equal(mkdir(to, 0700), 0);
	for (i = 0; i < 2; i++) {
		snprintf(from, sizeof(from), "%s/" AGENT "/%s", state_dir,
		    files[i]);
		snprintf(to, sizeof(to), "%s/" AGENT "/%s", dir, files[i]);
		copy_file(from, to);
	}
	bucket_init(dir);
	assert_int_equal(ask(NULL, 1000), 300);
	m.id = "e5";
	assert_int_equal(put(&m, "{}", NOW), 202);
	assert_int_equal(ask(NULL, 1000), 300);
}

static void
test_handles(void **state)
{
	struct m_trace_event m;
	int i;

	(void)state;
	event_init(&m);
	for (i = 0; i < 40; i++) {
		m.created_at = NOW - i * 3600;
		assert_int_equal(put(&m, "{}", NOW), 202);
		assert_true(bucket_open_count() <= BUCKETS_OPEN);
	}
	assert_int_equal(ask(NULL, 0), 40);
	assert_true(bucket_open_count() <= BUCKETS_OPEN);
	bucket_idle(0);
	assert_int_equal(bucket_open_count(), 0);
	assert_int_equal(ask(NULL, 0), 40);
}

static void
test_queue_cap(void **state)
{
	struct m_trace_event m;
	char *big;
	struct tev *e;
	size_t n;

	(void)state;
	event_init(&m);
	for (n = 0; n < 100; n++) {
		big = calloc(1, TRACE_PAYLOAD + 1);
		memset(big, 'x', TRACE_PAYLOAD);
		memcpy(big, "{\"x\":\"", 6);
		memcpy(big + TRACE_PAYLOAD - 2, "\"}", 2);
		e = tev_new(&m, "bob", big, TRACE_PAYLOAD, NOW);
		assert_non_null(e);
		if (store_add(e) == -1)
			break;
	}
	assert_in_range(n, 8, 40);
	assert_true(store_waiting() <= TRACE_QUEUE);
	store_flush();
	assert_int_equal(store_waiting(), 0);
	assert_int_equal(ask(NULL, 0), n);
}

#define T(f)	cmocka_unit_test_setup_teardown(f, trace_setup, trace_teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		T(test_names), T(test_checks), T(test_hours), T(test_clamp),
		T(test_payloads), T(test_money), T(test_repetition),
		T(test_text_cut), T(test_conflict), T(test_fallback),
		T(test_fallback_long), T(test_no_room),
		T(test_damaged), T(test_symlinks), T(test_crash),
		T(test_handles), T(test_queue_cap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Tests of keeper: going back to a snapshot, forks, schedules.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "keeper_steps.h"
#include "workers/keeper/keeper.h"
#include "workers/keeper/snapshot.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

/* Until nothing is under way any more. */
static void
settle(const char *word)
{
	assert_true(fake_until(word));
	fake_run(50);
}

static void
expect_live(void)
{
	assert_int_equal(step_get("alpha"), 200);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM agent WHERE "
	    "status = 'running'"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM saga"), 0);
}

/* Going back to a snapshot that was cut is done to its end. */
static void
test_rewind_goes_on(void **state)
{
	struct m_snap		 r = { { NULL, 0 }, "alpha", "restore",
	    "kept" };
	struct fake_answer	 a;

	(void)state;
	step_deploy();
	script.hold = "snap:restore";
	(void)fake_send(MSG_SNAP_ACTION, &r, &a);
	assert_true(fake_until("snap:restore"));
	fake_kill();
	script.hold = NULL;
	fake_begin();
	settle("start");
	assert_non_null(strstr(fake_log(), "snap:restore"));
	r.pass.ptr = NULL;
	r.name = "other";
	fake_log_clear();
	fake_ask(MSG_SNAP_ACTION, &r, &ans);
	assert_int_equal(ans.status, 404);
	assert_null(strstr(fake_log(), "stop"));
	expect_live();
}

/* What the snapshot brought with it does not run, even if it is given up. */
static void
test_rewind_given_up(void **state)
{
	struct m_snap	 r = { { NULL, 0 }, "alpha", "restore", "kept" };

	(void)state;
	step_deploy();
	script.fail = "snap:restore";
	script.fail_status = 500;
	fake_log_clear();
	fake_ask(MSG_SNAP_ACTION, &r, &ans);
	assert_int_equal(ans.status, 500);
	assert_non_null(strstr(fake_log(), "limits net:0 conf:running start"));
	script.fail = NULL;
	expect_live();
}

/* One that is made counts, also if older ones cannot be removed. */
static void
test_schedule_prune_fails(void **state)
{
	struct m_snap_schedule	 s = { { NULL, 0 }, "alpha", "daily keep 1" };

	(void)state;
	step_deploy();
	script.fail = "snap:list";
	script.fail_status = 500;
	fake_log_clear();
	fake_ask(MSG_SNAP_SCHEDULE, &s, &ans);
	assert_int_equal(ans.status, 200);
	settle("snap:list");
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM snapshot_made "
	    "WHERE at > strftime('%s', 'now') - 3600"), 1);
}

static void
test_fork(void **state)
{
	struct m_agent_fork	 f = { .slug = "alpha", .name = "Beta",
	    .snapshot = "kept", .idempotency_key = "" };

	(void)state;
	step_deploy();
	fake_log_clear();
	fake_ask(MSG_AGENT_FORK, &f, &ans);
	assert_int_equal(ans.status, 202);
	assert_true(step_has("\"name\":\"beta\""));
	assert_true(fake_until("copy:kept"));
	f.snapshot = "../x";
	f.pass.ptr = NULL;
	fake_ask(MSG_AGENT_FORK, &f, &ans);
	assert_int_equal(ans.status, 422);
}

/* Who adds a column to agent adds it to archive: see AGENT_COLS. */
static void
test_columns(void **state)
{
	(void)state;
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM "
	    "pragma_table_info('agent') WHERE name NOT IN "
	    "(SELECT name FROM pragma_table_info('archive'))"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM "
	    "pragma_table_info('agent')"), AGENT_NCOLS);
	/*
	 * Who adds one says in movedoc_record(), movedoc_policy(),
	 * movedoc_agent() and in twin() of fork.c what becomes of it, or that
	 * it is of this server or of this moment (second list).
	 */
	assert_int_equal(fake_count("SELECT count(*) FROM "
	    "pragma_table_info('agent') WHERE name NOT IN ('display_name', "
	    "'framework', 'model', 'fallbacks', 'emoji', 'color', 'memory', "
	    "'cpus', 'disk', 'processes', 'network', 'domains', 'idle', "
	    "'snapshots', 'channel_id', 'id', 'owner_id', 'slug', "
	    "'created_at') AND name NOT IN ('status', 'instance', 'uid_base', "
	    "'uid_count', 'next_event', 'started_at', 'last_seen', 'asleep', "
	    "'paused_by', 'image', 'reason')"), 0);
}

static void
test_schedule(void **state)
{
	static const char *const bad[] = { "daily", "daily keep", "x",
	    "daily keep 0", "daily keep 101", "daily keep 1 ", "daily keep +1",
	    "weekly keep 1", " off", "Daily keep 1", "hourly keep -1" };
	struct schedule	 s;
	size_t		 i;

	(void)state;
	assert_int_equal(schedule_parse("daily keep 7", &s), 0);
	assert_true(s.every == 86400 && s.keep == 7);
	assert_int_equal(schedule_parse("hourly keep 24", &s), 0);
	assert_true(s.every == 3600 && s.keep == 24);
	assert_int_equal(schedule_parse("off", &s), 0);
	assert_int_equal(s.every, 0);
	assert_int_equal(schedule_parse("", &s), 0);
	for (i = 0; i < N(bad); i++)
		assert_int_equal(schedule_parse(bad[i], &s), -1);
	assert_true(snapshot_name_ok("a"));
	assert_true(snapshot_name_ok("20260101T000000.x_y-z"));
	assert_false(snapshot_name_ok(""));
	assert_false(snapshot_name_ok("a..b"));
	assert_false(snapshot_name_ok("a/b"));
	assert_false(snapshot_name_ok("-a"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_rewind_goes_on),
		T(test_rewind_given_up),
		T(test_schedule_prune_fails),
		T(test_fork),
		T(test_columns),
		cmocka_unit_test(test_schedule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Tests of keeper: work in steps.  Each step of an archive and a restore
 * fails once, and is killed in the middle once.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "keeper_steps.h"
#include "sys.h"
#include "workers/keeper/keeper.h"

#define N(a)	(sizeof(a) / sizeof((a)[0]))

static uint32_t
put_away(void)
{
	struct m_agent_remove	 r = { { NULL, 0 }, "alpha", 0, 0, 0 };

	fake_log_clear();
	fake_ask(MSG_AGENT_REMOVE, &r, &ans);
	return ans.status;
}

static uint32_t
act(const char *action)
{
	struct m_archive_action	 a = { { NULL, 0 }, agent, "", action };

	fake_log_clear();
	fake_ask(MSG_ARCHIVE_ACTION, &a, &ans);
	return ans.status;
}

/* Asks, and does not wait: the step that is held never ends. */
static void
send_remove_how(struct fake_answer *a, bool force, uint32_t timeout)
{
	struct m_agent_remove	 r = { { NULL, 0 }, "alpha", 0, force,
	    timeout };

	fake_log_clear();
	(void)fake_send(MSG_AGENT_REMOVE, &r, a);
}

static void
send_remove(struct fake_answer *a)
{
	send_remove_how(a, false, 0);
}

static void
send_restore_to(struct fake_answer *a, const char *state)
{
	struct m_archive_action	 r = { { NULL, 0 }, agent, state, "restore" };

	fake_log_clear();
	(void)fake_send(MSG_ARCHIVE_ACTION, &r, a);
}

static void
send_restore(struct fake_answer *a)
{
	send_restore_to(a, "");
}

static unsigned
archived_rows(void)
{
	struct m_api	 m = { { NULL, 0 } };

	fake_ask(MSG_ARCHIVE_LIST, &m, &ans);
	assert_int_equal(ans.status, 200);
	return ans.rows;
}

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
	assert_int_equal(archived_rows(), 0);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM agent WHERE "
	    "status = 'running'"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM archive"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM saga"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM channel WHERE "
	    "archived_at = ''"), 1);
}

static void
expect_archived(void)
{
	assert_int_equal(step_get("alpha"), 404);
	assert_int_equal(archived_rows(), 1);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM agent"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM archive WHERE "
	    "slug = 'alpha' AND length(archived_at) = 15"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM saga"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM channel WHERE "
	    "length(archived_at) = 15 AND archived_slug = 'alpha'"), 1);
}

static void
test_archive(void **state)
{
	(void)state;
	step_deploy();
	assert_int_equal(step_post("unheard", ""), 201);
	assert_int_equal(put_away(), 200);
	assert_true(step_has("\"status\":\"archived\""));
	assert_true(step_has("\"snapshot_name\":\"agentd-archive-"));
	/* In this order: what can be undone comes first. */
	assert_non_null(strstr(fake_log(), "probe "));
	assert_true(strstr(fake_log(), "stop ") <
	    strstr(fake_log(), "snap:make "));
	assert_true(strstr(fake_log(), "snap:make ") <
	    strstr(fake_log(), "tag:archived "));
	assert_true(strstr(fake_log(), "tag:archived ") <
	    strstr(fake_log(), "drop "));
	assert_true(strstr(fake_log(), "drop ") <
	    strstr(fake_log(), "unlisten "));
	assert_int_equal(step_post("too late", ""), 409);
	assert_true(step_has("archived"));
	expect_archived();
	assert_int_equal(fake_count("SELECT count(*) FROM outbox"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM message WHERE "
	    "state = 'error' AND error LIKE '%archived%'"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM audit WHERE "
	    "action = 'AGENT_ARCHIVE'"), 1);
}

/* It is asked to finish first; who speaks meanwhile is told why not. */
static void
test_archive_prepares(void **state)
{
	static struct fake_answer	 a;

	(void)state;
	step_deploy();
	script.hold_prepare = true;
	send_remove(&a);
	assert_true(fake_until("probe"));
	fake_run(50);
	assert_false(a.done);
	assert_null(strstr(fake_log(), "stop"));
	assert_int_equal(step_post("meanwhile", ""), 409);
	assert_true(step_has("agent alpha is being archived"));
	fake_prepared();
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, "\"status\":\"ready\""));
	expect_archived();
	assert_int_equal(fake_count("SELECT count(*) FROM message"), 0);
}

/* It does not finish, or is not asked, or is killed while it is. */
static void
test_archive_prepare_ends(void **state)
{
	static struct fake_answer	 a;

	step_deploy();
	script.hold_prepare = true;
	send_remove_how(&a, false, 1);
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, "\"status\":\"timed out\""));
	expect_archived();
	(void)step_teardown(state), (void)step_setup(state);
	step_deploy();
	script.hold_prepare = true;
	send_remove_how(&a, true, 0);
	assert_true(fake_done(&a));
	assert_non_null(strstr(a.text, "\"status\":\"not asked\""));
	expect_archived();
	(void)step_teardown(state), (void)step_setup(state);
	step_deploy();
	script.hold_prepare = true;
	send_remove(&a);
	assert_true(fake_until("probe"));
	fake_run(50);
	fake_kill();
	fake_begin();
	fake_run(100);
	assert_null(strstr(fake_log(), "stop"));
	fake_subscribe(agent);
	assert_int_equal(step_post("and on", ""), 201);
	assert_true(fake_event(message));
	expect_live();
}

/* W67: any step may fail: the agent lives as before. */
static void
test_archive_step_fails(void **state)
{
	static const struct {
		const char	*word;
		uint32_t	 status;
		const char	*undone;	/* is in the log then */
	} steps[] = {
		{ "probe", 503, NULL }, { "probe", 409, NULL },
		{ "stop", 502, "start" },
		{ "snap:make", 507, "snap:delete" },
		{ "tag:archived", 500, "tag:live" },
		{ "drop", 507, "policy" },
		{ "unlisten", 500, "listen" },
	};
	size_t	 i;

	for (i = 0; i < N(steps); i++) {
		if (i > 0)
			(void)step_teardown(state), (void)step_setup(state);
		step_deploy();
		script.fail = steps[i].word;
		script.fail_status = steps[i].status;
		assert_int_equal(put_away(), steps[i].status);
		assert_true(step_has("scripted"));
		if (steps[i].undone != NULL) {
			assert_non_null(strstr(fake_log(), steps[i].undone));
			assert_non_null(strstr(fake_log(), "start"));
			assert_non_null(strstr(fake_log(), "conf:running"));
		}
		assert_null(strstr(fake_log(), "gone"));
		script.fail = NULL;
		expect_live();
	}
}

/* W67: SIGKILL in any step: the agent lives as before. */
static void
test_archive_killed(void **state)
{
	static const char *const words[] = { "probe", "stop", "snap:make",
	    "tag:archived", "drop", "unlisten" };
	struct fake_answer	 a;
	size_t			 i;

	for (i = 0; i < N(words); i++) {
		if (i > 0)
			(void)step_teardown(state), (void)step_setup(state);
		step_deploy();
		script.hold = words[i];
		send_remove(&a);
		assert_true(fake_until(words[i]));
		fake_run(20);
		assert_false(a.done);
		fake_kill();
		script.hold = NULL;
		fake_begin();
		if (i > 0)
			settle("start");
		else
			fake_run(100);
		expect_live();
	}
}

/* The worker dies and comes back: the step is done again, and it goes on. */
static void
test_archive_outlives_container(void **state)
{
	struct fake_answer	 a;

	(void)state;
	step_deploy();
	script.hold = "snap:make";
	send_remove(&a);
	assert_true(fake_until("snap:make"));
	script.hold = NULL;
	fake_down(PROC_CONTAINER);
	fake_run(20);
	fake_log_clear();
	fake_up(PROC_CONTAINER);
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(fake_log(), "snap:make"));
	expect_archived();
}

/* W01: no instance, and only if that is sure. */
static void
test_tombstone(void **state)
{
	(void)state;
	step_deploy();
	script.fail = "probe";
	script.fail_status = 404;
	assert_int_equal(step_post("said", ""), 201);
	assert_int_equal(put_away(), 200);
	assert_true(step_has("\"snapshot_name\":null"));
	assert_null(strstr(fake_log(), "stop"));
	assert_null(strstr(fake_log(), "snap"));
	script.fail = NULL;
	assert_int_equal(act("restore"), 409);
	assert_int_equal(act("purge"), 200);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM archive"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM channel"), 0);
}

static void
test_nothing_to_keep(void **state)
{
	(void)state;
	step_deploy();
	script.fail = "probe";
	script.fail_status = 404;
	assert_int_equal(put_away(), 200);
	assert_true(step_has("\"status\":\"deleted\""));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM archive"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM agent"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM channel"), 0);
}

static void
test_restore(void **state)
{
	struct fake_answer	 a;

	(void)state;
	step_deploy();
	assert_int_equal(put_away(), 200);
	/* The name was taken meanwhile. */
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	send_restore(&a);
	assert_true(fake_until("start"));
	fake_subscribe(agent);
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 200);
	assert_non_null(strstr(a.text, "\"name\":\"alpha-2\""));
	assert_non_null(strstr(fake_log(), "model:demo"));
	assert_non_null(strstr(fake_log(), "snap:restore"));
	assert_non_null(strstr(fake_log(), "tag:live"));
	assert_int_equal(step_get("alpha-2"), 200);
	assert_true(step_has("\"status\":\"running\""));
	assert_int_equal(archived_rows(), 0);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM saga"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM channel_member "
	    "WHERE member = 'alpha-2'"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM channel WHERE "
	    "archived_at <> ''"), 0);
}

/* Whatever it was when it was put away it is again. */
static void
test_restore_state(void **state)
{
	static struct fake_answer	 a;

	step_deploy();
	assert_int_equal(step_act("alpha", "stop"), 200);
	assert_int_equal(put_away(), 200);
	assert_int_equal(act("restore"), 200);
	assert_true(step_has("\"state\":\"stopped\"") &&
	    step_has("\"new_llm_key\":false"));
	assert_null(strstr(fake_log(), "start"));
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"stopped\""));
	(void)step_teardown(state), (void)step_setup(state);
	step_deploy();
	assert_int_equal(step_act("alpha", "pause"), 200);
	assert_int_equal(put_away(), 200);
	/* As it was also after a restore that failed. */
	script.fail = "freeze";
	script.fail_status = 500;
	send_restore(&a);
	assert_true(fake_until("start"));
	fake_subscribe(agent);
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 500);
	script.fail = NULL;
	send_restore(&a);
	assert_true(fake_until("start"));
	fake_subscribe(agent);
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 200);
	assert_true(fake_until("freeze"));
	assert_true(fake_until("conf:paused"));
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"paused\"") &&
	    step_has("\"paused_by\":\"user\""));
	/* The client may say otherwise. */
	assert_int_equal(put_away(), 200);
	send_restore_to(&a, "asleep");
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 422);
	send_restore_to(&a, "running");
	assert_true(fake_until("start"));
	fake_subscribe(agent);
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 200);
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"running\"") &&
	    step_has("\"paused_by\":null"));
	expect_live();
}

static const char *const restore_words[] = { "probe", "model", "listen",
    "snap:restore", "policy", "tag:live", "limits", "net",
    "start" };

static void
test_restore_step_fails(void **state)
{
	size_t	 i;

	for (i = 0; i < N(restore_words); i++) {
		if (i > 0)
			(void)step_teardown(state), (void)step_setup(state);
		step_deploy();
		assert_int_equal(put_away(), 200);
		script.fail = restore_words[i];
		script.fail_status = 500;
		assert_int_not_equal(act("restore"), 200);
		script.fail = NULL;
		expect_archived();
	}
}

static void
test_restore_killed(void **state)
{
	struct fake_answer	 a;
	char			 word[32];
	size_t			 i;

	for (i = 0; i < N(restore_words); i++) {
		if (i > 0)
			(void)step_teardown(state), (void)step_setup(state);
		step_deploy();
		assert_int_equal(put_away(), 200);
		script.hold = restore_words[i];
		send_restore(&a);
		(void)strlcpy(word, restore_words[i], sizeof(word));
		assert_true(fake_until(word));
		fake_run(20);
		fake_kill();
		script.hold = NULL;
		fake_begin();
		fake_run(150);
		expect_archived();
	}
}

/* A model that is away on the day of a restore that fails is not lost. */
static void
test_restore_takes_nothing(void **state)
{
	struct m_agent_set	 s;
	struct fake_answer	 a;

	(void)state;
	step_deploy();
	memset(&s, 0, sizeof(s));
	s.slug = "alpha";
	s.has_model = s.has_fallbacks = 1;
	s.model = "other";
	s.fallbacks = "demo";
	fake_ask(MSG_AGENT_SET, &s, &ans);
	assert_int_equal(ans.status, 200);
	assert_int_equal(put_away(), 200);
	script.fail = "model:other";
	script.fail_status = 404;
	script.hold = "start";
	send_restore(&a);
	assert_true(fake_until("start"));
	assert_int_equal(archived_rows(), 0);
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"model\":\"demo\""));
	fake_kill();
	script.fail = script.hold = NULL;
	fake_begin();
	fake_run(150);
	expect_archived();
	assert_int_equal(fake_count("SELECT count(*) FROM archive WHERE "
	    "model = 'other' AND fallbacks = 'demo'"), 1);
}

/* What has begun to be purged is purged, whoever dies. */
static void
test_purge_goes_on(void **state)
{
	struct m_archive_action	 r = { { NULL, 0 }, agent, "", "purge" };
	struct fake_answer	 a;

	(void)state;
	step_deploy();
	assert_int_equal(put_away(), 200);
	script.hold = "destroy";
	(void)fake_send(MSG_ARCHIVE_ACTION, &r, &a);
	assert_true(fake_until("destroy"));
	assert_int_equal(act("restore"), 409);
	assert_true(step_has("purge is under way"));
	fake_kill();
	script.hold = NULL;
	fake_begin();
	settle("drop");
	assert_int_equal(archived_rows(), 0);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM archive"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM saga"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM audit WHERE "
	    "action = 'ARCHIVE_PURGE'"), 1);
}

/* An archived instance is known: it is not an orphan. */
static void
test_not_an_orphan(void **state)
{
	(void)state;
	step_deploy();
	assert_int_equal(put_away(), 200);
	fake_kill();
	script.instance_status = "Stopped";
	fake_begin();
	settle("list");
	assert_null(strstr(fake_log(), "destroy"));
	expect_archived();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_archive),
		T(test_archive_prepares),
		T(test_archive_prepare_ends),
		T(test_archive_step_fails),
		T(test_archive_killed),
		T(test_archive_outlives_container),
		T(test_tombstone),
		T(test_nothing_to_keep),
		T(test_restore),
		T(test_restore_state),
		T(test_restore_step_fails),
		T(test_restore_killed),
		T(test_restore_takes_nothing),
		T(test_purge_goes_on),
		T(test_not_an_orphan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

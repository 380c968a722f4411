/*
 * Tests of keeper: prepare, pause and resume, changes, several at once.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "keeper_steps.h"
#include "log.h"

static uint32_t
set(struct m_agent_set *s)
{
	fake_ask(MSG_AGENT_SET, s, &ans);
	return ans.status;
}

static void
test_pause(void **state)
{
	(void)state;
	step_deploy();
	fake_log_clear();
	assert_int_equal(step_act("alpha", "pause"), 200);
	assert_true(step_has("\"status\":\"paused\""));
	/* The link has finished before gateway refuses, then it is frozen. */
	assert_true(fake_until("conf:paused freeze"));
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"paused\"") &&
	    step_has("\"paused_by\":\"user\""));
	assert_int_equal(step_post("hello", ""), 201);
	assert_true(step_has("\"state\":\"queued\"") &&
	    step_has("\"note\":\"agent alpha is paused"));
	assert_int_equal(step_act("alpha", "start"), 409);
	assert_int_equal(step_act("alpha", "restart"), 409);
	assert_int_equal(step_act("alpha", "pause"), 200);
	/* Paused means frozen, also for the next keeper. */
	script.instance_status = "Running";
	fake_kill();
	fake_begin();
	assert_true(fake_until("freeze"));
	assert_true(fake_until("conf:paused"));
	assert_int_equal(step_act("alpha", "resume"), 200);
	assert_true(step_has("\"status\":\"resumed\""));
	assert_true(fake_until("conf:running"));
	assert_true(fake_until("thaw"));
	fake_subscribe(agent);
	assert_true(fake_event(message));
	assert_int_equal(step_act("alpha", "resume"), 200);
	assert_true(step_has("\"status\":\"ok\""));
}

/* Whose bins can be looked at, and why others cannot. */
static void
test_recycle_agents(void **state)
{
	struct m_api	 m = { { NULL, 0 } };

	(void)state;
	step_deploy();
	fake_ask(MSG_RECYCLE_AGENTS, &m, &ans);
	assert_int_equal(ans.status, 200);
	assert_int_equal(ans.rows, 1);
	assert_true(step_has("\"agent_name\":\"alpha\",\"reason\":null"));
	assert_int_equal(step_act("alpha", "pause"), 200);
	m.pass.ptr = NULL;
	fake_ask(MSG_RECYCLE_AGENTS, &m, &ans);
	assert_true(step_has("alpha is paused"));
}

/* Until it has finished it stays as it is, and gets nothing new. */
static void
test_prepare(void **state)
{
	static struct fake_answer stop;
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "stop", 0, 300 };

	(void)state;
	step_deploy();
	script.hold_prepare = true;
	fake_log_clear();
	(void)fake_send(MSG_AGENT_ACTION, &a, &stop);
	fake_run(50);
	assert_false(stop.done);
	assert_null(strstr(fake_log(), "conf:stopped"));
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"stopping\""));
	assert_int_equal(step_act("alpha", "start"), 409);
	assert_true(step_has("a stop is under way"));
	assert_int_equal(step_post("hello", ""), 201);
	fake_run(50);
	assert_null(strstr(fake_events(), message));
	fake_prepared();
	assert_true(fake_done(&stop));
	assert_int_equal(stop.status, 200);
	assert_non_null(strstr(stop.text, "\"status\":\"ready\""));
	assert_true(fake_until("conf:stopped stop"));
}

static void
test_deadline(void **state)
{
	static struct fake_answer stop;
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "stop", 0, 1 };

	(void)state;
	step_deploy();
	script.hold_prepare = true;
	(void)fake_send(MSG_AGENT_ACTION, &a, &stop);
	assert_true(fake_done(&stop));
	assert_int_equal(stop.status, 200);
	assert_non_null(strstr(stop.text, "\"status\":\"timed out\""));
}

static void
test_force(void **state)
{
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "stop", 1, 0 };

	(void)state;
	step_deploy();
	script.hold_prepare = true;
	fake_ask(MSG_AGENT_ACTION, &a, &ans);
	assert_int_equal(ans.status, 200);
	assert_true(step_has("\"status\":\"not asked\""));
}

static void
test_set(void **state)
{
	struct m_agent_set	 s;

	(void)state;
	step_deploy();
	memset(&s, 0, sizeof(s));
	s.slug = "alpha";
	s.has_model = s.has_emoji = s.has_name = 1;
	s.model = "other";
	s.emoji = "X";
	s.name = "Beta";
	/* proxy says no, or nothing: nothing changes. */
	script.policy = 404;
	assert_int_equal(set(&s), 409);
	script.policy = 500;
	assert_int_equal(set(&s), 503);
	assert_true(step_has("nothing was changed"));
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"model\":\"demo\"") &&
	    step_has("\"emoji\":null") &&
	    step_has("\"display_name\":\"Alpha\""));
	script.policy = 200;
	assert_int_equal(set(&s), 200);
	assert_true(step_has("\"name\":\"beta\""));
	assert_int_equal(step_get("alpha"), 404);
	assert_int_equal(step_get("beta"), 200);
	assert_true(step_has("\"model\":\"other\"") &&
	    step_has("\"emoji\":\"X\""));
	assert_int_equal(step_post("still there?", ""), 201);
	s.slug = "beta";
	s.name = "bulk";
	assert_int_equal(set(&s), 409);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM channel_member "
	    "WHERE member = 'beta'"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM channel_member "
	    "WHERE member = 'alpha'"), 0);
}

/* proxy took it and is gone: the next one is told the row. */
static void
test_set_lost(void **state)
{
	static struct fake_answer	 first;
	struct m_agent_set		 s;

	(void)state;
	step_deploy();
	memset(&s, 0, sizeof(s));
	s.slug = "alpha";
	s.has_model = 1;
	s.model = "other";
	script.hold_policy = true;
	(void)fake_send(MSG_AGENT_SET, &s, &first);
	fake_run(50);
	fake_down(PROC_PROXY);
	assert_true(fake_done(&first));
	assert_int_equal(first.status, 503);
	script.hold_policy = false;
	fake_log_clear();
	fake_up(PROC_PROXY);
	assert_true(fake_until("policy"));
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"model\":\"demo\""));
}

/* An Incus that is restarted is no reason to call an agent broken. */
static void
test_incus_away(void **state)
{
	struct m_ct_row	 missed;

	(void)state;
	step_deploy();
	assert_int_equal(step_act("alpha", "stop"), 200);
	script.fail = "start";
	script.fail_status = 503;
	assert_int_equal(step_act("alpha", "start"), 503);
	assert_int_equal(step_get("alpha"), 200);
	assert_false(step_has("\"status\":\"failed\""));
	script.fail = NULL;
	script.instance_status = "Stopped";
	fake_log_clear();
	memset(&missed, 0, sizeof(missed));
	fake_tell(PROC_CONTAINER, MSG_CT_EVENT, &missed);
	assert_true(fake_until("start"));
	/* But what it says of this one counts. */
	script.fail = "restart";
	script.fail_status = 500;
	fake_run(20);
	assert_int_equal(step_act("alpha", "restart"), 500);
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"failed\""));
}

/* The name is taken while proxy thinks: neither agent is lost. */
static void
test_set_taken(void **state)
{
	static struct fake_answer	 first;
	struct m_agent_set		 s;

	(void)state;
	step_deploy();
	memset(&s, 0, sizeof(s));
	s.slug = "alpha";
	s.has_name = 1;
	s.name = "Beta";
	script.hold_policy = true;
	fake_log_clear();
	(void)fake_send(MSG_AGENT_SET, &s, &first);
	assert_true(fake_until("policy"));
	script.hold_policy = false;
	step_ask_deploy("Beta", "");
	assert_int_equal(ans.status, 202);
	fake_release();
	assert_true(fake_done(&first));
	assert_int_equal(first.status, 409);
	assert_int_equal(step_get("beta"), 200);
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"display_name\":\"Alpha\""));
	assert_int_equal(step_act("alpha", "stop"), 200);
}

static void
test_bulk(void **state)
{
	struct m_agent_bulk	 b;

	(void)state;
	step_deploy();
	memset(&b, 0, sizeof(b));
	b.action = "stop";
	b.names = "alpha\nnobody\nalpha";
	fake_ask(MSG_AGENT_BULK, &b, &ans);
	assert_int_equal(ans.status, 200);
	assert_true(step_has("\"action\":\"stop\""));
	assert_true(step_has("\"alpha\":{\"success\":true"));
	assert_true(step_has("\"nobody\":{\"success\":false"));
	b.action = "start";
	b.names = "";
	fake_ask(MSG_AGENT_BULK, &b, &ans);
	assert_true(step_has("\"alpha\":{\"success\":true"));
	assert_false(step_has("nobody"));
	/* What no agent can be called is not all of them. */
	b.action = "stop";
	b.names = "a-name-that-is-longer-than-the-name-of-any-agent-could-be";
	fake_ask(MSG_AGENT_BULK, &b, &ans);
	assert_int_equal(ans.status, 422);
	assert_int_equal(step_get("alpha"), 200);
	assert_false(step_has("\"status\":\"stopped\""));
	b.action = "dance";
	fake_ask(MSG_AGENT_BULK, &b, &ans);
	assert_int_equal(ans.status, 400);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_recycle_agents), T(test_pause), T(test_prepare), T(test_deadline),
		T(test_force), T(test_set), T(test_set_lost),
		T(test_set_taken), T(test_incus_away), T(test_bulk),
	};

	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

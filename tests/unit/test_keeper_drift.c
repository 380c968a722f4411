/*
 * Tests of keeper: what should be against what is, and its repair.
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
#include "log.h"

#define OTHER	"00000000000000000000000000000001"

static void
drift(void)
{
	struct m_api	 m = { { NULL, 0 } };

	fake_ask(MSG_API_DRIFT, &m, &ans);
	assert_int_equal(ans.status, 200);
}

static uint32_t
repair(const char *kind, const char *name)
{
	struct m_api_repair	 m = { { NULL, 0 }, kind, name };

	fake_ask(MSG_API_REPAIR, &m, &ans);
	return ans.status;
}

/* Everybody knows the agent. */
static void
all_well(void)
{
	step_deploy();
	script.held[PROC_SUPER] = script.held[PROC_PROXY] =
	    script.held[PROC_GATEWAY] = agent;
	drift();
	assert_true(step_has("\"drift\":[]"));
	assert_true(step_has("\"unanswered\":[]"));
	fake_log_clear();
}

static void
test_nothing(void **state)
{
	(void)state;
	all_well();
	assert_int_equal(repair("", ""), 200);
	assert_true(step_has("\"repaired\":0"));
	assert_int_equal(repair("", "alpha"), 404);
}

/* Who was asked before a deploy ended does not know of it: that is well. */
static void
test_old_answer(void **state)
{
	static struct fake_answer	 look;
	struct m_api_repair		 m = { { NULL, 0 }, "", "" };

	(void)state;
	script.hold_create = true;
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	step_pick("agent_id", agent);
	assert_true(fake_until("create"));
	fake_run(20);
	script.hold_list = true;
	fake_log_clear();
	(void)fake_send(MSG_API_REPAIR, &m, &look);
	assert_true(fake_until("list"));
	script.hold_create = false;
	fake_release();
	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	script.hold_list = false;
	fake_release();
	assert_true(fake_done(&look));
	assert_non_null(strstr(look.text, "\"drift\":[]"));
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"running\""));
}

/* What is missing at the others is given to them again. */
static void
test_missing(void **state)
{
	(void)state;
	all_well();
	script.held[PROC_SUPER] = script.held[PROC_PROXY] =
	    script.held[PROC_GATEWAY] = NULL;
	drift();
	assert_true(step_has("\"kind\":\"policy\"") &&
	    step_has("\"kind\":\"socket\"") &&
	    step_has("\"kind\":\"gateway\""));
	assert_null(strstr(fake_log(), "policy"));
	assert_int_equal(repair("socket", ""), 200);
	assert_true(step_has("\"repaired\":1") &&
	    step_has("\"result\":\"left alone\""));
	assert_true(fake_until("listen"));
	assert_null(strstr(fake_log(), "policy"));
	assert_int_equal(repair("", ""), 200);
	assert_true(step_has("\"repaired\":3") && step_has("\"failed\":0"));
	assert_true(fake_until("policy"));
}

/* What is there of an agent that is no more goes. */
static void
test_left_behind(void **state)
{
	(void)state;
	all_well();
	script.held[PROC_SUPER] = script.held[PROC_PROXY] =
	    script.held[PROC_GATEWAY] = OTHER;
	drift();
	assert_true(step_has("\"kind\":\"key\"") &&
	    step_has("\"kind\":\"directory\"") &&
	    step_has("\"kind\":\"ghost\""));
	assert_int_equal(repair("key", "somebody"), 200);
	assert_true(fake_until("drop"));
	assert_null(strstr(fake_log(), "unlisten"));
	assert_int_equal(repair("ghost", ""), 200);
	assert_true(fake_until("gone"));
	script.unlisten = 500;
	assert_int_equal(repair("directory", ""), 200);
	assert_true(step_has("\"failed\":1") && step_has("scripted"));
}

/* A copy by hand is shown and never touched; nor is it taken for the agent. */
static void
test_copy(void **state)
{
	(void)state;
	all_well();
	script.instance = "backup";
	drift();
	assert_true(step_has("\"kind\":\"copy\",\"name\":\"backup\"") &&
	    step_has("\"repair\":null"));
	assert_true(step_has("\"kind\":\"instance\",\"name\":\"alpha\""));
	assert_true(step_has("\"repair\":\"mark as failed\""));
	assert_int_equal(repair("", "backup"), 404);
	assert_null(strstr(fake_log(), "destroy"));
}

/* An agent without an instance has failed; a new one only by its name. */
static void
test_rebuild(void **state)
{
	static struct fake_answer	 a;
	struct m_agent_ref		 r = { { NULL, 0 }, "alpha" };

	(void)state;
	all_well();
	assert_int_equal(step_post("kept", ""), 201);
	fake_ask(MSG_AGENT_REBUILD, &r, &ans);
	assert_int_equal(ans.status, 409);
	assert_true(step_has("its instance is there"));
	assert_null(strstr(fake_log(), "create"));
	fake_unsubscribe();
	script.instance = "";
	assert_int_equal(repair("", ""), 200);
	assert_null(strstr(fake_log(), "create"));
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"failed\"") &&
	    step_has("agentctl agent rebuild alpha"));
	script.fail = "probe";
	script.fail_status = 404;
	/* Killed in the middle it goes on. */
	script.hold = "limits";
	r.pass.ptr = NULL;
	(void)fake_send(MSG_AGENT_REBUILD, &r, &a);
	assert_true(fake_until("create:again"));
	assert_true(fake_until("limits"));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM message"), 1);
	script.hold = NULL;
	fake_begin();
	assert_true(fake_until("limits"));
	assert_null(strstr(fake_log(), "destroy"));
	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	assert_true(fake_event(message));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM agent WHERE "
	    "status = 'running' AND uid_base = 1000000 AND reason = ''"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM saga"), 0);
}

/* It cannot be made: the agent and what was said stay. */
static void
test_rebuild_fails(void **state)
{
	struct m_agent_ref	 r = { { NULL, 0 }, "alpha" };

	(void)state;
	all_well();
	assert_int_equal(step_post("kept", ""), 201);
	fake_unsubscribe();
	script.fail = "probe";
	script.fail_status = 404;
	script.create = 507;
	fake_ask(MSG_AGENT_REBUILD, &r, &ans);
	assert_int_equal(ans.status, 507);
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"failed\"") &&
	    step_has("scripted"));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM message"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM outbox"), 1);
}

/* Without its agent it is shown; it goes when somebody says so. */
static void
test_orphan(void **state)
{
	(void)state;
	script.instance = "backup";
	script.instance_agent = OTHER;
	fake_kill();
	fake_begin();
	assert_true(fake_until("list"));
	fake_run(50);
	assert_null(strstr(fake_log(), "destroy"));
	drift();
	assert_true(step_has("\"kind\":\"orphan\",\"name\":\"backup\""));
	assert_int_equal(repair("orphan", "backup"), 200);
	assert_true(step_has("\"result\":\"done\""));
	assert_non_null(strstr(fake_log(), "destroy"));
}

static void
test_power(void **state)
{
	(void)state;
	all_well();
	script.instance_status = "Stopped";
	drift();
	assert_true(step_has("\"kind\":\"power\"") &&
	    step_has("\"should\":\"running\",\"is\":\"Stopped\","
	    "\"repair\":\"start\""));
	assert_int_equal(repair("power", "alpha"), 200);
	assert_true(step_has("\"result\":\"done\""));
	assert_non_null(strstr(fake_log(), "start"));
}

/* Who does not answer proves nothing. */
static void
test_silent(void **state)
{
	(void)state;
	all_well();
	fake_down(PROC_PROXY);
	fake_down(PROC_CONTAINER);
	fake_run(20);
	drift();
	assert_true(step_has("\"drift\":[]"));
	assert_true(step_has("\"unanswered\":[\"container\",\"proxy\"]"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_nothing), T(test_old_answer), T(test_missing), T(test_left_behind),
		T(test_copy), T(test_rebuild),
		T(test_rebuild_fails), T(test_orphan), T(test_power), T(test_silent),
	};

	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

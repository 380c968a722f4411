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
	assert_int_equal(repair("", "backup"), 404);
	assert_null(strstr(fake_log(), "destroy"));
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
		T(test_nothing), T(test_missing), T(test_left_behind),
		T(test_copy), T(test_orphan), T(test_power), T(test_silent),
	};

	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

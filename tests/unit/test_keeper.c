/*
 * Tests of keeper: deploys and their roll-back, the life of an agent.
 * Several kill it somewhere.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "keeper_steps.h"
#include "log.h"
#include "sys.h"

static void
test_deploy(void **state)
{
	(void)state;
	step_deploy();
	assert_true(step_has("\"status\":\"running\""));
	assert_true(step_has("\"connected\":true"));
	assert_int_equal(step_deploy_status("alpha"), 200);
	assert_true(step_has("\"status\":\"success\""));
	assert_true(step_has("\"step\":\"planned\"") && step_has("\"step\":\"policy\"") &&
	    step_has("\"step\":\"socket\"") && step_has("\"step\":\"instance\"") &&
	    step_has("\"step\":\"connected\"") && step_has("\"step\":\"channel\"") &&
	    step_has("\"step\":\"running\""));
	/* The name is taken: the answer says which one it got. */
	step_ask_deploy("alpha", "");
	assert_int_equal(ans.status, 202);
	assert_true(step_has("\"name\":\"alpha-2\"") &&
	    step_has("\"display_name\":\"alpha\""));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM agent WHERE "
	    "slug = 'alpha' AND uid_base = 1000000 AND uid_count = 65536"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM channel"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM audit WHERE "
	    "action = 'AGENT_DEPLOY' AND owner_id = 'token'"), 2);
}

/* W22: a name of any length, as often as one likes, gives a good slug. */
static void
test_long_names(void **state)
{
	static const char	 name[] = "0123456789012345678901234567890123456"
	    "7890123456789a bc";
	static const char *const slugs[] = {
	    "01234567890123456789012345678901234567890123456789a",
	    "01234567890123456789012345678901234567890123456789-2",
	    "01234567890123456789012345678901234567890123456789-3" };
	size_t			 i;

	(void)state;
	for (i = 0; i < 3; i++) {
		step_ask_deploy(name, "");
		assert_int_equal(ans.status, 202);
		assert_non_null(strstr(ans.text, slugs[i]));
		assert_true(sys_is_slug(slugs[i]));
	}
}

static void
test_deploy_refused(void **state)
{
	struct m_agent_deploy	 d;

	(void)state;
	memset(&d, 0, sizeof(d));
	d.name = "x";
	d.framework = "nosuch";
	fake_ask(MSG_AGENT_DEPLOY, &d, &ans);
	assert_int_equal(ans.status, 400);
	assert_true(step_has("there are: pi"));
	d.framework = "pi";
	d.memory = 5;
	fake_ask(MSG_AGENT_DEPLOY, &d, &ans);
	assert_int_equal(ans.status, 422);
	d.memory = 0;
	d.color = "blue";
	fake_ask(MSG_AGENT_DEPLOY, &d, &ans);
	assert_int_equal(ans.status, 422);
	d.color = "";
	d.name = "!!";
	fake_ask(MSG_AGENT_DEPLOY, &d, &ans);
	assert_int_equal(ans.status, 400);
}

static void
test_no_model(void **state)
{
	(void)state;
	script.policy = 404;
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 404);
	assert_true(step_has("scripted"));
	assert_true(fake_until("gone"));
	assert_null(strstr(fake_log(), "create"));
	assert_null(strstr(fake_log(), "destroy"));
	assert_true(fake_until("unlisten"));
	assert_true(fake_until("drop"));
	step_nothing();
}

static void
test_no_socket(void **state)
{
	(void)state;
	script.listen = 500;
	step_ask_deploy("Alpha", "");
	assert_true(fake_until("gone"));
	assert_null(strstr(fake_log(), "create"));
	step_nothing();
}

static void
test_no_instance(void **state)
{
	(void)state;
	script.create = 500;
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	assert_true(fake_until("gone"));
	assert_non_null(strstr(strstr(fake_log(), "create"), "destroy"));
	assert_int_equal(step_deploy_status("alpha"), 200);
	assert_true(step_has("\"status\":\"failed\""));
	assert_true(step_has("\"step\":\"instance\""));
	assert_true(step_has("\"error\":\"scripted\""));
	step_nothing();
}

/* An instance of that name that is not ours is not touched. */
static void
test_foreign(void **state)
{
	(void)state;
	script.create = 409;
	step_ask_deploy("Alpha", "");
	assert_true(fake_until("gone"));
	assert_null(strstr(fake_log(), "destroy"));
	step_nothing();
}

static void
test_no_link(void **state)
{
	(void)state;
	fake_kill();
	script.deploy_timeout = 1;
	fake_begin();
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	assert_true(fake_until("gone"));
	assert_true(fake_until("destroy"));
	assert_int_equal(step_deploy_status("alpha"), 200);
	assert_true(step_has("did not connect in time"));
	step_nothing();
}

static void
test_delete_while_deploying(void **state)
{
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "delete", 0, 0 };

	(void)state;
	script.hold_create = true;
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	assert_true(fake_until("create"));
	(void)fake_send(MSG_AGENT_ACTION, &a, &ans);
	fake_run(50);
	/* Destroying what is being made would leave it behind. */
	assert_null(strstr(fake_log(), "destroy"));
	assert_false(ans.done);
	fake_release();
	assert_true(fake_until("gone"));
	assert_true(fake_done(&ans));
	assert_int_equal(ans.status, 200);
	assert_true(fake_until("destroy"));
	step_nothing();
}

/* The same while container is away, so that it never heard of the instance. */
static void
test_delete_without_container(void **state)
{
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "delete", 0, 0 };

	(void)state;
	fake_down(PROC_CONTAINER);
	fake_run(20);
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	fake_run(50);
	(void)fake_send(MSG_AGENT_ACTION, &a, &ans);
	fake_run(50);
	fake_up(PROC_CONTAINER);
	assert_true(fake_done(&ans));
	assert_int_equal(ans.status, 200);
	assert_null(strstr(fake_log(), "create"));
	step_nothing();
}

/* The roll-back goes on when the worker it needs is back. */
static void
test_undo_waits(void **state)
{
	(void)state;
	script.create = 500;
	script.destroy = 500;
	step_ask_deploy("Alpha", "");
	assert_true(fake_until("destroy"));
	fake_down(PROC_CONTAINER);
	fake_run(20);
	script.destroy = 404;
	fake_log_clear();
	fake_up(PROC_CONTAINER);
	assert_true(fake_until("destroy"));
	assert_true(fake_until("gone"));
	step_nothing();
}

static void
test_deploy_twice(void **state)
{
	char	 first[ID_LEN + 1], second[ID_LEN + 1];

	(void)state;
	step_ask_deploy("Alpha", "key-1");
	assert_int_equal(ans.status, 202);
	step_pick("job_id", first);
	step_ask_deploy("Alpha", "key-1");
	assert_int_equal(ans.status, 202);
	step_pick("job_id", second);
	assert_string_equal(first, second);
}

/* A key repeated before the first answer must not get another one. */
static void
test_deploy_twice_early(void **state)
{
	struct fake_answer	*first = calloc(1, sizeof(*first));
	struct m_agent_deploy	 d;

	(void)state;
	assert_non_null(first);
	script.hold_policy = true;
	memset(&d, 0, sizeof(d));
	d.name = "Alpha";
	d.framework = "pi";
	d.model = "nosuch";
	d.idempotency_key = "key-1";
	(void)fake_send(MSG_AGENT_DEPLOY, &d, first);
	assert_true(fake_until("policy"));
	step_ask_deploy("Alpha", "key-1");
	assert_int_equal(ans.status, 503);
	script.policy = 404;
	fake_release();
	assert_true(fake_done(first));
	assert_int_equal(first->status, 404);
	free(first);
	step_nothing();
}

static void
test_follow(void **state)
{
	struct m_agent_watch	 w = { { NULL, 0 }, "alpha", 1 };
	static struct fake_answer follow;

	(void)state;
	step_ask_deploy("Alpha", "");
	step_pick("agent_id", agent);
	(void)fake_send(MSG_DEPLOY_STATUS, &w, &follow);
	assert_true(fake_until("create"));
	assert_false(follow.done);
	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	assert_true(fake_done(&follow));
	assert_non_null(strstr(follow.text, "\"status\":\"success\""));
	assert_int_equal(strncmp(follow.events, "step step", 9), 0);
}

/* ---- life ---- */

static void
test_life(void **state)
{
	(void)state;
	step_deploy();
	fake_log_clear();
	assert_int_equal(step_act("alpha", "stop"), 200);
	assert_true(fake_until("conf:stopped"));
	fake_run(20);
	assert_true(fake_sub_ended());
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"stopped\"") &&
	    step_has("\"connected\":false"));
	assert_int_equal(step_act("alpha", "start"), 200);
	assert_true(fake_until("listen start"));
	assert_int_equal(step_act("alpha", "restart"), 200);
	assert_int_equal(step_act("alpha", "dance"), 400);
	assert_int_equal(step_act("nobody", "start"), 404);
	fake_log_clear();
	assert_int_equal(step_act("alpha", "delete"), 200);
	assert_true(fake_until("destroy"));
	assert_true(fake_until("unlisten"));
	assert_true(fake_until("drop"));
	assert_int_equal(step_act("alpha", "delete"), 404);
	step_nothing();
	assert_true(fake_count("SELECT count(*) FROM audit") >= 5);
}

static void
test_killed_while_deleting(void **state)
{
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "delete", 0, 0 };

	(void)state;
	step_deploy();
	script.destroy = 500;
	(void)fake_send(MSG_AGENT_ACTION, &a, &ans);
	assert_true(fake_until("destroy"));
	fake_kill();
	script.destroy = 200;
	fake_begin();
	assert_true(fake_until("gone"));
	step_nothing();
}

static void
test_reconcile(void **state)
{
	(void)state;
	step_deploy();
	fake_kill();
	/* Stopped behind our back: started again, with its socket. */
	script.instance_status = "Stopped";
	fake_begin();
	assert_true(fake_until("start"));
	assert_true(fake_until("listen"));
	fake_kill();
	/* An instance of ours that no row knows goes. */
	script.instance = "agentd-000000000000";
	script.instance_agent = "00000000000000000000000000000000";
	fake_begin();
	assert_true(fake_until("destroy"));
	assert_true(fake_until("unlisten"));
	/* And the agent whose instance is gone says so. */
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"failed\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_deploy), T(test_long_names), T(test_deploy_refused), T(test_no_model),
		T(test_no_socket), T(test_no_instance), T(test_foreign),
		T(test_no_link), T(test_delete_while_deploying),
		T(test_delete_without_container),
		T(test_undo_waits),
		T(test_deploy_twice), T(test_deploy_twice_early),
		T(test_follow), T(test_life),
		T(test_killed_while_deleting), T(test_reconcile),
	};

	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

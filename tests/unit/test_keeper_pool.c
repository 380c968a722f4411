/*
 * keeper's warm pool and agents that sleep, between scripted peers.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "keeper_steps.h"
#include "log.h"

static char	 warm[ID_LEN + 1], instance[32];

static bool
pool_says(const char *text)
{
	struct m_api	 a = { { NULL, 0 } };

	fake_ask(MSG_POOL_LIST, &a, &ans);
	assert_int_equal(ans.status, 200);
	return step_has(text);
}

/* Keeper anew, with one instance to be made ahead. */
static void
begin(void)
{
	fake_kill();
	script.warm_pool = "pi 1";
	fake_begin();
}

static void
make_one(void)
{
	int	 i;

	assert_true(fake_until("create"));
	(void)strlcpy(warm, fake_created(), sizeof(warm));
	assert_true(fake_until("conf:warm"));
	fake_warm(warm);
	assert_true(fake_until("freeze"));
	for (i = 0; i < 200 && !pool_says("\"state\":\"ready\""); i++)
		fake_run(5);
	assert_true(pool_says("\"state\":\"ready\""));
	(void)snprintf(instance, sizeof(instance), "agentd-%.12s", warm);
	script.instance = instance;
	script.instance_agent = warm;
	script.instance_status = "Frozen";
}

/* A deploy takes it: it is adopted, nothing is created. */
static void
test_adopt(void **state)
{
	(void)state;
	begin();
	make_one();
	fake_log_clear();
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	step_pick("agent_id", agent);
	assert_string_equal(agent, warm);
	assert_true(fake_until("adopt:alpha"));
	/* Its hello is let go on before it thaws, and after its policy. */
	assert_true(strstr(fake_log(), "policy") <
	    strstr(fake_log(), "conf:deploying"));
	assert_true(strstr(fake_log(), "conf:deploying") <
	    strstr(fake_log(), "adopt"));
	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	assert_null(strstr(fake_log(), "create"));
	assert_int_equal(step_deploy_status("alpha"), 200);
	assert_true(step_has("\"source\":\"pool\""));
	assert_false(pool_says(warm));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM pool"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM agent"), 1);
}

/* Nor is it left behind if nothing becomes of the agent. */
static void
test_refused(void **state)
{
	(void)state;
	begin();
	make_one();
	script.policy = 404;
	fake_log_clear();
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 404);
	assert_true(fake_until("destroy"));
	assert_true(fake_until("unlisten"));
	assert_null(strstr(fake_log(), "adopt"));
}

/* The same if keeper is killed before it comes to that. */
static void
test_refused_later(void **state)
{
	static struct fake_answer	 a;
	struct m_agent_deploy		 d;

	(void)state;
	begin();
	make_one();
	script.hold_policy = true;
	fake_log_clear();
	memset(&d, 0, sizeof(d));
	d.name = "Alpha";
	d.framework = "pi";
	d.model = "demo";
	(void)fake_send(MSG_AGENT_DEPLOY, &d, &a);
	assert_true(fake_until("policy"));
	fake_kill();
	script.hold_policy = false;
	script.policy = 404;
	script.warm_pool = NULL;
	script.instance = "";
	fake_begin();
	assert_true(fake_until("destroy"));
}

/* What cannot be taken is no reason to fail. */
static void
test_cold_instead(void **state)
{
	(void)state;
	begin();
	make_one();
	script.adopt = 410;
	fake_log_clear();
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	step_pick("agent_id", agent);
	assert_true(fake_until("create"));
	assert_string_equal(fake_created(), agent);
	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	assert_int_equal(step_deploy_status("alpha"), 200);
	assert_true(step_has("\"source\":\"image\""));
}

/* Killed when it is made: it goes, and another is made. */
static void
test_killed_while_made(void **state)
{
	(void)state;
	script.hold_create = true;
	begin();
	assert_true(fake_until("create"));
	(void)strlcpy(warm, fake_created(), sizeof(warm));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM pool WHERE "
	    "state = 'making'"), 1);
	script.hold_create = false;
	fake_begin();
	assert_true(fake_until("destroy"));
	assert_true(fake_until("unlisten"));
	assert_true(fake_until("create"));
	assert_string_not_equal(fake_created(), warm);
}

/* Ready ones stay over a restart, with their socket, and are no orphans. */
static void
test_restart(void **state)
{
	(void)state;
	begin();
	make_one();
	fake_kill();
	fake_begin();
	assert_true(fake_until("listen"));
	assert_true(fake_until("conf:warm"));
	assert_true(fake_until("list"));
	fake_run(50);
	assert_null(strstr(fake_log(), "destroy"));
	assert_true(pool_says(warm));
	/* Not frozen any more, or of another image: it goes. */
	fake_kill();
	script.instance_status = "Stopped";
	fake_begin();
	assert_true(fake_until("destroy"));
}

static void
test_new_image(void **state)
{
	(void)state;
	begin();
	make_one();
	fake_kill();
	script.image = "ffffffffffffffffffffffffffffffff"
	    "ffffffffffffffffffffffffffffffff";
	fake_begin();
	assert_true(fake_until("destroy"));
	assert_true(fake_until("create"));
}

/* No image, no instance; and the list says why. */
static void
test_held_back(void **state)
{
	(void)state;
	script.image = "";
	begin();
	assert_true(fake_until("images"));
	fake_run(50);
	assert_null(strstr(fake_log(), "create"));
	assert_true(pool_says("there is no image agentd-pi"));
}

/* ---- sleep ---- */

static void
begin_sleepy(void)
{
	fake_kill();
	script.idle = 1;
	fake_begin();
	step_deploy();
	fake_log_clear();
	assert_true(fake_until("stop"));
	script.instance_status = "Stopped";
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"asleep\""));
}

static void
test_wake(void **state)
{
	(void)state;
	begin_sleepy();
	/* It stays so over a restart. */
	fake_kill();
	fake_begin();
	assert_true(fake_until("list"));
	fake_run(50);
	assert_null(strstr(fake_log(), "start"));
	assert_int_equal(step_post("wake up", ""), 201);
	assert_true(fake_until("start"));
	fake_subscribe(agent);
	assert_true(fake_event(message));
	assert_int_equal(step_get("alpha"), 200);
	assert_false(step_has("\"status\":\"asleep\""));
}

static void
test_wake_fails(void **state)
{
	(void)state;
	begin_sleepy();
	script.fail = "start";
	script.fail_status = 500;
	assert_int_equal(step_post("wake up", ""), 201);
	assert_true(fake_until("start"));
	fake_run(100);
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"asleep\""));
	assert_true(step_has("\"queued\":0"));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM message WHERE "
	    "state = 'failed' AND error LIKE '%could not be woken%'"), 1);
}

static uint32_t
run_command(void)
{
	struct m_agent_exec	 e;

	memset(&e, 0, sizeof(e));
	e.slug = "alpha";
	e.argv = (struct msg_bytes){ "sh", 3 };
	(void)fake_send_fd(MSG_AGENT_EXEC, &e,
	    open("/dev/null", O_RDWR | O_CLOEXEC), &ans);
	assert_true(fake_done(&ans));
	return ans.status;
}

/* Incus is away for a moment: what waits for the agent goes on waiting. */
static void
test_wake_later(void **state)
{
	struct m_ct_row	 missed;

	(void)state;
	begin_sleepy();
	script.fail = "start";
	script.fail_status = 503;
	assert_int_equal(step_post("wake up", ""), 201);
	assert_true(fake_until("start"));
	fake_run(50);
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"queued\":1"));
	script.fail = NULL;
	fake_log_clear();
	memset(&missed, 0, sizeof(missed));
	fake_tell(PROC_CONTAINER, MSG_CT_EVENT, &missed);
	assert_true(fake_until("start"));
	fake_subscribe(agent);
	assert_true(fake_event(message));
}

/* Nobody's shell is taken away; into one that sleeps there is no way. */
static void
test_command_is_work(void **state)
{
	(void)state;
	fake_kill();
	script.idle = 2;
	fake_begin();
	step_deploy();
	fake_log_clear();
	assert_int_equal(run_command(), 200);
	fake_run(4000);
	assert_null(strstr(fake_log(), "stop"));
	/* Its end is the end of container here. */
	fake_down(PROC_CONTAINER);
	fake_up(PROC_CONTAINER);
	assert_true(fake_until("stop"));
	fake_run(20);
	assert_int_equal(run_command(), 409);
	assert_true(step_has("is asleep: start it first"));
}

/* What comes while it is put to sleep wakes it when it sleeps. */
static void
test_message_while_falling_asleep(void **state)
{
	(void)state;
	fake_kill();
	script.idle = 1;
	fake_begin();
	step_deploy();
	fake_log_clear();
	script.hold = "stop";
	assert_true(fake_until("stop"));
	assert_int_equal(step_post("not yet", ""), 201);
	fake_run(50);
	assert_null(strstr(fake_log(), "start"));
	script.hold = NULL;
	/* Its answer is lost with container; then Incus is looked at. */
	fake_down(PROC_CONTAINER);
	script.instance_status = "Stopped";
	fake_up(PROC_CONTAINER);
	assert_true(fake_until("start"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_refused), T(test_refused_later),
		T(test_adopt), T(test_cold_instead),
		T(test_killed_while_made), T(test_restart),
		T(test_new_image), T(test_held_back), T(test_wake),
		T(test_wake_fails), T(test_message_while_falling_asleep),
		T(test_command_is_work), T(test_wake_later),
	};

	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

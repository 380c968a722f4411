/*
 * Tests of keeper: deploys that are cut, by a kill of keeper or of container,
 * go on or leave nothing.
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
#include <unistd.h>

#include <cmocka.h>

#include "keeper_steps.h"
#include "log.h"
#include "sys.h"
#include "workers/keeper/keeper.h"

static char	 job[ID_LEN + 1];

static void
begin_deploy(void)
{
	step_ask_deploy("Alpha", "key-1");
	assert_int_equal(ans.status, 202);
	step_pick("agent_id", agent);
	step_pick("job_id", job);
}

/* The deploy that was cut ends well, as the same job. */
static void
expect_success(void)
{
	char	 again[ID_LEN + 1];

	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	assert_string_equal(fake_request(), job);
	assert_int_equal(step_deploy_status("alpha"), 200);
	assert_true(step_has("\"status\":\"success\""));
	/* Who asks again with its key hears of the same. */
	step_ask_deploy("Alpha", "key-1");
	assert_int_equal(ans.status, 202);
	step_pick("job_id", again);
	assert_string_equal(job, again);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM channel"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM agent WHERE "
	    "status = 'running' AND uid_base = 1000000"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM job WHERE "
	    "status = 'deploying'"), 0);
}

static void
begin_egress(void)
{
	step_ask_deploy_net("Alpha", "key-1", "egress");
	assert_int_equal(ans.status, 202);
	step_pick("agent_id", agent);
	step_pick("job_id", job);
}

/* An agent does not run before it has the network that was asked for. */
static void
test_network(void **state)
{
	(void)state;
	script.hold = "net";
	begin_egress();
	assert_true(fake_until("net:1"));
	fake_subscribe(agent);
	fake_run(50);
	assert_null(strstr(fake_log(), "conf:running"));
	/* Killed between the instance and its card: both again. */
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM job WHERE "
	    "status = 'deploying' AND step = 'instance'"), 1);
	script.hold = NULL;
	fake_begin();
	assert_true(fake_until("create:again"));
	assert_true(fake_until("net:1"));
	expect_success();
	assert_int_equal(fake_count("SELECT count(*) FROM agent WHERE "
	    "network = 'egress'"), 1);
}

static void
test_network_fails(void **state)
{
	(void)state;
	script.fail = "net";
	script.fail_status = 507;
	begin_egress();
	assert_true(fake_until("destroy"));
	assert_true(fake_until("gone"));
	assert_int_equal(step_deploy_status("alpha"), 200);
	assert_true(step_has("\"status\":\"failed\"") &&
	    step_has("network: scripted"));
	step_nothing();
}

static void
test_network_and_container_dies(void **state)
{
	(void)state;
	script.hold = "net";
	begin_egress();
	assert_true(fake_until("net:1"));
	fake_down(PROC_CONTAINER);
	script.hold = NULL;
	fake_log_clear();
	fake_run(20);
	fake_up(PROC_CONTAINER);
	assert_true(fake_until("create:again"));
	assert_true(fake_until("net:1"));
	expect_success();
}

static void
test_cut_at_policy(void **state)
{
	(void)state;
	script.hold_policy = true;
	begin_deploy();
	fake_kill();
	script.hold_policy = false;
	fake_begin();
	assert_true(fake_until("create"));
	assert_null(strstr(fake_log(), "create:again"));
	expect_success();
}

static void
test_cut_at_instance(void **state)
{
	(void)state;
	script.hold_create = true;
	begin_deploy();
	assert_true(fake_until("create"));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM job WHERE "
	    "status = 'deploying' AND step = 'instance'"), 1);
	script.hold_create = false;
	fake_begin();
	assert_true(fake_until("create:again"));
	assert_non_null(strstr(fake_log(), "listen"));
	assert_null(strstr(fake_log(), "destroy"));
	expect_success();
	assert_int_equal(fake_count("SELECT resumed FROM job"), 1);
}

static void
test_cut_at_connected(void **state)
{
	(void)state;
	begin_deploy();
	assert_true(fake_until("create"));
	fake_run(20);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM job WHERE "
	    "step = 'connected'"), 1);
	fake_begin();
	assert_true(fake_until("create:again"));
	expect_success();
}

/* The link's stream may be back before the job is. */
static void
test_cut_with_a_link(void **state)
{
	(void)state;
	script.hold_create = true;
	begin_deploy();
	assert_true(fake_until("create"));
	fake_kill();
	fake_begin();
	fake_subscribe(agent);
	assert_true(fake_until("create:again"));
	fake_release();
	assert_true(fake_until("conf:running"));
}

/* W60: after a crash nothing says "deploying" for ever. */
static void
test_cut_too_long(void **state)
{
	(void)state;
	fake_kill();
	script.deploy_timeout = 1;
	fake_begin();
	script.hold_create = true;
	begin_deploy();
	assert_true(fake_until("create"));
	fake_kill();
	(void)usleep(1100000);
	fake_begin();
	assert_true(fake_until("gone"));
	assert_null(strstr(fake_log(), "create"));
	assert_non_null(strstr(fake_log(), "destroy"));
	assert_non_null(strstr(fake_log(), "unlisten"));
	assert_non_null(strstr(fake_log(), "drop"));
	assert_int_equal(step_deploy_status("alpha"), 200);
	assert_true(step_has("\"status\":\"failed\""));
	/* W66: a time-out says what it is. */
	assert_true(step_has("not finished in time: agentd was stopped at "
	    "step instance"));
	step_nothing();
}

/* The roll-back that was cut is a roll-back again, for its first reason. */
static void
test_cut_at_rollback(void **state)
{
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "delete", 0, 0 };

	(void)state;
	script.destroy = 500;
	begin_deploy();
	assert_true(fake_until("create"));
	(void)fake_send(MSG_AGENT_ACTION, &a, &ans);
	assert_true(fake_until("destroy"));
	fake_kill();
	script.destroy = 200;
	fake_begin();
	assert_true(fake_until("gone"));
	assert_null(strstr(fake_log(), "create"));
	assert_non_null(strstr(fake_log(), "destroy"));
	assert_int_equal(step_deploy_status("alpha"), 200);
	assert_true(step_has("deleted while it was being deployed"));
	step_nothing();
}

/*
 * Cut at the instance, and when it goes on at the policy: there may still be
 * an instance, so a DELETE removes it.
 */
static void
test_cut_twice(void **state)
{
	(void)state;
	script.hold_create = true;
	begin_deploy();
	assert_true(fake_until("create"));
	fake_kill();
	script.hold_policy = true;
	fake_begin();
	assert_true(fake_until("policy"));
	fake_kill();
	fake_begin();
	assert_true(fake_until("policy"));
	assert_int_equal(step_act("alpha", "delete"), 200);
	assert_non_null(strstr(fake_log(), "destroy"));
	assert_null(strstr(fake_log(), "create"));
	step_nothing();
}

/* W61: what was rolled back can be deployed again at once. */
static void
test_same_name_after_rollback(void **state)
{
	(void)state;
	script.create = 500;
	step_ask_deploy("Alpha", "");
	assert_true(fake_until("gone"));
	assert_non_null(strstr(fake_log(), "drop"));
	script.create = 200;
	fake_log_clear();
	begin_deploy();
	assert_true(step_has("\"name\":\"alpha\""));
	expect_success();
}

/* ---- container is killed ---- */

static void
test_container_dies(void **state)
{
	(void)state;
	script.hold_create = true;
	begin_deploy();
	assert_true(fake_until("create"));
	fake_down(PROC_CONTAINER);
	fake_run(20);
	script.hold_create = false;
	fake_log_clear();
	fake_up(PROC_CONTAINER);
	assert_true(fake_until("create:again"));
	assert_null(strstr(fake_log(), "destroy"));
	expect_success();
}

static void
test_container_dies_and_delete(void **state)
{
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "delete", 0, 0 };

	(void)state;
	script.hold_create = true;
	begin_deploy();
	assert_true(fake_until("create"));
	fake_down(PROC_CONTAINER);
	fake_run(20);
	(void)fake_send(MSG_AGENT_ACTION, &a, &ans);
	fake_run(20);
	assert_false(ans.done);
	fake_log_clear();
	fake_up(PROC_CONTAINER);
	assert_true(fake_done(&ans));
	assert_int_equal(ans.status, 200);
	assert_null(strstr(fake_log(), "create"));
	step_nothing();
}

/* Cancelled first, then the worker dies under the creation. */
static void
test_delete_and_container_dies(void **state)
{
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "delete", 0, 0 };

	(void)state;
	script.hold_create = true;
	begin_deploy();
	assert_true(fake_until("create"));
	(void)fake_send(MSG_AGENT_ACTION, &a, &ans);
	fake_run(20);
	assert_null(strstr(fake_log(), "destroy"));
	fake_down(PROC_CONTAINER);
	fake_run(20);
	fake_up(PROC_CONTAINER);
	assert_true(fake_done(&ans));
	assert_int_equal(ans.status, 200);
	assert_non_null(strstr(fake_log(), "destroy"));
	step_nothing();
}

static void
test_proxy_dies(void **state)
{
	(void)state;
	script.hold_policy = true;
	begin_deploy();
	fake_down(PROC_PROXY);
	fake_run(20);
	script.hold_policy = false;
	fake_up(PROC_PROXY);
	assert_true(fake_until("create"));
	expect_success();
}

/* ---- the schema ---- */

/* A database of before: its open jobs have no deadline, so they are over. */
static void
test_migrate(void **state)
{
	char			 dir[] = "/tmp/keeper_saga.XXXXXX", path[64];
	struct db_schema	 old = keeper_schema;
	struct db		*db;
	int64_t			 n = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/state.db", dir);
	old.nsteps = 3;
	assert_non_null(db = db_open(path, &old));
	assert_int_equal(db_exec(db, "INSERT INTO job (id, owner_id, agent_id, "
	    "slug, display_name, instance, status, step, started_at, "
	    "updated_at) VALUES ('j', 'o', 'a', 's', 'S', 'i', 'deploying', "
	    "'instance', 1, 1)", ""), 1);
	db_close(db);
	assert_non_null(db = db_open(path, &keeper_schema));
	assert_int_equal(db_get_int(db, &n, "SELECT count(*) FROM job WHERE "
	    "id = 'j' AND due = 0 AND resumed = 0", ""), 1);
	assert_int_equal(n, 1);
	db_close(db);
	(void)unlink(path);
	assert_int_equal(rmdir(dir), 0);
}

/*
 * A list that was asked for before the instance was made, and comes when the
 * agent runs, does not say that the instance is gone.
 */
static void
test_old_list(void **state)
{
	struct m_ct_row	 missed;

	(void)state;
	script.hold_create = true;
	step_ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	step_pick("agent_id", agent);
	assert_true(fake_until("create"));
	/* Some time: created_at must be before the question. */
	fake_run(20);
	script.hold_list = true;
	fake_log_clear();
	memset(&missed, 0, sizeof(missed));
	fake_tell(PROC_CONTAINER, MSG_CT_EVENT, &missed);
	assert_true(fake_until("list"));
	fake_run(20);
	script.hold_create = false;
	fake_release();
	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	script.hold_list = false;
	fake_release();
	fake_run(50);
	assert_int_equal(step_get("alpha"), 200);
	assert_true(step_has("\"status\":\"running\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_network), T(test_network_fails),
		T(test_network_and_container_dies),
		T(test_cut_at_policy), T(test_cut_at_instance),
		T(test_cut_at_connected), T(test_cut_with_a_link),
		T(test_cut_too_long), T(test_cut_at_rollback),
		T(test_cut_twice), T(test_same_name_after_rollback),
		T(test_container_dies), T(test_container_dies_and_delete),
		T(test_delete_and_container_dies), T(test_proxy_dies),
		T(test_old_list),
		cmocka_unit_test(test_migrate),
	};

	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

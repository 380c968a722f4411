/*
 * Tests of keeper as a whole: deploys and their roll-back, the life of an
 * agent, chat, the outbox, providers, passes.  Each one kills it somewhere.
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

#include "keeper_fake.h"
#include "log.h"
#include "sys.h"

static struct fake_answer	 ans;
static char			 agent[ID_LEN + 1], channel[ID_LEN + 1];
static char			 message[ID_LEN + 1];

static int
setup(void **state)
{
	(void)state;
	fake_start();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	fake_stop();
	return 0;
}

/* The id that follows a key in the last answer. */
static void
pick(const char *key, char out[ID_LEN + 1])
{
	char		 want[64];
	const char	*s;

	(void)snprintf(want, sizeof(want), "\"%s\":\"", key);
	s = strstr(ans.text, want);
	assert_non_null(s);
	(void)strlcpy(out, s + strlen(want), ID_LEN + 1);
	assert_true(sys_is_id(out));
}

static void
ask_deploy(const char *name, const char *key)
{
	struct m_agent_deploy	 d;

	memset(&d, 0, sizeof(d));
	d.name = name;
	d.framework = "pi";
	d.model = "demo";
	d.idempotency_key = key;
	fake_ask(MSG_AGENT_DEPLOY, &d, &ans);
}

static uint32_t
get(const char *slug)
{
	struct m_agent_ref	 r = { { NULL, 0 }, slug };

	fake_ask(MSG_AGENT_GET, &r, &ans);
	return ans.status;
}

static uint32_t
act(const char *slug, const char *action)
{
	struct m_agent_action	 a = { { NULL, 0 }, slug, action };

	fake_ask(MSG_AGENT_ACTION, &a, &ans);
	return ans.status;
}

static uint32_t
deploy_status(const char *slug)
{
	struct m_agent_watch	 w = { { NULL, 0 }, slug, 0 };

	fake_ask(MSG_DEPLOY_STATUS, &w, &ans);
	return ans.status;
}

/* An agent that runs and is connected. */
static void
deploy(void)
{
	static char	 instance[32];

	ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	pick("agent_id", agent);
	assert_true(fake_until("create"));
	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	assert_int_equal(get("alpha"), 200);
	pick("chat_channel_id", channel);
	(void)snprintf(instance, sizeof(instance), "agentd-%.12s", agent);
	script.instance = instance;
	script.instance_agent = agent;
}

static uint32_t
post(const char *text, const char *key)
{
	struct m_chat_post	 c = { { NULL, 0 }, channel, text, key };

	fake_ask(MSG_CHAT_POST, &c, &ans);
	if (ans.status == 201)
		pick("id", message);
	return ans.status;
}

static bool
has(const char *text)
{
	return strstr(ans.text, text) != NULL;
}

/* ---- deploy ---- */

static void
test_deploy(void **state)
{
	(void)state;
	deploy();
	assert_true(has("\"status\":\"running\""));
	assert_true(has("\"connected\":true"));
	assert_int_equal(deploy_status("alpha"), 200);
	assert_true(has("\"status\":\"success\""));
	assert_true(has("\"step\":\"planned\"") && has("\"step\":\"policy\"") &&
	    has("\"step\":\"socket\"") && has("\"step\":\"instance\"") &&
	    has("\"step\":\"connected\"") && has("\"step\":\"channel\"") &&
	    has("\"step\":\"running\""));
	/* The name is taken. */
	ask_deploy("alpha", "");
	assert_int_equal(ans.status, 409);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM agent WHERE "
	    "uid_base = 1000000 AND uid_count = 65536"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM channel"), 1);
	assert_int_equal(fake_count("SELECT count(*) FROM audit WHERE "
	    "action = 'AGENT_DEPLOY' AND owner_id = 'token'"), 1);
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
	assert_true(has("there are: pi"));
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

/* Nothing of the agent may be left, whatever failed. */
static void
expect_nothing(void)
{
	int	 i;

	for (i = 0; i < 200 && get("alpha") != 404; i++)
		fake_run(5);
	assert_int_equal(get("alpha"), 404);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM agent"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM channel"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM job WHERE "
	    "status = 'deploying'"), 0);
}

static void
test_no_model(void **state)
{
	(void)state;
	script.policy = 404;
	ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 404);
	assert_true(has("scripted"));
	assert_true(fake_until("gone"));
	assert_null(strstr(fake_log(), "create"));
	assert_null(strstr(fake_log(), "destroy"));
	assert_non_null(strstr(fake_log(), "unlisten"));
	assert_non_null(strstr(fake_log(), "drop"));
	expect_nothing();
}

static void
test_no_socket(void **state)
{
	(void)state;
	script.listen = 500;
	ask_deploy("Alpha", "");
	assert_true(fake_until("gone"));
	assert_null(strstr(fake_log(), "create"));
	expect_nothing();
}

static void
test_no_instance(void **state)
{
	(void)state;
	script.create = 500;
	ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	assert_true(fake_until("gone"));
	assert_non_null(strstr(strstr(fake_log(), "create"), "destroy"));
	assert_int_equal(deploy_status("alpha"), 200);
	assert_true(has("\"status\":\"failed\""));
	assert_true(has("\"step\":\"instance\""));
	assert_true(has("\"error\":\"scripted\""));
	expect_nothing();
}

/* An instance of that name that is not ours is not touched. */
static void
test_foreign(void **state)
{
	(void)state;
	script.create = 409;
	ask_deploy("Alpha", "");
	assert_true(fake_until("gone"));
	assert_null(strstr(fake_log(), "destroy"));
	expect_nothing();
}

static void
test_no_link(void **state)
{
	(void)state;
	ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	/* deploy_timeout is 2 s. */
	assert_true(fake_until("gone"));
	assert_non_null(strstr(fake_log(), "destroy"));
	assert_int_equal(deploy_status("alpha"), 200);
	assert_true(has("did not connect in time"));
	expect_nothing();
}

static void
test_delete_while_deploying(void **state)
{
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "delete" };

	(void)state;
	script.hold_create = true;
	ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	assert_true(fake_until("create"));
	(void)fake_send(MSG_AGENT_ACTION, &a, &ans);
	fake_run(50);
	/* Destroying what is being made would leave it behind. */
	assert_null(strstr(fake_log(), "destroy"));
	assert_false(ans.done);
	fake_release();
	assert_true(fake_until("gone"));
	fake_run(20);
	assert_true(ans.done);
	assert_int_equal(ans.status, 200);
	assert_non_null(strstr(fake_log(), "destroy"));
	expect_nothing();
}

/* SIGKILL in the middle: undone at the next start. */
static void
test_killed_while_deploying(void **state)
{
	(void)state;
	script.hold_create = true;
	ask_deploy("Alpha", "");
	assert_int_equal(ans.status, 202);
	assert_true(fake_until("create"));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM job WHERE "
	    "status = 'deploying' AND step = 'instance'"), 1);
	fake_begin();
	assert_true(fake_until("gone"));
	assert_non_null(strstr(fake_log(), "destroy"));
	assert_non_null(strstr(fake_log(), "unlisten"));
	assert_non_null(strstr(fake_log(), "drop"));
	assert_int_equal(deploy_status("alpha"), 200);
	assert_true(has("\"status\":\"failed\""));
	assert_true(has("agentd was stopped"));
	expect_nothing();
}

/* The roll-back goes on when the worker it needs is back. */
static void
test_undo_waits(void **state)
{
	(void)state;
	script.create = 500;
	script.destroy = 500;
	ask_deploy("Alpha", "");
	assert_true(fake_until("destroy"));
	fake_down(PROC_CONTAINER);
	fake_run(20);
	script.destroy = 404;
	fake_log_clear();
	fake_up(PROC_CONTAINER);
	assert_true(fake_until("destroy"));
	assert_true(fake_until("gone"));
	expect_nothing();
}

static void
test_deploy_twice(void **state)
{
	char	 first[ID_LEN + 1], second[ID_LEN + 1];

	(void)state;
	ask_deploy("Alpha", "key-1");
	assert_int_equal(ans.status, 202);
	pick("job_id", first);
	ask_deploy("Alpha", "key-1");
	assert_int_equal(ans.status, 202);
	pick("job_id", second);
	assert_string_equal(first, second);
}

static void
test_follow(void **state)
{
	struct m_agent_watch	 w = { { NULL, 0 }, "alpha", 1 };
	static struct fake_answer follow;

	(void)state;
	ask_deploy("Alpha", "");
	pick("agent_id", agent);
	(void)fake_send(MSG_DEPLOY_STATUS, &w, &follow);
	assert_true(fake_until("create"));
	assert_false(follow.done);
	fake_subscribe(agent);
	assert_true(fake_until("conf:running"));
	fake_run(20);
	assert_true(follow.done);
	assert_non_null(strstr(follow.text, "\"status\":\"success\""));
	assert_int_equal(strncmp(follow.events, "step step", 9), 0);
}

/* ---- life ---- */

static void
test_life(void **state)
{
	(void)state;
	deploy();
	fake_log_clear();
	assert_int_equal(act("alpha", "stop"), 200);
	assert_non_null(strstr(fake_log(), "conf:stopped"));
	assert_true(fake_sub_ended());
	assert_int_equal(get("alpha"), 200);
	assert_true(has("\"status\":\"stopped\"") &&
	    has("\"connected\":false"));
	assert_int_equal(act("alpha", "start"), 200);
	assert_non_null(strstr(fake_log(), "listen start"));
	assert_int_equal(act("alpha", "restart"), 200);
	assert_int_equal(act("alpha", "dance"), 400);
	assert_int_equal(act("nobody", "start"), 404);
	fake_log_clear();
	assert_int_equal(act("alpha", "delete"), 200);
	assert_non_null(strstr(fake_log(), "destroy"));
	assert_non_null(strstr(fake_log(), "unlisten"));
	assert_non_null(strstr(fake_log(), "drop"));
	assert_int_equal(act("alpha", "delete"), 404);
	expect_nothing();
	assert_true(fake_count("SELECT count(*) FROM audit") >= 5);
}

static void
test_killed_while_deleting(void **state)
{
	struct m_agent_action	 a = { { NULL, 0 }, "alpha", "delete" };

	(void)state;
	deploy();
	script.destroy = 500;
	(void)fake_send(MSG_AGENT_ACTION, &a, &ans);
	assert_true(fake_until("destroy"));
	fake_kill();
	script.destroy = 200;
	fake_begin();
	assert_true(fake_until("gone"));
	expect_nothing();
}

static void
test_reconcile(void **state)
{
	(void)state;
	deploy();
	fake_kill();
	/* Stopped behind our back: started again, with its socket. */
	script.instance_status = "Stopped";
	fake_begin();
	assert_true(fake_until("start"));
	assert_non_null(strstr(fake_log(), "listen"));
	fake_kill();
	/* An instance of ours that no row knows goes. */
	script.instance = "agentd-000000000000";
	script.instance_agent = "00000000000000000000000000000000";
	fake_begin();
	assert_true(fake_until("destroy"));
	assert_true(fake_until("unlisten"));
	/* And the agent whose instance is gone says so. */
	assert_int_equal(get("alpha"), 200);
	assert_true(has("\"status\":\"failed\""));
}

/* ---- chat ---- */

static uint32_t
history(void)
{
	struct m_chat_history	 h = { { NULL, 0 }, channel, 0, 0 };

	fake_ask(MSG_CHAT_HISTORY, &h, &ans);
	return ans.status;
}

static void
test_turn(void **state)
{
	struct m_chat_watch	 w = { { NULL, 0 }, channel, 0 };
	static struct fake_answer watch;
	uint64_t		 id;

	(void)state;
	deploy();
	id = fake_send(MSG_CHAT_WATCH, &w, &watch);
	assert_int_equal(post("hello", ""), 201);
	assert_true(has("\"state\":\"queued\""));
	fake_run(20);
	assert_non_null(strstr(fake_events(), message));
	assert_non_null(strstr(fake_log(), "turn:1:"));
	assert_int_equal(fake_reply(agent, "delta", message, 1, 1, "Hel"),
	    202);
	/* The same again is not more text. */
	assert_int_equal(fake_reply(agent, "delta", message, 1, 1, "Hel"),
	    202);
	assert_int_equal(fake_reply(agent, "delta", message, 2, 1, "lo"),
	    202);
	assert_int_equal(fake_reply(agent, "final", message, 3, 1, ""), 202);
	assert_int_equal(fake_reply(agent, "final", message, 4, 1, "again"),
	    409);
	assert_int_equal(fake_ack(agent, 1), 200);
	assert_non_null(strstr(fake_log(), "turn:0:"));
	assert_string_equal(watch.events, "message message_state message "
	    "message_delta message_delta message_edit message_state "
	    "message_state ");
	fake_cancel(id);
	assert_int_equal(history(), 200);
	assert_true(has("\"content\":\"Hello\""));
	assert_true(has("\"state\":\"answered\""));
	assert_false(has("again"));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM outbox"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM message"), 2);
}

static void
test_turn_attempt(void **state)
{
	(void)state;
	deploy();
	assert_int_equal(post("hello", ""), 201);
	assert_int_equal(fake_reply(agent, "delta", message, 1, 1, "bad"),
	    202);
	assert_int_equal(fake_reply(agent, "delta", message, 2, 2, "good"),
	    202);
	/* A straggler of the first attempt. */
	assert_int_equal(fake_reply(agent, "delta", message, 3, 1, "bad"),
	    202);
	assert_int_equal(fake_reply(agent, "final", message, 4, 2, ""), 202);
	assert_int_equal(history(), 200);
	assert_true(has("\"content\":\"good\""));
}

static void
test_turn_error(void **state)
{
	(void)state;
	deploy();
	assert_int_equal(post("hello", ""), 201);
	assert_int_equal(fake_reply(agent, "error", message, 1, 1, "boom"),
	    202);
	assert_int_equal(fake_reply(agent, "final", message, 2, 1, "late"),
	    409);
	assert_true(fake_until("trace:error"));
	assert_int_equal(history(), 200);
	assert_true(has("\"state\":\"failed\""));
	assert_true(has("\"error\":\"boom\""));
	/* Unknown turns, and those of another agent. */
	assert_int_equal(fake_reply(agent, "final",
	    "00000000000000000000000000000000", 1, 1, "x"), 404);
	assert_int_equal(fake_reply("00000000000000000000000000000000",
	    "final", message, 1, 1, "x"), 404);
	assert_int_equal(fake_reply(agent, "final", "../../etc", 1, 1, "x"),
	    404);
}

/* A message survives SIGKILL before and after delivery, answered once. */
static void
test_killed_in_turn(void **state)
{
	char	 first[ID_LEN + 1];

	(void)state;
	deploy();
	fake_unsubscribe();
	assert_int_equal(post("one", ""), 201);
	(void)strlcpy(first, message, sizeof(first));
	fake_kill();
	fake_begin();
	fake_subscribe(agent);
	assert_non_null(strstr(fake_events(), first));
	assert_int_equal(fake_reply(agent, "delta", first, 1, 1, "par"), 202);
	fake_kill();
	fake_begin();
	/* gateway hears of the open turn before the agent comes back. */
	assert_non_null(strstr(fake_log(), "turn:1:"));
	assert_int_equal(fake_reply(agent, "final", first, 2, 1, "partial"),
	    202);
	fake_kill();
	fake_begin();
	assert_int_equal(fake_reply(agent, "final", first, 2, 1, "partial"),
	    409);
	fake_subscribe(agent);
	assert_string_equal(fake_events(), "");
	assert_int_equal(history(), 200);
	assert_int_equal(ans.rows, 2);
	assert_true(has("\"content\":\"partial\""));
}

static void
test_order_and_window(void **state)
{
	char	 text[16], last[ID_LEN + 1] = "";
	int	 i, n;

	(void)state;
	deploy();
	fake_unsubscribe();
	for (i = 0; i < 20; i++) {
		(void)snprintf(text, sizeof(text), "m%d", i);
		assert_int_equal(post(text, ""), 201);
	}
	(void)strlcpy(last, message, sizeof(last));
	fake_subscribe(agent);
	fake_run(50);
	/* Not all at once: the rest comes as turns are over. */
	assert_null(strstr(fake_events(), last));
	for (n = 0; n < 20; n++) {
		char	 id[ID_LEN + 1];

		/* "user_message:ID " */
		(void)strlcpy(id, fake_events() + (size_t)n * 46 + 13,
		    sizeof(id));
		assert_true(sys_is_id(id));
		assert_int_equal(fake_reply(agent, "final", id, 1, 1, "ok"),
		    202);
	}
	assert_non_null(strstr(fake_events(), last));
	/* A link that gives up tells so by its ack. */
	assert_int_equal(post("unanswered", ""), 201);
	fake_run(20);
	assert_int_equal(fake_ack(agent, 21), 200);
	assert_int_equal(history(), 200);
	assert_true(has("the agent gave no answer"));
	assert_int_equal(fake_reply(agent, "final", message, 1, 1, "late"),
	    409);
}

static void
test_post_refused(void **state)
{
	char	 id[ID_LEN + 1], again[ID_LEN + 1];

	(void)state;
	deploy();
	assert_int_equal(post("", ""), 422);
	assert_int_equal(post("x", "k"), 201);
	(void)strlcpy(id, message, sizeof(id));
	assert_int_equal(post("x", "k"), 201);
	(void)strlcpy(again, message, sizeof(again));
	assert_string_equal(id, again);
	(void)strlcpy(channel, "00000000000000000000000000000000",
	    sizeof(channel));
	assert_int_equal(post("x", ""), 404);
}

static void
test_resume_watch(void **state)
{
	struct m_chat_watch	 w = { { NULL, 0 }, channel, 1 };
	static struct fake_answer watch;
	uint64_t		 id;

	(void)state;
	deploy();
	assert_int_equal(post("one", ""), 201);
	assert_int_equal(post("two", ""), 201);
	assert_int_equal(fake_reply(agent, "delta", message, 1, 1, "thi"),
	    202);
	id = fake_send(MSG_CHAT_WATCH, &w, &watch);
	fake_run(20);
	/* What came after seq 1, and what is being written. */
	assert_string_equal(watch.events, "message message ");
	assert_null(strstr(watch.text, "\"content\":\"one\""));
	assert_non_null(strstr(watch.text, "\"content\":\"two\""));
	assert_non_null(strstr(watch.text, "\"state\":\"streaming\""));
	fake_cancel(id);
	assert_int_equal(act("alpha", "delete"), 200);
	w.last_event_id = 0;
	w.pass.ptr = NULL;
	fake_ask(MSG_CHAT_WATCH, &w, &watch);
	assert_int_equal(watch.status, 404);
}

/* Records wait for trace, through restarts of both, and come once each. */
static void
test_tracebox(void **state)
{
	(void)state;
	fake_down(PROC_TRACE);
	deploy();
	assert_int_equal(post("hello", ""), 201);
	assert_int_equal(fake_reply(agent, "final", message, 1, 1, "ok"),
	    202);
	fake_kill();
	assert_true(fake_count("SELECT count(*) FROM trace_outbox WHERE "
	    "kind = 'message_in'") == 1);
	fake_begin();
	assert_true(fake_until("trace:message_out"));
	assert_non_null(strstr(fake_log(), "trace:message_in"));
	assert_non_null(strstr(fake_log(), "trace:lifecycle"));
	fake_run(400);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM trace_outbox"), 0);
}

/* ---- providers, passes ---- */

static void
add_provider(const char *name, const char *key)
{
	struct m_provider_add	 p;

	memset(&p, 0, sizeof(p));
	p.name = name;
	p.type = "openai";
	p.url = "https://llm.example/v1";
	p.api_key = key;
	p.models = "m";
	fake_ask(MSG_PROVIDER_ADD, &p, &ans);
}

static void
test_provider(void **state)
{
	struct m_provider_ref	 r = { { NULL, 0 }, "one" };

	(void)state;
	add_provider("one", "sk-secret");
	assert_int_equal(ans.status, 201);
	assert_non_null(strstr(fake_log(), "secret:sk-secret"));
	add_provider("one", "sk-other");
	assert_int_equal(ans.status, 409);
	add_provider("demo", "");
	assert_int_equal(ans.status, 409);
	script.provider = 422;
	add_provider("two", "sk-two");
	assert_int_equal(ans.status, 422);
	script.provider = 200;
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM provider"), 1);
	/* It is not in the file in clear. */
	assert_int_equal(fake_count("SELECT count(*) FROM provider WHERE "
	    "instr(secret, CAST('sk-secret' AS BLOB)) > 0"), 0);
	fake_begin();
	assert_true(fake_until("secret:sk-secret"));
	assert_non_null(strstr(fake_log(), "provider"));
	/* Deleted while upstream is away: told when it is back. */
	fake_down(PROC_UPSTREAM);
	fake_run(10);
	fake_ask(MSG_PROVIDER_DELETE, &r, &ans);
	assert_int_equal(ans.status, 200);
	fake_log_clear();
	fake_up(PROC_UPSTREAM);
	assert_true(fake_until("provider-drop"));
	assert_null(strstr(fake_log(), "secret:"));
}

static void
test_passes(void **state)
{
	static uint8_t		 forged[160];
	struct m_api		 a = { { forged, sizeof(forged) } };
	static uint8_t		 other[192];

	(void)state;
	fake_ask(MSG_AGENT_LIST, &a, &ans);
	assert_int_equal(ans.status, 401);
	a.pass.len = 0;
	fake_ask(MSG_AGENT_LIST, &a, &ans);
	assert_int_equal(ans.status, 401);
	/* One for trace is worth nothing here. */
	memcpy(other, fake_pass(PROC_TRACE), 160);
	a.pass.ptr = other;
	a.pass.len = 160;
	fake_ask(MSG_AGENT_LIST, &a, &ans);
	assert_int_equal(ans.status, 401);
	a.pass.ptr = NULL;
	fake_ask(MSG_AGENT_LIST, &a, &ans);
	assert_int_equal(ans.status, 200);
	assert_int_equal(fake_token("wrong"), 401);
	assert_int_equal(fake_token(""), 401);
	fake_run(1200);
	fake_kill();
	assert_true(fake_count("SELECT count(*) FROM audit WHERE "
	    "status = 401") >= 5);
}

static void
test_status(void **state)
{
	struct m_api	 a = { { NULL, 0 } };

	(void)state;
	fake_ask(MSG_API_STATUS, &a, &ans);
	assert_int_equal(ans.status, 200);
	assert_true(has("\"name\":\"front\""));
	assert_true(has("\"agents\":{\"total\":0"));
	a.pass.ptr = NULL;
	fake_ask(MSG_API_FRAMEWORKS, &a, &ans);
	assert_int_equal(ans.rows, 1);
	assert_true(has("\"id\":\"pi\""));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_deploy), T(test_deploy_refused), T(test_no_model),
		T(test_no_socket), T(test_no_instance), T(test_foreign),
		T(test_no_link), T(test_delete_while_deploying),
		T(test_killed_while_deploying), T(test_undo_waits),
		T(test_deploy_twice), T(test_follow), T(test_life),
		T(test_killed_while_deleting), T(test_reconcile),
		T(test_turn), T(test_turn_attempt), T(test_turn_error),
		T(test_killed_in_turn), T(test_order_and_window),
		T(test_post_refused), T(test_resume_watch), T(test_tracebox),
		T(test_provider), T(test_passes), T(test_status),
	};

	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

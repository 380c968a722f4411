/*
 * Tests of keeper: chat, the outbox, records for trace, providers, passes.
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
#include <string.h>

#include <cmocka.h>

#include "keeper_steps.h"
#include "log.h"
#include "sys.h"

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
	step_deploy();
	id = fake_send(MSG_CHAT_WATCH, &w, &watch);
	assert_int_equal(step_post("hello", ""), 201);
	assert_true(step_has("\"state\":\"queued\""));
	assert_true(fake_event(message));
	assert_true(fake_until("turn:1:"));
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
	assert_true(fake_until("turn:0:"));
	assert_true(fake_watched(&watch, "message message_state message "
	    "message_delta message_delta message_edit message_state "
	    "message_state "));
	fake_cancel(id);
	assert_int_equal(history(), 200);
	assert_true(step_has("\"content\":\"Hello\""));
	assert_true(step_has("\"state\":\"answered\""));
	assert_false(step_has("again"));
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM outbox"), 0);
	assert_int_equal(fake_count("SELECT count(*) FROM message"), 2);
}

static void
test_turn_attempt(void **state)
{
	(void)state;
	step_deploy();
	assert_int_equal(step_post("hello", ""), 201);
	assert_int_equal(fake_reply(agent, "delta", message, 1, 1, "bad"),
	    202);
	assert_int_equal(fake_reply(agent, "delta", message, 2, 2, "good"),
	    202);
	/* A straggler of the first attempt. */
	assert_int_equal(fake_reply(agent, "delta", message, 3, 1, "bad"),
	    202);
	assert_int_equal(fake_reply(agent, "final", message, 4, 2, ""), 202);
	assert_int_equal(history(), 200);
	assert_true(step_has("\"content\":\"good\""));
}

/* A link that comes back goes on; a new one begins again. */
static void
test_turn_new_link(void **state)
{
	(void)state;
	step_deploy();
	assert_int_equal(step_post("hello", ""), 201);
	assert_int_equal(fake_reply(agent, "delta", message, 7, 1, "a"), 202);
	fake_resubscribe(agent, 1);
	assert_true(fake_event(message));
	assert_int_equal(fake_reply(agent, "delta", message, 8, 1, "b"), 202);
	assert_int_equal(fake_reply(agent, "delta", message, 2, 1, "x"), 202);
	fake_resubscribe(agent, 0);
	assert_int_equal(fake_reply(agent, "delta", message, 1, 1, "new"),
	    202);
	assert_int_equal(fake_reply(agent, "final", message, 2, 1, ""), 202);
	assert_int_equal(history(), 200);
	assert_true(step_has("\"content\":\"new\""));
}

static void
test_turn_error(void **state)
{
	(void)state;
	step_deploy();
	assert_int_equal(step_post("hello", ""), 201);
	assert_int_equal(fake_reply(agent, "error", message, 1, 1, "boom"),
	    202);
	assert_int_equal(fake_reply(agent, "final", message, 2, 1, "late"),
	    409);
	assert_true(fake_until("trace:error"));
	assert_int_equal(history(), 200);
	assert_true(step_has("\"state\":\"failed\""));
	assert_true(step_has("\"error\":\"boom\""));
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
	step_deploy();
	fake_unsubscribe();
	assert_int_equal(step_post("one", ""), 201);
	(void)strlcpy(first, message, sizeof(first));
	fake_kill();
	fake_begin();
	fake_subscribe(agent);
	assert_true(fake_event(first));
	assert_int_equal(fake_reply(agent, "delta", first, 1, 1, "par"), 202);
	fake_kill();
	fake_begin();
	/* gateway hears of the open turn before the agent comes back. */
	assert_true(fake_until("turn:1:"));
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
	assert_true(step_has("\"content\":\"partial\""));
}

static void
test_order_and_window(void **state)
{
	char	 text[16], last[ID_LEN + 1] = "";
	int	 i, n;

	(void)state;
	step_deploy();
	fake_unsubscribe();
	for (i = 0; i < 20; i++) {
		(void)snprintf(text, sizeof(text), "m%d", i);
		assert_int_equal(step_post(text, ""), 201);
	}
	(void)strlcpy(last, message, sizeof(last));
	fake_subscribe(agent);
	fake_run(200);
	/* Not all at once: the rest comes as turns are over. */
	assert_null(strstr(fake_events(), last));
	for (n = 0; n < 20; n++) {
		char	 id[ID_LEN + 1];

		/* "user_message:ID " */
		for (i = 0; i < 1000 && strlen(fake_events()) <
		    (size_t)(n + 1) * 46; i++)
			fake_run(2);
		(void)strlcpy(id, fake_events() + (size_t)n * 46 + 13,
		    sizeof(id));
		assert_true(sys_is_id(id));
		assert_int_equal(fake_reply(agent, "final", id, 1, 1, "ok"),
		    202);
	}
	assert_true(fake_event(last));
	/* A link that gives up tells so by its ack. */
	assert_int_equal(step_post("unanswered", ""), 201);
	fake_run(20);
	assert_int_equal(fake_ack(agent, 21), 200);
	assert_int_equal(history(), 200);
	assert_true(step_has("the agent gave no answer"));
	assert_int_equal(fake_reply(agent, "final", message, 1, 1, "late"),
	    409);
}

/* The newest that fit, oldest of them first. */
static void
test_history_bytes(void **state)
{
	struct m_chat_history	 h = { { NULL, 0 }, channel, 0, 3 };
	static char		 big[250000];
	int			 i;

	(void)state;
	step_deploy();
	memset(big, 'x', sizeof(big) - 1);
	for (i = 0; i < 9; i++) {
		assert_int_equal(step_post("q", ""), 201);
		assert_int_equal(fake_reply(agent, "final", message, 1, 1,
		    big), 202);
	}
	fake_ask(MSG_CHAT_HISTORY, &h, &ans);
	assert_int_equal(ans.rows, 3);
	h.limit = 200;
	fake_ask(MSG_CHAT_HISTORY, &h, &ans);
	assert_int_equal(ans.status, 200);
	assert_true(ans.rows > 10 && ans.rows < 18);
	assert_int_equal(history(), 200);
}

static void
test_post_refused(void **state)
{
	char	 id[ID_LEN + 1], again[ID_LEN + 1];

	(void)state;
	step_deploy();
	assert_int_equal(step_post("", ""), 422);
	assert_int_equal(step_post("x", "k"), 201);
	(void)strlcpy(id, message, sizeof(id));
	assert_int_equal(step_post("x", "k"), 201);
	(void)strlcpy(again, message, sizeof(again));
	assert_string_equal(id, again);
	(void)strlcpy(channel, "00000000000000000000000000000000",
	    sizeof(channel));
	assert_int_equal(step_post("x", ""), 404);
}

static void
test_resume_watch(void **state)
{
	struct m_chat_watch	 w = { { NULL, 0 }, channel, 1 };
	static struct fake_answer watch;
	uint64_t		 id;

	(void)state;
	step_deploy();
	assert_int_equal(step_post("one", ""), 201);
	assert_int_equal(step_post("two", ""), 201);
	assert_int_equal(fake_reply(agent, "delta", message, 1, 1, "thi"),
	    202);
	id = fake_send(MSG_CHAT_WATCH, &w, &watch);
	/* What came after seq 1, and what is being written. */
	assert_true(fake_watched(&watch, "message message "));
	assert_null(strstr(watch.text, "\"content\":\"one\""));
	assert_non_null(strstr(watch.text, "\"content\":\"two\""));
	assert_non_null(strstr(watch.text, "\"state\":\"streaming\""));
	fake_cancel(id);
	assert_int_equal(step_act("alpha", "delete"), 200);
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
	step_deploy();
	assert_int_equal(step_post("hello", ""), 201);
	assert_int_equal(fake_reply(agent, "final", message, 1, 1, "ok"),
	    202);
	fake_kill();
	assert_true(fake_count("SELECT count(*) FROM trace_outbox WHERE "
	    "kind = 'message_in'") == 1);
	fake_begin();
	assert_true(fake_until("trace:message_out"));
	assert_true(fake_until("trace:message_in"));
	assert_true(fake_until("trace:lifecycle"));
	fake_run(1000);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM trace_outbox"), 0);
}

/* trace takes records that a full disk does not let keeper remove. */
static void
test_tracebox_full_disk(void **state)
{
	int	 i;

	(void)state;
	fake_down(PROC_TRACE);
	step_deploy();
	for (i = 0; i < 150; i++)
		assert_int_equal(step_post("hello", ""), 201);
	fake_kill();
	script.disk = 4096;
	fake_begin();
	fake_run(1500);
	assert_int_equal(step_get("alpha"), 200);
	fake_kill();
	assert_true(fake_count("SELECT count(*) FROM trace_outbox") >= 150);
	script.disk = 0;
	fake_begin();
	fake_run(1500);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM trace_outbox"), 0);
}

/* What was acknowledged is on disk, also when the disk is full. */
static void
test_disk_full(void **state)
{
	static char	 text[30000];
	unsigned	 good = 0;
	uint32_t	 status;

	(void)state;
	step_deploy();
	fake_kill();
	script.disk = 1024U * 1024;
	fake_begin();
	memset(text, 'x', sizeof(text) - 1);
	while ((status = step_post(text, "")) == 201 && good < 200)
		good++;
	assert_int_equal(status, 507);
	assert_true(good > 0);
	/* It lives, and says the same again. */
	assert_int_equal(step_get("alpha"), 200);
	assert_int_equal(step_post(text, ""), 507);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM message"), good);
	assert_int_equal(fake_count("SELECT count(*) FROM outbox"), good);
	assert_int_equal(fake_count("SELECT count(*) FROM trace_outbox WHERE "
	    "kind = 'message_in'") <= (int64_t)good, 1);
	/* Room again: it goes on where it was. */
	script.disk = 0;
	fake_begin();
	assert_int_equal(step_post(text, ""), 201);
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
	assert_true(fake_until("secret:sk-secret"));
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
	assert_true(fake_until("provider"));
	/* Deleted while upstream is away: told when it is back. */
	fake_down(PROC_UPSTREAM);
	fake_run(10);
	fake_ask(MSG_PROVIDER_DELETE, &r, &ans);
	assert_int_equal(ans.status, 200);
	fake_log_clear();
	fake_up(PROC_UPSTREAM);
	assert_true(fake_until("provider-drop"));
	assert_null(strstr(fake_log(), "secret:"));
	/* Both have forgotten it: nothing is left of it. */
	fake_run(100);
	fake_kill();
	assert_int_equal(fake_count("SELECT count(*) FROM provider"), 0);
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
	assert_true(step_has("\"name\":\"front\""));
	assert_true(step_has("\"agents\":{\"total\":0"));
	a.pass.ptr = NULL;
	fake_ask(MSG_API_FRAMEWORKS, &a, &ans);
	assert_int_equal(ans.rows, 2);
	assert_true(step_has("\"id\":\"pi\""));
	/* What cannot be had is listed, with its reason. */
	assert_true(step_has("\"id\":\"gone\""));
	assert_true(step_has("\"reason\":\"it went\""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_turn), T(test_turn_attempt), T(test_turn_new_link),
		T(test_turn_error),
		T(test_killed_in_turn), T(test_order_and_window),
		T(test_post_refused), T(test_history_bytes),
		T(test_resume_watch), T(test_tracebox),
		T(test_tracebox_full_disk), T(test_disk_full),
		T(test_provider), T(test_passes), T(test_status),
	};

	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

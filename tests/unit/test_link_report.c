/*
 * Tests of what runtimes say: records of the Agent Client Protocol and of
 * kind exec, as reported to a turn.
 * SPDX-License-Identifier: ISC
 * Runs in: tests. Talks to: nobody.
 */
#include "config.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acp_record.h"
#include "acp_update.h"
#include "exec_line.h"
#include "jbuf.h"
#include "jpath.h"
#include "report.h"
#include "turn.h"

/* In the place of turn.c: writes down what was reported. */
static char said[65536];

static void
note(const char *kind, const char *s, size_t len)
{
	size_t at = strlen(said);

	(void)snprintf(said + at, sizeof(said) - at, "%s(%.*s)", kind,
	    (int)len, s);
}

void
turn_delta(struct turn *t, const char *s, size_t len)
{
	(void)t;
	note("text", s, len);
}

void
turn_reasoning(struct turn *t, const char *s, size_t len)
{
	(void)t;
	note("think", s, len);
}

void
turn_tool_call(struct turn *t, const struct tool_event *ev)
{
	(void)t;
	note("call", ev->tool, strlen(ev->tool));
	note(ev->id, ev->json, ev->len);
}

void
turn_tool_result(struct turn *t, const struct tool_event *ev)
{
	(void)t;
	assert_true(ev->duration_ms >= 0);
	note(ev->success ? "good" : "bad", ev->tool, strlen(ev->tool));
	note(ev->id, ev->text, ev->len);
}

static void
update(struct report *r, const char *json)
{
	struct jspan u = { json, strlen(json), JT_OBJECT };

	assert_int_equal(jscan_buf(json, u.len, JSCAN_MAX_DEPTH, 0, NULL,
	    NULL, NULL), 0);
	acp_update(r, &u);
}

static int
setup(void **state)
{
	static struct report r;

	said[0] = '\0';
	report_init(&r, NULL);
	report_start(&r);
	*state = &r;
	return 0;
}

static int
teardown(void **state)
{
	report_free(*state);
	return 0;
}

#define CHUNK(kind, text) "{\"sessionUpdate\":\"agent_" kind "_chunk\"," \
	"\"content\":{\"type\":\"text\",\"text\":\"" text "\"}}"

/* As opencode 1.18.33 announces a call: the arguments come second. */
static void
test_opencode(void **state)
{
	struct report *r = *state;

	update(r, CHUNK("thought", "mock"));
	update(r, CHUNK("thought", " thinking"));
	update(r, "{\"sessionUpdate\":\"tool_call\",\"toolCallId\":\"call_1\","
	    "\"title\":\"bash\",\"kind\":\"execute\",\"status\":\"pending\","
	    "\"rawInput\":{\"cwd\":\"/root/work\"}}");
	assert_string_equal(said, "");
	update(r, "{\"sessionUpdate\":\"tool_call_update\",\"toolCallId\":"
	    "\"call_1\",\"status\":\"in_progress\",\"title\":\"echo hi\","
	    "\"rawInput\":{\"command\":\"echo hi\"}}");
	update(r, "{\"sessionUpdate\":\"tool_call_update\",\"toolCallId\":"
	    "\"call_1\",\"status\":\"in_progress\",\"title\":\"echo hi\","
	    "\"rawInput\":{\"command\":\"echo hi\"}}");
	update(r, "{\"sessionUpdate\":\"tool_call_update\",\"toolCallId\":"
	    "\"call_1\",\"status\":\"completed\",\"content\":[{\"type\":"
	    "\"content\",\"content\":{\"type\":\"text\",\"text\":\"hi\\n\"}}],"
	    "\"rawOutput\":{\"output\":\"hi\\n\"}}");
	update(r, CHUNK("message", "tok1"));
	update(r, CHUNK("message", " tok2"));
	assert_string_equal(said, "think(mock thinking)call(bash)"
	    "call_1({\"command\":\"echo hi\"})good(bash)call_1(hi\n)"
	    "text(tok1)text( tok2)");
}

/* As qwen-code 0.24.4 does: the tool's name is in _meta. */
static void
test_qwen(void **state)
{
	struct report *r = *state;

	update(r, CHUNK("message", "so"));
	update(r, "{\"sessionUpdate\":\"tool_call\",\"toolCallId\":\"c\","
	    "\"status\":\"pending\",\"title\":\"Shell\",\"content\":[],"
	    "\"rawInput\":{},\"_meta\":{\"toolName\":\"run_shell_command\"}}");
	update(r, CHUNK("message", ""));
	update(r, "{\"sessionUpdate\":\"available_commands_update\","
	    "\"availableCommands\":[]}");
	update(r, "{\"sessionUpdate\":\"tool_call_update\",\"toolCallId\":"
	    "\"c\",\"status\":\"failed\",\"content\":[],\"rawOutput\":"
	    "{\"output\":\"no\"}}");
	update(r, CHUNK("message", "well"));
	assert_string_equal(said, "text(so)call(run_shell_command)c({})"
	    "bad(run_shell_command)c(no)text(\n\n)text(well)");
}

static void
test_odd_updates(void **state)
{
	struct report *r = *state;

	update(r, "{}");
	update(r, "{\"sessionUpdate\":1}");
	update(r, "{\"sessionUpdate\":\"agent_message_chunk\"}");
	update(r, "{\"sessionUpdate\":\"agent_message_chunk\",\"content\":"
	    "{\"type\":\"image\",\"data\":\"AA\"}}");
	update(r, "{\"sessionUpdate\":\"tool_call\",\"status\":\"completed\"}");
	update(r, "{\"sessionUpdate\":\"tool_call\",\"toolCallId\":7}");
	assert_string_equal(said, "");
}

/* A tool more than there is room for is not reported; one that ends is. */
static void
test_bounds(void **state)
{
	struct report *r = *state;
	char json[256];
	unsigned int i;

	for (i = 0; i < REPORT_TOOLS + 10; i++) {
		(void)snprintf(json, sizeof(json), "{\"sessionUpdate\":"
		    "\"tool_call\",\"toolCallId\":\"n%u\",\"status\":"
		    "\"pending\"}", i);
		update(r, json);
	}
	assert_int_equal(r->ntools, REPORT_TOOLS);
	update(r, "{\"sessionUpdate\":\"tool_call_update\",\"toolCallId\":"
	    "\"n70\",\"status\":\"completed\"}");
	assert_string_equal(said, "");
	update(r, "{\"sessionUpdate\":\"tool_call_update\",\"toolCallId\":"
	    "\"n0\",\"status\":\"completed\"}");
	assert_string_equal(said, "call(tool)n0({})good(tool)n0()");
	assert_int_equal(r->ntools, REPORT_TOOLS - 1);
	said[0] = '\0';
	for (i = 0; i < 200000; i++)
		update(r, CHUNK("thought", "0123456789"));
	report_flush(r);
	assert_true(r->thought_total <= REPORT_THOUGHTS);
}

static void
answer(const char *request, const char *want)
{
	struct jspan id;
	struct jbuf b;
	const char *text;
	size_t len;

	assert_true(jpath(request, strlen(request), "id", &id));
	assert_int_equal(acp_answer(&b, request, strlen(request), &id), 0);
	text = jbuf_text(&b, &len);
	assert_non_null(text);
	assert_string_equal(text, want);
	jbuf_free(&b);
}

#define HEAD	"{\"jsonrpc\":\"2.0\",\"id\":"
#define ASK	HEAD "\"p\",\"method\":\"session/request_permission\"," \
	"\"params\":{\"options\":["

static void
test_requests(void **state)
{
	static const char bad[] = HEAD "{},\"method\":\"x\"}";
	struct jspan id;
	struct jbuf b;

	(void)state;
	answer(ASK "{\"optionId\":\"a\",\"kind\":\"allow_always\"},"
	    "{\"optionId\":\"o\",\"kind\":\"allow_once\"}]}}",
	    HEAD "\"p\",\"result\":{\"outcome\":{\"outcome\":\"selected\","
	    "\"optionId\":\"o\"}}}");
	answer(ASK "{\"optionId\":\"a\",\"kind\":\"allow_always\"}]}}",
	    HEAD "\"p\",\"result\":{\"outcome\":{\"outcome\":\"selected\","
	    "\"optionId\":\"a\"}}}");
	answer(ASK "{\"optionId\":\"r\",\"kind\":\"reject_once\"},5]}}",
	    HEAD "\"p\",\"result\":{\"outcome\":{\"outcome\":"
	    "\"cancelled\"}}}");
	answer(HEAD "0,\"method\":\"fs/read_text_file\",\"params\":{}}",
	    HEAD "0,\"error\":{\"code\":-32601,\"message\":"
	    "\"this client does not offer it\"}}");
	assert_true(jpath(bad, strlen(bad), "id", &id));
	assert_int_equal(acp_answer(&b, bad, strlen(bad), &id), -1);
}

static void
test_error_text(void **state)
{
	static const char *const cases[][2] = {
		{ "{\"message\":\"m\"}", "m" },
		{ "{\"message\":\"m\",\"data\":{\"details\":\"d\"}}", "m: d" },
		{ "{}", "the agent's runtime failed without a reason" },
		{ "7", "the agent's runtime failed without a reason" },
	};
	struct jspan e;
	char buf[100];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		e.p = cases[i][0];
		e.len = strlen(e.p);
		e.type = JT_OBJECT;
		acp_error(&e, buf, sizeof(buf));
		assert_string_equal(buf, cases[i][1]);
	}
}

static void
test_exec_lines(void **state)
{
	static const char *const lines[] = {
		"loading...", "{}", "{\"type\":3}", "{\"type\":\"delta\"}",
		"{\"type\":\"reasoning\",\"text\":\"hm\"}",
		"{\"type\":\"delta\",\"text\":\"a\"}",
		"{\"type\":\"tool_call\",\"id\":\"1\",\"tool\":\"sh\","
		    "\"args\":{\"c\":1}}",
		"{\"type\":\"tool_result\",\"id\":\"1\",\"result\":\"r\","
		    "\"success\":true}",
		"{\"type\":\"tool_result\",\"id\":\"2\",\"tool\":\"sh\"}",
		"{\"type\":\"delta\",\"text\":\"b\"}",
		"{\"type\":\"final\",\"text\":\"unused\"}",
	};
	struct report *r = *state;
	struct exec_end end;
	size_t i;

	memset(&end, 0, sizeof(end));
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		exec_line(r, &end, lines[i], strlen(lines[i]));
	assert_string_equal(said, "think(hm)text(a)call(sh)1({\"c\":1})"
	    "good(sh)1(r)call(sh)2({})bad(sh)2()text(\n\n)text(b)");
	assert_true(end.over);
	assert_false(end.failed);
	exec_line(r, &end, "{\"type\":\"error\",\"message\":\"x\"}", 30);
	assert_true(end.failed);
	assert_string_equal(end.why, "x");
}

static void
test_exec_final(void **state)
{
	struct report *r = *state;
	struct exec_end end;

	memset(&end, 0, sizeof(end));
	exec_line(r, &end, "{\"type\":\"final\",\"text\":\"all\"}", 29);
	assert_string_equal(said, "text(all)");
	assert_true(end.over);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_opencode, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_qwen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_updates, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_bounds, setup, teardown),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_error_text),
		cmocka_unit_test_setup_teardown(test_exec_lines, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_exec_final, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

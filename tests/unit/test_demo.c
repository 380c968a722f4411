/*
 * Tests the answers of the demo provider.
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>

#include "demo_reply.h"
#include "jscan.h"
#include "sse.h"

#define TOOL(name, schema) \
	"{\"type\":\"function\",\"function\":{\"name\":\"" name "\"" schema "}}"
#define COMMAND ",\"parameters\":{\"type\":\"object\",\"properties\":" \
	"{\"command\":{\"type\":\"string\"},\"timeout\":{\"type\":" \
	"\"number\"}},\"required\":[\"command\"]}"
#define PI_TOOLS "\"tools\":[" TOOL("read", ",\"parameters\":{}") "," \
	TOOL("bash", COMMAND) "," TOOL("edit", "") "," TOOL("write", "") "]"
#define USER "{\"role\":\"user\",\"content\":\"hi\"}"
#define CALLED "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}"
#define RESULT "{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":\"y\"}"
#define SAID "{\"role\":\"assistant\",\"content\":\"done\"}"

static void
parse(const char *text, struct demo_request *r)
{
	const char *why;

	if (demo_parse(text, strlen(text), r, &why) == -1)
		fail_msg("%s: %s", text, why);
}

static void
test_turns(void **state)
{
	static const struct {
		const char	*messages;
		bool		 result;
	} cases[] = {
		{ "", false },
		{ USER, false },
		{ USER "," CALLED, false },
		{ USER "," CALLED "," RESULT, true },
		/* OpenClaw's own message behind the result. */
		{ USER "," CALLED "," RESULT "," USER, true },
		/* The next turn. */
		{ USER "," CALLED "," RESULT "," SAID "," USER, false },
		{ USER "," CALLED "," RESULT "," RESULT, true },
		{ "1,null,[],{}," USER, false },
	};
	struct demo_request r;
	char text[1024];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(text, sizeof(text), " {\"messages\":[%s]} ",
		    cases[i].messages);
		parse(text, &r);
		assert_int_equal(r.tool_result, cases[i].result);
		assert_false(r.tool);
	}
}

static void
test_tools(void **state)
{
	struct demo_request r;

	(void)state;
	parse("{\"messages\":[" USER "]," PI_TOOLS "}", &r);
	assert_true(r.tool);
	assert_string_equal(r.tool_name, "bash");
	assert_string_equal(r.tool_arg, "command");
	assert_false(r.as_list);
	/* The order of the offer does not matter. */
	parse("{\"messages\":[],\"tools\":[" TOOL("process", COMMAND) ","
	    TOOL("bash", COMMAND) "," TOOL("exec", COMMAND) "]}", &r);
	assert_string_equal(r.tool_name, "exec");
	/* No schema: the usual argument. */
	parse("{\"messages\":[],\"tools\":[" TOOL("exec", "") "]}", &r);
	assert_true(r.tool);
	assert_string_equal(r.tool_arg, "command");
	parse("{\"messages\":[],\"tools\":[" TOOL("shell", ",\"parameters\":"
	    "{\"properties\":{\"cmd\":{\"type\":\"array\"}}}") "]}", &r);
	assert_true(r.tool && r.as_list);
	assert_string_equal(r.tool_arg, "cmd");
	/* One that needs more than we know is left alone. */
	parse("{\"messages\":[],\"tools\":[" TOOL("exec", ",\"parameters\":"
	    "{\"properties\":{\"command\":{},\"host\":{}},\"required\":"
	    "[\"command\",\"host\"]}") "]}", &r);
	assert_false(r.tool);
	parse("{\"messages\":[],\"tools\":[" TOOL("read", COMMAND) "]}", &r);
	assert_false(r.tool);
	parse("{\"messages\":[],\"tool_choice\":\"none\"," PI_TOOLS "}", &r);
	assert_false(r.tool);
	parse("{\"messages\":[],\"tools\":[1,null,{\"function\":3},"
	    "{\"function\":{\"name\":4}}]}", &r);
	assert_false(r.tool);
}

static void
test_broken(void **state)
{
	static const char *const bad[] = {
		"", "{", "[]", "1", "null", "{}", "{\"messages\":{}}",
		"{\"messages\":[]}x", "{\"messages\":[],\"messages\":[]}",
		"{\"messages\":[\"\xff\"]}",
	};
	struct demo_request r;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why = NULL;
		if (demo_parse(bad[i], strlen(bad[i]), &r, &why) == 0)
			fail_msg("%s was taken", bad[i]);
		assert_non_null(why);
	}
}

static char *
reply(const char *text)
{
	struct evbuffer *out = evbuffer_new();
	struct demo_request r;
	char *s;

	parse(text, &r);
	demo_write(&r, "0123456789abcdef0123456789abcdef", 1700000000, out);
	s = calloc(1, evbuffer_get_length(out) + 1);
	assert_non_null(s);
	evbuffer_remove(out, s, evbuffer_get_length(out));
	evbuffer_free(out);
	return s;
}

static void
test_json(void **state)
{
	char *s;

	(void)state;
	s = reply("{\"model\":\"demo\",\"messages\":[" USER "]," PI_TOOLS "}");
	assert_int_equal(jscan_buf(s, strlen(s), JSCAN_DEPTH, JSCAN_DUP_ALL,
	    NULL, NULL, NULL), 0);
	assert_non_null(strstr(s, "\"finish_reason\":\"tool_calls\""));
	assert_non_null(strstr(s, "\"arguments\":\"{\\\"command\\\":"
	    "\\\"echo hello from the demo provider\\\"}\""));
	free(s);
	s = reply("{\"model\":\"\\\"\\n\",\"messages\":[" USER "," CALLED ","
	    RESULT "]," PI_TOOLS "}");
	assert_int_equal(jscan_buf(s, strlen(s), JSCAN_DEPTH, JSCAN_DUP_ALL,
	    NULL, NULL, NULL), 0);
	assert_non_null(strstr(s, "\"content\":\"(demo provider, not an AI"));
	assert_non_null(strstr(s, "\"finish_reason\":\"stop\""));
	assert_null(strstr(s, "tool_calls"));
	free(s);
}

struct seen {
	unsigned	 events;
	unsigned	 finishes;
	bool		 usage;
	bool		 done;
};

static int
on_event(void *arg, const struct sse_event *e)
{
	struct seen *seen = arg;

	assert_false(seen->done);
	if (strcmp(e->data, "[DONE]") == 0) {
		seen->done = true;
		return 0;
	}
	assert_int_equal(jscan_buf(e->data, e->len, JSCAN_DEPTH,
	    JSCAN_DUP_ALL, NULL, NULL, NULL), 0);
	seen->events++;
	if (strstr(e->data, "\"finish_reason\":\"") != NULL)
		seen->finishes++;
	if (strstr(e->data, "\"usage\":{") != NULL) {
		assert_non_null(strstr(e->data, "\"choices\":[]"));
		seen->usage = true;
	}
	return 0;
}

static void
test_events(void **state)
{
	static const char *const requests[] = {
		"{\"stream\":true,\"messages\":[" USER "]," PI_TOOLS "}",
		"{\"stream\":true,\"messages\":[" USER "," RESULT "]}",
		"{\"stream\":true,\"stream_options\":{\"include_usage\":true},"
		    "\"messages\":[" USER "]}",
	};
	struct seen seen;
	struct sse sse;
	size_t i;
	char *s;

	(void)state;
	for (i = 0; i < 3; i++) {
		memset(&seen, 0, sizeof(seen));
		s = reply(requests[i]);
		sse_init(&sse, 65536, on_event, &seen);
		assert_int_equal(sse_feed(&sse, s, strlen(s)), 0);
		assert_true(seen.done);
		assert_int_equal(seen.finishes, 1);
		assert_int_equal(seen.usage, i == 2);
		/* A word at a time, so that streaming can be seen. */
		assert_true(seen.events >= (i == 0 ? 3 : 20));
		sse_free(&sse);
		free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_tools),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

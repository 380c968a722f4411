/*
 * Tests of what agentctl prints: escapes, cuts, tables, numbers, traces.
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
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "ctl.h"
#include "trace_print.h"

static const struct ctl plain;
static int saved = -1;

/* From here on standard output goes to a file, until caught(). */
static void
catch(void)
{
	char path[] = "/tmp/test_ctl_out.XXXXXX";
	int fd;

	(void)fflush(stdout);
	assert_true((saved = dup(STDOUT_FILENO)) != -1);
	assert_true((fd = mkstemp(path)) != -1);
	unlink(path);
	assert_true(dup2(fd, STDOUT_FILENO) != -1);
	close(fd);
}

static const char *
caught(void)
{
	static char buf[16384];
	ssize_t n;

	(void)fflush(stdout);
	n = pread(STDOUT_FILENO, buf, sizeof(buf) - 1, 0);
	(void)dup2(saved, STDOUT_FILENO);
	close(saved);
	assert_true(n >= 0);
	buf[n] = '\0';
	return buf;
}

static void
expect_text(const char *in, size_t len, bool lines, const char *want)
{
	catch();
	out_text(in, len, lines);
	assert_string_equal(caught(), want);
}

static void
test_text_is_harmless(void **state)
{
	(void)state;
	expect_text("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80", 11, false,
	    "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80");
	expect_text("a\033[31mb", 7, false, "a\\^[[31mb");
	expect_text("a\033]0;title\007", 11, true, "a\\^[]0;title\\a");
	expect_text("a\nb\tc", 5, false, "a\\nb\\tc");
	expect_text("a\nb\tc", 5, true, "a\nb\tc");
	expect_text("a\rb\bc", 5, true, "a\\rb\\bc");
	/* C1 controls, right-to-left override, a byte order mark. */
	expect_text("\xc2\x9b" "1m", 4, true, "\\M-B\\M^[1m");
	catch();
	out_text("a\xe2\x80\xae" "b\xef\xbb\xbf", 8, true);
	assert_null(strstr(caught(), "\xe2\x80\xae"));
	/* Broken UTF-8: overlong, surrogate, cut short, lone. */
	catch();
	out_text("\xc0\xaf\xed\xa0\x80\xe2\x82\xff\x80", 9, true);
	assert_non_null(strchr(caught(), '\\'));
}

static void
test_short_text_is_cut(void **state)
{
	(void)state;
	catch();
	out_short("abcdef", 6, 10);
	assert_string_equal(caught(), "abcdef");
	catch();
	out_short("abcdefghijklm", 13, 10);
	assert_string_equal(caught(), "abcdefg...");
	catch();
	out_short("\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
	    "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac", 21, 6);
	assert_string_equal(caught(), "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"
	    "...");
	catch();
	out_short("line\n", 5, 10);
	assert_string_equal(caught(), "line");
}

static void
test_numbers(void **state)
{
	char buf[32];

	(void)state;
	assert_string_equal(fmt_span(buf, sizeof(buf), 0.4), "0s");
	assert_string_equal(fmt_span(buf, sizeof(buf), 61), "1m 1s");
	assert_string_equal(fmt_span(buf, sizeof(buf), 7260), "2h 1m");
	assert_string_equal(fmt_span(buf, sizeof(buf), 90000), "1d 1h");
	assert_string_equal(fmt_size(buf, sizeof(buf), 0), "0 B");
	assert_string_equal(fmt_size(buf, sizeof(buf), 1536), "1.5 KiB");
	assert_string_equal(fmt_size(buf, sizeof(buf), 384.0 * 1048576),
	    "384 MiB");
	assert_string_equal(fmt_time(buf, sizeof(buf), 0), "-");
}

static void
test_table(void **state)
{
	struct table *t = table_new(2);

	(void)state;
	table_cell(t, "A");
	table_cell(t, "B");
	table_cell(t, "%s", "gr\xc3\xbc" "n\033");
	table_cell(t, "%d", 1);
	catch();
	table_print(&plain, t);
	assert_string_equal(caught(),
	    "A        B\n"
	    "gr\xc3\xbc" "n\\^[  1\n");
}

static void
test_members(void **state)
{
	struct json_object *o;

	(void)state;
	o = json_tokener_parse("{\"s\":\"x\",\"n\":2,\"b\":true,\"a\":[7]}");
	assert_string_equal(jstr(o, "s"), "x");
	assert_string_equal(jstr(o, "n"), "");
	assert_string_equal(jstr(NULL, "s"), "");
	assert_true(jnum(o, "n", -1) > 1.9);
	assert_true(jnum(o, "s", -1) < 0);
	assert_true(jbool(o, "b"));
	assert_false(jbool(o, "s"));
	assert_non_null(jat(jget(o, "a"), 0));
	assert_null(jat(jget(o, "a"), 1));
	assert_null(jat(o, 0));
	json_object_put(o);
}

static const char events[] = "["
    "{\"trace_id\":\"t2\",\"created_at\":205.0,\"kind\":\"message_out\","
    "\"payload\":{\"content\":\"done\\n\",\"attempt\":2}},"
    "{\"trace_id\":\"t2\",\"created_at\":204.0,\"kind\":\"llm_call\","
    "\"model\":\"m\",\"backend_name\":\"p\",\"tokens_in\":3,\"tokens_out\":4,"
    "\"duration_ms\":12,\"payload\":{\"status\":\"success\",\"attempt\":2,"
    "\"response\":{\"tool_calls\":[{\"name\":\"sh\"}]}}},"
    "{\"trace_id\":\"t2\",\"created_at\":201.5,\"kind\":\"tool_result\","
    "\"payload\":{\"tool\":\"sh\",\"result\":\"\\u001b[2J\","
    "\"success\":false}},"
    "{\"trace_id\":null,\"created_at\":150.0,\"kind\":\"lifecycle\","
    "\"payload\":{\"event\":\"deployed\"}},"
    "{\"trace_id\":\"t1\",\"created_at\":100.0,\"kind\":\"error\","
    "\"payload\":{\"stage\":\"runtime\",\"message\":\"it broke\"}},"
    "{\"trace_id\":\"t2\",\"created_at\":200.0,\"kind\":\"message_in\","
    "\"payload\":{\"from\":\"root\",\"text\":\"hi\"}}]";

static void
test_trace_is_a_tree_of_turns(void **state)
{
	struct json_object *list = json_tokener_parse(events);
	const char *out, *order[] = { "turn t1", "runtime: it broke",
	    "outside of turns", "lifecycle", "turn t2", "message_in   root: hi",
	    "+1.500  tool_result  sh FAILED \\^[[2J", "attempt 2",
	    "llm_call     m (p), 3 + 4 tokens, 12 ms -> sh",
	    "message_out  done\n" };
	size_t i;

	(void)state;
	assert_non_null(list);
	catch();
	trace_print(&plain, list);
	out = caught();
	assert_null(strchr(out, '\033'));
	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if ((out = strstr(out, order[i])) == NULL)
			fail_msg("'%s' is not there, or not in order",
			    order[i]);
	}
	json_object_put(list);
	catch();
	trace_print(&plain, NULL);
	assert_string_equal(caught(), "no events\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_is_harmless),
		cmocka_unit_test(test_short_text_is_cut),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_trace_is_a_tree_of_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

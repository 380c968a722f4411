/*
 * Tests the reader of model replies, cut at every byte.
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jbuf.h"
#include "tap.h"

#define CHUNK(delta)							\
	"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\","	\
	"\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":" delta	\
	"}]}\n\n"

/* Text cut in the middle of a surrogate pair, reasoning, two tools. */
static const char stream[] =
    ": hello\n\n"
    CHUNK("{\"role\":\"assistant\",\"content\":null}")
    CHUNK("{\"reasoning_content\":\"let \",\"reasoning\":\"let \"}")
    CHUNK("{\"reasoning_content\":\"me\"}")
    CHUNK("{\"content\":\"Hel\"}")
    CHUNK("{\"content\":\"lo \\ud83d\"}")
    CHUNK("{\"content\":\"\\ude00 \\\"q\\\"\\n\"}")
    CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\","
    "\"type\":\"function\",\"function\":{\"name\":\"bash\","
    "\"arguments\":\"\"}}]}")
    CHUNK("{\"tool_calls\":[{\"index\":1,\"id\":\"call_2\","
    "\"function\":{\"name\":\"read\",\"arguments\":\"not json\"}}]}")
    CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":"
    "{\"arguments\":\"{\\\"command\\\":\"}}]}")
    CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":"
    "{\"arguments\":\"\\\"echo hi\\\"}\"}}]}")
    "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"other\"}}]}"
    "\n\n"
    "data: {\"choices\":[{\"index\":0,\"delta\":{},"
    "\"finish_reason\":\"tool_calls\"}]}\r\n\r\n"
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,"
    "\"completion_tokens\":7,\"prompt_tokens_details\":"
    "{\"cached_tokens\":5}}}\n\n"
    "data: [DONE]\n\n";

static const char document[] =
    "{\"id\":\"c\",\"model\":\"m-1\",\"choices\":[{\"index\":0,\"message\":"
    "{\"role\":\"assistant\",\"reasoning_content\":\"let me\","
    "\"content\":\"Hello \\ud83d\\ude00 \\\"q\\\"\\n\",\"tool_calls\":["
    "{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"bash\","
    "\"arguments\":\"{\\\"command\\\":\\\"echo hi\\\"}\"}},"
    "{\"id\":\"call_2\",\"type\":\"function\",\"function\":{\"name\":\"read\","
    "\"arguments\":\"not json\"}}]},\"finish_reason\":\"tool_calls\"}],"
    "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":7,"
    "\"prompt_tokens_details\":{\"cached_tokens\":5}}}";

static const char want[] =
    "{\"content\":\"Hello \\ud83d\\ude00 \\\"q\\\"\\n\","
    "\"reasoning\":\"let me\","
    "\"tools\":[[\"call_1\",\"bash\",{\"command\":\"echo hi\"}],"
    "[\"call_2\",\"read\",\"not json\"]],\"finish\":\"tool_calls\","
    "\"model\":\"m-1\",\"in\":12,\"out\":7,\"cached\":5}";

/* All that was read, as one text. */
static void
check(struct tap *t, const char *expected)
{
	struct jbuf j;
	unsigned int i;

	jbuf_init(&j, 65536);
	jb_obj(&j);
	jb_key(&j, "content");
	tap_put(&j, &t->content, 1000);
	jb_key(&j, "reasoning");
	tap_put(&j, &t->reasoning, 1000);
	jb_key(&j, "tools");
	jb_arr(&j);
	for (i = 0; i < t->ntools; i++) {
		jb_arr(&j);
		jb_str(&j, t->tools[i].id);
		jb_str(&j, t->tools[i].name);
		tap_put_args(&j, &t->tools[i].args, 1000);
		jb_end(&j);
	}
	jb_end(&j);
	jb_kstr(&j, "finish", t->finish);
	jb_kstr(&j, "model", t->model);
	jb_kint(&j, "in", t->tokens_in);
	jb_kint(&j, "out", t->tokens_out);
	jb_kint(&j, "cached", t->tokens_cached);
	jb_end(&j);
	assert_string_equal(jbuf_text(&j, NULL), expected);
	jbuf_free(&j);
}

static void
test_every_byte(void **state)
{
	const struct {
		const char *type, *text;
		size_t len;
	} in[] = {
		{ "text/event-stream; charset=utf-8", stream,
		    sizeof(stream) - 1 },
		{ "application/json", document, sizeof(document) - 1 },
	};
	struct tap t;
	size_t i, cut;

	(void)state;
	for (i = 0; i < 2; i++)
		for (cut = 0; cut <= in[i].len; cut++) {
			tap_init(&t, in[i].type);
			tap_feed(&t, in[i].text, cut);
			tap_feed(&t, in[i].text + cut, in[i].len - cut);
			tap_end(&t);
			assert_true(t.done);
			assert_false(t.cut || t.broken);
			check(&t, want);
			tap_free(&t);
		}
}

static void
test_byte_by_byte(void **state)
{
	struct tap t;
	size_t i;

	(void)state;
	tap_init(&t, "text/event-stream");
	for (i = 0; i < sizeof(stream) - 1; i++)
		tap_feed(&t, stream + i, 1);
	tap_end(&t);
	check(&t, want);
	tap_free(&t);
}

static void
test_errors(void **state)
{
	struct tap t;
	const char *text;

	(void)state;
	tap_init(&t, "application/json");
	text = "{\"error\":{\"message\":\"too many\",\"type\":\"x\"}}";
	tap_feed(&t, text, strlen(text));
	tap_end(&t);
	assert_string_equal(t.error, "too many");
	assert_int_equal(t.tokens_in, -1);
	tap_free(&t);

	tap_init(&t, "text/event-stream");
	text = "data: {\"error\":\"overloaded\"}\n\ndata: {broken\n\n"
	    "data: [1]\n\ndata: {\"choices\":7,\"usage\":null}\n\n";
	tap_feed(&t, text, strlen(text));
	tap_end(&t);
	assert_string_equal(t.error, "overloaded");
	assert_int_equal(t.ntools, 0);
	tap_free(&t);

	/* What is neither is let pass unread. */
	tap_init(&t, "text/html");
	tap_feed(&t, "<p>", 3);
	tap_end(&t);
	assert_null(t.content.p);
	tap_free(&t);
}

/* More text than is kept: what is kept is still a whole string. */
static void
test_bounds(void **state)
{
	char chunk[8192], *big;
	struct jbuf j;
	struct tap t;
	size_t i;

	(void)state;
	tap_init(&t, "text/event-stream");
	memset(chunk, 'x', sizeof(chunk));
	for (i = 0; i < 200; i++) {
		static const char head[] =
		    "data: {\"choices\":[{\"delta\":{\"content\":\"";
		static const char tail[] = "\\n\"}}]}\n\n";

		tap_feed(&t, head, sizeof(head) - 1);
		tap_feed(&t, chunk, sizeof(chunk));
		tap_feed(&t, tail, sizeof(tail) - 1);
	}
	assert_true(t.cut);
	assert_true(t.content.len <= TAP_TEXT_MAX);
	assert_int_equal(t.content.len % (sizeof(chunk) + 2), 0);
	jbuf_init(&j, 1024 * 1024);
	tap_put(&j, &t.content, sizeof(chunk) + 1);
	assert_int_equal(j.len, sizeof(chunk) + 2);	/* no half escape */
	jbuf_free(&j);
	tap_free(&t);

	tap_init(&t, "application/json");
	big = calloc(1, TAP_DOC_MAX + 1);
	assert_non_null(big);
	tap_feed(&t, big, TAP_DOC_MAX + 1);
	assert_true(t.broken);
	tap_end(&t);
	tap_free(&t);
	free(big);
}

static void
test_cut(void **state)
{
	(void)state;
	assert_int_equal(json_cut("abc", 3, 3), 3);
	assert_int_equal(json_cut("abc", 3, 2), 2);
	assert_int_equal(json_cut("a\\nb", 4, 2), 1);
	assert_int_equal(json_cut("a\\nb", 4, 3), 3);
	assert_int_equal(json_cut("\\u00e9x", 7, 5), 0);
	assert_int_equal(json_cut("\\u00e9x", 7, 6), 6);
	assert_int_equal(json_cut("a\xc3\xa9z", 4, 2), 1);
	assert_int_equal(json_cut("a\xc3\xa9z", 4, 3), 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

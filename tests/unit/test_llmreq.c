/*
 * Tests the scan and the splice of a chat completion's body.
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

#include "llmreq.h"

static const char *why, *param;

/* Scans a body, fed n bytes at a time. */
static int
scan(struct llmreq *q, const char *body, size_t n)
{
	size_t len = strlen(body), i;

	why = param = NULL;
	llmreq_init(q);
	for (i = 0; i < len; i += n)
		if (llmreq_feed(q, body + i,
		    len - i < n ? len - i : n) == -1) {
			why = q->scan.why;
			return -1;
		}
	return llmreq_end(q, body, &why, &param);
}

/* What goes out with the model "new/m\"x", sent in pieces of max bytes. */
static char *
spliced(const char *body, size_t feed, size_t max)
{
	static char out[4096];
	struct llmreq q;
	struct splice s;
	const void *p;
	uint64_t total;
	size_t n, len = 0;

	assert_int_equal(scan(&q, body, feed), 0);
	assert_int_equal(llmreq_splice(&q, body, strlen(body), "new/m\"x",
	    &s), 0);
	total = s.total;
	while ((n = splice_peek(&s, max, &p)) > 0) {
		assert_true(len + n < sizeof(out));
		assert_true(s.left >= n);
		memcpy(out + len, p, n);
		len += n;
		splice_skip(&s, n);
	}
	assert_int_equal(s.left, 0);
	assert_int_equal(len, total);
	out[len] = '\0';
	splice_free(&s);
	llmreq_free(&q);
	return out;
}

static const struct {
	const char	*in;
	const char	*out;
} splices[] = {
	{ "{\"model\":\"a\",\"messages\":[]}",
	  "{\"model\":\"new/m\\\"x\",\"messages\":[]}" },
	/* the model last, blanks, a nested one before */
	{ " {\"messages\" : [{\"model\":\"no\"}] , \"model\" : \"a\" } ",
	  " {\"messages\" : [{\"model\":\"no\"}] , "
	  "\"model\" : \"new/m\\\"x\" } " },
	/* an escaped key and a value with escapes */
	{ "{\"m\\u006fdel\":\"a\\\"}b\",\"messages\":[]}",
	  "{\"m\\u006fdel\":\"new/m\\\"x\",\"messages\":[]}" },
	/* a stream without options */
	{ "{\"stream\":true,\"model\":\"a\",\"messages\":[]}",
	  "{\"stream\":true,\"model\":\"new/m\\\"x\","
	  "\"stream_options\":{\"include_usage\":true},\"messages\":[]}" },
	/* with empty ones, before the model */
	{ "{\"stream_options\":{},\"stream\":true,\"model\":\"a\","
	  "\"messages\":[]}",
	  "{\"stream_options\":{\"include_usage\":true},\"stream\":true,"
	  "\"model\":\"new/m\\\"x\",\"messages\":[]}" },
	/* with others */
	{ "{\"stream\":true,\"model\":\"a\",\"messages\":[],"
	  "\"stream_options\":{ \"x\":1}}",
	  "{\"stream\":true,\"model\":\"new/m\\\"x\",\"messages\":[],"
	  "\"stream_options\":{\"include_usage\":true, \"x\":1}}" },
	/* switched off, null, on */
	{ "{\"stream\":true,\"model\":\"a\",\"messages\":[],"
	  "\"stream_options\":{\"include_usage\":false}}",
	  "{\"stream\":true,\"model\":\"new/m\\\"x\",\"messages\":[],"
	  "\"stream_options\":{\"include_usage\":true}}" },
	{ "{\"stream\":true,\"model\":\"a\",\"messages\":[],"
	  "\"stream_options\":null}",
	  "{\"stream\":true,\"model\":\"new/m\\\"x\",\"messages\":[],"
	  "\"stream_options\":{\"include_usage\":true}}" },
	{ "{\"stream\":true,\"model\":\"a\",\"messages\":[],"
	  "\"stream_options\":{\"include_usage\":true}}",
	  "{\"stream\":true,\"model\":\"new/m\\\"x\",\"messages\":[],"
	  "\"stream_options\":{\"include_usage\":true}}" },
	/* no stream: the options stay as they are */
	{ "{\"stream\":false,\"model\":\"a\",\"messages\":[],"
	  "\"stream_options\":{}}",
	  "{\"stream\":false,\"model\":\"new/m\\\"x\",\"messages\":[],"
	  "\"stream_options\":{}}" },
	/* unknown members and numbers pass byte for byte */
	{ "{\"x\":1.50e+3,\"model\":\"a\",\"messages\":[ ],\"y\":\"\\ud800\"}",
	  "{\"x\":1.50e+3,\"model\":\"new/m\\\"x\",\"messages\":[ ],"
	  "\"y\":\"\\ud800\"}" },
};

static void
test_splice(void **state)
{
	size_t i, feed, max;

	(void)state;
	for (i = 0; i < sizeof(splices) / sizeof(splices[0]); i++)
		for (feed = 1; feed < 8; feed++)
			for (max = 1; max < 100; max += 7)
				assert_string_equal(spliced(splices[i].in,
				    feed, max), splices[i].out);
}

static const struct {
	const char	*in;
	const char	*param;		/* NULL: not JSON */
} refused[] = {
	{ "", NULL },
	{ "[]", NULL },
	{ "{\"model\":\"a\",\"messages\":[]", NULL },
	{ "{\"model\":\"a\",\"messages\":[]}x", NULL },
	{ "{\"model\":\"a\",\"model\":\"b\",\"messages\":[]}", NULL },
	{ "{\"model\":\"a\",\"mod\\u0065l\":\"b\",\"messages\":[]}", NULL },
	{ "{\"messages\":[],\"messages\":[]}", NULL },
	{ "{\"messages\":[]}", "model" },
	{ "{\"model\":1,\"messages\":[]}", "model" },
	{ "{\"model\":null,\"messages\":[]}", "model" },
	{ "{\"model\":\"\",\"messages\":[]}", "model" },
	{ "{\"model\":\"a\\u0000b\",\"messages\":[]}", "model" },
	{ "{\"model\":\"a\"}", "messages" },
	{ "{\"model\":\"a\",\"messages\":{}}", "messages" },
	{ "{\"model\":\"a\",\"messages\":[],\"stream\":1}", "stream" },
	{ "{\"model\":\"a\",\"messages\":[],\"stream_options\":[]}",
	  "stream_options" },
};

static void
test_refused(void **state)
{
	struct llmreq q;
	size_t i, n;

	(void)state;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		for (n = 1; n < 4; n++) {
			assert_int_equal(scan(&q, refused[i].in, n), -1);
			assert_non_null(why);
			if (refused[i].param == NULL)
				assert_null(param);
			else
				assert_string_equal(param, refused[i].param);
			llmreq_free(&q);
		}
}

static void
test_long_model(void **state)
{
	char body[1024], name[LLMREQ_MODEL + 2];
	struct llmreq q;
	size_t n;

	(void)state;
	for (n = LLMREQ_MODEL; n <= LLMREQ_MODEL + 1; n++) {
		memset(name, 'm', n);
		name[n] = '\0';
		snprintf(body, sizeof(body),
		    "{\"model\":\"%s\",\"messages\":[]}", name);
		assert_int_equal(scan(&q, body, 64),
		    n == LLMREQ_MODEL ? 0 : -1);
		llmreq_free(&q);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_splice),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

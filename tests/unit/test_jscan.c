/*
 * Tests of the JSON scanner, walker, writer and of the typed getters.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check. Talks to: nobody.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jbuf.h"
#include "jscan.h"
#include "json.h"

#define ANY	(JSCAN_ANY_TOP | JSCAN_DUP_ALL)

static const struct {
	const char	*text;
	bool		 ok;
} rows[] = {
	{ "{}", true }, { " {\n} \t\r", true }, { "[]", true },
	{ "[1,2.5,-0,0e1,1E+2,1.5e-3]", true }, { "\"\"", true },
	{ "true", true }, { "false", true }, { "null", true }, { "0", true },
	{ "-1.25e10", true }, { "{\"a\":{\"a\":[{\"a\":1}]},\"b\":2}", true },
	{ "[{\"a\":1},{\"a\":2}]", true },
	{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"", true },
	{ "\"\\ud83d\\ude00\"", true }, { "\"\xf0\x9f\x98\x80\"", true },
	{ "\"\\ud800\"", true }, { "{\"\":1}", true },
	{ "\"\x7f\"", true }, { "[[[[]]]]", true },
	{ "", false }, { " ", false }, { "{", false }, { "}", false },
	{ "[", false }, { "]", false }, { "[}", false }, { "{]", false },
	{ "{} {}", false }, { "{}x", false }, { "1 2", false },
	{ "{,}", false }, { "[,]", false }, { "[1,]", false },
	{ "{\"a\":1,}", false }, { "{\"a\"}", false }, { "{\"a\":}", false },
	{ "{a:1}", false }, { "{1:1}", false }, { "{'a':1}", false },
	{ "{\"a\" 1}", false }, { "{\"a\":1 \"b\":2}", false },
	{ "[1 2]", false }, { "01", false }, { "-", false }, { "+1", false },
	{ ".5", false }, { "1.", false }, { "1e", false }, { "1e+", false },
	{ "0x1", false }, { "NaN", false }, { "Infinity", false },
	{ "-Infinity", false }, { "tru", false }, { "trux", false },
	{ "True", false }, { "nulll", false }, { "\"", false },
	{ "\"a", false }, { "\"\\", false }, { "\"\\x\"", false },
	{ "\"\\u12\"", false }, { "\"\\u12g4\"", false },
	{ "\"\n\"", false }, { "\"\t\"", false }, { "\"\xff\"", false },
	{ "\"\xc0\xaf\"", false }, { "\"\xed\xa0\x80\"", false },
	{ "\"\xe2\x82\"", false }, { "\"\xf4\x90\x80\x80\"", false },
	{ "\xef\xbb\xbf{}", false }, { "// c\n{}", false },
	{ "{\"a\":1,\"a\":2}", false }, { "{\"a\":1,\"\\u0061\":2}", false },
	{ "{\"\":1,\"\":2}", false }, { "[{\"a\":1,\"a\":2}]", false },
	{ "{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", false },
	{ "{\"x\":{\"a\":1,\"b\":{},\"a\":2}}", false },
	{ "{\"\\ud800\":1}", false }, { "{\"\\ud800x\":1}", false },
	{ "{\"\\udc00\":1}", false }, { "{\"a\\u0000\":1}", false },
};

static int
scan(const char *text, size_t len, size_t step, unsigned depth, unsigned flags)
{
	struct jscan s;
	size_t at, n;
	int r = 0;

	jscan_init(&s, depth, flags, NULL, NULL);
	for (at = 0; at < len && r == 0; at += n) {
		n = len - at < step ? len - at : step;
		r = jscan_feed(&s, text + at, n);
	}
	if (r == 0)
		r = jscan_end(&s);
	if (r == -1)
		assert_non_null(s.why);
	jscan_free(&s);
	return (r);
}

static void
test_table(void **state)
{
	size_t i, len;
	int whole, bytes;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		len = strlen(rows[i].text);
		whole = scan(rows[i].text, len, 1000, 32, ANY);
		bytes = scan(rows[i].text, len, 1, 32, ANY);
		if (whole != (rows[i].ok ? 0 : -1) || bytes != whole)
			fail_msg("%s: whole %d, bytes %d", rows[i].text,
			    whole, bytes);
	}
	/* what only the flags forbid */
	assert_int_equal(scan("[]", 2, 9, 32, 0), -1);
	assert_int_equal(scan("{\"x\":{\"a\":1,\"a\":2}}", 19, 9, 32, 0), 0);
	assert_int_equal(scan("{\"x\":1,\"x\":2}", 13, 9, 32, 0), -1);
	assert_int_equal(scan("[\0]", 3, 9, 32, ANY), -1);
}

static size_t
many_keys(char *buf, size_t size, int count)
{
	size_t n = 0;
	int i;

	for (i = 0; i < count; i++)
		n += (size_t)snprintf(buf + n, size - n, "%c\"k%d\":1",
		    i == 0 ? '{' : ',', i);
	n += (size_t)snprintf(buf + n, size - n, "}");
	return (n);
}

static void
test_limits(void **state)
{
	char *big = malloc(1000000);
	size_t n, i;

	(void)state;
	memset(big, '[', 1000000);
	assert_int_equal(scan(big, 1000000, 4096, 32, ANY), -1);
	memset(big + 32, ']', 32);
	assert_int_equal(scan(big, 64, 4096, 32, ANY), 0);
	assert_int_equal(scan(big, 64, 4096, 31, ANY), -1);
	memset(big, '1', 1000000);
	assert_int_equal(scan(big, 1000000, 4096, 32, ANY), -1);
	/* more keys than are compared */
	n = many_keys(big, 1000000, JSCAN_MAX_KEYS);
	assert_int_equal(scan(big, n, 4096, 32, ANY), 0);
	n = many_keys(big, 1000000, JSCAN_MAX_KEYS + 1);
	assert_int_equal(scan(big, n, 4096, 32, ANY), -1);
	memset(big, 'a', 1000000);
	memcpy(big, "{\"", 2);
	for (i = 0; i < 2; i++) {
		memcpy(big + 2 + JSCAN_MAX_KEY + i, "\":1}", 4);
		assert_int_equal(scan(big, 6 + JSCAN_MAX_KEY + i, 4096, 32,
		    ANY), i == 0 ? 0 : -1);
		big[2 + JSCAN_MAX_KEY] = 'a';
	}
	free(big);
}

struct seen {
	char	log[512];
	const char *text;
};

static int
on_member(void *arg, const struct jscan_member *m)
{
	struct seen *s = arg;
	size_t n = strlen(s->log);

	assert_int_equal(s->text[m->key_off], '"');
	assert_int_equal(strlen(m->key), m->keylen);
	(void)snprintf(s->log + n, sizeof(s->log) - n, "%s=%d:%.*s;", m->key,
	    m->type, (int)m->val_len, s->text + m->val_off);
	return (strcmp(m->key, "stop") == 0);
}

static void
test_members(void **state)
{
	static const char text[] = " { \"a\" : 1 ,\"b\\n\":\"x\\\"y\", "
	    "\"c\":[{\"a\":2}] ,\"d\":{\"e\":{}},\"t\":true,\"n\":null}";
	struct seen s = { "", text };
	struct jscan j;
	size_t i;

	(void)state;
	assert_int_equal(jscan_buf(text, strlen(text), 32, 0, on_member, &s,
	    NULL), 0);
	assert_string_equal(s.log, "a=4:1;b\n=5:\"x\\\"y\";"
	    "c=7:[{\"a\":2}];d=6:{\"e\":{}};t=3:true;n=1:null;");
	/* the same byte by byte, with nested keys kept too */
	s.log[0] = '\0';
	jscan_init(&j, 32, JSCAN_DUP_ALL, on_member, &s);
	for (i = 0; i < strlen(text); i++)
		assert_int_equal(jscan_feed(&j, text + i, 1), 0);
	assert_int_equal(jscan_end(&j), 0);
	jscan_free(&j);
	assert_non_null(strstr(s.log, "d=6:{\"e\":{}};"));
	s.text = "{\"stop\":1,\"a\":2}";
	s.log[0] = '\0';
	assert_int_equal(jscan_buf(s.text, strlen(s.text), 32, 0, on_member,
	    &s, NULL), -1);
	assert_string_equal(s.log, "stop=4:1;");
}

static void
test_walk(void **state)
{
	static const char text[] = " { \"a\":[ 1, \"x]\" ,{\"k\":[]}], "
	    "\"\\u0062\":\"q\\u00e9\\ud83d\\ude00\" , \"n\":-12 } ";
	struct jiter it, sub;
	struct jspan k, v, e;
	char buf[16];
	int64_t n;

	(void)state;
	assert_int_equal(jscan_object(&it, text, strlen(text)), 0);
	assert_int_equal(jscan_next(&it, &k, &v), 1);
	assert_true(jscan_string_eq(&k, "a"));
	assert_false(jscan_string_eq(&k, "ab"));
	assert_false(jscan_string_eq(&k, ""));
	assert_int_equal(jscan_array(&sub, v.p, v.len), 0);
	assert_int_equal(jscan_next(&sub, NULL, &e), 1);
	assert_int_equal(e.type, JT_NUMBER);
	assert_int_equal(e.len, 1);
	assert_int_equal(jscan_next(&sub, NULL, &e), 1);
	assert_true(jscan_string_eq(&e, "x]"));
	assert_int_equal(jscan_next(&sub, NULL, &e), 1);
	assert_int_equal(e.type, JT_OBJECT);
	assert_int_equal(e.len, 8);
	assert_int_equal(jscan_next(&sub, NULL, &e), 0);
	assert_int_equal(jscan_next(&it, &k, &v), 1);
	assert_true(jscan_string_eq(&k, "b"));
	assert_int_equal(jscan_unescape(&v, buf, sizeof(buf)), 7);
	assert_string_equal(buf, "q\xc3\xa9\xf0\x9f\x98\x80");
	assert_int_equal(jscan_unescape(&v, buf, 7), -1);
	assert_int_equal(jscan_next(&it, &k, &v), 1);
	assert_int_equal(jscan_int(&v, -100, 100, &n), 0);
	assert_int_equal(n, -12);
	assert_int_equal(jscan_int(&v, 0, 100, &n), -1);
	assert_int_equal(jscan_next(&it, &k, &v), 0);
	assert_int_equal(jscan_get(text, strlen(text), "n", &v), 1);
	assert_int_equal(jscan_get(text, strlen(text), "z", &v), 0);
	assert_int_equal(jscan_array(&it, text, strlen(text)), -1);
}

static struct jspan
span(const char *s, enum jtype t)
{
	struct jspan v = { s, strlen(s), t };

	return (v);
}

static void
test_scalars(void **state)
{
	static const char *const bad[] = { "\"\\ud800\"", "\"\\ud800x\"",
	    "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\u0000\"", "\"\\q\"",
	    "\"\\u12\"", "\"\\\"" };
	struct jspan v;
	char buf[32];
	int64_t n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		v = span(bad[i], JT_STRING);
		assert_int_equal(jscan_unescape(&v, buf, sizeof(buf)), -1);
	}
	v = span("9223372036854775807", JT_NUMBER);
	assert_int_equal(jscan_int(&v, INT64_MIN, INT64_MAX, &n), 0);
	assert_true(n == INT64_MAX);
	v = span("-9223372036854775808", JT_NUMBER);
	assert_int_equal(jscan_int(&v, INT64_MIN, INT64_MAX, &n), 0);
	assert_true(n == INT64_MIN);
	v = span("9223372036854775808", JT_NUMBER);
	assert_int_equal(jscan_int(&v, INT64_MIN, INT64_MAX, &n), -1);
	v = span("1.0", JT_NUMBER);
	assert_int_equal(jscan_int(&v, 0, 9, &n), -1);
	v = span("1e3", JT_NUMBER);
	assert_int_equal(jscan_int(&v, 0, 9999, &n), -1);
}

static void
test_jbuf(void **state)
{
	struct jbuf j;
	size_t len;

	(void)state;
	jbuf_init(&j, 1000);
	jb_obj(&j);
	jb_kstr(&j, "s", "a\"\\\n\x01/\xc3\xa9\xff");
	jb_key(&j, "l");
	jb_arr(&j);
	jb_int(&j, INT64_MIN);
	jb_uint(&j, UINT64_MAX);
	jb_double(&j, 0.1);
	jb_double(&j, NAN);
	jb_obj(&j);
	jb_end(&j);
	jb_end(&j);
	jb_kbool(&j, "b", true);
	jb_kstr(&j, "n", NULL);
	jb_ktime(&j, "t", 1500000);
	jb_ktime(&j, "u", -1);
	jb_kint(&j, "i", 5);
	jb_end(&j);
	assert_string_equal(jbuf_text(&j, &len), "{\"s\":\"a\\\"\\\\\\n"
	    "\\u0001/\xc3\xa9\xef\xbf\xbd\",\"l\":[-9223372036854775808,"
	    "18446744073709551615,0.1,null,{}],\"b\":true,\"n\":null,"
	    "\"t\":1.500000,\"u\":-0.000001,\"i\":5}");
	assert_int_equal(scan(j.buf, j.len, 9, 32, 0), 0);
	jbuf_free(&j);
}

static void
test_jbuf_misuse(void **state)
{
	struct jbuf j;
	int i;

	(void)state;
	jbuf_init(&j, 100);
	jb_obj(&j);
	assert_null(jbuf_text(&j, NULL));	/* open */
	jb_str(&j, "no key");
	jb_end(&j);
	assert_null(jbuf_text(&j, NULL));
	jbuf_reset(&j);
	jb_arr(&j);
	jb_key(&j, "key in array");
	assert_true(j.bad);
	jbuf_reset(&j);
	jb_obj(&j);
	jb_key(&j, "k");
	jb_end(&j);
	assert_true(j.bad);
	jbuf_reset(&j);
	jb_int(&j, 1);
	jb_int(&j, 2);
	assert_null(jbuf_text(&j, NULL));
	jbuf_reset(&j);
	for (i = 0; i <= JBUF_MAX_DEPTH; i++)
		jb_arr(&j);
	assert_true(j.bad);
	jbuf_reset(&j);
	jb_arr(&j);
	for (i = 0; i < 200; i++)
		jb_str(&j, "abc");
	jb_end(&j);
	assert_null(jbuf_text(&j, NULL));	/* over the bound */
	assert_true(j.len <= 100);
	jbuf_free(&j);
}

static void
test_json(void **state)
{
	static const char text[] = "{\"s\":\"abc\",\"i\":5,\"d\":1.5,"
	    "\"b\":true,\"o\":{},\"l\":[1,2],\"z\":\"\\u0000\",\"n\":null}";
	static const char *const all[] = { "s", "i", "d", "b", "o", "l", "z",
	    "n", NULL };
	static const char *const some[] = { "s", NULL };
	struct json_object *o, *v;
	struct json_err e;
	const char *s = NULL;
	int64_t i = 0;
	double d = 0;
	bool b = false;

	(void)state;
	o = json_parse_strict(text, strlen(text), 32, &e);
	assert_non_null(o);
	assert_int_equal(json_get_str(o, "s", true, 1, 3, &s, &e), 1);
	assert_string_equal(s, "abc");
	assert_int_equal(json_get_str(o, "s", true, 1, 2, &s, &e), -1);
	assert_string_equal(e.field, "s");
	assert_int_equal(json_get_str(o, "i", true, 1, 2, &s, &e), -1);
	assert_string_equal(e.msg, "i must be a string");
	assert_int_equal(json_get_str(o, "x", true, 1, 2, &s, &e), -1);
	assert_string_equal(e.msg, "x is required");
	assert_int_equal(json_get_str(o, "x", false, 1, 2, &s, &e), 0);
	assert_int_equal(json_get_str(o, "n", false, 1, 2, &s, &e), 0);
	assert_int_equal(json_get_str(o, "z", true, 0, 9, &s, &e), -1);
	assert_int_equal(json_get_int(o, "i", true, 0, 9, &i, &e), 1);
	assert_int_equal(i, 5);
	assert_int_equal(json_get_int(o, "i", true, 6, 9, &i, &e), -1);
	assert_int_equal(json_get_int(o, "d", true, 0, 9, &i, &e), -1);
	assert_int_equal(json_get_double(o, "d", true, 0, 9, &d, &e), 1);
	assert_true(d == 1.5);
	assert_int_equal(json_get_double(o, "i", true, 0, 9, &d, &e), 1);
	assert_true(d == 5);
	assert_int_equal(json_get_bool(o, "b", true, &b, &e), 1);
	assert_true(b);
	assert_int_equal(json_get_obj(o, "o", true, &v, &e), 1);
	assert_int_equal(json_get_arr(o, "l", true, 2, &v, &e), 1);
	assert_int_equal(json_get_arr(o, "l", true, 1, &v, &e), -1);
	assert_int_equal(json_only(o, all, &e), 0);
	assert_int_equal(json_only(o, some, &e), -1);
	json_free(o);
	assert_null(json_parse_strict("{\"a\":1,\"a\":2}", 13, 32, &e));
	assert_string_equal(e.msg, "invalid JSON: duplicate key");
	assert_null(json_parse_strict("[]", 2, 32, &e));
	assert_null(json_parse_strict("{}x", 3, 32, &e));
	assert_null(json_parse_strict("", 0, 32, &e));
}

static void
test_secret(void **state)
{
	char text[] = "{\"a\":1,\"key\":\"s\\u0065cret\",\"b\":2}";
	struct json_err e;
	char out[16];

	(void)state;
	assert_int_equal(json_take_secret(text, strlen(text), 32, "key", 1,
	    out, sizeof(out), &e), 1);
	assert_string_equal(out, "secret");
	assert_null(strstr(text, "cret"));
	assert_int_equal(scan(text, strlen(text), 9, 32, 0), 0);
	assert_int_equal(json_take_secret(text, strlen(text), 32, "nokey", 1,
	    out, sizeof(out), &e), 0);
	assert_int_equal(json_take_secret(text, strlen(text), 32, "a", 1,
	    out, sizeof(out), &e), -1);
	assert_int_equal(json_take_secret(text, strlen(text), 32, "key", 1,
	    out, 4, &e), -1);
	assert_string_equal(e.field, "key");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_jbuf),
		cmocka_unit_test(test_jbuf_misuse),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_secret),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}

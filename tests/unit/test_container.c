/*
 * Tests of the container worker's checks and of how it reads answers.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "container.h"

#define ID	"0123456789abcdef0123456789abcdef"
#define UUID	"6ba7b810-9dad-11d1-80b4-00c04fd430c8"

static char long_text[2048];

static void
test_names(void **state)
{
	(void)state;
	assert_true(valid_instance("agentd-0123456789ab"));
	assert_true(valid_instance("a"));
	assert_false(valid_instance(""));
	assert_false(valid_instance("-a"));
	assert_false(valid_instance("a-"));
	assert_false(valid_instance("0a"));
	assert_false(valid_instance("Agentd"));
	assert_false(valid_instance("a/../b"));
	assert_false(valid_instance("a?project=default"));
	assert_false(valid_instance("a\n"));
	memset(long_text, 'a', 63);
	long_text[63] = '\0';
	assert_true(valid_instance(long_text));
	memset(long_text, 'a', 64);
	long_text[64] = '\0';
	assert_false(valid_instance(long_text));

	assert_true(valid_alias("taos-openclaw-base"));
	assert_true(valid_alias("Pi_0.87.1"));
	assert_false(valid_alias(""));
	assert_false(valid_alias(".."));
	assert_false(valid_alias("a..b"));
	assert_false(valid_alias("-x"));
	assert_false(valid_alias("a/b"));
	assert_false(valid_alias("a b"));
	assert_false(valid_alias("a%2f"));
	assert_false(valid_alias("\xc3\xa4"));

	assert_true(valid_name("agentd"));
	assert_false(valid_name("a&b"));
	assert_false(valid_name(""));

	memset(long_text, 'a', 64);
	long_text[64] = '\0';
	assert_true(valid_fingerprint(long_text));
	long_text[5] = 'g';
	assert_false(valid_fingerprint(long_text));
	assert_false(valid_fingerprint("abc"));
}

static void
test_sock_dir(void **state)
{
	const char *dir = "/var/lib/agentd/agents";

	(void)state;
	assert_true(valid_sock_dir("/var/lib/agentd/agents/" ID, dir, ID));
	assert_true(valid_sock_dir("/srv/x/" ID, "", ID));
	assert_false(valid_sock_dir("/srv/x/" ID, dir, ID));
	assert_false(valid_sock_dir("/", "", ID));
	assert_false(valid_sock_dir("/etc", "", ID));
	assert_false(valid_sock_dir(ID, "", ID));
	assert_false(valid_sock_dir("", "", ID));
	assert_false(valid_sock_dir("/var/lib/agentd/agents/../" ID, "", ID));
	assert_false(valid_sock_dir("/var//" ID, "", ID));
	assert_false(valid_sock_dir("/var/./" ID, "", ID));
	assert_false(valid_sock_dir("/var/lib/agentd/agents/" ID "/", dir,
	    ID));
	assert_false(valid_sock_dir("/var/lib/agentd/agents/x/" ID, dir, ID));
	assert_false(valid_sock_dir("/var/lib/agentd/agents/x", dir, "x"));
	assert_false(valid_sock_dir("/a\nb/" ID, "", ID));
}

static void
test_idmap(void **state)
{
	static const char *const bad[] = {
		"", "[]", "{}", "[{}]", "null", "[1]",
		/* groups only */
		"[{\"Isuid\":false,\"Isgid\":true,\"Hostid\":1000000,"
		"\"Nsid\":0,\"Maprange\":65536}]",
		/* root of the host is inside */
		"[{\"Isuid\":true,\"Isgid\":true,\"Hostid\":0,\"Nsid\":0,"
		"\"Maprange\":65536}]",
		"[{\"Isuid\":true,\"Isgid\":true,\"Hostid\":4294967000,"
		"\"Nsid\":0,\"Maprange\":65536}]",
		"[{\"Isuid\":true,\"Isgid\":true,\"Hostid\":-5,\"Nsid\":0,"
		"\"Maprange\":65536}]",
		"[{\"Isuid\":true,\"Isgid\":true,\"Hostid\":1000000,"
		"\"Nsid\":0,\"Maprange\":0}]",
		"[{\"Isuid\":true,\"Isgid\":true,\"Hostid\":\"1000000\","
		"\"Nsid\":0,\"Maprange\":65536}]",
		"[{\"Isuid\":true,\"Hostid\":1000000,\"Nsid\":7,"
		"\"Maprange\":65536}]",
		"[[[[[[[[[[[]]]]]]]]]]]",
		NULL
	};
	struct idmap map;
	size_t i;

	(void)state;
	assert_int_equal(idmap_parse("[{\"Isuid\":true,\"Isgid\":false,"
	    "\"Hostid\":1065536,\"Nsid\":0,\"Maprange\":65536},{\"Isuid\":"
	    "false,\"Isgid\":true,\"Hostid\":1065536,\"Nsid\":0,\"Maprange\":"
	    "65536}]", &map), 0);
	assert_int_equal(map.base, 1065536);
	assert_int_equal(map.count, 65536);
	for (i = 0; bad[i] != NULL; i++) {
		map.base = map.count = 1;
		assert_int_equal(idmap_parse(bad[i], &map), -1);
		assert_int_equal(map.base, 0);
	}
}

static void
test_time(void **state)
{
	(void)state;
	assert_true(time_parse("2026-11-22T15:28:49Z") == 1795361329);
	assert_true(time_parse("2026-11-22T15:28:49.123Z") == 1795361329);
	assert_true(time_parse("0001-01-01T00:00:00Z") == 0);
	assert_true(time_parse("") == 0);
	assert_true(time_parse("yesterday") == 0);
}

/* Reads one answer: the id of the operation, or NULL. */
static const char *
answer(const char *text, long http, bool waiting, struct incus_reply *r)
{
	static char op[64];
	struct json_object *doc = json_tokener_parse(text);
	const char *id;

	memset(r, 0, sizeof(*r));
	assert_non_null(doc);
	id = reply_read(r, doc, http, waiting);
	strlcpy(op, id == NULL ? "" : id, sizeof(op));
	r->meta = NULL;
	json_object_put(doc);
	return id == NULL ? NULL : op;
}

static void
test_reply(void **state)
{
	struct incus_reply r;

	(void)state;
	assert_null(answer("{\"type\":\"sync\",\"metadata\":{}}", 200, false,
	    &r));
	assert_int_equal(r.status, 200);
	assert_null(answer("{\"type\":\"error\",\"error\":\"Not found\"}",
	    404, false, &r));
	assert_int_equal(r.status, 404);
	assert_string_equal(r.error, "Not found");
	/* Text of a container must not reach a terminal as it is. */
	assert_null(answer("{\"type\":\"error\",\"error\":\"a\\u001b[2Jb\\n"
	    "c\"}", 400, false, &r));
	assert_string_equal(r.error, "a [2Jb c");
	assert_null(answer("{\"type\":\"error\",\"error\":\"Unpack: Failed to "
	    "run: tar --x=/y -C /z -xf -: exit status 2 (tar: bad)\"}", 400,
	    false, &r));
	assert_string_equal(r.error, "Unpack: Failed to run: tar: exit status "
	    "2 (tar: bad)");
	assert_null(answer("{\"type\":\"error\"}", 700, false, &r));
	assert_int_equal(r.status, 500);
	assert_null(answer("[]", 200, false, &r));
	assert_int_equal(r.status, 200);
	assert_null(answer("{\"type\":7}", 302, false, &r));
	assert_int_equal(r.status, 502);
}

static void
test_operation(void **state)
{
	struct incus_reply r;
	const char *id;

	(void)state;
	id = answer("{\"type\":\"async\",\"metadata\":{\"id\":\"" UUID "\"}}",
	    202, false, &r);
	assert_non_null(id);
	assert_string_equal(id, UUID);
	/* An id goes into a path: nothing but a UUID will do. */
	assert_null(answer("{\"type\":\"async\",\"metadata\":{\"id\":"
	    "\"../../../1.0/instances/x?abcdefghijk\"}}", 202, false, &r));
	assert_int_equal(r.status, 502);
	assert_null(answer("{\"type\":\"async\"}", 202, false, &r));
	assert_int_equal(r.status, 502);
	assert_null(answer("{\"type\":\"sync\",\"metadata\":{\"status_code\":"
	    "200}}", 200, true, &r));
	assert_int_equal(r.status, 200);
	assert_null(answer("{\"type\":\"sync\",\"metadata\":{\"status_code\":"
	    "400,\"err\":\"boom\"}}", 200, true, &r));
	assert_int_equal(r.status, 400);
	assert_string_equal(r.error, "boom");
	assert_null(answer("{\"type\":\"sync\",\"metadata\":{\"status_code\":"
	    "103}}", 200, true, &r));
	assert_int_equal(r.status, 504);
	assert_null(answer("{\"type\":\"sync\",\"metadata\":{}}", 200, true,
	    &r));
	assert_int_equal(r.status, 400);
	/* Incus has forgotten it: nobody may take that for "gone". */
	assert_null(answer("{\"type\":\"error\",\"error\":\"Not found\"}",
	    404, true, &r));
	assert_int_equal(r.status, 503);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_sock_dir),
		cmocka_unit_test(test_idmap),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_operation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

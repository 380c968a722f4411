/*
 * Framework manifests: a good one, and every way in which one can be bad.
 *
 * SPDX-License-Identifier: ISC
 */
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "catalog.h"
#include "diag.h"

static const char good[] =
    "schema_version: 1\n"
    "id: pi\n"
    "name: pi\n"
    "description: Small agent\n"
    "image: taos-pi-base\n"
    "runtime: rpc\n"
    "unit: agentd-link.service\n"
    "memory: 384MiB\n"
    "cpus: 1\n"
    "disk: 4GiB\n"
    "processes: 512\n"
    "ready_timeout: 30\n"
    "refusal_status: 402\n"
    "turn_timeout: 600\n"
    "max_calls_per_turn: 50\n";

static void
collect(const char *line, void *arg)
{
	char *out = arg;

	strlcat(out, line, 4096);
	strlcat(out, "\n", 4096);
}

/* Parses as pi.yaml; what was said is in out. */
static int
parse(const char *yaml, struct framework *f, char out[4096])
{
	struct diags *d = diags_new("pi.yaml");
	int r = catalog_parse(yaml, strlen(yaml), "pi", f, d);

	out[0] = '\0';
	diags_each(d, collect, out);
	diags_free(d);
	return r;
}

static void
test_good(void **state)
{
	struct framework f;
	char out[4096];

	(void)state;
	assert_int_equal(parse(good, &f, out), 0);
	assert_string_equal(out, "");
	assert_string_equal(f.id, "pi");
	assert_string_equal(f.image, "taos-pi-base");
	assert_int_equal(f.memory, 384 * 1024 * 1024);
	assert_int_equal(f.disk, 4ULL * 1024 * 1024 * 1024);
	assert_int_equal(f.refusal_status, 402);
	assert_int_equal(f.turn_timeout, 600);
	catalog_framework_free(&f);
}

/* The good one with one of its lines replaced. */
static void
with_line(size_t number, const char *line, char *out, size_t size)
{
	const char *p = good, *end;
	size_t i;

	for (i = 1; i < number; i++)
		p = strchr(p, '\n') + 1;
	end = strchr(p, '\n') + 1;
	snprintf(out, size, "%.*s%s%s", (int)(p - good), good, line, end);
}

static void
test_bad_lines(void **state)
{
	static const struct {
		size_t		 number;
		const char	*line;
		const char	*error;
	} cases[] = {
		{ 1, "schema_version: 2\n", "pi.yaml:1:17: schema_version: "
		    "must be from 1 to 1, not 2\n" },
		{ 2, "id: pia\n",
		    "pi.yaml:2:5: id: must be \"pi\", as the file is called\n" },
		{ 2, "id: 9pi\n", "pi.yaml:2:5: id: \"9pi\": must be a-z, 0-9 "
		    "and -, beginning with a letter\n" },
		{ 3, "", "pi.yaml:1:1: name is missing\n" },
		{ 5, "image: ../x\n", "pi.yaml:5:8: image: \"../x\": must be "
		    "a-z, 0-9, . and -, beginning with a letter or a digit\n" },
		{ 6, "runtime: bridge\n", "pi.yaml:6:10: runtime: \"bridge\": "
		    "this build has no runtime kind \"bridge\" (its agent-link "
		    "has http, rpc, acp and exec)\n" },
		{ 6, "runtime: magic\n", "pi.yaml:6:10: runtime: \"magic\": "
		    "is not a runtime kind (http, rpc, acp, exec)\n" },
		{ 7, "unit: agentd-link\n", "pi.yaml:7:7: unit: \"agentd-link\""
		    ": must be like NAME.service\n" },
		{ 8, "memory: 384MB\n", "pi.yaml:8:9: memory: \"384MB\" is "
		    "not a size (like 512MiB)\n" },
		{ 8, "memory: 17179869184GiB\n", "pi.yaml:8:9: memory: "
		    "must be from 33554432 to 1099511627776, not "
		    "17179869184GiB\n" },
		{ 8, "memory: 1KiB\n", "pi.yaml:8:9: memory: must be from "
		    "33554432 to 1099511627776, not 1KiB\n" },
		{ 9, "cpus: 0\n",
		    "pi.yaml:9:7: cpus: must be from 1 to 64, not 0\n" },
		{ 13, "refusal_status: 500\n", "pi.yaml:13:17: refusal_status: "
		    "\"500\" is not one of 400, 402, 403, 429\n" },
		{ 15, "max_calls_per_turn: 50\nraw.lxc: x\n", "pi.yaml:16:1: "
		    "unknown key \"raw.lxc\" (known here: schema_version, id, "
		    "name, description, status, version, homepage, license, "
		    "verification, image, runtime, unit, memory, cpus, "
		    "disk, processes, ready_timeout, refusal_status, "
		    "turn_timeout, max_calls_per_turn)\n" },
		{ 15, "cpus: 2\nmax_calls_per_turn: 50\n",
		    "pi.yaml:15:1: duplicate key \"cpus\", first given at "
		    "line 9\n" },
		{ 4, "description: \"a\\nb\"\n", "pi.yaml:4:14: description: "
		    "holds a control character\n" },
		{ 4, "description: x\nhomepage: http://x/\n", "pi.yaml:5:11: "
		    "homepage: \"http://x/\": must be an https URL\n" },
		{ 4, "description: x\nreason: none\n", "pi.yaml:5:1: unknown "
		    "key \"reason\" (known here: schema_version, id, "
		    "name, description, status, version, homepage, license, "
		    "verification, image, runtime, unit, memory, cpus, "
		    "disk, processes, ready_timeout, refusal_status, "
		    "turn_timeout, max_calls_per_turn)\n" },
		{ 4, "description: x\nstatus: maybe\n", "pi.yaml:5:9: status: "
		    "\"maybe\" is not one of works, unavailable\n" },
	};
	struct framework f;
	char yaml[1024], out[4096];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		with_line(cases[i].number, cases[i].line, yaml, sizeof(yaml));
		assert_int_equal(parse(yaml, &f, out), -1);
		assert_string_equal(out, cases[i].error);
	}
}

#define BARE	"schema_version: 1\nid: pi\nname: pi\ndescription: x\n"

/* One that cannot be had says why, and needs nothing else. */
static void
test_unavailable(void **state)
{
	struct framework f;
	char out[4096];

	(void)state;
	assert_int_equal(parse(BARE "status: unavailable\nreason: none\n"
	    "license: MIT\nhomepage: https://example.org/\n", &f, out), 0);
	assert_int_equal(f.status, FW_UNAVAILABLE);
	assert_string_equal(f.reason, "none");
	assert_string_equal(f.license, "MIT");
	assert_null(f.image);
	assert_string_equal(catalog_status(&f), "unavailable");
	assert_string_equal(catalog_verification(&f), "broken");
	catalog_framework_free(&f);
	assert_int_equal(parse(BARE "status: unavailable\n", &f, out), -1);
	assert_string_equal(out, "pi.yaml:1:1: reason is missing\n");
	assert_int_equal(parse(BARE "status: unavailable\nreason: none\n"
	    "image: x\n", &f, out), -1);
	assert_non_null(strstr(out, "pi.yaml:7:1: unknown key \"image\""));
}

static void
test_empty(void **state)
{
	struct framework f;
	char out[4096];

	(void)state;
	assert_int_equal(parse("", &f, out), -1);
	assert_non_null(strstr(out, "id is missing"));
	assert_non_null(strstr(out, "max_calls_per_turn is missing"));
}

static void
put(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *fp;

	snprintf(path, sizeof(path), "%s/frameworks/%s", dir, name);
	fp = fopen(path, "w");
	assert_non_null(fp);
	fputs(text, fp);
	fclose(fp);
}

static void
discard(const char *dir, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/frameworks/%s", dir, name);
	unlink(path);
}

/* A broken one is left out and told; the others stay. */
static void
test_directory(void **state)
{
	static const char *const files[] = { "pi.yaml", "broken.yaml",
	    ".hidden.yaml", "README" };
	char dir[] = "test_catalog.XXXXXX", sub[64], out[4096] = "";
	struct catalog *c;
	size_t i;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(sub, sizeof(sub), "%s/frameworks", dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	put(dir, "pi.yaml", good);
	put(dir, "broken.yaml", "id: broken\n  x: 1\n");
	put(dir, ".hidden.yaml", "no");
	put(dir, "README", "no");
	c = catalog_load(dir, collect, out);
	assert_int_equal(c->n, 1);
	assert_int_equal(c->bad, 1);
	assert_string_equal(c->v[0].id, "pi");
	assert_non_null(strstr(out, "/frameworks/broken.yaml:2:"));
	assert_null(strstr(out, "hidden"));
	catalog_free(c);
	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		discard(dir, files[i]);
	rmdir(sub);
	rmdir(dir);

	out[0] = '\0';
	c = catalog_load("/nonexistent", collect, out);
	assert_int_equal(c->n, 0);
	assert_int_equal(c->bad, 1);
	assert_string_equal(out, "/nonexistent/frameworks: cannot open: "
	    "No such file or directory\n");
	catalog_free(c);
}

/* What is shipped must load. */
static void
test_shipped(void **state)
{
	struct catalog *c;
	char out[4096] = "";
	size_t i;

	(void)state;
	c = catalog_load(SHIPPED, collect, out);
	assert_string_equal(out, "");
	assert_int_equal(c->bad, 0);
	assert_true(c->n >= 15);
	for (i = 0; i < c->n; i++) {
		assert_non_null(c->v[i].description);
		/* What works is known down to its version and its licence. */
		if (c->v[i].status != FW_WORKS)
			continue;
		assert_non_null(c->v[i].version);
		assert_non_null(c->v[i].license);
	}
	catalog_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_unavailable),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_directory),
		cmocka_unit_test(test_shipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

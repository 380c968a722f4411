/*
 * The configuration file: golden files in tests/golden/conf, each NAME.yaml
 * with what must be said about it in NAME.err (none: it is good).
 *
 * SPDX-License-Identifier: ISC
 */
#include <sys/socket.h>

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf.h"
#include "diag.h"
#include "log.h"
#include "ytree.h"

struct text {
	char	buf[65536];
	size_t	len;
};

static void
collect(const char *line, void *arg)
{
	struct text *t = arg;
	int n;

	n = snprintf(t->buf + t->len, sizeof(t->buf) - t->len, "%s\n", line);
	assert_true(n > 0 && (size_t)n < sizeof(t->buf) - t->len);
	t->len += (size_t)n;
}

static struct conf *
parse(const char *yaml, size_t len, const char *name, struct text *out)
{
	struct diags *d = diags_new(name);
	struct conf *c = conf_parse(yaml, len, d);

	out->len = 0;
	out->buf[0] = '\0';
	diags_each(d, collect, out);
	diags_free(d);
	return c;
}

/* A file's bytes; "" if there is none. */
static size_t
slurp(const char *name, char *buf, size_t size)
{
	char path[1024];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/conf/%s", GOLDEN, name);
	buf[0] = '\0';
	if ((f = fopen(path, "r")) == NULL)
		return 0;
	n = fread(buf, 1, size - 1, f);
	fclose(f);
	buf[n] = '\0';
	return n;
}

static int
is_yaml(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return len > 5 && strcmp(e->d_name + len - 5, ".yaml") == 0;
}

static void
test_golden(void **state)
{
	static char yaml[65536], want[65536];
	static struct text got;
	struct dirent **list;
	char err[300], path[1024];
	size_t len, broken = 0;
	int i, n, bad = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/conf", GOLDEN);
	n = scandir(path, &list, is_yaml, alphasort);
	assert_true(n >= 40);
	for (i = 0; i < n; i++) {
		len = slurp(list[i]->d_name, yaml, sizeof(yaml));
		snprintf(err, sizeof(err), "%.*s.err",
		    (int)strlen(list[i]->d_name) - 5, list[i]->d_name);
		slurp(err, want, sizeof(want));
		conf_free(parse(yaml, len, list[i]->d_name, &got));
		broken += got.len > 0;
		if (strcmp(got.buf, want) != 0) {
			print_error("%s: expected\n%sgot\n%s",
			    list[i]->d_name, want, got.buf);
			bad++;
		}
		free(list[i]);
	}
	free(list);
	assert_int_equal(bad, 0);
	assert_true(broken >= 25);
}

static void
test_values(void **state)
{
	static char yaml[4096];
	static struct text got;
	struct conf *c;
	size_t len;

	(void)state;
	len = slurp("good-full.yaml", yaml, sizeof(yaml));
	c = parse(yaml, len, "x", &got);
	assert_string_equal(got.buf, "");
	assert_string_equal(c->node_id, "node-7");
	assert_string_equal(c->log_dir, "/var/log/agentd test");
	assert_string_equal(c->user_prefix, "_test-");
	assert_int_equal(c->log_level, LOG_L_DEBUG);
	assert_int_equal(c->log_target, LOG_FILE);
	assert_int_equal(c->allowed_hosts.n, 2);
	assert_string_equal(c->allowed_hosts.v[1], "two.example");
	assert_string_equal(c->listen_unix, "/run/agentd-test/api.sock");
	assert_int_equal(c->max_connections, 64);
	assert_int_equal(c->max_calls_per_turn, 7);
	assert_int_equal(c->deploy_timeout, 30);
	assert_int_equal(c->import_limit, 2ULL << 30);
	assert_int_equal(c->trusted_exporters.n, 1);
	assert_int_equal(c->retention_days, 90);
	assert_int_equal(c->drain_timeout, 5);
	conf_free(c);
}

static void
test_defaults(void **state)
{
	static struct text got;
	struct conf *c;

	(void)state;
	c = parse("run_dir: /run/x\n", 16, "x", &got);
	assert_string_equal(got.buf, "");
	assert_null(c->node_id);
	assert_string_equal(c->listen_http, "127.0.0.1:6969");
	assert_string_equal(c->listen_unix, "/run/x/agentd.sock");
	assert_string_equal(c->incus_project, "agentd");
	assert_false(c->allow_remote);
	conf_free(c);
}

static void
test_addresses(void **state)
{
	struct sockaddr_storage ss;
	unsigned len;

	(void)state;
	assert_int_equal(conf_http_addr("127.9.0.1:80", &ss, &len), 0);
	assert_true(conf_is_loopback(&ss));
	assert_int_equal(conf_http_addr("[::1]:80", &ss, &len), 0);
	assert_true(conf_is_loopback(&ss));
	assert_int_equal(conf_http_addr("[::]:80", &ss, &len), 0);
	assert_false(conf_is_loopback(&ss));
	assert_int_equal(conf_http_addr("128.0.0.1:80", &ss, &len), 0);
	assert_false(conf_is_loopback(&ss));
	assert_int_equal(conf_http_addr("127.0.0.1:0", &ss, &len), -1);
	assert_int_equal(conf_http_addr("127.0.0.1:+80", &ss, &len), -1);
	assert_int_equal(conf_http_addr("127.0.0.1:", &ss, &len), -1);
	assert_int_equal(conf_http_addr(":80", &ss, &len), -1);
	assert_int_equal(conf_http_addr("[]:80", &ss, &len), -1);
	assert_int_equal(conf_http_addr("", &ss, &len), -1);
}

/* Too large, too many entries: one clear error each, in little time. */
static void
test_bounds(void **state)
{
	static struct text got;
	size_t len = YTREE_BYTES_MAX + 1, i;
	char *buf = malloc(len);

	(void)state;
	assert_non_null(buf);
	memset(buf, '#', len);
	conf_free(parse(buf, len, "big", &got));
	assert_string_equal(got.buf, "big: larger than 1048576 bytes\n");

	for (i = 0; i + 4 <= 40000; i += 4)
		memcpy(buf + i, "- a\n", 4);
	conf_free(parse(buf, i, "long", &got));
	assert_non_null(strstr(got.buf, "long:4096:3: too many entries\n"));

	/* More errors than are kept. */
	for (i = 0; i + 8 <= 4000; i += 8)
		snprintf(buf + i, 9, "k%04zu: \n", i / 8);
	conf_free(parse(buf, i, "k", &got));
	assert_non_null(strstr(got.buf, "k: and 400 more errors\n"));
	free(buf);
}

static void
test_unreadable(void **state)
{
	static struct text got;
	struct diags *d = diags_new("/nonexistent/agentd.yaml");

	(void)state;
	got.len = 0;
	conf_free(conf_load("/nonexistent/agentd.yaml", d));
	diags_each(d, collect, &got);
	assert_string_equal(got.buf, "/nonexistent/agentd.yaml: "
	    "cannot open: No such file or directory\n");
	diags_free(d);

	d = diags_new("/");
	got.len = 0;
	conf_free(conf_load("/", d));
	diags_each(d, collect, &got);
	assert_string_equal(got.buf, "/: not a regular file\n");
	diags_free(d);
}

static void
test_keep_fixed(void **state)
{
	static const char a[] = "state_dir: /srv/a\nlog: {target: file}\n",
	    b[] = "state_dir: /srv/b\ndrain_timeout: 7\nlisten: {http: none}\n";
	static struct text got;
	struct conf *old, *new;

	(void)state;
	log_init("test", LOG_L_ERROR, 0);
	old = parse(a, sizeof(a) - 1, "a", &got);
	/* As the start does with a node id that is kept in a file. */
	old->node_id = strdup("0123");
	new = parse(b, sizeof(b) - 1, "b", &got);
	conf_keep_fixed(new, old);
	assert_string_equal(new->state_dir, "/srv/a");
	assert_string_equal(new->node_id, "0123");
	assert_int_equal(new->log_target, LOG_FILE);
	assert_int_equal(new->drain_timeout, 7);
	assert_string_equal(new->listen_http, "none");
	conf_free(old);
	conf_free(new);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_keep_fixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

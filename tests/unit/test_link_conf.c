/*
 * Tests of agent-link's configuration parser.
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

#include "conf.h"

#define RPC	"kind = rpc\nruntime = pi\nsocket = /s\ncommand = /bin/pi\n"
#define ACP	"kind = acp\nruntime = oc\nsocket = /s\ncommand = /bin/oc\n"
#define EXEC	"kind = exec\nruntime = x\ncommand = /bin/x\n" \
		"format = jsonl\n"
#define HTTP	"kind = http\nruntime = oc\nsocket = /s\n" \
		"url = http://127.0.0.1:1/c\n"

static int
load(struct conf *conf, const char *text, char *err, size_t errsz)
{
	char path[] = "/tmp/test_link_conf.XXXXXX";
	int fd, ret;

	assert_true((fd = mkstemp(path)) != -1);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	ret = conf_load(conf, path, err, errsz);
	unlink(path);
	return ret;
}

static void
test_defaults(void **state)
{
	struct conf conf;
	char err[512];

	(void)state;
	assert_int_equal(load(&conf, RPC, err, sizeof(err)), 0);
	assert_int_equal(conf.kind, KIND_RPC);
	assert_int_equal(ntohs(conf.llm_listen.sin_port), 4000);
	assert_int_equal(ntohs(conf.api_listen.sin_port), 6969);
	assert_int_equal(conf.turn_timeout, 600);
	assert_int_equal(conf.ready_timeout, 180);
	conf_free(&conf);
}

static void
test_command_is_split(void **state)
{
	struct conf conf;
	char err[512];

	(void)state;
	assert_int_equal(load(&conf, "  kind=rpc  # pi\n\nruntime = pi\n"
	    "socket = /s\ncommand = /bin/pi  --mode\trpc --a=b#c\n", err,
	    sizeof(err)), 0);
	assert_string_equal(conf.argv[0], "/bin/pi");
	assert_string_equal(conf.argv[1], "--mode");
	assert_string_equal(conf.argv[2], "rpc");
	assert_string_equal(conf.argv[3], "--a=b#c");
	assert_null(conf.argv[4]);
	conf_free(&conf);
}

static void
test_http(void **state)
{
	struct conf conf;
	char err[512];

	(void)state;
	assert_int_equal(load(&conf, HTTP "ready = http://127.0.0.1:18789/r\n"
	    "token_file = /t\nmodel = openclaw/default\nturn_timeout = 5\n",
	    err, sizeof(err)), 0);
	assert_int_equal(conf.kind, KIND_HTTP);
	assert_string_equal(conf.url.path, "/c");
	assert_int_equal(ntohs(conf.ready.addr.sin_port), 18789);
	assert_string_equal(conf.ready.path, "/r");
	assert_string_equal(conf.model, "openclaw/default");
	assert_int_equal(conf.turn_timeout, 5);
	conf_free(&conf);
}

static void
test_acp_and_exec(void **state)
{
	struct conf conf;
	char err[512];

	(void)state;
	assert_int_equal(load(&conf, ACP, err, sizeof(err)), 0);
	assert_int_equal(conf.kind, KIND_ACP);
	assert_string_equal(conf_kind_name(conf.kind), "acp");
	assert_int_equal(conf.argc, 1);
	conf_free(&conf);
	assert_int_equal(load(&conf, EXEC "socket = /s\n", err,
	    sizeof(err)), 0);
	assert_int_equal(conf.kind, KIND_EXEC);
	assert_int_equal(conf.format, FORMAT_JSONL);
	assert_int_equal(conf.input, INPUT_STDIN);
	assert_string_equal(conf.resume, "");
	conf_free(&conf);
	assert_int_equal(load(&conf, EXEC "socket = /s\ninput = argument\n"
	    "resume = --session\n", err, sizeof(err)), 0);
	assert_int_equal(conf.input, INPUT_ARGUMENT);
	assert_string_equal(conf.resume, "--session");
	conf_free(&conf);
}

static void
test_errors_name_the_line(void **state)
{
	static const struct {
		const char *text;
		int line;
		const char *what;
	} bad[] = {
		{ "kind = rpc\nnonsense\n", 2, "expected" },
		{ "kind = rpc\nwhat = 1\n", 2, "unknown key 'what'" },
		{ "kind = rpc\nkind = rpc\n", 2, "twice" },
		{ "kind =\n", 1, "no value" },
		{ "kind = bridge\n", 1, "not in this build" },
		{ "kind = smtp\n", 1, "unknown kind" },
		{ EXEC "format = xml\n", 5, "twice" },
		{ "format = xml\n", 1, "text or jsonl" },
		{ "input = env\n", 1, "stdin or argument" },
		{ "resume = -c --session\n", 1, "one word" },
		{ RPC "format = text\n", 5, "not for kind 'rpc'" },
		{ ACP "input = stdin\n", 5, "not for kind 'acp'" },
		{ ACP "url = http://127.0.0.1:1/c\n", 5, "not for kind" },
		{ "kind = exec\nruntime = x\nsocket = /s\ncommand = /x\n", 4,
		    "'format' is missing" },
		{ "runtime = a/b\n", 1, "letters" },
		{ "socket = rel\n", 1, "absolute" },
		{ "command = pi\n", 1, "absolute" },
		{ "url = https://127.0.0.1:1/\n", 1, "http://" },
		{ "url = http://127.0.0.1:1\n", 1, "no path" },
		{ "url = http://10.0.0.1:1/\n", 1, "loopback" },
		{ "url = http://localhost:1/\n", 1, "IPv4" },
		{ "url = http://127.0.0.1:0/\n", 1, "port" },
		{ "url = http://127.0.0.1/\n", 1, "no port" },
		{ "llm_listen = 0.0.0.0:4000\n", 1, "loopback" },
		{ "turn_timeout = 0\n", 1, "too small" },
		{ "turn_timeout = 5m\n", 1, "invalid" },
		{ "kind = rpc\001\n", 1, "control" },
		{ RPC "url = http://127.0.0.1:1/c\n", 5, "not for kind" },
		{ HTTP "command = /x\n", 5, "not for kind" },
		{ RPC "api_listen = 127.0.0.1:4000\n", 5, "the same" },
		{ "kind = rpc\nruntime = pi\nsocket = /s\n", 3, "'command'" },
		{ "", 0, "'kind' is missing" },
	};
	struct conf conf;
	char err[512], where[32];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(load(&conf, bad[i].text, err, sizeof(err)),
		    -1);
		conf_free(&conf);
		(void)snprintf(where, sizeof(where), ":%d: ", bad[i].line);
		if (strstr(err, where) == NULL ||
		    strstr(err, bad[i].what) == NULL)
			fail_msg("row %zu: %s", i, err);
	}
}

static void
test_long_line(void **state)
{
	struct conf conf;
	char text[8192], err[512];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(load(&conf, text, err, sizeof(err)), -1);
	assert_non_null(strstr(err, "longer"));
	conf_free(&conf);
	assert_int_equal(conf_load(&conf, "/does/not/exist", err,
	    sizeof(err)), -1);
	assert_non_null(strstr(err, "No such file"));
	conf_free(&conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_command_is_split),
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_acp_and_exec),
		cmocka_unit_test(test_errors_name_the_line),
		cmocka_unit_test(test_long_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Tests of front's table of routes and of what is made from it.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check. Talks to: nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "front.h"
#include "jbuf.h"
#include "log.h"

/* The table names these; they need clients and peers. */
void
local_health(struct call *c)
{
	(void)c;
}

void
local_openapi(struct call *c)
{
	(void)c;
}

void
upload_start(struct call *c)
{
	(void)c;
}

void
download_start(struct call *c)
{
	(void)c;
}

void
bins_start(struct call *c)
{
	(void)c;
}

/* ---- the table ---- */

static bool
in_pattern(const char *pattern, const char *name)
{
	char want[64];

	(void)snprintf(want, sizeof(want), "{%s}", name);
	return (strstr(pattern, want) != NULL);
}

static void
check_field(const struct route *r, const struct field *f)
{
	const struct msg_layout *l = msg_desc(r->msg)->layout();
	const struct msg_field *m = NULL;
	enum msg_kind want = MK_STR;
	size_t i;

	for (i = 0; i < l->nfields; i++)
		if (l->fields[i].offset == f->off)
			m = &l->fields[i];
	if (m == NULL)
		fail_msg("%s: %s is nowhere in %s", r->http.pattern, f->name,
		    l->name);
	if (f->type == FT_U32 || f->type == FT_BOOL || f->type == FT_LEVEL ||
	    f->type == FT_FOLLOW || f->type == FT_GIVEN)
		want = MK_U32;
	else if (f->type == FT_U64 || f->type == FT_SIZE)
		want = MK_U64;
	else if (f->type == FT_I64 || f->type == FT_COST)
		want = MK_I64;
	else if (f->type == FT_TIME)
		want = MK_F64;
	else if (f->type == FT_ARGV)
		want = MK_BYTES;
	assert_int_equal(m->kind, want);
	/* What front lets through must fit the message. */
	if ((want == MK_STR || want == MK_BYTES) && (uint64_t)f->max > m->max)
		fail_msg("%s: %s may have %lld bytes, the message takes %zu",
		    r->http.pattern, f->name, (long long)f->max, m->max);
	assert_true(f->min <= f->max);
	if (f->at == AT_PATH)
		assert_true(in_pattern(r->http.pattern, f->name));
	if (f->at == AT_BODY)
		assert_true(r->http.max_body > 0);
	if (f->at != AT_FIXED && f->at != AT_BODY)
		assert_non_null(f->help);
}

static void
test_table(void **state)
{
	const struct route *r, *o;
	const struct msg_desc *d;
	size_t i, k;

	(void)state;
	for (i = 0; i < nroutes; i++) {
		r = &routes[i];
		assert_int_equal(strncmp(r->http.pattern, "/api/", 5), 0);
		assert_non_null(r->http.method);
		assert_non_null(r->summary);
		assert_non_null(r->returns);
		assert_true(r->who <= WHO_ADMIN);
		assert_true(r->status == 101 ||
		    (r->status >= 200 && r->status <= 202));
		/* Only health is for everybody. */
		assert_int_equal(r->who == WHO_PUBLIC,
		    strcmp(r->http.pattern, "/api/health") == 0);
		/* A body belongs to these methods only, and is bounded. */
		assert_int_equal(r->http.max_body > 0,
		    strcmp(r->http.method, "POST") == 0 ||
		    strcmp(r->http.method, "PATCH") == 0 ||
		    strcmp(r->http.method, "PUT") == 0);
		if (r->own != upload_start)
			assert_true(r->http.max_body <= 256 * 1024);
		for (k = 0; k < i; k++) {
			o = &routes[k];
			assert_false(strcmp(o->http.pattern,
			    r->http.pattern) == 0 && strcmp(o->http.method,
			    r->http.method) == 0);
		}
		if (r->msg == MSG_NONE) {
			assert_non_null(r->own);
			continue;
		}
		d = msg_desc(r->msg);
		assert_true(msg_allowed(r->msg, PROC_FRONT, r->to));
		assert_true((d->flags & M_REQ) != 0);
		assert_true(r->timeout_ms > 0);
		assert_string_equal(d->layout()->fields[0].name, "pass");
		assert_int_equal(d->layout()->fields[0].offset, 0);
		for (k = 0; k < r->nfields; k++)
			check_field(r, &r->fields[k]);
	}
}

/* Every message that front may send is sent by some route. */
static void
test_complete(void **state)
{
	uint32_t t;
	size_t i;

	(void)state;
	for (t = MSG_NONE + 1; t < MSG_MAX; t++) {
		if (msg_desc(t)->from != P_FRONT || t == MSG_AUTH_PEER ||
		    t == MSG_AUTH_TOKEN)
			continue;
		for (i = 0; i < nroutes && routes[i].msg != t; i++)
			;
		if (i == nroutes)
			fail_msg("no route sends %s", msg_name(t));
	}
}

static void
test_openapi(void **state)
{
	struct json_object *doc, *paths, *path, *op, *v;
	char method[16];
	struct jbuf j;
	const char *text;
	struct json_err err;
	size_t i, k, len;

	(void)state;
	jbuf_init(&j, 1 << 20);
	openapi_write(&j, routes, nroutes);
	assert_non_null(text = jbuf_text(&j, &len));
	doc = json_parse_strict(text, len, 32, &err);
	assert_non_null(doc);
	assert_true(json_object_object_get_ex(doc, "paths", &paths));
	for (i = 0; i < nroutes; i++) {
		assert_true(json_object_object_get_ex(paths,
		    routes[i].http.pattern, &path));
		for (k = 0; routes[i].http.method[k] != '\0'; k++)
			method[k] = (char)(routes[i].http.method[k] | 0x20);
		method[k] = '\0';
		assert_true(json_object_object_get_ex(path, method, &op));
		assert_true(json_object_object_get_ex(op, "responses", &v));
		assert_true(json_object_object_get_ex(op, "summary", &v));
	}
	assert_null(strstr(text, "follow"));	/* not for clients */
	json_free(doc);
	jbuf_free(&j);
}

/* ---- values ---- */

static const char *
param(const void *arg, const char *name)
{
	(void)name;
	return (arg);
}

static const char *
header(const void *arg, const char *name)
{
	(void)arg;
	if (strcasecmp(name, "idempotency-key") == 0)
		return ("key1");
	return (strcasecmp(name, "last-event-id") == 0 ? "42" : NULL);
}

static const struct route *
find(const char *method, const char *pattern)
{
	size_t i;

	for (i = 0; i < nroutes; i++)
		if (strcmp(routes[i].http.method, method) == 0 &&
		    strcmp(routes[i].http.pattern, pattern) == 0)
			return (&routes[i]);
	fail_msg("no route %s %s", method, pattern);
	return (NULL);
}

static struct args a;
static struct json_err e;
static char body[8192];

static int
try(const char *method, const char *pattern, const char *name,
    const char *query, const char *text)
{
	struct source s = { .query = query, .param = param,
	    .header = header, .arg = name, .body = body };

	(void)strlcpy(body, text, sizeof(body));
	s.len = strlen(body);
	return (fields_read(find(method, pattern), &s, &a, &e));
}

static int
deploy(const char *text)
{
	int status = try("POST", "/api/agents/deploy", NULL, NULL, text);

	fields_free(&a);
	return (status);
}

static void
test_deploy(void **state)
{
	static const struct {
		const char	*text;
		int		 status;
		const char	*field;
	} rows[] = {
		{ "", 422, "name" }, { "{}", 422, "name" },
		{ "{\"name\":\"\"}", 422, "name" },
		{ "{\"name\":7}", 422, "name" },
		{ "{\"name\":null}", 422, "name" },
		{ "{\"name\":\"a\"}", 422, "framework" },
		{ "{\"name\":\"a\\u0000\",\"framework\":\"pi\"}", 422,
		    "name" },
		{ "{\"name\":\"a\",\"framework\":\"pi\",\"cpu_limit\":0}",
		    422, "cpu_limit" },
		{ "{\"name\":\"a\",\"framework\":\"pi\",\"cpu_limit\":1.5}",
		    422, "cpu_limit" },
		{ "{\"name\":\"a\",\"framework\":\"pi\","
		    "\"cpu_limit\":99999999999999999999}", 422,
		    "cpu_limit" },
		{ "{\"name\":\"a\",\"framework\":\"pi\","
		    "\"memory_limit\":\"lots\"}", 422, "memory_limit" },
		{ "{\"name\":\"a\",\"framework\":\"pi\","
		    "\"memory_limit\":1e309}", 422, "memory_limit" },
		{ "{\"name\":\"a\",\"framework\":\"pi\",\"memory_limit\":0}",
		    422, "memory_limit" },
		{ "{\"name\":\"a\",\"framework\":\"pi\",\"memory\":1}", 422,
		    "memory" },
		{ "{\"name\":\"a\",\"name\":\"b\"}", 400, "" },
		{ "{", 400, "" }, { "[]", 400, "" }, { "null", 400, "" },
		{ "{}x", 400, "" }, { "\xff", 400, "" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (deploy(rows[i].text) != rows[i].status ||
		    strcmp(e.field, rows[i].field) != 0)
			fail_msg("%s: %s", rows[i].text, e.msg);
		assert_true(e.msg[0] != '\0');
	}
	assert_int_equal(try("POST", "/api/agents/deploy", NULL, NULL,
	    "{\"name\":\"My \\u00e9\",\"framework\":\"pi\",\"model\":null,"
	    "\"memory_limit\":\"512MiB\",\"disk_limit\":1073741824,"
	    "\"cpu_limit\":2}"), 0);
	assert_string_equal(a.u.agent_deploy.name, "My \xc3\xa9");
	assert_string_equal(a.u.agent_deploy.framework, "pi");
	assert_string_equal(a.u.agent_deploy.color, "#888888");
	assert_null(a.u.agent_deploy.model);
	assert_true(a.u.agent_deploy.memory == 512ULL << 20);
	assert_true(a.u.agent_deploy.disk == 1ULL << 30);
	assert_int_equal(a.u.agent_deploy.cpus, 2);
	assert_string_equal(a.u.agent_deploy.idempotency_key, "key1");
	fields_free(&a);
}

static int
trace(const char *name, const char *query)
{
	return (try("GET", "/api/agents/{slug}/trace", name, query, ""));
}

static void
test_query(void **state)
{
	static const char *const bad[] = { "limit=0", "limit=1001",
	    "limit=x", "limit=", "limit=1&limit=2", "limit=-1", "limit=+1",
	    "limit=0x10", "since=nan", "since=inf", "since=1e999",
	    "since=0x1p3", "since=-1", "typo=1", "kind=", "LIMIT=1" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (trace("bob", bad[i]) != 422)
			fail_msg("%s", bad[i]);
		fields_free(&a);
	}
	assert_int_equal(trace("bob", "since=12.5&kind=llm%5Fcall&&"), 0);
	assert_string_equal(a.u.trace_query.agent, "bob");
	assert_string_equal(a.u.trace_query.kind, "llm_call");
	assert_true(a.u.trace_query.since == 12.5);
	assert_int_equal(a.u.trace_query.limit, 100);
	assert_int_equal(a.u.trace_query.follow, 0);
	fields_free(&a);
	assert_int_equal(trace("Bob", NULL), 404);
	fields_free(&a);
	assert_int_equal(trace("..", NULL), 404);
	fields_free(&a);
	assert_int_equal(trace("-a", NULL), 404);
	fields_free(&a);
	assert_int_equal(try("GET", "/api/chat/channels/{id}/events",
	    "0123456789abcdef0123456789abcdef", NULL, ""), 0);
	assert_int_equal(a.u.chat_watch.last_event_id, 42);
	fields_free(&a);
	assert_int_equal(try("GET", "/api/chat/channels/{id}/events",
	    "0123456789ABCDEF0123456789abcdef", NULL, ""), 404);
	fields_free(&a);
	assert_int_equal(try("POST", "/api/agents/{slug}/stop", "bob", NULL,
	    ""), 0);
	assert_string_equal(a.u.agent_action.action, "stop");
	fields_free(&a);
}

static void
test_trace_post(void **state)
{
	(void)state;
	assert_int_equal(try("POST", "/api/trace", NULL, NULL,
	    "{\"agent_name\":\"bob\",\"kind\":\"error\",\"tokens_in\":5,"
	    "\"cost_usd\":0.25,\"created_at\":7,"
	    "\"payload\":{\"a\":[1,{\"b\":\"/\"}]}}"), 0);
	assert_string_equal(a.u.trace_post.agent, "bob");
	assert_true(a.u.trace_post.cost_pico == 250000000000);
	assert_true(a.u.trace_post.tokens_in == 5);
	assert_true(a.u.trace_post.tokens_out == -1);
	assert_true(a.u.trace_post.created_at == 7);
	assert_string_equal(a.u.trace_post.payload,
	    "{\"a\":[1,{\"b\":\"/\"}]}");
	fields_free(&a);
	assert_int_equal(try("POST", "/api/trace", NULL, NULL,
	    "{\"agent_name\":\"bob\",\"kind\":\"x\"}"), 0);
	assert_string_equal(a.u.trace_post.payload, "{}");
	assert_true(a.u.trace_post.cost_pico == -1);
	fields_free(&a);
	assert_int_equal(try("POST", "/api/trace", NULL, NULL,
	    "{\"agent_name\":\"bob\",\"kind\":\"x\",\"payload\":[]}"), 422);
	assert_string_equal(e.field, "payload");
	fields_free(&a);
	assert_int_equal(try("POST", "/api/trace", NULL, NULL,
	    "{\"agent_name\":\"../x\",\"kind\":\"x\"}"), 422);
	assert_string_equal(e.field, "agent_name");
	fields_free(&a);
}

static void
test_provider(void **state)
{
	(void)state;
	assert_int_equal(try("POST", "/api/providers", NULL, NULL,
	    "{\"name\":\"p\",\"type\":\"openai\",\"api_key\":\"sk-very\","
	    "\"models\":[\"a\",{\"id\":\"b/c\"}],\"allow_private\":true}"),
	    0);
	assert_string_equal(a.u.provider_add.api_key, "sk-very");
	assert_null(strstr(body, "very"));	/* gone from the request */
	assert_string_equal(a.u.provider_add.models, "a\nb/c");
	assert_int_equal(a.u.provider_add.allow_private, 1);
	fields_free(&a);
	assert_int_equal(try("POST", "/api/providers", NULL, NULL,
	    "{\"name\":\"p\",\"type\":\"openai\",\"models\":[\"a\\nb\"]}"),
	    422);
	assert_string_equal(e.field, "models");
	fields_free(&a);
	assert_int_equal(try("POST", "/api/providers", NULL, NULL,
	    "{\"name\":\"p\",\"type\":\"openai\",\"models\":[{\"x\":1}]}"),
	    422);
	fields_free(&a);
	assert_int_equal(try("POST", "/api/providers", NULL, NULL,
	    "{\"name\":\"p\",\"type\":\"openai\",\"api_key\":5}"), 422);
	assert_string_equal(e.field, "api_key");
	fields_free(&a);
	assert_int_equal(try("PUT", "/api/system/log-level", NULL, NULL,
	    "{\"worker\":\"front\",\"level\":\"debug\"}"), 0);
	assert_int_equal(a.u.api_log_level.level, LOG_L_DEBUG);
	fields_free(&a);
	assert_int_equal(try("PUT", "/api/system/log-level", NULL, NULL,
	    "{\"worker\":\"front\",\"level\":\"loud\"}"), 422);
	assert_string_equal(e.field, "level");
	fields_free(&a);
}

static void
test_sizes(void **state)
{
	uint64_t n;

	(void)state;
	assert_int_equal(fields_size("2GB", &n), 0);
	assert_true(n == 2000000000);
	assert_int_equal(fields_size("3KiB", &n), 0);
	assert_true(n == 3072);
	assert_int_equal(fields_size("17", &n), 0);
	assert_true(n == 17);
	assert_int_equal(fields_size("", &n), -1);
	assert_int_equal(fields_size("GB", &n), -1);
	assert_int_equal(fields_size("-1", &n), -1);
	assert_int_equal(fields_size("1 GB", &n), -1);
	assert_int_equal(fields_size("1gb", &n), -1);
	assert_int_equal(fields_size("1.5GB", &n), -1);
	assert_int_equal(fields_size("9999999999TiB", &n), -1);
	assert_int_equal(fields_size("99999999999999999999", &n), -1);
}

static void
test_guard(void **state)
{
	(void)state;
	assert_true(guard_host_ok("localhost"));
	assert_true(guard_host_ok("LocalHost:1"));
	assert_true(guard_host_ok("127.0.0.1:6969"));
	assert_true(guard_host_ok("[::1]:6969"));
	assert_false(guard_host_ok("evil.example"));
	assert_false(guard_host_ok("localhost.evil.example"));
	assert_false(guard_host_ok("127.0.0.2"));
	assert_false(guard_host_ok("[::2]"));
	assert_false(guard_host_ok("agents.example"));
	guard_hosts("a.example\nagents.example");
	assert_true(guard_host_ok("agents.example:80"));
	assert_true(guard_host_ok("a.example"));
	assert_false(guard_host_ok("b.example"));
	assert_false(guard_host_ok("a.example\nagents.example"));
	guard_hosts("");
	assert_false(guard_host_ok("a.example"));
	assert_true(guard_origin_ok("localhost:1", NULL, NULL));
	assert_true(guard_origin_ok("localhost:1", "http://localhost:1",
	    "same-origin"));
	assert_true(guard_origin_ok("a", "https://A", NULL));
	assert_false(guard_origin_ok("localhost:1", "http://localhost:2",
	    NULL));
	assert_false(guard_origin_ok("localhost:1", "http://evil.example",
	    NULL));
	assert_false(guard_origin_ok("localhost:1", "null", NULL));
	assert_false(guard_origin_ok("localhost:1", "", NULL));
	assert_false(guard_origin_ok("localhost:1", NULL, "cross-site"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_openapi),
		cmocka_unit_test(test_deploy),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_trace_post),
		cmocka_unit_test(test_provider),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_guard),
	};

	routes_init();
	return (cmocka_run_group_tests(tests, NULL, NULL));
}

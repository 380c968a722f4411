/*
 * Tests the gateway's requests with played neighbours: identity and bridge.
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gw_world.h"

#define HELLO	"POST /api/agent/hello HTTP/1.1\r\n"
#define HELLO_BODY "{\"link\":\"0.1.0\",\"runtime\":\"pi\",\"kind\":\"rpc\"}"
#define SESSION	"/api/openclaw/sessions/ann/"
#define REPLY	"POST " SESSION "reply HTTP/1.1\r\n" AUTH

static void
test_hello(void **state)
{
	const char *r;

	(void)state;
	r = ask(HELLO, HELLO_BODY);
	assert_int_equal(status_of(r), 200);
	assert_non_null(strstr(r, "\"key\":\"" KEY "\""));
	assert_non_null(strstr(r, "\"agent_id\":\"" AGENT "\""));
	assert_non_null(strstr(r, "\"slug\":\"ann\""));
	assert_non_null(strstr(r, "/api/openclaw/sessions/" AGENT "/events"));
	assert_int_equal(w.mints, 1);
	assert_int_equal(status_of(ask(HELLO, "{")), 400);
	assert_int_equal(status_of(ask(HELLO, "{\"link\":1}")), 422);
	assert_int_equal(status_of(ask(HELLO, "{\"link\":\"1\",\"runtime\":"
	    "\"x\",\"kind\":\"y\",\"more\":1}")), 422);
	world_agent(AGENT_DEPLOYING, 0, 0);
	assert_int_equal(status_of(ask(HELLO, HELLO_BODY)), 200);
	world_agent(AGENT_STOPPED, 0, 0);
	assert_int_equal(status_of(ask(HELLO, HELLO_BODY)), 409);
	world_agent(AGENT_RUNNING, 0, 0);
	world_down(PROC_PROXY);
	r = ask(HELLO, HELLO_BODY);
	assert_int_equal(status_of(r), 503);
	assert_non_null(strstr(r, "Retry-After: 1"));
	assert_int_equal(w.mints, 2);
}

/* One made ahead gets no key; its hello waits until it is somebody. */
static void
test_warm(void **state)
{
	static const char ready[] = "{\"link\":\"1\",\"runtime\":\"pi\","
	    "\"kind\":\"rpc\",\"ready\":true}";
	struct client c;
	char req[512];
	int n;

	(void)state;
	world_agent(AGENT_WARM, 0, 0);
	assert_int_equal(status_of(ask(HELLO, HELLO_BODY)), 503);
	assert_int_equal(status_of(ask("GET /v1/models HTTP/1.1\r\n" AUTH,
	    NULL)), 409);
	client_open(&c);
	n = snprintf(req, sizeof(req), HELLO "Host: a\r\nContent-Type: "
	    "application/json\r\nContent-Length: %zu\r\n\r\n%s",
	    sizeof(ready) - 1, ready);
	client_send(&c, req, (size_t)n);
	assert_true(until(w.readies == 1));
	assert_int_equal(w.mints, 0);
	/* A new keeper hears of it too. */
	world_agent(AGENT_WARM, 0, 0);
	assert_true(until(w.readies == 2));
	world_agent(AGENT_DEPLOYING, 0, 0);
	assert_true(client_wait(&c, "\"key\":\"" KEY "\""));
	assert_int_equal(w.mints, 1);
	client_close(&c);
}

/* Only uids of the instance may use the socket. */
static void
test_uid(void **state)
{
	(void)state;
	world_agent(AGENT_RUNNING, getuid(), 1);
	assert_int_equal(status_of(ask(HELLO, HELLO_BODY)), 200);
	world_agent(AGENT_RUNNING, getuid() + 1, 65536);
	assert_int_equal(status_of(ask(HELLO, HELLO_BODY)), 403);
	assert_int_equal(status_of(ask("GET /v1/models HTTP/1.1\r\n" AUTH,
	    NULL)), 403);
}

static void
test_key(void **state)
{
	struct m_agent_id id = { AGENT };
	const char *r;
	unsigned int i;

	(void)state;
	r = ask("GET /v1/models HTTP/1.1\r\n", NULL);
	assert_int_equal(status_of(r), 401);
	assert_non_null(strstr(r, "\"code\":\"invalid_api_key\""));
	assert_int_equal(status_of(ask("GET /v1/models HTTP/1.1\r\n"
	    "Authorization: Bearer x\r\n", NULL)), 401);
	assert_int_equal(status_of(ask("GET /v1/models HTTP/1.1\r\n" AUTH AUTH,
	    NULL)), 400);
	assert_int_equal(w.checks, 0);
	for (i = 0; i < 3; i++) {
		r = ask("GET /v1/models HTTP/1.1\r\n" AUTH, NULL);
		assert_int_equal(status_of(r), 200);
		assert_non_null(strstr(r, "\"id\":\"default\""));
		assert_non_null(strstr(r, "\"id\":\"m1\""));
	}
	assert_int_equal(w.checks, 1);
	peer_send(world_peer(PROC_PROXY), MSG_KEY_FLUSH, &id);
	assert_true(until(agent_find(AGENT)->nkeys == 0));
	w.check_status = 401;
	assert_int_equal(status_of(ask("GET /v1/models HTTP/1.1\r\n" AUTH,
	    NULL)), 401);
	assert_int_equal(w.checks, 2);
}

static void
test_theft(void **state)
{
	const char *r;

	(void)state;
	w.check_status = 403;
	r = ask(REPLY, "{}");
	assert_int_equal(status_of(r), 403);
	assert_non_null(strstr(r, "this key belongs to another agent"));
	assert_true(until(w.traces == 2));
	assert_non_null(strstr(w.events, "agent error gateway"));
	assert_non_null(strstr(w.events, "other error gateway"));
	assert_non_null(strstr(w.events, "\"stage\":\"auth\""));
	assert_null(strstr(w.events, "sk-agentd-"));
}

static void
test_routes(void **state)
{
	const char *r;

	(void)state;
	r = ask("GET /v1/nothing HTTP/1.1\r\n", NULL);
	assert_int_equal(status_of(r), 404);
	assert_non_null(strstr(r, "{\"error\":{\"message\":"));
	assert_int_equal(status_of(ask("GET /v1/chat/completions "
	    "HTTP/1.1\r\n", NULL)), 405);
	r = ask("GET /nothing HTTP/1.1\r\n", NULL);
	assert_int_equal(status_of(r), 404);
	assert_non_null(strstr(r, "{\"error\":\""));
	r = ask("GET /api/openclaw/bootstrap?agent=ann HTTP/1.1\r\n" AUTH,
	    NULL);
	assert_int_equal(status_of(r), 200);
	assert_non_null(strstr(r, "\"schema_version\":1"));
	assert_non_null(strstr(r, "\"auth_bearer\":\"agentd-link\""));
	assert_null(strstr(r, KEY));
	assert_int_equal(status_of(ask("GET /api/openclaw/bootstrap "
	    "HTTP/1.1\r\n" AUTH, NULL)), 400);
	assert_int_equal(status_of(ask("GET /api/openclaw/bootstrap?agent=bob "
	    "HTTP/1.1\r\n" AUTH, NULL)), 404);
	assert_int_equal(status_of(ask("POST /api/openclaw/sessions/bob/ack "
	    "HTTP/1.1\r\n" AUTH, "{\"up_to\":1}")), 404);
}

static void
send_row(bool more, uint64_t id, const char *event, const char *json)
{
	struct m_result r = { 200, id, event, json };

	assert_int_equal(peer_send_id(world_peer(PROC_KEEPER), MSG_RESULT,
	    w.sub_id, more, &r), 0);
}

static void
open_events(struct client *c, const char *more)
{
	char text[512];

	snprintf(text, sizeof(text), "GET " SESSION "events HTTP/1.1\r\n"
	    "Host: a\r\n" AUTH "%s\r\n", more);
	client_open(c);
	client_send(c, text, strlen(text));
	assert_true(client_wait(c, ": connected\n\n"));
}

static void
test_events(void **state)
{
	struct client a, b;

	(void)state;
	open_events(&a, "Last-Event-ID: 4\r\n");
	assert_int_equal(w.subs, 1);
	assert_int_equal(w.sub_last, 4);
	send_row(true, 7, "user_message", "{\"id\":\"m\"}");
	assert_true(client_wait(&a, "id: 7\nevent: user_message\n"
	    "data: {\"id\":\"m\"}\n\n"));
	/* keeper restarts: the same stream goes on where it was */
	world_down(PROC_KEEPER);
	world_up(PROC_KEEPER);
	assert_true(until(w.subs == 2));
	assert_int_equal(w.sub_last, 7);
	send_row(true, 8, "user_message", "{}");
	assert_true(client_wait(&a, "id: 8\n"));
	/* a new subscriber ends the old one; no CANCEL may follow */
	open_events(&b, "");
	assert_true(client_wait(&a, "0\r\n\r\n"));
	assert_int_equal(w.subs, 3);
	send_row(true, 9, "abort", "{}");
	assert_true(client_wait(&b, "event: abort\n"));
	assert_int_equal(w.cancels, 0);
	client_close(&a);
	/* the client leaves: keeper hears of it */
	client_close(&b);
	assert_true(until(w.cancels == 1));
	assert_null(agent_find(AGENT)->events);
	/* keeper is away */
	world_down(PROC_KEEPER);
	assert_int_equal(status_of(ask("GET " SESSION "events HTTP/1.1\r\n"
	    AUTH, NULL)), 503);
}

/* Deployed beside another one it is asked to wait, till that one runs. */
static void
test_hold(void **state)
{
	struct client c;

	(void)state;
	world_agent(AGENT_DEPLOYING, 0, 0);
	assert_null(strstr(ask(HELLO, HELLO_BODY), "hold_ms"));
	world_other(AGENT_DEPLOYING);
	assert_non_null(strstr(ask(HELLO, HELLO_BODY), "\"hold_ms\":3000"));
	open_events(&c, "");
	/* Its own deploy is over; the other's is not. */
	world_agent(AGENT_RUNNING, 0, 0);
	assert_int_equal(status_of(ask("GET /v1/models HTTP/1.1\r\n" AUTH,
	    NULL)), 200);
	client_read(&c);
	assert_null(strstr(c.in, "event: start"));
	world_other(AGENT_RUNNING);
	assert_true(client_wait(&c, "event: start\ndata: {}\n\n"));
	/* One that runs already does not wait for anybody. */
	world_other(AGENT_DEPLOYING);
	assert_null(strstr(ask(HELLO, HELLO_BODY), "hold_ms"));
	client_close(&c);
}

/* A session is named by slug or id; the link says that it has finished. */
static void
test_prepared(void **state)
{
	(void)state;
	assert_int_equal(status_of(ask("POST " SESSION "prepared HTTP/1.1\r\n"
	    AUTH, "{\"id\":\"p1\"}")), 200);
	assert_string_equal(w.content, "p1");
	assert_int_equal(status_of(ask("POST /api/openclaw/sessions/" AGENT
	    "/prepared HTTP/1.1\r\n" AUTH, "{\"id\":\"p2\"}")), 200);
	assert_string_equal(w.content, "p2");
	assert_int_equal(status_of(ask("POST /api/openclaw/sessions/bob"
	    "/prepared HTTP/1.1\r\n" AUTH, "{\"id\":\"p3\"}")), 404);
	assert_int_equal(status_of(ask("POST " SESSION "prepared HTTP/1.1\r\n"
	    AUTH, "{}")), 422);
}

/* What the framework takes as final, and a sentence that says why. */
static void
test_paused(void **state)
{
	const char *r;

	(void)state;
	world_agent(AGENT_PAUSED, 0, 0);
	r = ask("POST /v1/chat/completions HTTP/1.1\r\n" AUTH
	    "x-agentd-turn: t1\r\n", "{\"model\":\"default\"}");
	assert_int_equal(status_of(r), 400);
	assert_non_null(strstr(r, "agent ann is paused"));
	assert_int_equal(status_of(ask(HELLO, HELLO_BODY)), 409);
}

/* An event longer than a frame comes in pieces. */
static void
test_long_event(void **state)
{
	struct m_trace_more part;
	struct client c;
	char text[50000];
	int i;

	(void)state;
	open_events(&c, "");
	memset(text, 'x', sizeof(text));
	part.data.ptr = text;
	part.data.len = sizeof(text);
	for (i = 0; i < 3; i++)
		assert_int_equal(peer_send_id(world_peer(PROC_KEEPER),
		    MSG_RESULT_PART, w.sub_id, true, &part), 0);
	send_row(true, 3, "user_message", "end");
	send_row(true, 4, "user_message", "short");
	assert_true(client_wait(&c, "xend\n\n"));
	assert_true(client_wait(&c, "id: 4\nevent: user_message\n"
	    "data: short\n\n"));
	assert_true(c.len > 3 * sizeof(text));
	/* one beyond the bound is left out, the next one is not */
	c.len = 0;
	for (i = 0; i < 22; i++)
		assert_int_equal(peer_send_id(world_peer(PROC_KEEPER),
		    MSG_RESULT_PART, w.sub_id, true, &part), 0);
	send_row(true, 5, "user_message", "end");
	send_row(true, 6, "user_message", "next");
	assert_true(client_wait(&c, "data: next\n\n"));
	assert_null(strstr(c.in, "id: 5\n"));
	client_close(&c);
}

static void
test_events_end(void **state)
{
	struct client c;

	(void)state;
	open_events(&c, "");
	send_row(false, 0, "", "");
	assert_true(client_wait(&c, "0\r\n\r\n"));
	client_close(&c);
	open_events(&c, "");
	world_agent(AGENT_STOPPED, 0, 0);
	assert_true(client_wait(&c, "0\r\n\r\n"));
	assert_true(until(w.cancels == 1));
	client_close(&c);
}

static void
test_reply(void **state)
{
	const char *r;
	char *big;
	int n;

	(void)state;
	r = ask(REPLY, "{\"kind\":\"delta\",\"trace_id\":\"t1\",\"seq\":1,"
	    "\"content\":\"Hel\\u00e9\"}");
	assert_int_equal(status_of(r), 202);
	assert_string_equal(w.kind, "delta");
	assert_string_equal(w.content, "Hel\xc3\xa9");
	w.reply_status = 409;
	r = ask(REPLY, "{\"kind\":\"final\",\"trace_id\":\"t1\"}");
	assert_int_equal(status_of(r), 409);
	assert_non_null(strstr(r, "{\"error\":\"so it is\"}"));
	assert_int_equal(w.replies, 2);
	/* refused before keeper hears of it */
	assert_int_equal(status_of(ask(REPLY, "nonsense")), 400);
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"delta\"}")), 422);
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"x\",\"trace_id\":"
	    "\"t1\"}")), 422);
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"error\","
	    "\"trace_id\":\"t1\"}")), 422);
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"delta\","
	    "\"kind\":\"final\",\"trace_id\":\"t1\"}")), 400);
	n = asprintf(&big, "{\"kind\":\"delta\",\"trace_id\":\"t1\","
	    "\"content\":\"%065537d\"}", 0);
	assert_true(n > 0);
	assert_int_equal(status_of(ask(REPLY, big)), 413);
	free(big);
	n = asprintf(&big, "{\"kind\":\"final\",\"trace_id\":\"t1\","
	    "\"content\":\"%0262145d\"}", 0);
	assert_true(n > 0);
	assert_int_equal(status_of(ask(REPLY, big)), 413);
	free(big);
	assert_int_equal(w.replies, 2);
	world_down(PROC_KEEPER);
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"final\","
	    "\"trace_id\":\"t1\"}")), 503);
}

/* The deltas of one attempt have 1 MiB; a repeated one counts once. */
static void
test_delta_total(void **state)
{
	char *body;
	int i, n, refused = 0;

	(void)state;
	for (i = 0; i < 20; i++) {
		n = asprintf(&body, "{\"kind\":\"delta\",\"trace_id\":\"t1\","
		    "\"seq\":%d,\"content\":\"%060000d\"}",
		    i < 3 ? 1 : i, 0);
		assert_true(n > 0);
		if (status_of(ask(REPLY, body)) == 413)
			refused++;
		free(body);
	}
	/* 18 different ones of 60000 bytes: 17 fit */
	assert_int_equal(refused, 1);
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"delta\","
	    "\"trace_id\":\"t1\",\"attempt\":2,\"seq\":1,"
	    "\"content\":\"again\"}")), 202);
}

static void
test_rate(void **state)
{
	int i, refused = 0;
	const char *r;

	(void)state;
	for (i = 0; i < 160 && refused == 0; i++) {
		r = ask(REPLY, "{\"kind\":\"delta\",\"trace_id\":\"t1\"}");
		if (status_of(r) == 429) {
			refused++;
			assert_non_null(strstr(r, "Retry-After: 1"));
		}
	}
	assert_true(refused == 1 || w.replies > 100);
}

/* What the runtime tells of its tools goes to the trace, each thing once. */
static void
test_tools(void **state)
{
	static const char call[] = "{\"kind\":\"tool_call\",\"trace_id\":"
	    "\"t1\",\"seq\":1,\"tool\":\"bash\",\"tool_call_id\":\"call_1\","
	    "\"args\":{\"command\":\"echo hi\"}}";

	(void)state;
	w.trace_status = 507;
	assert_int_equal(status_of(ask(REPLY, call)), 503);
	assert_int_equal(w.traces, 1);
	w.trace_status = 202;
	assert_int_equal(status_of(ask(REPLY, call)), 202);
	assert_int_equal(status_of(ask(REPLY, call)), 202);
	assert_int_equal(w.traces, 2);
	/* the repeated one has the same id: the writer knows it */
	assert_string_equal(w.ids[0], w.ids[1]);
	assert_non_null(strstr(w.events, "agent tool_call agent t1 "
	    "{\"tool\":\"bash\",\"args\":{\"command\":\"echo hi\"},"
	    "\"caller\":\"pi\",\"tool_call_id\":\"call_1\"}"));
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"tool_result\","
	    "\"trace_id\":\"t1\",\"seq\":2,\"tool\":\"bash\","
	    "\"tool_call_id\":\"call1\",\"result\":\"hi\","
	    "\"duration_ms\":5}")), 202);
	assert_non_null(strstr(w.events, "tool_result agent t1 {\"tool\":"
	    "\"bash\",\"result\":\"hi\",\"success\":true,"
	    "\"tool_call_id\":\"call1\"}"));
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"reasoning\","
	    "\"trace_id\":\"t1\",\"seq\":3,\"content\":\"hm\"}")), 202);
	assert_int_equal(w.traces, 4);
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"reasoning\","
	    "\"trace_id\":\"gone\",\"content\":\"hm\"}")), 503);
	world_down(PROC_TRACE);
	assert_int_equal(status_of(ask(REPLY, "{\"kind\":\"reasoning\","
	    "\"trace_id\":\"t1\",\"seq\":4,\"content\":\"hm\"}")), 503);
	assert_int_equal(w.replies, 0);
}

static void
test_trace_post(void **state)
{
	static const char head[] = "POST /api/trace HTTP/1.1\r\n" AUTH;
	const char *r;
	char *big;

	(void)state;
	r = ask(head, "{\"kind\":\"lifecycle\",\"agent_name\":\"somebody\","
	    "\"id\":\"e1\",\"cost_usd\":0.5,\"payload\":{\"a\":[1]}}");
	assert_int_equal(status_of(r), 200);
	assert_non_null(strstr(r, "{\"id\":\"e1\",\"agent_name\":\"ann\","
	    "\"schema_version\":1}"));
	assert_non_null(strstr(w.events,
	    "agent lifecycle agent - {\"a\":[1]}"));
	assert_int_equal(status_of(ask(head, "{\"kind\":\"x\"}")), 400);
	assert_int_equal(status_of(ask(head, "{}")), 422);
	assert_int_equal(status_of(ask(head, "{\"kind\":\"error\","
	    "\"payload\":[]}")), 422);
	assert_int_equal(status_of(ask(head, "{\"kind\":\"error\","
	    "\"tokens_in\":-1}")), 422);
	/* a payload of many frames arrives whole */
	assert_true(asprintf(&big, "{\"kind\":\"error\",\"payload\":"
	    "{\"a\":\"%0200000d\"}}", 0) > 0);
	assert_int_equal(status_of(ask(head, big)), 200);
	assert_non_null(strstr(w.events, "000\"}\n"));
	assert_true(w.eventslen > 200000);
	free(big);
	w.trace_status = 400;
	assert_int_equal(status_of(ask(head, "{\"kind\":\"error\"}")), 400);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_hello), T(test_warm), T(test_hold), T(test_uid), T(test_key), T(test_theft),
		T(test_routes), T(test_events), T(test_long_event),
		T(test_prepared), T(test_paused),
		T(test_events_end),
		T(test_reply), T(test_delta_total), T(test_rate),
		T(test_tools), T(test_trace_post),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

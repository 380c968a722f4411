/*
 * Tests the gateway's LLM path with played neighbours.
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gw_world.h"

#define POST	"POST /v1/chat/completions HTTP/1.1\r\n"
#define LLM	POST AUTH TURN
#define PLAIN	"{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]," \
	"\"model\":\"default\"}"

static void
head(uint32_t status, const char *type)
{
	struct m_llm_head h = { status, type, "" };

	assert_int_equal(peer_send_id(world_peer(PROC_UPSTREAM), MSG_LLM_HEAD,
	    w.open_id, true, &h), 0);
}

static void
data(const char *p, size_t len)
{
	struct m_llm_data d = { { p, len } };

	assert_int_equal(peer_send_id(world_peer(PROC_UPSTREAM), MSG_LLM_DATA,
	    w.open_id, true, &d), 0);
}

static void
end(bool ok, const char *error)
{
	struct m_llm_end e = { ok, error };

	assert_int_equal(peer_send_id(world_peer(PROC_UPSTREAM), MSG_LLM_END,
	    w.open_id, false, &e), 0);
}

/* Sends a request and waits until upstream has all of it. */
static void
start_call(struct client *c, const char *body)
{
	unsigned int opens = w.opens;
	char text[1024];

	snprintf(text, sizeof(text), LLM "Host: a\r\nContent-Type: "
	    "application/json\r\nContent-Length: %zu\r\n\r\n", strlen(body));
	client_open(c);
	client_send(c, text, strlen(text));
	client_send(c, body, strlen(body));
	assert_true(until(w.opens == opens + 1 && w.bodyend));
}

/* A whole call that answers this document. */
static void
one_call(const char *body, const char *answer)
{
	struct client c;

	start_call(&c, body);
	head(200, "application/json");
	data(answer, strlen(answer));
	end(true, "");
	assert_true(client_wait(&c, "0\r\n\r\n"));
	client_close(&c);
}

static void
test_plain(void **state)
{
	static const char answer[] = "{\"model\":\"m\",\"choices\":["
	    "{\"message\":{\"content\":\"Hello\"},\"finish_reason\":\"stop\"}],"
	    "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}";
	struct client c;

	(void)state;
	start_call(&c, PLAIN);
	/* What it means is for proxy to say. */
	assert_string_equal(w.asked, "default");
	assert_string_equal(w.body, "{\"messages\":[{\"role\":\"user\","
	    "\"content\":\"hi\"}],\"model\":\"real-model\"}");
	assert_int_equal(w.open.length, w.bodytotal);
	assert_int_equal(w.open.stream, 0);
	head(200, "application/json");
	data(answer, strlen(answer));
	end(true, "");
	assert_true(client_wait(&c, answer));
	assert_true(client_wait(&c, "0\r\n\r\n"));
	client_close(&c);
	assert_true(until(w.traces == 1));
	assert_non_null(strstr(w.events, "agent llm_call gateway t1 "
	    "{\"status\":\"success\",\"attempt\":1,\"request\":{\"model\":"
	    "\"default\",\"stream\":false,\"messages_total\":1,\"messages\":"
	    "[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[]},"
	    "\"response\":{\"content\":\"Hello\",\"tool_calls\":[],"
	    "\"finish_reason\":\"stop\",\"model\":\"m\"},"
	    "\"http_status\":200"));
	assert_int_equal(w.cancels, 0);
	/* the route is known now */
	one_call(PLAIN, answer);
	assert_int_equal(w.routes, 1);
}

static void
test_stream(void **state)
{
	static const char chunk[] = "data: {\"choices\":[{\"delta\":"
	    "{\"content\":\"tok\"}}]}\n\n";
	struct client c;
	int i;

	(void)state;
	start_call(&c, "{\"model\":\"x\",\"stream\":true,\"messages\":[]}");
	assert_string_equal(w.asked, "x");
	assert_string_equal(w.body, "{\"model\":\"real-model\","
	    "\"stream_options\":{\"include_usage\":true},\"stream\":true,"
	    "\"messages\":[]}");
	head(200, "text/event-stream");
	assert_true(client_wait(&c, "Content-Type: text/event-stream"));
	for (i = 0; i < 3; i++) {
		c.len = 0;
		data(chunk, strlen(chunk));
		/* each piece comes at once and alone */
		assert_true(client_wait(&c, chunk));
	}
	end(true, "");
	assert_true(client_wait(&c, "0\r\n\r\n"));
	client_close(&c);
	assert_true(until(w.traces == 1));
	assert_non_null(strstr(w.events, "\"content\":\"toktoktok\""));
}

static void
test_refusals(void **state)
{
	const char *r;

	(void)state;
	r = ask(POST AUTH, PLAIN);
	assert_int_equal(status_of(r), 400);
	assert_non_null(strstr(r, "no turn"));
	/* keeper has just come: the turn may yet be named */
	assert_int_equal(status_of(ask(POST AUTH "x-agentd-turn: t2\r\n",
	    PLAIN)), 503);
	assert_int_equal(status_of(ask(LLM TURN, PLAIN)), 400);
	assert_int_equal(status_of(ask(LLM "x-agentd-attempt: 9\r\n",
	    PLAIN)), 400);
	assert_int_equal(status_of(ask(LLM, "{\"model\":")), 400);
	assert_int_equal(status_of(ask(LLM, "{\"messages\":[]}")), 400);
	assert_int_equal(status_of(ask(LLM, "{\"model\":\"a\",\"model\":\"b\","
	    "\"messages\":[]}")), 400);
	w.route_status = 404;
	r = ask(LLM, PLAIN);
	assert_int_equal(status_of(r), 404);
	assert_non_null(strstr(r, "no such model"));
	w.route_status = 403;
	assert_int_equal(status_of(ask(LLM, PLAIN)), 400);
	world_down(PROC_PROXY);
	assert_int_equal(status_of(ask(LLM, PLAIN)), 503);
	world_down(PROC_UPSTREAM);
	assert_int_equal(status_of(ask(LLM, PLAIN)), 503);
	assert_int_equal(w.opens, 0);
	assert_int_equal(agent_find(AGENT)->ncalls, 0);
	world_turn("t1", false);
}

/* The agent's framework allows three calls a turn and takes 400 as final. */
static void
test_cap(void **state)
{
	const char *r;
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		one_call(PLAIN, "{}");
	r = ask(LLM, PLAIN);
	assert_int_equal(status_of(r), 400);
	assert_non_null(strstr(r, "3 model calls, which is the limit"));
	assert_int_equal(status_of(ask(LLM, PLAIN)), 400);
	assert_int_equal(w.opens, 3);
	assert_true(until(w.traces == 4));
	assert_non_null(strstr(w.events, "error gateway t1 {\"stage\":"
	    "\"llm\""));
}

/* Nor can it be passed by calls that all begin before one is made. */
static void
test_cap_at_once(void **state)
{
	static const char call[] = LLM "Host: a\r\nContent-Type: "
	    "application/json\r\nContent-Length: 3\r\n\r\n";
	struct client c[4];
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		client_open(&c[i]);
		client_send(&c[i], call, sizeof(call) - 1);
		assert_true(i == 3 || until(agent_find(AGENT)->ncalls ==
		    i + 1));
	}
	assert_true(client_wait(&c[3], "3 model calls, which is the limit"));
	assert_int_equal(agent_find(AGENT)->ncalls, 3);
	for (i = 0; i < 4; i++)
		client_close(&c[i]);
	assert_true(until(agent_find(AGENT)->ncalls == 0));
}

/* upstream dies: before the head an error, after it a cut. */
static void
test_upstream_dies(void **state)
{
	struct client c;

	(void)state;
	start_call(&c, PLAIN);
	world_down(PROC_UPSTREAM);
	assert_true(client_wait(&c, "HTTP/1.1 503 "));
	assert_true(client_wait(&c, "Retry-After: 1"));
	client_close(&c);
	world_up(PROC_UPSTREAM);
	start_call(&c, PLAIN);
	head(200, "application/json");
	data("{\"cho", 5);
	assert_true(client_wait(&c, "{\"cho"));
	world_down(PROC_UPSTREAM);
	assert_true(client_eof(&c));
	assert_null(strstr(c.in, "0\r\n\r\n"));
	client_close(&c);
	world_up(PROC_UPSTREAM);
	/* upstream itself says that the answer is not whole */
	start_call(&c, PLAIN);
	head(200, "application/json");
	data("{\"cho", 5);
	end(false, "the provider closed the connection");
	assert_true(client_eof(&c));
	assert_null(strstr(c.in, "0\r\n\r\n"));
	client_close(&c);
	assert_true(until(w.traces == 3));
	assert_non_null(strstr(w.events, "\"status\":\"failure\""));
	assert_null(strstr(w.events, "\"status\":\"success\""));
}

static void
test_client_leaves(void **state)
{
	struct client c;

	(void)state;
	start_call(&c, PLAIN);
	client_close(&c);
	assert_true(until(w.cancels == 1 && w.traces == 1));
	assert_non_null(strstr(w.events, "\"status\":\"cancelled\""));
	assert_int_equal(agent_find(AGENT)->ncalls, 0);
}

/* The provider's answers about our key never reach the agent. */
static void
test_provider_errors(void **state)
{
	static const char secret[] = "{\"error\":\"bad key sk-123\"}";
	struct client c;

	(void)state;
	start_call(&c, PLAIN);
	head(401, "application/json");
	data(secret, strlen(secret));
	end(true, "");
	assert_true(client_wait(&c, "HTTP/1.1 400 "));
	assert_true(client_wait(&c, "provider mock refused"));
	assert_null(strstr(c.in, "sk-123"));
	client_close(&c);
	start_call(&c, PLAIN);
	head(429, "application/json");
	data("{\"error\":{\"message\":\"slow down\"}}", 33);
	end(true, "");
	assert_true(client_wait(&c, "HTTP/1.1 429 "));
	assert_true(client_wait(&c, "slow down"));
	client_close(&c);
	assert_true(until(w.traces == 2));
	assert_null(strstr(w.events, "sk-123"));
	assert_non_null(strstr(w.events, "\"http_status\":401"));
	assert_non_null(strstr(w.events, "\"http_status\":429"));
}

/* A control byte in what upstream says must not end up in our headers. */
static void
test_bad_head(void **state)
{
	struct client c;

	(void)state;
	start_call(&c, PLAIN);
	head(200, "text/html\r\nX-Evil: 1");
	end(true, "");
	assert_true(client_wait(&c, "0\r\n\r\n"));
	assert_null(strstr(c.in, "X-Evil"));
	client_close(&c);
	start_call(&c, PLAIN);
	head(99, "text/html");
	assert_true(client_wait(&c, "HTTP/1.1 502 "));
	client_close(&c);
}

static void
test_tools(void **state)
{
	static const char call[] = "{\"choices\":[{\"message\":{\"tool_calls\":"
	    "[{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":"
	    "\"bash\",\"arguments\":\"{\\\"command\\\":\\\"ls\\\"}\"}}]},"
	    "\"finish_reason\":\"tool_calls\"}]}";
	static const char second[] = "{\"model\":\"default\",\"messages\":["
	    "{\"role\":\"tool\",\"tool_call_id\":\"old\",\"content\":\"past\"},"
	    "{\"role\":\"user\",\"content\":\"hi\"},"
	    "{\"role\":\"assistant\",\"tool_calls\":[]},"
	    "{\"role\":\"tool\",\"tool_call_id\":\"call1\","
	    "\"content\":\"a b\"},"
	    "{\"role\":\"user\",\"content\":\"context\"}]}";

	(void)state;
	one_call(PLAIN, call);
	assert_true(until(w.traces == 2));
	assert_non_null(strstr(w.events, "tool_call gateway t1 {\"tool\":"
	    "\"bash\",\"args\":{\"command\":\"ls\"},\"caller\":\"pi\","
	    "\"tool_call_id\":\"call_1\"}"));
	/* the result has a rewritten id; one of an older turn is no news */
	one_call(second, "{}");
	one_call(second, "{}");
	assert_true(until(w.traces == 5));
	assert_non_null(strstr(w.events, "tool_result gateway t1 {\"tool\":"
	    "\"bash\",\"result\":\"a b\",\"success\":null,"
	    "\"tool_call_id\":\"call1\"}"));
	assert_null(strstr(w.events, "\"result\":\"past\""));
	assert_null(strstr(strstr(w.events, "\"result\":\"a b\"") + 1,
	    "\"result\":\"a b\""));
}

/* A long history: only its end is kept, and the new result is found. */
static void
test_long_history(void **state)
{
	static const char msg[] = "{\"content\":\"0123456789012345678901234567"
	    "8901234567890123456789012345678901234567890123456789\","
	    "\"role\":\"user\"},";
	static const char last[] = "{\"role\":\"tool\",\"tool_call_id\":"
	    "\"x\",\"content\":\"here\"}],\"model\":\"a\"}";
	char *body;
	size_t len = 0, n = sizeof(msg) - 1;
	int i;

	(void)state;
	assert_non_null(body = malloc(6000 * n + 256));
	len = (size_t)snprintf(body, 256, "{\"messages\":[");
	for (i = 0; i < 6000; i++, len += n)
		memcpy(body + len, msg, n);
	memcpy(body + len, last, sizeof(last));
	one_call(body, "{}");
	assert_true(until(w.traces == 2));
	assert_non_null(strstr(w.events, "tool_result gateway t1 {\"tool\":"
	    "\"\",\"result\":\"here\""));
	assert_non_null(strstr(w.events, "\"messages_total\":6001,"));
	assert_non_null(strstr(w.events, "\"content\":\"here\"}],"
	    "\"messages_omitted\":"));
	assert_true(w.eventslen > 250000 && w.eventslen < 300000);
	free(body);
}

/* A body larger than the window: upstream's credit holds it up. */
static void
test_big_body(void **state)
{
	struct client c;
	char *body;
	size_t len;
	int n;

	(void)state;
	w.greedy = false;
	n = asprintf(&body, "{\"messages\":[{\"role\":\"user\",\"content\":"
	    "\"%03000000d\"}],\"model\":\"a\"}", 0);
	assert_true(n > 0);
	len = (size_t)n;
	client_open(&c);
	{
		struct m_llm_window credit = { 256 * 1024 };
		char text[512];
		uint64_t had = 0;

		snprintf(text, sizeof(text), LLM "Host: a\r\nContent-Type: "
		    "application/json\r\nContent-Length: %zu\r\n\r\n", len);
		client_send(&c, text, strlen(text));
		client_send(&c, body, len);
		while (!w.bodyend) {
			assert_true(until(w.bodytotal == had + 256 * 1024 ||
			    w.bodyend));
			had = w.bodytotal;
			if (w.bodyend)
				break;
			peer_send_id(world_peer(PROC_UPSTREAM),
			    MSG_LLM_WINDOW, w.open_id, false, &credit);
		}
	}
	assert_int_equal(w.bodytotal, w.open.length);
	assert_int_equal(w.bodytotal, len + strlen("real-model") - 1);
	assert_int_equal(gw_budget()->bytes, 0);
	head(200, "application/json");
	data("{}", 2);
	end(true, "");
	assert_true(client_wait(&c, "0\r\n\r\n"));
	client_close(&c);
	assert_true(until(w.traces == 1));
	assert_non_null(strstr(w.events, "\"messages\":[],"
	    "\"messages_omitted\":1"));
	free(body);
}

/* Over the budget the older body is read on and the younger one waits. */
static void
test_budget(void **state)
{
	static char text[400000];
	struct client a, b;
	char first[512];
	size_t n;

	(void)state;
	gw_budget()->limit = 100000;
	memset(text, ' ', sizeof(text));
	n = (size_t)snprintf(first, sizeof(first), LLM "Host: a\r\n"
	    "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
	    sizeof(text) + strlen(PLAIN));
	client_open(&a);
	client_send(&a, first, n);
	client_send(&a, text, 90000);
	client_open(&b);
	client_send(&b, first, n);
	/* no more than the kernel takes from us */
	client_send(&b, text, 60000);
	for (n = 0; n < 50; n++)
		world_step();
	/* of the younger one no more than was on its way */
	assert_true(gw_budget()->bytes >= 100000);
	assert_true(gw_budget()->bytes < 90000 + 30000);
	client_send(&a, text, sizeof(text) - 90000);
	client_send(&a, PLAIN, strlen(PLAIN));
	/* the older one is through: the younger one goes on */
	assert_true(until(w.opens == 1));
	client_send(&b, text, sizeof(text) - 60000);
	client_send(&b, PLAIN, strlen(PLAIN));
	assert_true(until(w.opens == 2));
	assert_true(until(gw_budget()->bytes == 0));
	client_close(&a);
	client_close(&b);
	assert_true(until(w.cancels == 2));
}

/* A slow reader: no more credit than it reads. */
static void
test_slow_reader(void **state)
{
	static char block[61440];
	struct client c;
	unsigned int before;
	int i;

	(void)state;
	memset(block, 'x', sizeof(block));
	start_call(&c, PLAIN);
	head(200, "application/octet-stream");
	/* more than the socket and the low mark take; within the window */
	for (i = 0; i < 4; i++)
		data(block, sizeof(block));
	for (i = 0; i < 50; i++)
		world_step();
	before = w.windows;
	for (i = 0; i < 16; i++)
		data(block, sizeof(block));
	for (i = 0; i < 50; i++)
		world_step();
	assert_true(w.windows <= before + 4);
	before = w.windows;
	assert_true(until((client_read(&c), c.len > 20 * sizeof(block))));
	assert_true(until(w.windows > before));
	end(true, "");
	assert_true(until((client_read(&c),
	    memcmp(c.in + c.len - 5, "0\r\n\r\n", 5) == 0)));
	client_close(&c);
}

/* trace is away: nothing is lost, and each event comes once. */
static void
test_trace_away(void **state)
{
	(void)state;
	world_down(PROC_TRACE);
	one_call(PLAIN, "{}");
	one_call(PLAIN, "{}");
	assert_int_equal(w.traces, 0);
	w.trace_status = 0;
	world_up(PROC_TRACE);
	assert_true(until(w.traces == 2));
	/* it died before it answered: they come again under the same ids */
	world_down(PROC_TRACE);
	w.trace_status = 202;
	world_up(PROC_TRACE);
	assert_true(until(w.traces == 4));
	assert_string_equal(w.ids[0], w.ids[2]);
	assert_string_equal(w.ids[1], w.ids[3]);
	assert_string_not_equal(w.ids[0], w.ids[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_plain), T(test_stream), T(test_refusals), T(test_cap),
		T(test_cap_at_once),
		T(test_upstream_dies), T(test_client_leaves),
		T(test_provider_errors), T(test_bad_head), T(test_tools),
		T(test_long_history), T(test_big_body), T(test_budget),
		T(test_slow_reader), T(test_trace_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Tests the memory of tool calls, and the budget of request bodies.
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "budget.h"
#include "toolmap.h"

static void
test_norm(void **state)
{
	char out[TOOL_ID_MAX + 1];
	char longid[100];

	(void)state;
	tool_norm("call_5f-B3.", 11, out);
	assert_string_equal(out, "call5fB3");
	tool_norm("___", 3, out);
	assert_string_equal(out, "");
	tool_norm("", 0, out);
	assert_string_equal(out, "");
	tool_norm("a\xc3\xa9""b", 4, out);
	assert_string_equal(out, "ab");
	memset(longid, 'x', sizeof(longid));
	tool_norm(longid, sizeof(longid), out);
	assert_int_equal(strlen(out), TOOL_ID_MAX);
}

/* Traffic and runtime tell the same call and result: each once. */
static void
test_once(void **state)
{
	struct toolmap m = { NULL, 0, 0 };
	struct tool_entry *e;

	(void)state;
	assert_non_null(toolmap_call(&m, "a", "bash", TOOL_TRAFFIC, 1));
	assert_null(toolmap_call(&m, "a", "bash", TOOL_AGENT, 2));
	assert_null(toolmap_call(&m, "a", "bash", TOOL_AGENT, 3));
	assert_non_null(e = toolmap_result(&m, "a", TOOL_AGENT, 4));
	assert_string_equal(e->name, "bash");
	assert_int_equal(e->at, 1);
	assert_null(toolmap_result(&m, "a", TOOL_TRAFFIC, 5));
	assert_null(toolmap_result(&m, "a", TOOL_TRAFFIC, 6));

	/* the runtime is faster */
	assert_non_null(toolmap_call(&m, "b", "ls", TOOL_AGENT, 7));
	assert_null(toolmap_call(&m, "b", "ls", TOOL_TRAFFIC, 8));

	/* a result whose call nobody saw */
	assert_non_null(e = toolmap_result(&m, "c", TOOL_TRAFFIC, 9));
	assert_int_equal(e->called, 0);
	assert_null(toolmap_result(&m, "c", TOOL_TRAFFIC, 9));
	toolmap_free(&m);
}

/* A model that counts its ids from 0 in each answer. */
static void
test_reuse(void **state)
{
	struct toolmap m = { NULL, 0, 0 };

	(void)state;
	assert_non_null(toolmap_call(&m, "0", "x", TOOL_TRAFFIC, 1));
	assert_non_null(toolmap_result(&m, "0", TOOL_TRAFFIC, 2));
	assert_non_null(toolmap_call(&m, "0", "y", TOOL_TRAFFIC, 3));
	assert_non_null(toolmap_result(&m, "0", TOOL_TRAFFIC, 4));
	assert_null(toolmap_result(&m, "0", TOOL_TRAFFIC, 5));
	assert_int_equal(m.n, 1);
	toolmap_free(&m);
}

/* What could not be written is accepted again. */
static void
test_undo(void **state)
{
	struct toolmap m = { NULL, 0, 0 };

	(void)state;
	assert_non_null(toolmap_call(&m, "a", "x", TOOL_AGENT, 1));
	toolmap_undo_call(&m, "a", TOOL_AGENT);
	assert_non_null(toolmap_call(&m, "a", "x", TOOL_AGENT, 1));
	assert_non_null(toolmap_result(&m, "a", TOOL_AGENT, 1));
	toolmap_undo_result(&m, "a", TOOL_AGENT);
	assert_non_null(toolmap_result(&m, "a", TOOL_TRAFFIC, 1));
	toolmap_undo_result(&m, "nobody", TOOL_AGENT);
	toolmap_free(&m);
}

static void
test_bound(void **state)
{
	struct toolmap m = { NULL, 0, 0 };
	char id[16];
	int i;

	(void)state;
	for (i = 0; i < TOOLMAP_MAX + 10; i++) {
		snprintf(id, sizeof(id), "i%d", i);
		assert_non_null(toolmap_call(&m, id, "x", TOOL_TRAFFIC, 1));
	}
	assert_int_equal(m.n, TOOLMAP_MAX);
	assert_null(toolmap_find(&m, "i9"));
	assert_non_null(toolmap_find(&m, "i10"));
	toolmap_free(&m);
}

/* ---- budget ---- */

static unsigned int resumed;
static struct budget_use *last;

static void
on_resume(struct budget_use *u)
{
	resumed++;
	last = u;
}

/* Over the limit the oldest goes on and everyone else waits. */
static void
test_budget(void **state)
{
	struct budget b;
	struct budget_group g[3];
	struct budget_use u[4];
	int i;

	(void)state;
	budget_init(&b, 100, 60);
	for (i = 0; i < 3; i++)
		budget_group_init(&g[i]);
	for (i = 0; i < 3; i++)
		budget_start(&b, &g[i], &u[i], on_resume);
	budget_start(&b, &g[1], &u[3], on_resume);
	assert_true(budget_grow(&b, &u[0], 30));
	assert_true(budget_grow(&b, &u[1], 30));
	assert_true(budget_grow(&b, &u[3], 29));
	/* agent 1 is over its share: its second body waits, the first not */
	assert_false(budget_grow(&b, &u[3], 1));
	assert_true(budget_grow(&b, &u[1], 1));
	/* all are over the whole: only the oldest goes on */
	assert_false(budget_grow(&b, &u[2], 20));
	assert_false(budget_grow(&b, &u[1], 1));
	assert_true(budget_grow(&b, &u[0], 1000));
	resumed = 0;
	budget_end(&b, &u[0]);
	/* room for all of them now, but agent 1 is still over its share */
	assert_int_equal(resumed, 2);
	assert_true(u[3].paused);
	budget_end(&b, &u[1]);
	assert_int_equal(resumed, 3);
	assert_ptr_equal(last, &u[3]);
	budget_end(&b, &u[1]);
	budget_end(&b, &u[2]);
	budget_end(&b, &u[3]);
	assert_int_equal(b.bytes, 0);
	assert_int_equal(g[1].bytes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_norm),
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_undo),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Tests of agent-link's count of the kernel's kills.
 * SPDX-License-Identifier: ISC
 * Runs in: tests. Talks to: nobody.
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "oom.h"

static void
test_parse(void **state)
{
	(void)state;
	/* cgroup v1 */
	assert_int_equal(oom_parse("oom_kill_disable 0\nunder_oom 0\n"
	    "oom_kill 2\n"), 2);
	/* cgroup v2 */
	assert_int_equal(oom_parse("low 0\nhigh 0\nmax 7\noom 3\noom_kill 12\n"
	    "oom_group_kill 1\n"), 12);
	assert_int_equal(oom_parse("oom_kill 3"), 3);
	assert_int_equal(oom_parse("max 7\nxoom_kill 3\n"), 0);
	assert_int_equal(oom_parse("oom_kill x\n"), 0);
	assert_int_equal(oom_parse(""), 0);
	/* Never so many that it turns over. */
	assert_true(oom_parse("oom_kill 99999999999999999999999999") > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

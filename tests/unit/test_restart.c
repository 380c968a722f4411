/*
 * Back-off and alarm of workers that die; the words for how they died.
 *
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cause.h"
#include "restart.h"

static void
test_backoff(void **state)
{
	struct restart r;
	uint64_t now = 1000000;
	uint32_t i;

	(void)state;
	memset(&r, 0, sizeof(r));
	/* 0, 100, 200 ... 1000, and 1000 for ever. */
	for (i = 0; i < 1000; i++)
		assert_int_equal(restart_died(&r, now, now),
		    i < 10 ? 100 * i : 1000);
	/* Nearly long enough a life changes nothing. */
	assert_int_equal(restart_died(&r, now, now + RESTART_CALM_MS - 1),
	    1000);
	assert_int_equal(restart_died(&r, now, now + RESTART_CALM_MS), 0);
	assert_int_equal(restart_died(&r, now, now), 100);
}

static void
test_alarm(void **state)
{
	struct restart r;
	uint64_t now = 1000000;
	int i;

	(void)state;
	memset(&r, 0, sizeof(r));
	for (i = 0; i < RESTART_ALARM_CRASHES - 1; i++) {
		restart_died(&r, now, now);
		assert_false(restart_alarm(&r, now));
	}
	restart_died(&r, now, now + RESTART_ALARM_MS);
	now += RESTART_ALARM_MS;
	assert_true(restart_alarm(&r, now));
	assert_true(restart_alarm(&r, now + RESTART_ALARM_HOLD_MS - 1));
	assert_false(restart_alarm(&r, now + RESTART_ALARM_HOLD_MS));
}

static void
test_no_alarm_when_slow(void **state)
{
	struct restart r;
	uint64_t now = 1000000;
	int i;

	(void)state;
	memset(&r, 0, sizeof(r));
	/* Each fifth death comes a little over the window after the first. */
	for (i = 0; i < 100; i++) {
		restart_died(&r, now, now);
		assert_false(restart_alarm(&r, now));
		now += RESTART_ALARM_MS / (RESTART_ALARM_CRASHES - 1) + 1;
	}
}

static void
test_cause(void **state)
{
	char out[256];

	(void)state;
	cause_text(out, sizeof(out), 1, 1 << 8, "");
	assert_string_equal(out, "exit 1");
	cause_text(out, sizeof(out), 1, SIGKILL, "");
	assert_string_equal(out, "signal 9 (Killed)");
	cause_text(out, sizeof(out), 1, SIGKILL, "not ready after 60 s");
	assert_string_equal(out, "killed by agentd: not ready after 60 s");
	/* It saw the end of its channel first. */
	cause_text(out, sizeof(out), 1, 1 << 8, "not ready after 60 s");
	assert_string_equal(out, "killed by agentd: not ready after 60 s");
	/* It was faster than our signal. */
	cause_text(out, sizeof(out), 1, SIGSEGV | 0x80, "not ready");
	assert_string_equal(out, "signal 11 (Segmentation fault)");
	/* The kernel's log has not been opened here. */
	cause_text(out, sizeof(out), 1, SIGSYS, "");
	assert_string_equal(out, "seccomp");
}

static void
test_record(void **state)
{
	static const char line[] = "5,1234,99,-;audit: type=1326 "
	    "audit(1763827200.123:7): auid=4294967295 uid=990 gid=990 "
	    "ses=4294967295 pid=4711 comm=\"3\" exe=\"/usr/libexec/agentd/"
	    "agentd-front\" sig=31 arch=c000003e syscall=59 compat=0 "
	    "ip=0x7f0000000000 code=0x80000000\n";
	unsigned arch = 0;

	(void)state;
	assert_int_equal(cause_parse_record(line, 4711, &arch), 59);
	assert_int_equal(arch, 0xc000003e);
	assert_int_equal(cause_parse_record(line, 471, &arch), -1);
	assert_int_equal(cause_parse_record(line, 47111, &arch), -1);
	assert_int_equal(cause_parse_record("type=1300 pid=4711 syscall=1 "
	    "arch=1", 4711, &arch), -1);
	assert_int_equal(cause_parse_record("type=1326 x pid=4711", 4711,
	    &arch), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_alarm),
		cmocka_unit_test(test_no_alarm_when_slow),
		cmocka_unit_test(test_cause),
		cmocka_unit_test(test_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

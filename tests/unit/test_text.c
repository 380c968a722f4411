/*
 * Tests what may be in names that are shown to others.
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "text.h"

static void
test_plain(void **state)
{
	static const char *const good[] = { "", "Pi", "'; DROP TABLE agent",
	    "$(reboot) & ../..", "\xc3\x84gent", "\xd7\xa9\xd7\x9c\xd7\x95",
	    /* A woman, a joiner and a computer: one picture. */
	    "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb" };
	static const char *const bad[] = { "a\nb", "\t", "\x7f", "a\033[2J",
	    "\xc2\x9b" "31m", "a\xe2\x80\xae" "b", "\xe2\x81\xa6",
	    "\xe2\x80\x8f", "\xd8\x9c", "\xe2\x80\xa8", "\xef\xbb\xbf",
	    "\xe2\x80\x8b", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xe2\x80",
	    "\xf4\x90\x80\x80" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(text_is_plain(good[i], false));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (text_is_plain(bad[i], false))
			fail_msg("taken: %zu", i);
	assert_true(text_is_plain("a\nb", true));
	assert_false(text_is_plain("a\rb", true));
}

static void
test_char(void **state)
{
	uint32_t cp = 0;

	(void)state;
	assert_int_equal(text_char("", 0, &cp), 0);
	assert_int_equal(text_char("\xe2\x82\xac", 3, &cp), 3);
	assert_int_equal(cp, 0x20ac);
	/* What follows is not its own. */
	assert_int_equal(text_char("\xe2\x82\xac", 2, &cp), 0);
	assert_true(text_is_safe(0x20ac));
	assert_false(text_is_safe(0x202e));
}

static void
test_clean(void **state)
{
	char text[] = "no \xe2\x80\xae" "a \033[2J\xff\xc3\xa4\n\xe2\x80";

	(void)state;
	text_clean(text);
	assert_string_equal(text, "no ?a ?[2J?\xc3\xa4???");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_char),
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

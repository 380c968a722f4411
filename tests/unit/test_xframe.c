/*
 * Frames of exec sessions: there and back, cut, and what is none.
 *
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "xframe.h"

static void
there_and_back(void **state)
{
	uint8_t buf[64];
	struct xf f;
	unsigned int cols, rows;
	uint32_t status;
	size_t n, i;

	(void)state;
	n = xf_resize(buf, 132, 43);
	for (i = 0; i < n; i++)
		assert_int_equal(xf_read(buf, i, &f), 0);
	assert_int_equal(xf_read(buf, sizeof(buf), &f), n);
	assert_int_equal(xf_get_resize(&f, &cols, &rows), 0);
	assert_int_equal(cols, 132);
	assert_int_equal(rows, 43);
	assert_int_equal(xf_get_exit(&f, &status), -1);
	n = xf_exit(buf, 137);
	assert_int_equal(xf_read(buf, n, &f), n);
	assert_int_equal(xf_get_exit(&f, &status), 0);
	assert_int_equal(status, 137);
	xf_head(buf, XF_STDIN, 0);
	assert_int_equal(xf_read(buf, XF_HEAD, &f), XF_HEAD);
	assert_int_equal(f.stream, XF_STDIN);
	assert_int_equal(f.len, 0);
}

static void
refusals(void **state)
{
	uint8_t buf[64] = { XF_STREAMS };
	struct xf f;
	unsigned int cols, rows;

	(void)state;
	assert_int_equal(xf_read(buf, 1, &f), -1);
	xf_head(buf, XF_STDOUT, XF_MAX + 1);
	assert_int_equal(xf_read(buf, sizeof(buf), &f), -1);
	xf_head(buf, XF_STDOUT, SIZE_MAX);
	assert_int_equal(xf_read(buf, sizeof(buf), &f), -1);
	(void)xf_resize(buf, 0, 24);
	assert_int_equal(xf_read(buf, sizeof(buf), &f), XF_HEAD + 4);
	assert_int_equal(xf_get_resize(&f, &cols, &rows), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Passes: nobody but keeper makes one, and each is for one audience.
 *
 * SPDX-License-Identifier: ISC
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "pass.h"
#include "sys.h"

static struct pass_ctx ctx;

static struct pass
sample(void)
{
	struct pass p;

	memset(&p, 0, sizeof(p));
	p.role = ROLE_ADMIN;
	p.audience = PROC_TRACE;
	strlcpy(p.principal, "uid:1000", sizeof(p.principal));
	p.conn = 77;
	p.expires_ms = sys_now_ms() + 10000;
	return p;
}

static int
check(const uint8_t *raw, enum proc self, struct pass *out)
{
	struct msg_bytes b = { raw, PASS_LEN };

	return pass_check(&ctx, self, &b, out);
}

static void
test_good(void **state)
{
	struct pass in = sample(), out;
	uint8_t raw[PASS_LEN];

	(void)state;
	pass_make(&ctx, &in, raw);
	assert_int_equal(check(raw, PROC_TRACE, &out), 0);
	assert_int_equal(out.role, ROLE_ADMIN);
	assert_string_equal(out.principal, "uid:1000");
	assert_int_equal(out.conn, 77);
}

/* What an owned front can try. */
static void
test_forged(void **state)
{
	struct pass in = sample(), out;
	struct pass_ctx other = ctx;
	struct msg_bytes b;
	uint8_t raw[PASS_LEN];
	size_t i;

	(void)state;
	pass_make(&ctx, &in, raw);
	for (i = 0; i < PASS_LEN; i++) {
		raw[i] ^= 1;
		assert_int_equal(check(raw, PROC_TRACE, &out), -1);
		assert_int_equal(errno, EACCES);
		raw[i] ^= 1;
	}
	b.ptr = raw;
	b.len = PASS_LEN - 1;
	assert_int_equal(pass_check(&ctx, PROC_TRACE, &b, &out), -1);
	/* For trace, shown to proxy. */
	assert_int_equal(check(raw, PROC_PROXY, &out), -1);
	/* A guessed key. */
	sys_random(other.key, sizeof(other.key));
	pass_make(&other, &in, raw);
	assert_int_equal(check(raw, PROC_TRACE, &out), -1);
	/* Of an earlier start of keeper. */
	other = ctx;
	sys_random(other.boot, sizeof(other.boot));
	pass_make(&other, &in, raw);
	assert_int_equal(check(raw, PROC_TRACE, &out), -1);
}

static void
test_over(void **state)
{
	struct pass in = sample(), out;
	uint8_t raw[PASS_LEN];

	(void)state;
	in.expires_ms = sys_now_ms() - 1;
	pass_make(&ctx, &in, raw);
	assert_int_equal(check(raw, PROC_TRACE, &out), -1);
	assert_int_equal(errno, ETIMEDOUT);
}

static void
test_no_key(void **state)
{
	struct pass in = sample(), out;
	uint8_t raw[PASS_LEN];

	(void)state;
	pass_make(&ctx, &in, raw);
	ctx.set = 0;
	assert_int_equal(check(raw, PROC_TRACE, &out), -1);
	ctx.set = 1;
	in.role = ROLE_NONE;
	pass_make(&ctx, &in, raw);
	assert_int_equal(check(raw, PROC_TRACE, &out), -1);
}

static void
test_names(void **state)
{
	(void)state;
	assert_true(sys_is_slug("a"));
	assert_true(sys_is_slug("a-1"));
	assert_false(sys_is_slug(""));
	assert_false(sys_is_slug("-a"));
	assert_false(sys_is_slug("a-"));
	assert_false(sys_is_slug("A"));
	assert_false(sys_is_slug("a/../b"));
	assert_true(sys_is_id("0123456789abcdef0123456789abcdef"));
	assert_false(sys_is_id("0123456789abcdef0123456789abcdeF"));
	assert_false(sys_is_id("0123456789abcdef0123456789abcde"));
	assert_false(sys_is_id("0123456789abcdef0123456789abcdef0"));
	assert_false(sys_is_id("../../../../../../../../etc/pass"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_over),
		cmocka_unit_test(test_no_key),
		cmocka_unit_test(test_names),
	};

	if (sodium_init() == -1)
		return 1;
	sys_random(ctx.key, sizeof(ctx.key));
	sys_random(ctx.boot, sizeof(ctx.boot));
	ctx.set = 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * Tests of keeper's parts that need nobody else: slugs, roles, the state
 * machine of a deploy, sealed secrets, checks of providers.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include <sodium.h>

#include "log.h"
#include "workers/keeper/agent.h"
#include "workers/keeper/jobsm.h"
#include "workers/keeper/keeper.h"
#include "workers/keeper/limits.h"
#include "workers/keeper/provider.h"
#include "workers/keeper/secret.h"

static void
test_slug(void **state)
{
	static const struct {
		const char	*name, *slug;
	} good[] = {
		{ "Pi", "pi" },
		{ "  My  Agent #2! ", "my-agent-2" },
		{ "a_b.c", "a-b-c" },
		{ "---x---", "x" },
		{ "\xc3\xa4gent", "gent" },
		{ "0123456789012345678901234567890123456789012345678901234",
		  "0123456789012345678901234567890123456789012345678901" },
		/* A dash must not be the last one where it is cut. */
		{ "012345678901234567890123456789012345678901234567890 x",
		  "012345678901234567890123456789012345678901234567890" },
	};
	char	 out[SLUG_MAX + 1];
	size_t	 i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(agent_slug(good[i].name, out), 0);
		assert_string_equal(out, good[i].slug);
		assert_true(sys_is_slug(out));
	}
	assert_int_equal(agent_slug("", out), -1);
	assert_int_equal(agent_slug(" -- \xc3\xa4 ", out), -1);
	assert_true(agent_color_ok(""));
	assert_true(agent_color_ok("#12aBef"));
	assert_false(agent_color_ok("#12aBeg"));
	assert_false(agent_color_ok("red"));
}

/* W22: words that stand in paths of the API are no slugs. */
static void
test_reserved_slug(void **state)
{
	static const char *const reserved[] = { "archived", "Bulk",
	    "containers", "deploy", "import", "DEFAULT" };
	char	 out[SLUG_MAX + 1], want[SLUG_MAX + 1];
	size_t	 i;

	(void)state;
	assert_int_equal(agent_free_slug("--", out), 400);
	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		assert_int_equal(agent_free_slug(reserved[i], out), 0);
		assert_int_equal(agent_slug(reserved[i], want), 0);
		(void)strlcat(want, "-2", sizeof(want));
		assert_string_equal(out, want);
	}
	assert_int_equal(agent_free_slug("_unknown_", out), 0);
	assert_string_equal(out, "unknown");
}

static void
test_role(void **state)
{
	static const uint32_t	 admins[] = { 1000, 1001 };
	static const uint32_t	 with[] = { 100, 777 }, without[] = { 100 };

	(void)state;
	assert_int_equal(auth_role(0, NULL, 0), ROLE_ADMIN);
	/* No group, no admins but root. */
	assert_int_equal(auth_role(1000, with, 2), ROLE_NONE);
	auth_test_admins(777, admins, 2);
	assert_int_equal(auth_role(1001, without, 1), ROLE_ADMIN);
	assert_int_equal(auth_role(1002, without, 1), ROLE_NONE);
	assert_int_equal(auth_role(1002, with, 2), ROLE_ADMIN);
	assert_int_equal(auth_role(65534, without, 1), ROLE_NONE);
}

static void
test_job_good(void **state)
{
	struct jobsm	 sm;

	(void)state;
	memset(&sm, 0, sizeof(sm));
	assert_int_equal(jobsm_event(&sm, JE_START), JA_POLICY | JA_SOCKET);
	assert_int_equal(jobsm_event(&sm, JE_POLICY_OK), JA_ACCEPT);
	assert_int_equal(sm.step, JS_SOCKET);
	assert_int_equal(jobsm_event(&sm, JE_SOCKET_OK), JA_CREATE);
	assert_int_equal(sm.step, JS_INSTANCE);
	assert_int_equal(jobsm_event(&sm, JE_CREATED), JA_IDMAP | JA_WAIT);
	assert_int_equal(jobsm_event(&sm, JE_CONNECTED), JA_FINISH);
	assert_int_equal(jobsm_event(&sm, JE_STORED), JA_SUCCESS);
	assert_int_equal(sm.step, JS_RUNNING);
	/* What comes late changes nothing. */
	assert_int_equal(jobsm_event(&sm, JE_CANCEL), 0);
	assert_int_equal(jobsm_event(&sm, JE_CREATED), 0);
	assert_int_equal(sm.step, JS_RUNNING);
}

/* The link may be there before container says that the instance is. */
static void
test_job_early_link(void **state)
{
	struct jobsm	 sm;

	(void)state;
	memset(&sm, 0, sizeof(sm));
	(void)jobsm_event(&sm, JE_START);
	assert_int_equal(jobsm_event(&sm, JE_SOCKET_OK), 0);
	assert_int_equal(jobsm_event(&sm, JE_POLICY_OK),
	    JA_ACCEPT | JA_CREATE);
	assert_int_equal(jobsm_event(&sm, JE_CONNECTED), 0);
	assert_int_equal(jobsm_event(&sm, JE_LOST), 0);
	assert_int_equal(jobsm_event(&sm, JE_CONNECTED), 0);
	assert_int_equal(jobsm_event(&sm, JE_CREATED), JA_IDMAP | JA_FINISH);
	assert_int_equal(sm.step, JS_CHANNEL);
}

/* Brings a machine to a step. */
static void
advance_to(struct jobsm *sm, enum job_step step)
{
	memset(sm, 0, sizeof(*sm));
	(void)jobsm_event(sm, JE_START);
	if (step >= JS_SOCKET)
		(void)jobsm_event(sm, JE_POLICY_OK);
	if (step >= JS_INSTANCE)
		(void)jobsm_event(sm, JE_SOCKET_OK);
	if (step >= JS_CONNECTED)
		(void)jobsm_event(sm, JE_CREATED);
	if (step >= JS_CHANNEL)
		(void)jobsm_event(sm, JE_CONNECTED);
	assert_int_equal(sm->step, step);
}

/* From every step a cancel ends with nothing left. */
static void
test_job_cancel(void **state)
{
	struct jobsm	 sm;
	uint32_t	 actions;
	int		 step;

	(void)state;
	for (step = JS_POLICY; step <= JS_CHANNEL; step++) {
		advance_to(&sm, (enum job_step)step);
		actions = jobsm_event(&sm, JE_CANCEL);
		assert_true(actions & JA_UNDOING);
		assert_int_equal(sm.failed_at, step);
		if (step == JS_INSTANCE) {
			/* Not before container has answered. */
			assert_false(actions & JA_UNDO);
			assert_int_equal(jobsm_event(&sm, JE_CANCEL), 0);
			actions = jobsm_event(&sm, JE_CREATED);
			assert_false(actions & JA_WAIT);
		}
		assert_true(actions & JA_UNDO);
		assert_int_equal(sm.instance, step >= JS_INSTANCE);
		/* Late answers do not revive it. */
		assert_int_equal(jobsm_event(&sm, JE_POLICY_OK), 0);
		assert_int_equal(jobsm_event(&sm, JE_SOCKET_OK), 0);
		assert_int_equal(jobsm_event(&sm, JE_CONNECTED), 0);
		assert_int_equal(jobsm_event(&sm, JE_STORED), 0);
		assert_int_equal(jobsm_event(&sm, JE_UNDONE), JA_FAIL);
		assert_int_equal(sm.step, JS_FAILED);
	}
}

/* A job that was cut starts over, and knows what there may be. */
static void
test_job_resume(void **state)
{
	struct jobsm	 sm;
	int		 step;

	(void)state;
	for (step = JS_PLANNED; step <= JS_CHANNEL; step++) {
		memset(&sm, 0, sizeof(sm));
		sm.step = (enum job_step)step;
		assert_int_equal(jobsm_event(&sm, JE_RESUME),
		    JA_POLICY | JA_SOCKET);
		assert_int_equal(sm.step, JS_POLICY);
		assert_int_equal(sm.instance, step >= JS_INSTANCE);
		if (step % 2 == 0) {
			assert_int_equal(jobsm_event(&sm, JE_CANCEL),
			    JA_UNDOING | JA_UNDO);
			assert_int_equal(sm.instance, step >= JS_INSTANCE);
			continue;
		}
		assert_int_equal(jobsm_event(&sm, JE_POLICY_OK), JA_ACCEPT);
		assert_int_equal(jobsm_event(&sm, JE_SOCKET_OK), JA_CREATE);
		sm.connected = true;
		assert_int_equal(jobsm_event(&sm, JE_CREATED),
		    JA_IDMAP | JA_FINISH);
	}
	memset(&sm, 0, sizeof(sm));
	sm.step = JS_ROLLBACK;
	assert_int_equal(jobsm_event(&sm, JE_RESUME), JA_UNDO);
	assert_int_equal(jobsm_event(&sm, JE_UNDONE), JA_FAIL);
	assert_int_equal(jobsm_event(&sm, JE_RESUME), 0);
}

static void
test_job_foreign(void **state)
{
	struct jobsm	 sm;

	(void)state;
	advance_to(&sm, JS_INSTANCE);
	assert_int_equal(jobsm_event(&sm, JE_FOREIGN), JA_UNDOING | JA_UNDO);
	assert_false(sm.instance);
	advance_to(&sm, JS_INSTANCE);
	assert_int_equal(jobsm_event(&sm, JE_CREATE_FAILED),
	    JA_UNDOING | JA_UNDO);
	assert_true(sm.instance);
}

static void
test_secret(void **state)
{
	static const char	 text[] = "sk-test-1234567890";
	uint8_t			 raw[SECRET_KEY_LEN], nonce[SECRET_NONCE_LEN];
	uint8_t			 nonce2[SECRET_NONCE_LEN];
	uint8_t			 sealed[64], sealed2[64];
	size_t			 len = strlen(text) + SECRET_OVERHEAD;
	struct secret_key	 a, b;
	char			 out[64];

	(void)state;
	memset(raw, 1, sizeof(raw));
	secret_key_set(&a, raw);
	raw[5] = 9;
	secret_key_set(&b, raw);
	assert_string_not_equal(a.id, b.id);
	secret_seal(&a, "row1", text, strlen(text), nonce, sealed);
	assert_int_equal(secret_open(&a, "row1", nonce, sealed, len, out), 0);
	assert_string_equal(out, text);
	/* Never the same twice. */
	secret_seal(&a, "row1", text, strlen(text), nonce2, sealed2);
	assert_memory_not_equal(sealed, sealed2, len);
	/* Another row, another key, a changed or a cut one. */
	assert_int_equal(secret_open(&a, "row2", nonce, sealed, len, out),
	    -1);
	assert_int_equal(secret_open(&b, "row1", nonce, sealed, len, out),
	    -1);
	assert_int_equal(secret_open(&a, "row1", nonce, sealed, len - 1, out),
	    -1);
	assert_int_equal(secret_open(&a, "row1", nonce, sealed, 3, out), -1);
	sealed[2] ^= 1;
	assert_int_equal(secret_open(&a, "row1", nonce, sealed, len, out),
	    -1);
}

static void
expect_wrong(const struct m_provider_add *in, const char *field)
{
	const char	*why = provider_wrong(in);

	assert_non_null(why);
	assert_int_equal(strncmp(why, field, strlen(field)), 0);
}

static void
test_provider(void **state)
{
	struct m_provider_add	 p, good;

	(void)state;
	memset(&good, 0, sizeof(good));
	good.name = "local-1";
	good.type = "openai";
	good.url = "https://llm.example:8443/v1";
	good.api_key = "sk-abc";
	good.models = "m1\nvendor/m2:7b";
	good.ca_pem = "";
	assert_null(provider_wrong(&good));
#define WRONG(member, value, field) do {		\
	p = good;					\
	p.member = value;				\
	expect_wrong(&p, field);			\
} while (0)
	WRONG(name, "", "name:");
	WRONG(name, "Upper", "name:");
	WRONG(type, "other", "type:");
	WRONG(url, "", "url:");
	WRONG(url, "ftp://x", "url:");
	WRONG(url, "http://llm.example/v1", "url:");
	WRONG(url, "https://", "url:");
	WRONG(url, "https://:443/", "url:");
	WRONG(url, "https://u:p@llm.example/", "url:");
	WRONG(url, "https://llm.example/\r\nX: y", "url:");
	WRONG(url, "https://llm.example/?a=b", "url:");
	WRONG(api_key, "a\r\nHost: b", "api_key:");
	WRONG(api_key, "two words", "api_key:");
	WRONG(models, "a b", "models:");
	WRONG(ca_pem, "rubbish", "ca_pem:");
	p = good;
	p.url = "http://10.0.0.1:8080/v1";
	p.allow_private = 1;
	assert_null(provider_wrong(&p));
}

/* A snapshot makes own blocks shared ones: nothing was written or removed. */
static void
test_disk(void **state)
{
	const uint64_t	 m = 1024 * 1024;
	struct disk	 d;

	(void)state;
	memset(&d, 0, sizeof(d));
	assert_int_equal(disk_used(&d, 100 * m, 0), 100 * m);
	assert_int_equal(disk_used(&d, 1 * m, 1), 100 * m);
	assert_int_equal(disk_used(&d, 51 * m, 1), 150 * m);
	assert_int_equal(disk_used(&d, 2 * m, 2), 150 * m);
	assert_int_equal(disk_used(&d, 51 * m, 1), 150 * m);
	assert_int_equal(disk_used(&d, 150 * m, 0), 150 * m);
	/* More back than was lent: not below its own. */
	assert_int_equal(disk_used(&d, 10 * m, 1), 150 * m);
	assert_int_equal(disk_used(&d, 300 * m, 0), 300 * m);
	assert_int_equal(disk_judge(300 * m, 0), DISK_OK);
	assert_int_equal(disk_judge(874 * m, 1000 * m), DISK_OK);
	assert_int_equal(disk_judge(875 * m, 1000 * m), DISK_WARN);
	assert_int_equal(disk_judge(999 * m, 1000 * m), DISK_WARN);
	assert_int_equal(disk_judge(999 * m + 1, 1000 * m), DISK_HARD);
	assert_int_equal(disk_judge(2000 * m, 1000 * m), DISK_HARD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_disk),
		cmocka_unit_test(test_slug),
		cmocka_unit_test(test_reserved_slug),
		cmocka_unit_test(test_role),
		cmocka_unit_test(test_job_good),
		cmocka_unit_test(test_job_early_link),
		cmocka_unit_test(test_job_cancel),
		cmocka_unit_test(test_job_resume),
		cmocka_unit_test(test_job_foreign),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_provider),
	};

	log_init("test", LOG_L_ERROR, 0);
	if (sodium_init() == -1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

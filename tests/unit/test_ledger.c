/*
 * Tests the proxy manager's ledger: providers, policies, routes, keys.
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
#include <sodium.h>

#include "jbuf.h"
#include "ledger.h"
#include "log.h"

#define A	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define P1	"11111111111111111111111111111111"
#define P2	"22222222222222222222222222222222"
#define P3	"33333333333333333333333333333333"

struct fixture {
	char		 dir[64];
	char		 path[80];
	struct db	*db;
};

static int
setup(void **state)
{
	struct fixture *f;

	log_init("test", LOG_L_ERROR, 0);
	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_ledger.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/ledger.db", f->dir);
	f->db = ledger_open(f->path);
	assert_non_null(f->db);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	struct fixture *f = *state;
	char path[96];
	size_t i;

	db_close(f->db);
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", f->path, ends[i]);
		unlink(path);
	}
	rmdir(f->dir);
	free(f);
	return 0;
}

static struct m_provider_put
provider(const char *id, const char *name, const char *models)
{
	struct m_provider_put p = {
		.provider_id = id, .name = name, .owner = "root",
		.type = "openai", .url = "https://api.example/v1",
		.models = models, .ca_pem = "",
	};

	return p;
}

static void
put(struct db *db, const char *id, const char *name, const char *models)
{
	struct m_provider_put p = provider(id, name, models);
	struct why why;

	assert_int_equal(provider_check(db, &p, &why), 0);
	assert_int_equal(provider_store(db, &p, &why), 0);
}

static int
policy(struct db *db, const char *id, const char *slug, const char *model,
    const char *models)
{
	struct m_agent_policy p = {
		.agent_id = id, .slug = slug, .owner = "root", .model = model,
		.models = models, .max_calls_per_turn = 20,
	};
	struct why why;

	return policy_store(db, &p, &why);
}

/* The provider that an agent's call goes to, or the status. */
static const char *
routed(struct db *db, const char *agent, const char *name)
{
	static struct route_found found;
	static char status[8];
	struct why why;
	int r;

	if ((r = policy_route(db, agent, name, &found, &why)) == 0)
		return found.provider;
	snprintf(status, sizeof(status), "%d", r);
	return status;
}

static void
test_provider_check(void **state)
{
	static const char *const bad[] = {
		"", "-a", "a-", "A", "a b", "a/b", "a.b", "demo",
	};
	struct fixture *f = *state;
	struct m_provider_put p;
	struct why why;
	char *big;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		p = provider(P1, bad[i], "m");
		assert_int_not_equal(provider_check(f->db, &p, &why), 0);
	}
	p = provider(P1, "a", "one two");
	assert_int_equal(provider_check(f->db, &p, &why), 422);
	p = provider(P1, "a", "one\r\ntwo");
	assert_int_equal(provider_check(f->db, &p, &why), 422);
	p = provider(P1, "a", "m");
	p.type = "other";
	assert_int_equal(provider_check(f->db, &p, &why), 422);
	p = provider(P1, "a", "m");
	p.url = "";
	assert_int_equal(provider_check(f->db, &p, &why), 422);
	big = calloc(1, MODEL_MAX + 2);
	assert_non_null(big);
	memset(big, 'm', MODEL_MAX + 1);
	p = provider(P1, "a", big);
	assert_int_equal(provider_check(f->db, &p, &why), 422);
	big[MODEL_MAX] = '\0';
	assert_int_equal(provider_check(f->db, &p, &why), 0);
	free(big);
	put(f->db, P1, "a", "m");
	p = provider(P2, "a", "m");
	assert_int_equal(provider_check(f->db, &p, &why), 409);
	p = provider(DEMO_ID, "b", "m");
	assert_int_equal(provider_check(f->db, &p, &why), 409);
	assert_int_equal(provider_drop(f->db, DEMO_ID, &why), 409);
}

static void
test_routes(void **state)
{
	struct fixture *f = *state;

	put(f->db, P1, "one", "gpt-x\nmeta/llama\n");
	put(f->db, P2, "two", "gpt-x\nonly-two");
	put(f->db, P3, "open", "");
	assert_int_equal(policy(f->db, A, "a", "", ""), 0);
	assert_string_equal(routed(f->db, A, "gpt-x"), "one");
	assert_string_equal(routed(f->db, A, "two/gpt-x"), "two");
	assert_string_equal(routed(f->db, A, "meta/llama"), "one");
	assert_string_equal(routed(f->db, A, "one/meta/llama"), "one");
	assert_string_equal(routed(f->db, A, "only-two"), "two");
	assert_string_equal(routed(f->db, A, "open/whatever"), "open");
	assert_string_equal(routed(f->db, A, "demo"), "demo");
	assert_string_equal(routed(f->db, A, "demo/demo"), "demo");
	assert_string_equal(routed(f->db, A, "default"), "one");
	assert_string_equal(routed(f->db, A, "GPT-X"), "404");
	assert_string_equal(routed(f->db, A, "gpt"), "404");
	assert_string_equal(routed(f->db, A, "gpt-x "), "404");
	assert_string_equal(routed(f->db, A, "one/only-two"), "404");
	assert_string_equal(routed(f->db, A, "openai/gpt-x"), "404");
	assert_string_equal(routed(f->db, A, "/gpt-x"), "404");
	assert_string_equal(routed(f->db, A, "one/"), "404");
	assert_string_equal(routed(f->db, A, "gpt%"), "404");
	assert_string_equal(routed(f->db, A, "*"), "404");
	assert_string_equal(routed(f->db, A, ""), "404");
	assert_string_equal(routed(f->db, B, "gpt-x"), "403");
}

static void
test_allow_list(void **state)
{
	static const char *const refused[] = {
		"gpt-y", "one/gpt-x", "two/gpt-x", "GPT-X", "gpt-x ", "demo",
		"gpt", "", "one/gpt-y",
	};
	struct fixture *f = *state;
	size_t i;

	put(f->db, P1, "one", "gpt-x\ngpt-y\ngpt-z");
	put(f->db, P2, "two", "gpt-x");
	assert_int_equal(policy(f->db, A, "a", "gpt-x", ""), 0);
	assert_string_equal(routed(f->db, A, "default"), "one");
	assert_string_equal(routed(f->db, A, "gpt-x"), "one");
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		assert_string_equal(routed(f->db, A, refused[i]), "403");
	/* A fallback that nobody serves; what was stored stays. */
	assert_int_equal(policy(f->db, A, "a", "gpt-x", "gpt-y\nnosuch"),
	    404);
	assert_string_equal(routed(f->db, A, "gpt-y"), "403");
	assert_int_equal(policy(f->db, A, "a", "gpt-x", "gpt-y\ntwo/gpt-x"),
	    0);
	assert_string_equal(routed(f->db, A, "gpt-y"), "one");
	assert_string_equal(routed(f->db, A, "two/gpt-x"), "two");
	assert_string_equal(routed(f->db, A, "gpt-z"), "403");
	/* A list without a model of its own binds all the same. */
	assert_int_equal(policy(f->db, A, "a", "", "gpt-z"), 0);
	assert_string_equal(routed(f->db, A, "gpt-z"), "one");
	assert_string_equal(routed(f->db, A, "gpt-x"), "403");
	assert_string_equal(routed(f->db, A, "default"), "403");
}

static void
count(const char *model, const char *name, void *arg)
{
	unsigned *n = arg;

	(void)model;
	(void)name;
	(*n)++;
}

static void
test_policy(void **state)
{
	struct fixture *f = *state;
	struct m_agent_policy p = {
		.agent_id = A, .slug = "a", .owner = "root", .model = "nope",
		.models = "",
	};
	struct why why;
	unsigned n = 0;

	assert_int_equal(policy_store(f->db, &p, &why), 404);
	assert_non_null(strstr(why.text, "\"nope\""));
	assert_non_null(strstr(why.text, "known are: demo"));
	assert_string_equal(routed(f->db, A, "demo"), "403");
	put(f->db, P1, "one", "x\ny");
	assert_int_equal(policy(f->db, A, "a", "x", ""), 0);
	assert_int_equal(policy_models(f->db, A, count, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(policy(f->db, A, "a", "x", "y"), 0);
	n = 0;
	assert_int_equal(policy_models(f->db, A, count, &n), 0);
	assert_int_equal(n, 2);
	/* The model goes with its provider. */
	assert_int_equal(provider_drop(f->db, P1, &why), 0);
	assert_string_equal(routed(f->db, A, "default"), "404");
	n = 0;
	assert_int_equal(policy_models(f->db, A, count, &n), 0);
	assert_int_equal(n, 0);
}

static int
check(struct db *db, const char *agent, const char *key,
    struct vkey_info *info)
{
	uint8_t digest[DIGEST_LEN];

	vkey_digest(key, digest);
	return vkey_check(db, agent, digest, info);
}

static void
test_keys(void **state)
{
	struct fixture *f = *state;
	char k1[KEY_SIZE], k2[KEY_SIZE], k3[KEY_SIZE], kb[KEY_SIZE];
	struct vkey_info info;
	struct why why;

	assert_int_equal(vkey_mint(f->db, A, k1, &why), 404);
	assert_int_equal(check(f->db, A, k1, &info), 401);
	policy(f->db, A, "a", "demo", "");
	policy(f->db, B, "b", "demo", "");
	assert_int_equal(vkey_mint(f->db, A, k1, &why), 0);
	assert_int_equal(strlen(k1), KEY_SIZE - 1);
	assert_int_equal(vkey_mint(f->db, B, kb, &why), 0);
	assert_int_equal(check(f->db, A, k1, &info), 200);
	assert_true(info.activated);
	assert_int_equal(check(f->db, A, k1, &info), 200);
	assert_false(info.activated);
	/* Minting kills nothing, the first use does. */
	assert_int_equal(vkey_mint(f->db, A, k2, &why), 0);
	assert_int_equal(vkey_mint(f->db, A, k3, &why), 0);
	assert_string_not_equal(k2, k3);
	assert_int_equal(check(f->db, A, k1, &info), 200);
	assert_int_equal(check(f->db, A, k2, &info), 200);
	assert_int_equal(check(f->db, A, k1, &info), 401);
	assert_int_equal(check(f->db, A, k3, &info), 200);
	assert_int_equal(check(f->db, A, k2, &info), 401);
	/* Theft: named, also when the key is dead, and it activates none. */
	assert_int_equal(check(f->db, A, kb, &info), 403);
	assert_string_equal(info.owner_agent, B);
	assert_string_equal(info.owner_slug, "b");
	assert_false(info.activated);
	assert_int_equal(check(f->db, B, k1, &info), 403);
	assert_string_equal(info.owner_slug, "a");
	assert_int_equal(check(f->db, A, "sk-agentd-0", &info), 401);
	assert_string_equal(info.owner_agent, "");
	/* A policy that comes again leaves the keys alone. */
	policy(f->db, A, "a2", "demo", "");
	assert_int_equal(check(f->db, A, k3, &info), 200);
	assert_int_equal(policy_drop(f->db, A, &why), 0);
	assert_int_equal(check(f->db, A, k3, &info), 401);
}

static void
test_keys_bounded(void **state)
{
	struct fixture *f = *state;
	char first[KEY_SIZE], key[KEY_SIZE];
	struct vkey_info info;
	struct why why;
	int64_t n;
	int i;

	policy(f->db, A, "a", "demo", "");
	assert_int_equal(vkey_mint(f->db, A, first, &why), 0);
	for (i = 0; i < KEYS_PENDING; i++)
		assert_int_equal(vkey_mint(f->db, A, key, &why), 0);
	assert_int_equal(check(f->db, A, first, &info), 401);
	assert_int_equal(check(f->db, A, key, &info), 200);
	for (i = 0; i < KEYS_REVOKED + 10; i++) {
		assert_int_equal(vkey_mint(f->db, A, key, &why), 0);
		assert_int_equal(check(f->db, A, key, &info), 200);
	}
	assert_int_equal(db_get_int(f->db, &n, "SELECT count(*) FROM vkey",
	    ""), 1);
	assert_int_equal(n, KEYS_REVOKED + 1);
	assert_int_equal(db_get_int(f->db, &n, "SELECT count(*) FROM vkey "
	    "WHERE state = 'active'", ""), 1);
	assert_int_equal(n, 1);
}

/* No form of a key is in the file, only its digest. */
static void
test_key_not_stored(void **state)
{
	struct fixture *f = *state;
	char key[KEY_SIZE], buf[65536], path[96];
	static const char *const ends[] = { "", "-wal" };
	uint8_t raw[32];
	struct why why;
	size_t i, n;
	FILE *fp;

	policy(f->db, A, "a", "demo", "");
	assert_int_equal(vkey_mint(f->db, A, key, &why), 0);
	assert_int_equal(sys_unhex(raw, 32, key + strlen(KEY_PREFIX)), 0);
	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%s", f->path, ends[i]);
		if ((fp = fopen(path, "r")) == NULL)
			continue;
		while ((n = fread(buf, 1, sizeof(buf), fp)) > 0) {
			assert_null(memmem(buf, n, key + 10, 32));
			assert_null(memmem(buf, n, raw, 32));
		}
		fclose(fp);
	}
}

static int
to_json(const struct m_provider_put *p, double created, void *arg)
{
	provider_json(arg, p, created);
	return 1;
}

static void
test_json(void **state)
{
	struct fixture *f = *state;
	struct jbuf b;

	put(f->db, P1, "one", "x\n\ny");
	jbuf_init(&b, 4096);
	assert_int_equal(provider_each(f->db, P1, to_json, &b), 1);
	assert_non_null(strstr(jbuf_text(&b, NULL),
	    "\"models\":[\"x\",\"y\"]"));
	jbuf_free(&b);
}

/* What was stored is there after the next start. */
static void
test_again(void **state)
{
	struct fixture *f = *state;
	char key[KEY_SIZE];
	struct vkey_info info;
	struct why why;

	put(f->db, P1, "one", "x");
	policy(f->db, A, "a", "x", "");
	assert_int_equal(vkey_mint(f->db, A, key, &why), 0);
	db_close(f->db);
	f->db = ledger_open(f->path);
	assert_non_null(f->db);
	assert_string_equal(routed(f->db, A, "default"), "one");
	assert_int_equal(check(f->db, A, key, &info), 200);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_provider_check, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_allow_list, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_policy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keys_bounded, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_key_not_stored, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_json, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
	};

	if (sodium_init() == -1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

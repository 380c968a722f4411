/*
 * Signatures as minisign makes them; the vectors are of minisign 0.11.
 *
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "minisig.h"

#define KEY	"RWQOQ3Gq6shGFIE+ToxHwr4SkqvE2G3oLiOp/WUniAOUHO7x5Ejc0W8x"
#define SIG	"RUQOQ3Gq6shGFPc6G94yC5XBO1BwBOydSbAVfDyUGyjICcaqwV/GX4OCpjI" \
		"11C2y1gqpur/1L1cjoHwnTtjpNjQfTQ6HQ2S51Q0="
#define COMMENT	"alias:pi version:1"
#define GLOBAL	"kaHRrUvAg6FZyE3v/cxaMgnMtQThX2hxorq9JnlCiu/IsxMLH8yk6wxgBY8n" \
		"odizgNcJm+PRDjRUn4usKa98Bg=="
#define FILE_TEXT "agentd"

static void
test_good(void **state)
{
	uint8_t			 hash[crypto_generichash_BYTES_MAX];
	uint8_t			 id[MINISIG_ID], sig[MINISIG_SIG];
	struct minisig_key	 key;

	(void)state;
	assert_int_equal(minisig_key(KEY, &key), 0);
	assert_int_equal(minisig_id(SIG, id), 0);
	assert_memory_equal(id, key.id, sizeof(id));
	assert_int_equal(minisig_check(&key, SIG, COMMENT, GLOBAL, sig), 0);
	crypto_generichash(hash, sizeof(hash),
	    (const unsigned char *)FILE_TEXT, sizeof(FILE_TEXT) - 1, NULL, 0);
	assert_int_equal(crypto_sign_verify_detached(sig, hash, sizeof(hash),
	    key.key), 0);
}

/* Every single changed letter is refused somewhere. */
static void
test_changed(void **state)
{
	static const char *const good[] = { SIG, COMMENT, GLOBAL };
	char			 text[3][256];
	uint8_t			 id[MINISIG_ID], sig[MINISIG_SIG];
	struct minisig_key	 key;
	size_t			 i, k, n;

	(void)state;
	assert_int_equal(minisig_key(KEY, &key), 0);
	for (i = 0; i < 3; i++) {
		for (k = 0; k < strlen(good[i]); k++) {
			for (n = 0; n < 3; n++)
				(void)strncpy(text[n], good[n], 255);
			text[i][k] = text[i][k] == 'A' ? 'B' : 'A';
			if (minisig_id(text[0], id) == 0)
				assert_int_equal(minisig_check(&key, text[0],
				    text[1], text[2], sig), -1);
		}
	}
}

static void
test_rubbish(void **state)
{
	static const char *const bad[] = {
		"", "R", "====", "not base64 at all", KEY "AAAA",
		/* "Ed": a signature of the file itself, not of its hash */
		("RWQOQ3Gq6shGFPc6G94yC5XBO1BwBOydSbAVfDyUGyjICcaqwV/GX4OCpjI"
		"11C2y1gqpur/1L1cjoHwnTtjpNjQfTQ6HQ2S51Q0="),
	};
	char			 longest[1024];
	uint8_t			 id[MINISIG_ID], sig[MINISIG_SIG];
	struct minisig_key	 key;
	size_t			 i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(minisig_id(bad[i], id), -1);
		assert_int_equal(minisig_key(bad[i], &key), -1);
	}
	assert_int_equal(minisig_key(KEY, &key), 0);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(minisig_check(&key, SIG, longest, GLOBAL, sig), -1);
	assert_int_equal(minisig_check(&key, SIG, COMMENT, longest, sig), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_rubbish),
	};

	if (sodium_init() == -1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

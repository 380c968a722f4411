/*
 * Signatures of files as minisign makes them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#include <string.h>

#include <sodium.h>

#include "minisig.h"

#define ALG_KEY		"Ed"
#define ALG_SIG		"ED"	/* of the hash; the older "Ed" is not taken */
#define COMMENT_MAX	512

struct blob {
	uint8_t	alg[2];
	uint8_t	id[MINISIG_ID];
	uint8_t	rest[MINISIG_SIG];
};

/* Exactly len bytes of base64. */
static int
decode(const char *text, void *out, size_t len)
{
	size_t	 got;

	if (sodium_base642bin(out, len, text, strlen(text), NULL, &got, NULL,
	    sodium_base64_VARIANT_ORIGINAL) != 0 || got != len)
		return -1;
	return 0;
}

int
minisig_key(const char *text, struct minisig_key *key)
{
	uint8_t	 raw[2 + MINISIG_ID + MINISIG_KEY];

	if (decode(text, raw, sizeof(raw)) == -1 ||
	    memcmp(raw, ALG_KEY, 2) != 0)
		return -1;
	memcpy(key->id, raw + 2, sizeof(key->id));
	memcpy(key->key, raw + 2 + MINISIG_ID, sizeof(key->key));
	return 0;
}

int
minisig_id(const char *signature, uint8_t id[MINISIG_ID])
{
	struct blob	 b;

	if (decode(signature, &b, sizeof(b)) == -1 ||
	    memcmp(b.alg, ALG_SIG, 2) != 0)
		return -1;
	memcpy(id, b.id, MINISIG_ID);
	return 0;
}

int
minisig_check(const struct minisig_key *key, const char *signature,
    const char *comment, const char *global, uint8_t sig[MINISIG_SIG])
{
	uint8_t		 text[MINISIG_SIG + COMMENT_MAX], all[MINISIG_SIG];
	size_t		 len = strlen(comment);
	struct blob	 b;

	if (len > COMMENT_MAX ||
	    decode(signature, &b, sizeof(b)) == -1 ||
	    memcmp(b.alg, ALG_SIG, 2) != 0 ||
	    memcmp(b.id, key->id, sizeof(b.id)) != 0 ||
	    decode(global, all, sizeof(all)) == -1)
		return -1;
	memcpy(text, b.rest, MINISIG_SIG);
	memcpy(text + MINISIG_SIG, comment, len);
	if (crypto_sign_verify_detached(all, text, MINISIG_SIG + len,
	    key->key) != 0)
		return -1;
	memcpy(sig, b.rest, MINISIG_SIG);
	return 0;
}

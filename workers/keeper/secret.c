/*
 * Secrets at rest.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 *
 * The row's id is authenticated with the text: a ciphertext that is moved to
 * another row does not open there.
 */
#include <string.h>

#include <sodium.h>

#include "secret.h"
#include "sys.h"

_Static_assert(crypto_aead_xchacha20poly1305_ietf_KEYBYTES ==
    SECRET_KEY_LEN, "key length");
_Static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES ==
    SECRET_NONCE_LEN, "nonce length");
_Static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES ==
    SECRET_OVERHEAD, "overhead");

void
secret_key_set(struct secret_key *k, const uint8_t key[SECRET_KEY_LEN])
{
	static const char	 label[] = "agentd state key";
	uint8_t			 digest[crypto_generichash_BYTES];

	memcpy(k->key, key, SECRET_KEY_LEN);
	/* Keyed: the id says nothing about the key. */
	(void)crypto_generichash(digest, sizeof(digest),
	    (const unsigned char *)label, sizeof(label) - 1, k->key,
	    SECRET_KEY_LEN);
	sys_hex(k->id, digest, SECRET_ID_LEN / 2);
	k->set = 1;
}

void
secret_seal(const struct secret_key *k, const char *row, const void *text,
    size_t len, uint8_t nonce[SECRET_NONCE_LEN], uint8_t *out)
{
	sys_random(nonce, SECRET_NONCE_LEN);
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(out, NULL, text, len,
	    (const unsigned char *)row, strlen(row), NULL, nonce, k->key);
}

int
secret_open(const struct secret_key *k, const char *row,
    const uint8_t nonce[SECRET_NONCE_LEN], const uint8_t *sealed, size_t len,
    char *out)
{
	if (len < SECRET_OVERHEAD)
		return -1;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt((unsigned char *)out,
	    NULL, NULL, sealed, len, (const unsigned char *)row, strlen(row),
	    nonce, k->key) != 0)
		return -1;
	out[len - SECRET_OVERHEAD] = '\0';
	return 0;
}

/*
 * Secrets at rest: sealed with the state key, bound to their row.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef SECRET_H
#define SECRET_H

#include <stddef.h>
#include <stdint.h>

#define SECRET_KEY_LEN		32
#define SECRET_NONCE_LEN	24
#define SECRET_OVERHEAD		16
#define SECRET_ID_LEN		16	/* hex digits that name a key */

struct secret_key {
	uint8_t	key[SECRET_KEY_LEN];
	char	id[SECRET_ID_LEN + 1];
	int	set;
};

/* Copies the key and derives its id. */
void	secret_key_set(struct secret_key *, const uint8_t [SECRET_KEY_LEN]);
/*
 * Seals len bytes for this row into out of len + SECRET_OVERHEAD bytes, with
 * a fresh nonce.
 */
void	secret_seal(const struct secret_key *, const char *row,
	    const void *text, size_t len, uint8_t nonce[SECRET_NONCE_LEN],
	    uint8_t *out);
/*
 * Opens into out of len - SECRET_OVERHEAD bytes and a NUL.  -1 if it was
 * sealed with another key, for another row, or changed.
 */
int	secret_open(const struct secret_key *, const char *row,
	    const uint8_t nonce[SECRET_NONCE_LEN], const uint8_t *sealed,
	    size_t len, char *out);

#endif /* SECRET_H */

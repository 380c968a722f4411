/*
 * Signatures of files as minisign makes them (Ed25519 over BLAKE2b-512).
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 *
 * The format is that of minisign(1) 0.11: base64 of a two byte algorithm, the
 * key's id and the key or signature; a second signature covers the first one
 * and the trusted comment.
 */
#ifndef MINISIG_H
#define MINISIG_H

#include <stdint.h>

#define MINISIG_ID	8
#define MINISIG_KEY	32
#define MINISIG_SIG	64

struct minisig_key {
	uint8_t	id[MINISIG_ID];
	uint8_t	key[MINISIG_KEY];
};

/* Reads the second line of a public key: 0, or -1. */
int	minisig_key(const char *, struct minisig_key *);
/* The id of the key that a signature names: 0, or -1 if it is none. */
int	minisig_id(const char *signature, uint8_t id[MINISIG_ID]);
/*
 * Checks all that can be checked without the file, and gives out the
 * signature of its BLAKE2b-512: 0, or -1.
 */
int	minisig_check(const struct minisig_key *, const char *signature,
	    const char *comment, const char *global,
	    uint8_t sig[MINISIG_SIG]);

#endif /* MINISIG_H */

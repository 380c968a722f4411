/*
 * The file in which an agent moves: agentd-export(5).
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover, agentctl.  Talks to: nobody.
 *
 * A head, then each section once and in this order: a name, chunks with their
 * lengths, an empty chunk, the size of all and its SHA-256.  Nothing follows
 * the last one.
 */
#ifndef MOVEFILE_H
#define MOVEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sodium.h>

#define MF_VERSION	1
#define MF_HEAD		16		/* magic and version */
#define MF_NAME		8		/* head of a section */
#define MF_LEN		4		/* head of a chunk */
#define MF_TAIL		(MF_LEN + 8 + 32)	/* empty chunk, size, SHA-256 */
#define MF_CHUNK	(1024U * 1024)	/* most bytes of a chunk */
#define MF_MANIFEST_MAX	16384
#define MF_SIGN_LEN	96		/* public key, signature */
#define MF_WHY		256
/* What is signed: this text, then the manifest. */
#define MF_SIGNED	"agentd export 1\n"

enum mf_section {
	MF_RECORD,
	MF_POLICY,
	MF_CHAT,
	MF_TRACE,
	MF_ROOTFS,
	MF_MANIFEST,
	MF_SIGN,
	MF_SECTIONS
};

struct mf_part {
	uint64_t	 off;		/* of its first chunk in the file */
	uint64_t	 size;		/* bytes of data */
	uint8_t		 sha256[32];
};

/* Data of a section as it comes; -1 (and mf_fail) stops. */
typedef int (*mf_data)(void *, enum mf_section, const void *, size_t);

/* A parser that is fed; all private but part, off and why. */
struct mf {
	struct mf_part	 part[MF_SECTIONS];
	uint64_t	 off;		/* bytes fed */
	char		 why[MF_WHY];	/* of the error, with its offset */
	mf_data		 data;
	void		*arg;
	int		 state;
	bool		 failed;
	enum mf_section	 at;
	uint8_t		 small[MF_TAIL];
	size_t		 need, have;	/* of small */
	uint32_t	 left;		/* of the chunk */
	crypto_hash_sha256_state sha;
};

const char *mf_name(enum mf_section);
/* The section of that name, or -1. */
int	 mf_by_name(const char *);
/* Most bytes of data that a section may have. */
uint64_t mf_max(enum mf_section);

void	 mf_init(struct mf *, mf_data, void *);
int	 mf_feed(struct mf *, const void *, size_t);	/* 0, or -1: why */
/* No more comes: 0 if the file is whole. */
int	 mf_end(struct mf *);
/* Sets why, once, with the offset; returns -1. */
int	 mf_fail(struct mf *, const char *, ...)
	    __attribute__((format(printf, 2, 3)));

/* For who writes. */
void	 mf_put_head(uint8_t [MF_HEAD]);
void	 mf_put_name(uint8_t [MF_NAME], enum mf_section);
void	 mf_put_len(uint8_t [MF_LEN], uint32_t);
uint32_t mf_get_len(const uint8_t [MF_LEN]);
void	 mf_put_tail(uint8_t [MF_TAIL], uint64_t size,
	    const uint8_t sha256[32]);

#endif /* MOVEFILE_H */

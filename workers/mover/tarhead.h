/*
 * Headers of tar members: ustar and pax, as POSIX has them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 */
#ifndef TARHEAD_H
#define TARHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tar.h"

#define TAR_MTIME	32

struct tar_member {
	char		 type;		/* '0' '1' '2' '3' '4' '5' '6' 'x' */
	char		 path[TAR_PATH];
	char		 link[TAR_PATH];
	char		 mtime[TAR_MTIME];	/* decimal, may have a fraction */
	uint32_t	 mode;
	uint64_t	 uid, gid, size;
	char		*xattr;		/* owned: pax records, checked */
	size_t		 xattrlen;
};

bool	 tarhead_is_zero(const uint8_t [TAR_BLOCK]);
/*
 * Reads a header; strings and xattr of an earlier member go.  NULL, or what
 * is wrong with it.
 */
const char *tarhead_read(const uint8_t [TAR_BLOCK], struct tar_member *);
/*
 * What an extended header says of the member.  strict: an attribute or a
 * time that cannot move is wrong, else it is left out and counted.
 */
const char *tarhead_pax(struct tar_member *, const char *, size_t,
	    bool strict, uint64_t *left_out);
/* Writes headers (not the data): 0, or -1 from the sink. */
int	 tarhead_write(const struct tar_member *, tar_sink, void *);

#endif /* TARHEAD_H */

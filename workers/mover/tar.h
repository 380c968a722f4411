/*
 * The file tree of an agent as a tar archive: read, checked, written anew.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 *
 * What comes out is made from values that were checked, never copied from the
 * headers that came in; so two readers cannot take it for different things.
 * A member's directory must have come before it and names in a directory must
 * rise: then none can come twice, and none can lie below a symbolic link.
 */
#ifndef TAR_H
#define TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TAR_BLOCK	512
#define TAR_PATH	4096		/* with the NUL */
#define TAR_PAX		(256 * 1024)	/* of one member */
#define TAR_MEMBERS	4000000
#define TAR_WHY		512

/* Takes what comes out; -1 stops. */
typedef int (*tar_sink)(void *, const void *, size_t);

struct tar;

/*
 * strict: what must not be in a file tree is an error; else it is left out
 * and counted.  max: bytes that may come out.  Fatal without memory.
 */
struct tar *tar_new(bool strict, uint64_t max, tar_sink, void *);
void	 tar_free(struct tar *);	/* NULL is allowed */
/* A file of ours in front of the tree: before the first tar_feed(). */
int	 tar_add(struct tar *, const char *name, const char *text);
int	 tar_feed(struct tar *, const void *, size_t);	/* 0 or -1 */
/* No more comes: writes the end.  -1 if the archive was cut off. */
int	 tar_end(struct tar *);
const char *tar_why(const struct tar *);	/* printable */
uint64_t tar_written(const struct tar *);
uint64_t tar_members(const struct tar *);	/* that came out */
uint64_t tar_left_out(const struct tar *);

#endif /* TAR_H */

/*
 * Reads a section of a file that is spooled, in pieces or in lines.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 */
#ifndef SECTION_H
#define SECTION_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A section whose framing was found right; the fd is borrowed. */
struct section {
	int		 fd;
	uint64_t	 off;
	uint32_t	 left;		/* of the chunk */
	bool		 end;
};

void	 section_init(struct section *, int fd, uint64_t off);
/* Bytes read, 0 at the end, -1: the disk fails. */
ssize_t	 section_read(struct section *, void *, size_t);

struct lines {
	struct section	 sec;
	char		*buf;		/* owned */
	size_t		 pos, len, size;
	bool		 eof;
};

void	 lines_init(struct lines *, int fd, uint64_t off);
void	 lines_free(struct lines *);
/*
 * The next line, without its end and with a NUL, until the next call: 1; 0
 * there is none; -1: too long, cut off or not readable.
 */
int	 lines_next(struct lines *, char **, size_t *);

#endif /* SECTION_H */

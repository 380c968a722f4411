/*
 * A file that came in, for in.c, check.c and feed.c.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.
 */
#ifndef IN_H
#define IN_H

#include <sys/queue.h>

#include "mover.h"
#include "record.h"
#include "section.h"
#include "sys.h"
#include "tar.h"

struct event;
struct feed;

enum in_stage { IN_SPOOL, IN_SIGNED, IN_CHECK, IN_READY, IN_BAD };

struct in {
	TAILQ_ENTRY(in)	 entry;
	char		 id[ID_LEN + 1];
	enum in_stage	 stage;
	uint64_t	 pending;	/* request to be answered; 0: none */
	/* spooling */
	struct bufferevent *bev;
	uint64_t	 size, got;
	int		 fd;		/* of the spool file */
	struct mf	 mf;
	char		 manifest[MF_MANIFEST_MAX];
	uint8_t		 sign[MF_SIGN_LEN];
	size_t		 manifestlen, signlen;
	/* checking */
	struct event	*ev;
	enum mf_section	 at;
	struct lines	 lines;
	struct section	 sec;
	struct tar	*tar;
	uint64_t	 rows;
	struct record	 rec;
	uint64_t	 image_size;
	/* using */
	struct lines	 chat;
	struct feed	*feed;
};

/* ---- in.c ---- */

/* Answers the pending request with what is wrong; the file is of no use. */
void	 in_refuse(struct in *, uint32_t status, const char *, ...)
	    __attribute__((format(printf, 3, 4)));

/* ---- check.c ---- */

/* Looks at all that is in it, in slices; then answers MOVE_RECORD. */
void	 check_start(struct in *);
void	 check_free(struct in *);
/* The file in front of the tree, of which Incus makes an image. */
struct tar *check_tar(const struct in *, tar_sink, void *);

/* ---- feed.c ---- */

enum feed_what { FEED_TRACE, FEED_IMAGE };

/* Begins to write; the other end for who reads, or -1. */
int	 feed_start(struct in *, enum feed_what);
void	 feed_free(struct feed *);	/* NULL is allowed */

#endif /* IN_H */

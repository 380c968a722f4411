/*
 * What the modules for images share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stddef.h>

#include "incus.h"

/* Properties of an image that only this program sets. */
#define IMG_TRUST	"agentd.trust"
#define IMG_KEY		"agentd.key"		/* hex, Ed25519 */
#define IMG_SIGNATURE	"agentd.signature"	/* hex */

/* ---- imgdrop.c ---- */

enum imgdrop { IMGDROP_GONE, IMGDROP_USED, IMGDROP_FAILED };

/* The reply tells why it failed, and is of no interest otherwise. */
typedef void (*imgdrop_fn)(enum imgdrop, const struct incus_reply *, void *);

/* Deletes an image if it has no alias and no instance was made from it. */
void	imgdrop_run(const char *fingerprint, imgdrop_fn, void *);

/* ---- imgget.c ---- */

struct op;

/* "/1.0/images/..." of our project. */
void	imgpath(char *, size_t, const char *fingerprint);
void	imgpath_alias(char *, size_t, const char *alias);
void	imgget(const char *fingerprint, incus_fn, void *);
void	imgget_alias(const char *alias, incus_fn, void *);
void	imgget_all(incus_fn, void *);
/*
 * Reads what imgget_alias() brought.  False if it names no image: the
 * operation is answered then.
 */
bool	imgget_target(struct op *, const char *alias,
	    const struct incus_reply *, char fingerprint[65]);

/* ---- imgread.c ---- */

/* A row for each of its aliases; one with none if bare. */
void	imgread_rows(struct op *, struct json_object *image, bool bare);

#endif /* IMAGE_H */

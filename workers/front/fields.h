/*
 * What the two halves of the reader of fields share.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#ifndef FIELDS_H
#define FIELDS_H

#include "front.h"

/* One field at work. */
struct slot {
	const struct field	*f;
	struct args		*a;
	struct json_err		*err;
};

/* 0, or -1 with the error set. */
int	 fields_from_text(const struct slot *, const char *);
int	 fields_from_body(const struct slot *, struct json_object *);
/* "NAME WHAT" becomes the error; always -1. */
int	 fields_bad(const struct slot *, const char *);

/* Into the payload; strings must live as long as the args. */
void	 fields_put_str(const struct slot *, const char *);
void	 fields_put_u32(const struct slot *, uint32_t);
void	 fields_put_64(const struct slot *, int64_t);

#endif

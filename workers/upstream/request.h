/*
 * Builds the head of a request to a provider.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <sys/types.h>
#include <stdbool.h>
#include <stdint.h>

struct evbuffer;
struct route;

/*
 * Appends the head of a POST of length bytes, with the provider's key, to the
 * path below its base URL. Returns its length; -1 if it cannot be built. The
 * memory it is in is wiped when the buffer lets go of it.
 */
ssize_t	 request_head(const struct route *, const char *path, bool sse,
	    uint64_t length, struct evbuffer *);

#endif /* REQUEST_H */

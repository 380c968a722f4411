/*
 * One dialling: resolve, check, connect.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: dialer. Talks to: the network.
 */
#ifndef DIAL_H
#define DIAL_H

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct dial;

#define DIAL_MAX	768	/* at one time: as many as upstream has calls */
#define DIAL_ADDRS	8	/* addresses tried of one name */
#define DIAL_MS		10000	/* for all of it */

/*
 * The end: status 200 and a connected non-blocking socket that is the
 * callee's, or 403, 502, 503, 504 with fd -1 and a sentence.
 */
typedef void (*dial_fn)(void *, unsigned status, const char *error, int fd);

/* Reads the resolver's files, which the sandbox hides later. Fatal. */
void	 dial_init(struct event_base *);
/* Calls back once, perhaps before it returns. */
void	 dial_start(const char *host, uint16_t port, bool allow_private,
	    dial_fn, void *);
/* Drops those under way whose argument matches what, without a call. */
void	 dial_cancel(bool (*match)(const void *, const void *),
	    const void *what, void (*free_arg)(void *));

#endif /* DIAL_H */

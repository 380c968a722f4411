/*
 * Connections to providers: dialled, under TLS, kept for the next call.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: dialer, providers.
 */
#ifndef CONN_H
#define CONN_H

#include <stdbool.h>
#include <stddef.h>

#include "route.h"

#define CONN_IDLE_MAX	16	/* kept of one provider */
#define CONN_IDLE_ALL	128	/* with STREAM_MAX within RLIMIT_NOFILE */
#define CONN_IDLE_MS	30000
#define CONN_DIAL_MS	15000	/* the dialer itself gives up after 10 s */
#define CONN_TLS_MS	10000
#define CONN_INPUT	65536	/* read ahead */
#define CONN_OUTPUT	65536	/* below it more may be written */

struct bufferevent;
struct event_base;

struct conn_ops {
	void	(*ready)(void *);
	/* There is no connection, or it broke; it must be closed still. */
	void	(*failed)(void *, unsigned status, const char *why);
	void	(*readable)(void *);
	void	(*written)(void *);	/* less than CONN_OUTPUT is left */
	void	(*eof)(void *);		/* what came before it is to be read */
};

void	 conn_init(struct event_base *);
/*
 * A connection of the pool, ready at once, or a new one (always if fresh is
 * set): then ready() or failed() is called later. Never NULL.
 */
struct conn	*conn_open(struct route *, bool fresh, const struct conn_ops *,
		    void *);
bool	 conn_is_ready(const struct conn *);
bool	 conn_is_reused(const struct conn *);
struct bufferevent *conn_bev(struct conn *);
/* Puts it into the pool; nothing may be left in its buffers. */
void	 conn_release(struct conn *);
void	 conn_close(struct conn *);	/* NULL is allowed */
/* Closes the idle ones of a provider. */
void	 conn_drop_idle(struct route *);

#endif /* CONN_H */

/*
 * Commands in an agent's container: what the parts of front share.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients; by a socket pair, container.
 */
#ifndef EXEC_H
#define EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "front.h"

struct bufferevent;

struct exec {
	struct call		*call;
	struct bufferevent	*bev;	/* to the command; NULL: over */
	struct event		*hup;	/* raw: the client has left */
	struct evbuffer		*out;	/* owned: what it said, bounded */
	struct evbuffer		*err;	/* owned */
	bool			 raw;	/* copied unread */
	bool			 ended;	/* EXIT or ERROR has come */
	bool			 failed;
	uint32_t		 status;
};

/* How the output of a command of ours becomes an answer; both end the call. */
void	 exec_logs_done(struct exec *);
void	 exec_logs_lines(struct exec *, bool last);
void	 exec_recycle_done(struct exec *);

#endif

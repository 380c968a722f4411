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
struct evbuffer;
struct jbuf;

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


/* One of the list that the recycle program gives. */
struct item {
	const char	*id, *deleted, *size, *path;
};

/* The bytes of a buffer as text; *len may be 0, the pointer is never NULL. */
const char *exec_text(struct evbuffer *, size_t *len);
/* Reads and checks one: the bytes that it takes, or 0. */
size_t	 exec_item(const char *, size_t, struct item *);
/* agent: whose it is, or NULL. */
void	 exec_item_json(struct jbuf *, const char *agent, const struct item *);

/* ---- bins.c ---- */

/* One agent's list is there, or why not: goes on with the next. */
void	 bins_took(struct exec *, const char *why);

#endif

/*
 * One request of the runtime on its way to the agent's socket and back.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway, the runtime.
 */
#ifndef LINK_FCONN_H
#define LINK_FCONN_H

#include <sys/queue.h>

#include <stdbool.h>

struct conf;
struct event_base;
struct fconn;
struct gw;
struct turn;

/* What the connections of both listeners share. */
struct fconns {
	struct event_base *base;
	const struct conf *conf;
	struct gw *gw;
	struct turn *turn;
	TAILQ_HEAD(, fconn) list;
};

/*
 * Serves an accepted connection and closes it; *count is one higher until
 * then. llm: the open turn learns how its calls end.
 */
void	 fconn_open(struct fconns *, int fd, bool llm, unsigned int *count);
void	 fconn_close_all(struct fconns *);

#endif /* LINK_FCONN_H */

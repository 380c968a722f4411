/*
 * The answer of a chat completions endpoint, streamed or whole.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_CHATREPLY_H
#define LINK_CHATREPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "sse.h"

#define CHATREPLY_MAX	(1UL << 20)	/* bytes of one event or a whole body */

struct turn;

struct chatreply {
	struct turn *turn;
	bool stream;		/* the body is text/event-stream */
	bool over;		/* "[DONE]" or an error event was seen */
	bool finished;		/* a finish_reason was seen */
	bool failed;
	char why[200];
	struct sse sse;
	char *body;		/* owned; when not a stream */
	size_t len;
};

void	 chatreply_init(struct chatreply *, struct turn *);
void	 chatreply_free(struct chatreply *);

/* The status and the Content-Type (or NULL) of the answer. */
void	 chatreply_head(struct chatreply *, int, const char *);

/* Deltas go to the turn as they come. 0, or -1 when it makes no sense. */
int	 chatreply_feed(struct chatreply *, const void *, size_t);

/* Nothing more is needed: the connection may be closed. */
bool	 chatreply_over(const struct chatreply *);

/*
 * The answer has ended with this status. 0: the turn has its text; -1 and
 * why it failed.
 */
int	 chatreply_end(struct chatreply *, int, char *, size_t);

#endif /* LINK_CHATREPLY_H */

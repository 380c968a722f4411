/*
 * A query under way, for query.c and tail.c.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: nobody.
 */
#ifndef QUERY_H
#define QUERY_H

#include <sys/types.h>
#include <sys/queue.h>

#include "trace.h"

struct event;

struct query {
	TAILQ_ENTRY(query) entry;
	uint64_t	 id;		/* of front's request */
	char		 principal[65];
	char		 agent_id[33];
	struct filter	 filter;	/* strings: the three below */
	char		*kind, *channel_id, *trace_id;
	size_t		 limit;
	bool		 follow;
	enum { Q_SCAN, Q_SHOW, Q_LIVE } phase;
	int64_t		*hours;		/* newest first */
	size_t		 nhours, hour;
	struct ref	*refs;		/* newest first */
	size_t		 nrefs, refsize;
	size_t		 first;		/* reference of the hour at hand */
	size_t		 next;		/* to be shown */
	struct ref	*pending;	/* ring of a tail; NULL: empty */
	size_t		 npending, oldest;
	struct event	*ev;
};

TAILQ_HEAD(query_list, query);
extern struct query_list queries;

void	 query_free(struct query *);
/* Goes on in the next turn of the loop. */
void	 query_wake(struct query *);
/* Shows one event: its size, 0 if it is gone, -1 if there is no room. */
ssize_t	 query_show(struct query *, const struct ref *);

/* ---- tail.c ---- */

/* Shows what has waited for a tail. */
void	 tail_slice(struct query *);

#endif /* QUERY_H */

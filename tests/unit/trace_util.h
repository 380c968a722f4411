/*
 * What the tests of the trace worker share: a state directory, events in,
 * rows out.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#ifndef TRACE_UTIL_H
#define TRACE_UTIL_H

#include "trace.h"

#define AGENT	"0123456789abcdef0123456789abcdef"
#define OTHER	"ffffffffffffffffffffffffffffffff"
#define NOW	1795363200.0	/* 2026-11-22T16:00:00 */
#define ROWS	4096

/* What out.c would have sent. */
struct rows {
	char	*json[ROWS];
	char	 event[ROWS][16];
	uint64_t id[ROWS];
	size_t	 n;
	int	 ends;
	unsigned int status;	/* of the last end */
	char	 error[256];
	bool	 full;		/* front takes nothing */
};

extern struct rows rows;
extern struct event_base *base;
extern char state_dir[64];

int	 trace_setup(void **);
int	 trace_teardown(void **);
void	 rows_clear(void);

/* A message with defaults. */
void	 event_init(struct m_trace_event *);
/* Queues it, as of that time. */
void	 add(const struct m_trace_event *, const char *payload, double now);
/* Queues and commits it: the status of its answer. */
unsigned int put(const struct m_trace_event *, const char *payload,
	    double now);
/* Status and event id of the last answer. */
extern unsigned int last_status;
extern char last_id[65];
extern size_t acks;

/* Starts a query and runs it to its end: rows. */
size_t	 ask(const struct filter *, unsigned int limit);
void	 filter_init(struct filter *);
void	 turn(void);		/* the loop, until nothing is active */
/* Is the text in row i? */
bool	 row_has(size_t i, const char *text);
bool	 exists(const char *agent, const char *file);
size_t	 count_files(const char *agent);

#endif /* TRACE_UTIL_H */

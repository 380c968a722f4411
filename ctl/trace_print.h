/*
 * Prints events of a trace for people.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: nobody.
 */
#ifndef TRACE_PRINT_H
#define TRACE_PRINT_H

struct ctl;
struct json_object;

/* Which turn the last live line belonged to. */
struct trace_live {
	char	turn[65];
	double	start;
	int	attempt;
};

/* Events newest first, as the API gives them; prints a tree of each turn. */
void	 trace_print(const struct ctl *, struct json_object *);
/* One event as it comes. */
void	 trace_print_live(const struct ctl *, struct trace_live *,
	    struct json_object *);

#endif /* TRACE_PRINT_H */

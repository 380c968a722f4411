/*
 * What a runtime says in one run, in the order and the shape of a turn.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 *
 * Between kinds and turn: sets messages apart, joins the pieces of a thought,
 * reports each tool call and its result once.
 */
#ifndef LINK_REPORT_H
#define LINK_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jscan.h"

#define REPORT_TOOLS	64		/* that run at one time */
#define REPORT_ID	128		/* bytes of a call's id, with its NUL */
#define REPORT_NAME	128
#define REPORT_THOUGHTS	(128UL << 10)	/* bytes of one turn; more is dropped */

struct turn;

struct report_tool {
	char id[REPORT_ID];
	char name[REPORT_NAME];
	uint64_t since;			/* sys_now_ms() */
	bool called;			/* its call was reported */
};

struct report {
	struct turn *turn;
	bool any_text;			/* in this run */
	bool said;			/* in this message */
	char *thought;			/* owned; a JSON-free text */
	size_t thought_len, thought_total;
	struct report_tool tools[REPORT_TOOLS];
	unsigned int ntools;
};

void	 report_init(struct report *, struct turn *);
void	 report_free(struct report *);

/* A new run: forgets the last one. */
void	 report_start(struct report *);

/* A piece of the answer, or of what the model thinks. Strings of JSON. */
void	 report_text(struct report *, const struct jspan *);
void	 report_thought(struct report *, const struct jspan *);

/* Plain text of the answer. */
void	 report_plain(struct report *, const char *, size_t);

/* What follows belongs to another message. */
void	 report_break(struct report *);

/*
 * The tool call with that id, made when it is new; NULL when too many run.
 * name counts for a new one only.
 */
struct report_tool *report_tool(struct report *, const char *id,
	    const char *name);

/* args: NULL for none. The second call for a tool does nothing. */
void	 report_call(struct report *, struct report_tool *,
	    const struct jspan *args);

/* Its end; the tool is gone after that. */
void	 report_result(struct report *, struct report_tool *, const char *,
	    size_t, bool success);

/* Sends the thought that is being collected. Before the end of a run. */
void	 report_flush(struct report *);

#endif /* LINK_REPORT_H */

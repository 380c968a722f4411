/*
 * Which tool calls and results of a turn the trace already has.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 *
 * The same call may be seen three times: in the model's answer, in what the
 * runtime reports, and in the history of every later request.  Runtimes
 * rewrite the ids (OpenClaw keeps only [A-Za-z0-9], 40 of them), so they are
 * compared in that form.
 */
#ifndef TOOLMAP_H
#define TOOLMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOOL_ID_MAX	40
#define TOOLMAP_MAX	256	/* entries; the oldest makes room */

/* Who says so. */
enum tool_from { TOOL_TRAFFIC, TOOL_AGENT };

struct tool_entry {
	char		 id[TOOL_ID_MAX + 1];
	char		 event[33];	/* of the tool_call; "" = none */
	char		 name[65];
	uint8_t		 called;	/* bits of enum tool_from */
	uint8_t		 answered;
	uint64_t	 at;		/* ms, of the call */
};

struct toolmap {
	struct tool_entry	*e;	/* owned */
	unsigned int		 n;
	unsigned int		 size;
};

void	 toolmap_free(struct toolmap *);
/* Normalised form of len bytes; "" if nothing is left. */
void	 tool_norm(const char *, size_t, char [TOOL_ID_MAX + 1]);
struct tool_entry *toolmap_find(struct toolmap *, const char *);
/*
 * A call with this (normalised) id: its entry if the trace has to get it,
 * NULL if it is there already or memory is out.
 */
struct tool_entry *toolmap_call(struct toolmap *, const char *,
	    const char *, enum tool_from, uint64_t);
/* The same for a result; one without a call is known as of now. */
struct tool_entry *toolmap_result(struct toolmap *, const char *,
	    enum tool_from, uint64_t);
/* What was accepted could not be written: it may come again. */
void	 toolmap_undo_call(struct toolmap *, const char *, enum tool_from);
void	 toolmap_undo_result(struct toolmap *, const char *, enum tool_from);

#endif /* TOOLMAP_H */

/*
 * Maps the records of kind exec, format jsonl, to what a turn reports.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_EXEC_LINE_H
#define LINK_EXEC_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct report;

struct exec_end {
	bool over;		/* a final came */
	bool failed;		/* an error came; why is set */
	char why[400];
};

/*
 * One line, a record with a "type":
 *	delta {text}, reasoning {text}
 *	tool_call {id, tool, args}, tool_result {id, tool, result, success}
 *	final {text}		said only if no delta was
 *	error {message}
 * A line that is none, or of another type, is ignored.
 */
void	 exec_line(struct report *, struct exec_end *, const char *, size_t);

#endif /* LINK_EXEC_LINE_H */

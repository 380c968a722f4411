/*
 * What the demo provider answers to a chat completion.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 */
#ifndef DEMO_REPLY_H
#define DEMO_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evbuffer;

/* What of a request decides the answer. */
struct demo_request {
	bool	 stream;
	bool	 usage;			/* asked for in a stream */
	bool	 tool_result;		/* a tool has answered in this turn */
	bool	 tool;			/* one to call was offered */
	bool	 as_list;		/* its command is an array */
	char	 tool_name[129];
	char	 tool_arg[16];		/* "command" or "cmd" */
	char	 model[257];
	size_t	 len;			/* of the request */
};

/* 0, or -1 and *why is constant text. */
int	 demo_parse(const char *, size_t, struct demo_request *,
	    const char **why);
/*
 * Appends the reply, JSON or events. The id is unique, of hex digits; the
 * time in seconds.
 */
void	 demo_write(const struct demo_request *, const char *id, int64_t,
	    struct evbuffer *);

#endif /* DEMO_REPLY_H */

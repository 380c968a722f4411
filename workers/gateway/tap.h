/*
 * Reads along with a reply of a model: text, reasoning, tool calls, usage.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 *
 * Takes a stream (SSE chunks) or one JSON document, in pieces of any size,
 * and never holds back what it reads.  Text is kept as it stands in the JSON,
 * escaped: pieces joined are again a JSON string, also where a provider cuts
 * a character in two.
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sse.h"

struct jbuf;

#define TAP_TEXT_MAX	(512 * 1024)	/* bytes kept of a reply */
#define TAP_DOC_MAX	(1024 * 1024)	/* of a document or an SSE event */
#define TAP_TOOLS_MAX	128

/* Inside of a JSON string. */
struct tap_text {
	char	*p;		/* owned, NUL-terminated; NULL = empty */
	size_t	 len, size;
};

struct tap_tool {
	int64_t		 index;
	char		 id[129];
	char		 name[129];
	struct tap_text	 args;
};

struct tap {
	bool		 is_sse;
	bool		 is_json;
	bool		 broken;	/* nothing more can be read */
	bool		 cut;		/* text beyond the maximum is missing */
	bool		 done;		/* [DONE] came, or the document */
	bool		 by_content;	/* reasoning is "reasoning_content" */
	struct sse	 sse;
	struct tap_text	 doc;		/* a JSON document, as it comes */
	size_t		 kept;
	struct tap_text	 content;
	struct tap_text	 reasoning;
	struct tap_text	 refusal;
	struct tap_tool	*tools;		/* owned */
	unsigned int	 ntools;
	char		 finish[33];
	char		 model[257];	/* as the provider names it */
	char		 error[513];	/* its message; "" = none */
	int64_t		 tokens_in;	/* -1 = not told */
	int64_t		 tokens_out;
	int64_t		 tokens_cached;
	int64_t		 tokens_reasoning;
};

void	tap_init(struct tap *, const char *content_type);
void	tap_free(struct tap *);
void	tap_feed(struct tap *, const void *, size_t);
/* The reply is over: a document is read now. */
void	tap_end(struct tap *);
/* Writes a kept text as a JSON string, at most max bytes of it. */
void	tap_put(struct jbuf *, const struct tap_text *, size_t max);
/*
 * Arguments of a tool call: the JSON value inside the string if it is one,
 * else the string.
 */
void	tap_put_args(struct jbuf *, const struct tap_text *, size_t max);
/* Bytes of the inside of a JSON string that fit max, cut between escapes. */
size_t	json_cut(const char *, size_t len, size_t max);
/* Writes that much of it as a JSON string. */
void	json_put_cut(struct jbuf *, const char *, size_t len, size_t max);

#endif /* TAP_H */

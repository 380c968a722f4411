/*
 * The body of a chat completion: scanned as it comes, spliced on its way.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 *
 * No tree is built: the scanner says where the members are, and what is sent
 * on is the agent's own bytes but for the value of "model" and the usage
 * report that a stream must bring.
 */
#ifndef LLMREQ_H
#define LLMREQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jscan.h"
#include "msg.h"

#define LLMREQ_MODEL	256	/* bytes of a model's name */
#define LLMREQ_SEGS	6

struct llmreq_member {
	uint64_t	 off;
	uint64_t	 len;
	enum jtype	 type;	/* JT_NONE = absent */
};

struct llmreq {
	struct jscan		 scan;
	struct llmreq_member	 model;
	struct llmreq_member	 stream;
	struct llmreq_member	 options;	/* stream_options */
	struct llmreq_member	 messages;
	struct llmreq_member	 tools;
	/* after llmreq_end() */
	char			 name[LLMREQ_MODEL + 1];
	bool			 streams;
};

/* What goes out, in pieces; they point into the body and into text. */
struct splice {
	struct msg_bytes seg[LLMREQ_SEGS];
	unsigned int	 nseg;
	unsigned int	 at;		/* the piece that is being sent */
	size_t		 off;		/* sent of it */
	uint64_t	 total;
	uint64_t	 left;
	char		*text;		/* owned: what we put in */
};

void	llmreq_init(struct llmreq *);
void	llmreq_free(struct llmreq *);
/* -1: not JSON, or a key given twice; why in q->scan.why. */
int	llmreq_feed(struct llmreq *, const void *, size_t);
/*
 * The whole body is there: 0, or -1 with a sentence about what is wrong and
 * the member's name.
 */
int	llmreq_end(struct llmreq *, const char *, const char **why,
	    const char **param);
/* The member as a value of the body. */
struct jspan llmreq_span(const struct llmreq_member *, const char *);
/* Pieces of the body of len bytes with another model.  -1: no memory. */
int	llmreq_splice(const struct llmreq *, const char *, size_t len,
	    const char *model, struct splice *);
void	splice_free(struct splice *);
/* The next at most max bytes in one piece, without moving on; 0 at the end. */
size_t	splice_peek(const struct splice *, size_t max, const void **);
void	splice_skip(struct splice *, size_t);

#endif /* LLMREQ_H */

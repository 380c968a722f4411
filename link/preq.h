/*
 * The head of a request to the proxy.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_PREQ_H
#define LINK_PREQ_H

#include <stdbool.h>
#include <stddef.h>

struct preq {
	bool connect;		/* else http://, and head goes to the host */
	char target[300];	/* host:port */
	char *head;		/* owned: as the host gets it, or NULL */
};

/* A whole head, with its empty line. NULL, or what is wrong: constant text. */
const char *preq_parse(struct preq *, const char *, size_t);
void	 preq_free(struct preq *);

#endif /* LINK_PREQ_H */

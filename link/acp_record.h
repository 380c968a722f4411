/*
 * Records of the Agent Client Protocol that agent-link sends.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_ACP_RECORD_H
#define LINK_ACP_RECORD_H

#include <stddef.h>

#include "jscan.h"

#define ACP_PROTOCOL	1		/* its version */

struct jbuf;

/* Each begins a buffer of its own, to be freed; nr is the request's id. */
void	 acp_initialize(struct jbuf *, unsigned int nr);
/* id: the session to go on with, or NULL for a new one. */
void	 acp_open(struct jbuf *, unsigned int nr, const char *cwd,
	    const char *id);
void	 acp_prompt(struct jbuf *, unsigned int nr, const char *session,
	    const char *text, size_t);
void	 acp_cancel(struct jbuf *, const char *session);

/*
 * The answer to a request of the runtime (a valid record), with its id: a
 * permission is given, all else refused. -1, and no buffer, when the id is
 * not one to repeat.
 */
int	 acp_answer(struct jbuf *, const char *, size_t, const struct jspan *id);

/* What an error object says, in words for a person. */
void	 acp_error(const struct jspan *, char *, size_t);

#endif /* LINK_ACP_RECORD_H */

/*
 * Maps session updates of the Agent Client Protocol to what a turn reports.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_ACP_UPDATE_H
#define LINK_ACP_UPDATE_H

#include <stddef.h>

#include "jscan.h"

struct report;

/* The object `update` of a session/update. Unknown ones are ignored. */
void	 acp_update(struct report *, const struct jspan *);

#endif /* LINK_ACP_UPDATE_H */

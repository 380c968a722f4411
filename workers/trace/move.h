/*
 * Traces of agents that leave, and of those that come.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: keeper; mover, through pipes.
 */
#ifndef MOVE_H
#define MOVE_H

#include "peer.h"

int	h_trace_export(struct peer *, struct msg *);
int	h_trace_import(struct peer *, struct msg *);
/* keeper has gone: nobody waits for these. */
void	export_cancel_all(void);
void	import_cancel_all(void);

#endif /* MOVE_H */

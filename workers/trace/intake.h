/*
 * Events of keeper and gateway, for main.c.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: keeper, gateway.
 */
#ifndef INTAKE_H
#define INTAKE_H

#include "msg.h"

struct msg;
struct peer;

/* Handlers of TRACE_EVENT and TRACE_MORE. */
int	intake_event(struct peer *, struct msg *);
int	intake_more(struct peer *, struct msg *);
/* This peer's connection is over: forget its half events. */
void	intake_down(enum proc);

#endif /* INTAKE_H */

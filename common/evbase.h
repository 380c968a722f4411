/*
 * The event loop of a process.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor, all workers.
 */
#ifndef EVBASE_H
#define EVBASE_H

struct event_base;

/* A loop without threads that no environment variable changes.  Fatal. */
struct event_base *evbase_new(void);

#endif /* EVBASE_H */

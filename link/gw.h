/*
 * Client of the agent's socket: says hello, keeps the key, sends requests.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#ifndef LINK_GW_H
#define LINK_GW_H

#include <stdbool.h>
#include <stddef.h>

struct conf;
struct event_base;
struct gw;
struct gw_req;

/*
 * status 0: no answer (connection failed or timed out). body is valid during
 * the call only and may be cut at 8 KiB. retry_after is in ms, 0 = not given.
 */
typedef void gw_cb(void *, int status, const char *body, size_t,
    unsigned int retry_after);

/* NULL when out of memory. The first hello is sent at once. */
struct gw *gw_new(struct event_base *, const struct conf *);
void	 gw_free(struct gw *);	/* wipes the key; drops waiting requests */

/*
 * Called when a hello has been answered or has failed: the host asks to wait
 * so many ms with the start of the runtime; 0 = it does not.
 */
void	 gw_on_hello(struct gw *, void (*)(void *, unsigned int), void *);

/* Called each time a key has come. */
void	 gw_on_key(struct gw *, void (*)(void *), void *);

/* NULL while there is none. Valid until the next turn of the event loop. */
const char *gw_key(const struct gw *);
/* "/api/openclaw/sessions/SESSION/what" as the host named the session. */
void	 gw_path(const struct gw *, const char *what, char *, size_t);
const char *gw_events_url(const struct gw *);

/* Counts the keys that came; names one without showing it. */
unsigned int gw_key_nr(const struct gw *);

/*
 * The gateway said 401 to key number nr: forget it and say hello again. A
 * late 401 to an older key changes nothing.
 */
void	 gw_lost_key(struct gw *, unsigned int nr);

/* The runtime is ready: the hello says so, it decides over one made ahead. */
void	 gw_ready(struct gw *);

/*
 * POSTs JSON, one request at a time, in the order of the calls; a 401 is
 * followed by one hello and one more try. body must live until the callback
 * or gw_cancel(). NULL when out of memory.
 */
struct gw_req *gw_post(struct gw *, const char *path, const char *body,
	    size_t, gw_cb *, void *);
void	 gw_cancel(struct gw *, struct gw_req *);

#endif /* LINK_GW_H */

/*
 * A WebSocket to Incus over its Unix socket.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 */
#ifndef WSC_H
#define WSC_H

#include <stdbool.h>
#include <stddef.h>

struct wsc;

/*
 * None of these may be NULL.  A piece of a message may be empty; end says
 * that it is the last one.
 * closed is the last call; the connection is freed when it returns.  why is a
 * sentence, NULL if Incus closed it in peace.
 */
struct wsc_ops {
	void	(*opened)(void *);
	void	(*data)(const void *, size_t, bool end, void *);
	void	(*drained)(void *);	/* all that was sent is written */
	void	(*closed)(const char *why, void *);
};

/*
 * Connects to that path of Incus (made from validated parts); max: bytes of a
 * message that comes in.  Everything is told by the calls, never from within
 * this one.  Fatal without memory.
 */
struct wsc	*wsc_open(const char *path, size_t max, const struct wsc_ops *,
		    void *);
/* A message, binary or text; before opened() nothing may be sent. */
void		 wsc_send(struct wsc *, bool text, const void *, size_t);
/* Bytes that are not written yet. */
size_t		 wsc_queued(const struct wsc *);
/* Takes in no more, or again. */
void		 wsc_read(struct wsc *, bool);
/* Says good-bye in what is sent last; closed() follows. */
void		 wsc_finish(struct wsc *);
/* At once, and without closed(). */
void		 wsc_free(struct wsc *);

#endif /* WSC_H */

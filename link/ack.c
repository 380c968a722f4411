/*
 * Tells the gateway which events are dealt with.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "ack.h"
#include "gw.h"
#include "inbox.h"
#include "log.h"
#include "util.h"

struct ack {
	struct gw *gw;
	const struct inbox *inbox;
	struct event *again;
	unsigned int step;
	struct gw_req *req;	/* on the wire */
	bool due;		/* more came meanwhile */
	char body[48];
	void (*on_idle)(void *);
	void *arg;
};

static gw_cb	ack_done;

static void
ack_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	ack_send(arg);
}

struct ack *
ack_new(struct event_base *base, struct gw *gw, const struct inbox *inbox)
{
	struct ack *a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	a->gw = gw;
	a->inbox = inbox;
	if ((a->again = evtimer_new(base, ack_again, a)) == NULL) {
		free(a);
		return NULL;
	}
	return a;
}

void
ack_free(struct ack *a)
{
	if (a == NULL)
		return;
	if (a->req != NULL)
		gw_cancel(a->gw, a->req);
	event_free(a->again);
	free(a);
}

void
ack_on_idle(struct ack *a, void (*cb)(void *), void *arg)
{
	a->on_idle = cb;
	a->arg = arg;
}

bool
ack_idle(const struct ack *a)
{
	return a->req == NULL && !evtimer_pending(a->again, NULL);
}

void
ack_send(struct ack *a)
{
	char path[160];
	int n;

	a->due = true;
	if (!ack_idle(a))
		return;
	a->due = false;
	n = snprintf(a->body, sizeof(a->body), "{\"up_to\":%llu}",
	    (unsigned long long)inbox_acked(a->inbox));
	gw_path(a->gw, "ack", path, sizeof(path));
	a->req = gw_post(a->gw, path, a->body, (size_t)n, ack_done, a);
	if (a->req == NULL)
		timer_ms(a->again, retry_next(&a->step));
}

static void
ack_done(void *arg, int status, const char *body, size_t len,
    unsigned int retry_after)
{
	struct ack *a = arg;
	unsigned int ms;

	(void)body;
	(void)len;
	a->req = NULL;
	if (status == 0 || status >= 500 || status == 401 || status == 429) {
		ms = retry_next(&a->step);
		timer_ms(a->again, retry_after > ms ? retry_after : ms);
		return;
	}
	a->step = 0;
	if (status >= 300)
		log_warnx("an ack was refused with status %d", status);
	if (a->due)
		ack_send(a);
	else if (a->on_idle != NULL)
		a->on_idle(a->arg);
}

/*
 * The host wants the agent to finish: no new turn, and word of it.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "gw.h"
#include "inbox.h"
#include "log.h"
#include "prepare.h"
#include "turn.h"
#include "util.h"

struct prepare {
	struct gw *gw;
	struct turn *turn;
	char id[MSG_ID_LEN + 1];	/* "": nothing is asked */
	char body[MSG_ID_LEN + 16];
	struct gw_req *req;
	struct event *again;
	unsigned int step;
};

static void	prepare_tell(void *);
static gw_cb	prepare_told;

static void
prepare_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	prepare_tell(arg);
}

struct prepare *
prepare_new(struct event_base *base, struct gw *gw, struct turn *turn)
{
	struct prepare *p;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		return NULL;
	p->gw = gw;
	p->turn = turn;
	if ((p->again = evtimer_new(base, prepare_again, p)) == NULL) {
		free(p);
		return NULL;
	}
	return p;
}

static void
prepare_drop(struct prepare *p)
{
	if (p->req != NULL)
		gw_cancel(p->gw, p->req);
	p->req = NULL;
	evtimer_del(p->again);
	p->id[0] = '\0';
}

void
prepare_free(struct prepare *p)
{
	if (p == NULL)
		return;
	prepare_drop(p);
	event_free(p->again);
	free(p);
}

void
prepare_begin(struct prepare *p, const char *id)
{
	if (strcmp(p->id, id) == 0)
		return;
	log_info("asked to finish: no new turn begins");
	prepare_drop(p);
	p->step = 0;
	(void)strlcpy(p->id, id, sizeof(p->id));
	turn_hold(p->turn, prepare_tell, p);
}

void
prepare_lift(struct prepare *p)
{
	prepare_drop(p);
	turn_release(p->turn);
}

/* The turn is over. The id was checked: nothing in it wants an escape. */
static void
prepare_tell(void *arg)
{
	struct prepare *p = arg;
	char path[160];
	int n;

	if (p->id[0] == '\0' || p->req != NULL)
		return;
	n = snprintf(p->body, sizeof(p->body), "{\"id\":\"%s\"}", p->id);
	gw_path(p->gw, "prepared", path, sizeof(path));
	p->req = gw_post(p->gw, path, p->body, (size_t)n, prepare_told, p);
	if (p->req == NULL)
		timer_ms(p->again, retry_next(&p->step));
}

static void
prepare_told(void *arg, int status, const char *body, size_t len,
    unsigned int retry_after)
{
	struct prepare *p = arg;
	unsigned int ms;

	(void)body;
	(void)len;
	p->req = NULL;
	if (status == 0 || status >= 500 || status == 401 || status == 429) {
		ms = retry_next(&p->step);
		timer_ms(p->again, retry_after > ms ? retry_after : ms);
	}
	/* Else it knows, or waits no more; what follows comes as an event. */
}

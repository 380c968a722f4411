/*
 * The replies of a turn on their way to the host, one at a time.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#include "config.h"

#include <stdio.h>

#include "log.h"
#include "turn_int.h"
#include "util.h"

#define PATH_MAX_LEN	160
#define DELTA_GAP_MS	12	/* the gateway takes 100 replies a second */

static gw_cb	reply_done;

void
turn_pump(struct turn *t)
{
	char path[PATH_MAX_LEN];
	const char *body;
	size_t len;

	if (t->req != NULL || evtimer_pending(t->again, NULL))
		return;
	if (outq_head(&t->out, &body, &len) == NULL)
		return;
	gw_path(t->gw, "reply", path, sizeof(path));
	if ((t->req = gw_post(t->gw, path, body, len, reply_done, t)) == NULL)
		timer_ms(t->again, retry_next(&t->step));
}

void
turn_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	turn_pump(arg);
}

/* The gateway will not take this reply, now or later. */
static void
reply_refused(struct turn *t, enum reply_kind kind, int status)
{
	char why[80];

	log_warnx("turn %s: a reply was refused with status %d",
	    t->msg->trace_id, status);
	outq_pop(&t->out);
	if (kind == REPLY_ERROR) {
		turn_over(t);
		return;
	}
	(void)snprintf(why, sizeof(why),
	    "the host refused a part of the answer (status %d)", status);
	if (kind == REPLY_FINAL) {
		t->out.ended = false;
		turn_end_error(t, why);
	} else if (kind == REPLY_DELTA && t->state != T_END)
		turn_end_error(t, why);
	else
		turn_pump(t);
}

static void
reply_done(void *arg, int status, const char *body, size_t len,
    unsigned int retry_after)
{
	struct turn *t = arg;
	const char *p;
	const struct reply *r;
	enum reply_kind kind;
	size_t n;

	(void)body;
	(void)len;
	t->req = NULL;
	r = outq_head(&t->out, &p, &n);
	kind = r->kind;
	if (status >= 200 && status < 300) {
		t->step = 0;
		outq_pop(&t->out);
		if (kind == REPLY_FINAL || kind == REPLY_ERROR)
			turn_over(t);
		else if (t->out.ended)
			turn_pump(t);	/* not many are left */
		else
			timer_ms(t->again, DELTA_GAP_MS);
	} else if (status == 409 || status == 404) {
		/* Answered already (by a former life of ours), or unknown. */
		log_info("turn %s is closed at the host (status %d)",
		    t->msg->trace_id, status);
		turn_over(t);
	} else if (status == 0 || status >= 500 || status == 401 ||
	    status == 429) {
		n = retry_next(&t->step);
		timer_ms(t->again, retry_after > n ? retry_after :
		    (unsigned int)n);
	} else
		reply_refused(t, kind, status);
}

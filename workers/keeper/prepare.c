/*
 * An agent is asked to finish what it does before it is stopped or frozen.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: gateway.
 *
 * The event "prepare" goes out on its stream; the link begins no turn any
 * more and answers when the open one is over, at once if there is none.  An
 * agent that does not answer is not waited for longer than the deadline, and
 * one without a link not at all.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "keeper.h"
#include "log.h"
#include "prepare.h"
#include "worker.h"

#define LOST_MS		5000		/* a link that is gone may come back */

struct prepare {
	struct agent	*agent;
	char		 id[ID_LEN + 1];
	struct prepared	 how;
	uint64_t	 began_ms, deadline_ms;
	uint32_t	 seconds;
	bool		 lost;
	struct event	*timer;
	void		(*fn)(struct agent *, const struct prepared *, void *);
	void		*arg;
};

static void
over(struct prepare *p, const char *status)
{
	void		(*fn)(struct agent *, const struct prepared *, void *);
	struct agent	*a = p->agent;
	struct prepared	 how = p->how;
	void		*arg = p->arg;

	how.status = status;
	how.seconds = (double)(sys_now_ms() - p->began_ms) / 1000;
	fn = p->fn;
	prepare_forget(a);
	fn(a, &how, arg);
}

static void
on_time(evutil_socket_t fd, short what, void *arg)
{
	struct prepare	*p = arg;

	(void)fd;
	(void)what;
	log_warnx("agent %s: %s before %s", p->agent->slug, p->lost ?
	    "its link went away" : "it did not finish in time", p->how.reason);
	over(p, p->lost ? "not connected" : "timed out");
}

static void
arm(struct prepare *p)
{
	uint64_t	 now = sys_now_ms(), ms;
	struct timeval	 tv;

	ms = p->deadline_ms > now ? p->deadline_ms - now : 0;
	if (p->lost && ms > LOST_MS)
		ms = LOST_MS;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	(void)evtimer_add(p->timer, &tv);
}

static int
ask(struct prepare *p)
{
	struct jbuf	 jb;
	int		 rc;

	jbuf_init(&jb, 1024);
	jb_obj(&jb);
	jb_kstr(&jb, "id", p->id);
	jb_kstr(&jb, "reason", p->how.reason);
	jb_kint(&jb, "deadline_s", p->seconds);
	jb_end(&jb);
	rc = bridge_event(p->agent, "prepare", &jb);
	jbuf_free(&jb);
	return rc;
}

void
prepare_begin(struct agent *a, const char *reason, uint32_t seconds,
    void (*fn)(struct agent *, const struct prepared *, void *), void *arg)
{
	struct prepare	*p;

	if ((p = calloc(1, sizeof(*p))) == NULL ||
	    (p->timer = evtimer_new(worker_base(), on_time, p)) == NULL)
		fatal("prepare");
	p->agent = a;
	sys_id(p->id);
	p->how.reason = reason;
	p->how.started_at = sys_time();
	p->began_ms = sys_now_ms();
	p->seconds = seconds != 0 ? seconds : PREPARE_S;
	p->deadline_ms = p->began_ms + p->seconds * 1000ULL;
	p->fn = fn;
	p->arg = arg;
	a->prepare = p;
	if (a->sub == NULL || ask(p) == -1)
		over(p, "not connected");
	else
		arm(p);
}

void
prepare_forget(struct agent *a)
{
	struct prepare	*p = a->prepare;

	if (p == NULL)
		return;
	a->prepare = NULL;
	event_free(p->timer);
	free(p);
}

void
prepare_lift(struct agent *a)
{
	struct jbuf	 jb;

	jbuf_init(&jb, 256);
	jb_obj(&jb);
	jb_end(&jb);
	(void)bridge_event(a, "resume", &jb);
	jbuf_free(&jb);
}

void
prepare_connected(struct agent *a)
{
	if (a->prepare != NULL) {
		a->prepare->lost = false;
		if (ask(a->prepare) == 0)
			arm(a->prepare);
	} else {
		/* Whatever it was asked for before is over. */
		prepare_lift(a);
	}
}

void
prepare_lost(struct agent *a)
{
	if (a->prepare == NULL)
		return;
	a->prepare->lost = true;
	arm(a->prepare);
}

void
prepare_json(struct jbuf *jb, const char *slug, const struct prepared *how)
{
	jb_obj(jb);
	jb_kstr(jb, "phase", "ready");
	jb_kstr(jb, "reason", how->reason);
	jb_key(jb, "started_at");
	if (how->started_at > 0)
		jb_double(jb, how->started_at);
	else
		jb_null(jb);
	jb_key(jb, "agents");
	jb_obj(jb);
	jb_key(jb, slug);
	jb_obj(jb);
	jb_kstr(jb, "status", how->status);
	jb_key(jb, "duration_s");
	jb_double(jb, how->seconds);
	jb_kstr(jb, "note_path", NULL);
	jb_end(jb);
	jb_end(jb);
	jb_end(jb);
}

int
h_bridge_prepared(struct peer *p, struct msg *m)
{
	const struct m_bridge_prepared	*in = &m->u.bridge_prepared;
	struct agent			*a;

	if ((a = agent_by_id(in->agent_id)) == NULL || a->prepare == NULL ||
	    strcmp(a->prepare->id, in->id) != 0) {
		(void)peer_done(p, m->id, 404, "nobody waits for this");
		return 0;
	}
	(void)peer_done(p, m->id, 200, NULL);
	over(a->prepare, "ready");
	return 0;
}

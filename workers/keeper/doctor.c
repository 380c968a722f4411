/*
 * Requests about drift: show it, mend it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "drift.h"
#include "log.h"
#include "worker.h"

#define ANSWER_S	80		/* front waits a little longer */
#define LOOKS_MAX	4		/* at one time */

static unsigned	 looks;

static const char *const froms[FROMS] = {
	[FROM_INCUS] = "container", [FROM_PROXY] = "proxy",
	[FROM_SUPER] = "supervisor", [FROM_GATEWAY] = "gateway",
};

static void
drift_json(struct jbuf *jb, const struct drift *d, bool repaired)
{
	jb_obj(jb);
	jb_kstr(jb, "kind", drift_kind_name(d->kind));
	jb_kstr(jb, "name", d->name);
	jb_kstr(jb, "id", d->id);
	jb_kstr(jb, "should", d->should);
	jb_kstr(jb, "is", d->is);
	jb_kstr(jb, "repair", d->repair);
	if (repaired)
		jb_kstr(jb, "result", !d->wanted ? "left alone" : !d->done ?
		    "not finished yet" : d->error[0] != '\0' ? d->error :
		    "done");
	jb_end(jb);
}

static void
answer(struct look *l)
{
	unsigned	 done = 0, failed = 0;
	struct drift	*d;
	struct jbuf	 jb;
	int		 i;

	jbuf_init(&jb, JSON_MAX);
	jb_obj(&jb);
	jb_key(&jb, "checked_at");
	jb_double(&jb, l->asked_at);
	jb_key(&jb, "drift");
	jb_arr(&jb);
	TAILQ_FOREACH(d, &l->drifts, entry) {
		drift_json(&jb, d, l->repair);
		done += d->wanted && d->done && d->error[0] == '\0';
		failed += d->wanted && (!d->done || d->error[0] != '\0');
	}
	jb_end(&jb);
	jb_key(&jb, "unanswered");
	jb_arr(&jb);
	for (i = 0; i < FROMS; i++)
		if (!l->answered[i])
			jb_str(&jb, froms[i]);
	jb_end(&jb);
	if (l->repair) {
		jb_kint(&jb, "repaired", done);
		jb_kint(&jb, "failed", failed);
	}
	jb_end(&jb);
	reply_doc(l->client, 200, &jb);
	l->client.id = 0;
}

static void
finished(struct look *l)
{
	answer(l);
	looks--;
	drift_free(l);
}

/* It goes on without who asked. */
static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	answer(arg);
}

static void
on_looked(struct look *l)
{
	struct timeval	 tv = { ANSWER_S, 0 };
	struct drift	*d;
	unsigned	 n = 0;

	TAILQ_FOREACH(d, &l->drifts, entry) {
		d->wanted = l->repair && d->repair != NULL &&
		    (l->kind[0] == '\0' ||
		    strcmp(l->kind, drift_kind_name(d->kind)) == 0) &&
		    (l->name[0] == '\0' || strcmp(l->name, d->name) == 0);
		n += d->wanted;
	}
	if (n == 0 && l->name[0] != '\0') {
		reply_error(l->client, 404, "there is no difference of %s that "
		    "could be mended", l->name);
		l->client.id = 0;
	}
	if (n == 0) {
		finished(l);
		return;
	}
	l->fn = finished;
	if ((l->late = evtimer_new(worker_base(), on_late, l)) == NULL)
		fatal("timer");
	(void)evtimer_add(l->late, &tv);
	drift_mend(l);
}

static struct look *
look_new(struct client c)
{
	struct look	*l;

	if (looks >= LOOKS_MAX) {
		reply_error(c, 429, "%d others look at this moment: try "
		    "again", LOOKS_MAX);
		return NULL;
	}
	if ((l = calloc(1, sizeof(*l))) == NULL)
		fatal("drift");
	looks++;
	l->client = c;
	l->fn = on_looked;
	return l;
}

int
h_api_drift(struct peer *p, struct msg *m)
{
	struct look	*l;
	struct pass	 who;

	(void)p;
	if (auth_request(m, &m->u.api.pass, ROLE_ADMIN, &who) == -1 ||
	    (l = look_new(client_of(m))) == NULL)
		return 0;
	drift_look(l);
	return 0;
}

int
h_api_repair(struct peer *p, struct msg *m)
{
	const struct m_api_repair	*in = &m->u.api_repair;
	struct look			*l;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_ADMIN, &who) == -1 ||
	    (l = look_new(client_of(m))) == NULL)
		return 0;
	audit_add(&who, "DOCTOR_REPAIR", in->name, 200, in->kind);
	l->repair = true;
	(void)strlcpy(l->kind, in->kind, sizeof(l->kind));
	(void)strlcpy(l->name, in->name, sizeof(l->name));
	drift_look(l);
	return 0;
}

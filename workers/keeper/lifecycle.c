/*
 * What people ask to be done to an agent; and its delete.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, gateway.
 *
 * A delete is stored first; then the outside is cleared.  If that is cut, the
 * next start ends it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "verb.h"
#include "worker.h"

#define ANSWER_S	60		/* then the client hears 504 */

struct op {
	struct agent	*agent;
	struct client	 client;
	struct event	*timer;
};

static void
op_free(struct op *op)
{
	if (op->agent != NULL)
		agent_unlock(op->agent);
	if (op->timer != NULL)
		event_free(op->timer);
	free(op);
}

/* The client has its answer; the work goes on without it. */
static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	struct op	*op = arg;

	(void)fd;
	(void)what;
	reply_error(op->client, 504, "agent %s: the delete goes on, it took "
	    "over %d seconds", op->agent->slug, ANSWER_S);
	op->client.id = 0;
}

static struct op *
op_new(struct agent *a, struct client c)
{
	struct timeval	 tv = { ANSWER_S, 0 };
	struct op	*op;

	if ((op = calloc(1, sizeof(*op))) == NULL ||
	    (op->timer = evtimer_new(worker_base(), on_late, op)) == NULL)
		fatal("operation");
	op->agent = a;
	op->client = c;
	if (c.id != 0)
		(void)evtimer_add(op->timer, &tv);
	return op;
}

static void
op_good(struct op *op, const char *slug)
{
	struct jbuf	 jb;

	jbuf_init(&jb, 1024);
	jb_obj(&jb);
	jb_kbool(&jb, "success", true);
	jb_kstr(&jb, "status", "deleted");
	jb_kstr(&jb, "name", slug);
	jb_end(&jb);
	reply_doc(op->client, 200, &jb);
	op_free(op);
}

static void
op_bad(struct op *op, uint32_t status, const char *error)
{
	log_warnx("agent %s: delete: %s", op->agent->slug, error);
	reply_error(op->client, status, "agent %s: delete: %s",
	    op->agent->slug, error);
	op_free(op);
}

static void
on_removed(void *arg)
{
	struct op	*op = arg;
	struct agent	*a = op->agent;
	char		 slug[SLUG_MAX + 1], channel[ID_LEN + 1];

	(void)strlcpy(slug, a->slug, sizeof(slug));
	(void)strlcpy(channel, a->channel_id, sizeof(channel));
	if (db_begin(keeper_db()) == 0) {
		tracebox_lifecycle(a->id, "deleted", "", "");
		agent_delete_row(a);
	}
	if (!db_in_tx(keeper_db()) || db_commit(keeper_db()) == -1) {
		/* The row says "deleting": the next start ends it. */
		op_bad(op, 507, "the state database cannot be written");
		return;
	}
	op->agent = NULL;
	agent_forget(a);
	if (channel[0] != '\0')
		watch_close(channel);
	log_info("agent %s: deleted", slug);
	op_good(op, slug);
	tracebox_kick();
}

static void
begin_delete(struct op *op)
{
	keeper_tell_gateway(op->agent);
	bridge_close(op->agent);
	teardown_start(op->agent->id, op->agent->instance, true, on_removed,
	    op);
}

void
lifecycle_start(void)
{
	struct client	 nobody = { 0, 0 };
	struct agent	*a;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (a->state == AGENT_DELETING && a->job == NULL &&
		    agent_lock(a, "delete", nobody))
			begin_delete(op_new(a, nobody));
}

/* ---- the request ---- */

static void
delete(struct agent *a, struct client c, const struct pass *who)
{
	if (a->job != NULL) {
		audit_add(who, "AGENT_ACTION", a->slug, 200, "delete");
		job_cancel(a, c);
		return;
	}
	if (!agent_lock(a, "delete", c))
		return;
	if (verb_store(a, AGENT_DELETING, "delete", who, "") == -1) {
		agent_unlock(a);
		reply_db_error(c);
		return;
	}
	begin_delete(op_new(a, c));
}

static void
on_verb(const struct verb_end *e, void *arg)
{
	struct client	*c = arg;
	struct jbuf	 jb;

	if (e->status >= 300) {
		reply_error(*c, e->status, "%s", e->error);
	} else {
		jbuf_init(&jb, 4096);
		verb_json(&jb, e);
		reply_doc(*c, 200, &jb);
	}
	free(c);
}

int
h_agent_action(struct peer *p, struct msg *m)
{
	const struct m_agent_action	*in = &m->u.agent_action;
	struct client			 c = client_of(m), *keep;
	enum verb			 verb = verb_by_name(in->action);
	struct verb_how			 how;
	struct agent			*a;
	struct pass			 who;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	if (strcmp(in->action, "delete") == 0) {
		delete(a, c, &who);
	} else if (verb == VERBS) {
		reply_error(c, 400, "there is no action %s", in->action);
	} else {
		if ((keep = malloc(sizeof(*keep))) == NULL)
			fatal("operation");
		*keep = c;
		memset(&how, 0, sizeof(how));
		how.force = in->force != 0;
		how.timeout = in->timeout;
		verb_begin(a, verb, &how, &who, on_verb, keep);
	}
	return 0;
}

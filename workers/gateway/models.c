/*
 * GET /v1/models: the models that this agent may name.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: proxy.
 */
#include <sys/types.h>

#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "jbuf.h"
#include "log.h"
#include "worker.h"

#define LIST_MAX	(512 * 1024)	/* bytes of the answer */

static void	models_row(struct msg *, void *);
static void	models_closed(struct greq *);

static void
add_model(struct jbuf *j, const char *id, const char *owner)
{
	jb_obj(j);
	jb_kstr(j, "id", id);
	jb_kstr(j, "object", "model");
	jb_kint(j, "created", 0);
	jb_kstr(j, "owned_by", owner);
	jb_end(j);
}

void
models_get(struct greq *g)
{
	struct m_agent_id q = { .agent_id = g->agent->id };
	struct jbuf *j;

	if ((j = malloc(sizeof(*j))) == NULL)
		fatal("request");
	jbuf_init(j, LIST_MAX);
	jb_obj(j);
	jb_kstr(j, "object", "list");
	jb_key(j, "data");
	jb_arr(j);
	add_model(j, "default", "agentd");
	g->data = j;
	g->closed = models_closed;
	if (greq_ask(g, PROC_PROXY, MSG_MODEL_LIST, &q, models_row) == -1) {
		jbuf_free(j);
		free(j);
	}
}

static void
models_closed(struct greq *g)
{
	struct jbuf *j = g->data;

	jbuf_free(j);
	free(j);
	g->data = NULL;
	g->closed = NULL;
}

static void
models_row(struct msg *m, void *arg)
{
	struct greq *g = arg;
	struct jbuf *j = g->data;

	if (m != NULL && m->type == MSG_MODEL_ROW &&
	    *m->u.model_row.id != '\0')
		add_model(j, m->u.model_row.id, m->u.model_row.provider);
	if (m != NULL && m->more)
		return;
	greq_asked(g);
	g->data = NULL;
	g->closed = NULL;
	if (m == NULL) {
		greq_away(g, PROC_PROXY);
	} else if (m->type == MSG_DONE && m->u.done.status >= 400) {
		greq_error(g, (int)m->u.done.status, "%s", m->u.done.error);
	} else {
		jb_end(j);
		jb_end(j);
		greq_reply(g, 200, j);
	}
	jbuf_free(j);
	free(j);
}

/*
 * CT_PROBE and CT_TAG: is an instance there, and what do its labels say?
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * Whether an instance is there has three answers: yes, no, and "that cannot
 * be known now" (503).  Only a plain 404 of Incus, with no operation at work
 * on it, is a no: whoever removes what belongs to an instance relies on it.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include "container.h"
#include "jbuf.h"
#include "sys.h"

struct tag {
	struct op	 op;
	char		 agent_id[33];
	char		 slug[53];
	char		 archived[33];
	bool		 set;		/* else it is only looked at */
};

static void
on_tagged(const struct incus_reply *r, void *arg)
{
	struct tag *t = arg;

	if (r->status == 200)
		op_done(&t->op, 200, NULL, "%s", "");
	else
		op_fail(&t->op, r, NULL);
}

static void
set(struct tag *t)
{
	struct jbuf b;

	jbuf_init(&b, 4096);
	jb_obj(&b);
	jb_key(&b, "config");
	jb_obj(&b);
	/* An empty value removes the key. */
	jb_kstr(&b, "user.agentd.archived", t->archived);
	jb_kstr(&b, "user.agentd.slug", t->slug);
	jb_end(&b);
	jb_end(&b);
	instance_call("PATCH", t->op.instance, &b, CT_TIMEOUT, on_tagged, t);
	jbuf_free(&b);
}

static void
unknown(struct tag *t, const struct incus_reply *r)
{
	if (r->down)
		env_lost();
	op_done(&t->op, 503, NULL, "whether the instance %s is there cannot "
	    "be known: %s", t->op.instance, r->error);
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct tag *t = arg;
	struct instance i;

	if (r->status != 200 && r->status != 404)
		unknown(t, r);
	else if (!instance_of(&t->op, t->op.instance, t->agent_id, r, &i))
		return;
	else if (t->set)
		set(t);
	else
		op_done(&t->op, 200, &i.map, "%s", "");
}

static void
on_quiet(const struct incus_reply *r, void *arg)
{
	struct tag *t = arg;

	if (r->status == 200)
		instance_get(t->op.instance, on_found, t);
	else
		unknown(t, r);
}

static void
run(struct op *op)
{
	busy_wait(BUSY_INSTANCE, op->instance, on_quiet, op);
}

void
probe_start(uint64_t id, const struct m_ct_ref *m)
{
	struct tag *t;

	if (!sys_is_id(m->agent_id) || !valid_instance(m->instance)) {
		op_refuse(id, 400, "probe: %s is not valid",
		    !sys_is_id(m->agent_id) ? "agent_id" : "instance");
		return;
	}
	if ((t = op_new(sizeof(*t), id, "probe", m->instance, run, NULL)) ==
	    NULL)
		return;
	strlcpy(t->agent_id, m->agent_id, sizeof(t->agent_id));
	op_start(&t->op);
}

void
tag_start(uint64_t id, const struct m_ct_tag *m)
{
	const char *field = NULL;
	struct tag *t;

	if (!sys_is_id(m->agent_id))
		field = "agent_id";
	else if (!valid_instance(m->instance))
		field = "instance";
	else if (!sys_is_slug(m->slug))
		field = "slug";
	else if (m->archived[0] != '\0' && !valid_stamp(m->archived))
		field = "archived";
	if (field != NULL) {
		op_refuse(id, 400, "tag: %s is not valid", field);
		return;
	}
	if ((t = op_new(sizeof(*t), id, "tag", m->instance, run, NULL)) ==
	    NULL)
		return;
	strlcpy(t->agent_id, m->agent_id, sizeof(t->agent_id));
	strlcpy(t->slug, m->slug, sizeof(t->slug));
	strlcpy(t->archived, m->archived, sizeof(t->archived));
	t->set = true;
	op_start(&t->op);
}

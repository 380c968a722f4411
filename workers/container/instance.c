/*
 * Instances as Incus describes them, and their state.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include "container.h"
#include "jbuf.h"
#include "log.h"
#include "sys.h"

void
instance_read(struct json_object *meta, struct instance *i)
{
	struct json_object *config = meta_obj(meta, "config");
	const char *s;

	memset(i, 0, sizeof(*i));
	if ((s = meta_str(meta, "status")) != NULL)
		strlcpy(i->status, s, sizeof(i->status));
	if ((s = meta_str(config, "user.agentd.agent_id")) != NULL &&
	    sys_is_id(s))
		strlcpy(i->agent_id, s, sizeof(i->agent_id));
	if ((s = meta_str(config, "user.agentd.node")) != NULL)
		i->ours = strcmp(s, env_node()) == 0;
	/* current is what runs now; next is what the next start will use. */
	if ((s = meta_str(config, "volatile.idmap.current")) == NULL ||
	    idmap_parse(s, &i->map) == -1)
		if ((s = meta_str(config, "volatile.idmap.next")) == NULL ||
		    idmap_parse(s, &i->map) == -1)
			i->map.base = i->map.count = 0;
}

bool
instance_is(const struct instance *i, const char *agent_id)
{
	return i->ours && strcmp(i->agent_id, agent_id) == 0;
}

bool
instance_of(struct op *op, const char *name, const char *agent_id,
    const struct incus_reply *r, struct instance *i)
{
	if (r->status == 404) {
		op_done(op, 404, NULL, "the instance %s is not there", name);
		return false;
	}
	if (r->status != 200) {
		op_fail(op, r, NULL);
		return false;
	}
	instance_read(r->meta, i);
	if (instance_is(i, agent_id))
		return true;
	op_done(op, 409, NULL, "the instance %s belongs to somebody else: "
	    "left alone", name);
	return false;
}

void
instance_call(const char *method, const char *name, struct jbuf *body,
    unsigned int timeout, incus_fn fn, void *arg)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/instances/%s?project=%s", name,
	    env_project());
	incus_call(method, path, body == NULL ? NULL : jbuf_text(body, NULL),
	    timeout, INCUS_REPLY_MAX, fn, arg);
}

void
instance_get(const char *name, incus_fn fn, void *arg)
{
	instance_call("GET", name, NULL, CT_TIMEOUT, fn, arg);
}

void
instances_get(incus_fn fn, void *arg)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/instances?recursion=1&project=%s",
	    env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_LIST_MAX, fn, arg);
}

void
instance_state(const char *name, const char *action, unsigned int timeout,
    bool force, incus_fn fn, void *arg)
{
	char path[CT_PATH_LEN];
	struct jbuf b;

	snprintf(path, sizeof(path), "/1.0/instances/%s/state?project=%s",
	    name, env_project());
	jbuf_init(&b, 1024);
	jb_obj(&b);
	jb_kstr(&b, "action", action);
	jb_kint(&b, "timeout", force ? -1 : (int64_t)timeout);
	jb_kbool(&b, "force", force);
	jb_end(&b);
	incus_call("PUT", path, jbuf_text(&b, NULL), timeout + CT_TIMEOUT,
	    INCUS_REPLY_MAX, fn, arg);
	jbuf_free(&b);
}

/*
 * CT_COPY: a new instance from a snapshot of another, or from another as it
 * is.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * Incus takes the source's keys and devices over.  So the copy is made but
 * not started, then it gets exactly the keys and devices of a new instance,
 * and only then it starts: nothing that the source had (a network card, a
 * socket, a right) is left in it.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"
#include "create.h"
#include "jbuf.h"
#include "sys.h"

#define COPY_TIMEOUT	600	/* seconds: a pool without clones copies all */

static void
on_started(const struct incus_reply *r, void *arg)
{
	create_ended(arg, r);
}

static void
on_made_exact(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;

	if (r->status != 200)
		create_ended(c, r);
	else
		instance_state(c->op.instance, "start", CT_TIMEOUT, false,
		    on_started, c);
}

/* Its own volatile keys stay: the range of its user ids is among them. */
static struct json_object *
exact_config(const struct create *c, struct json_object *now)
{
	struct json_object *doc, *config;
	struct jbuf b;

	jbuf_init(&b, 65536);
	jb_obj(&b);
	create_config(&b, c);
	jb_end(&b);
	doc = json_tokener_parse(jbuf_text(&b, NULL));
	jbuf_free(&b);
	config = json_object_get(meta_obj(doc, "config"));
	json_object_put(doc);
	json_object_object_foreach(now, key, value)
		if (strncmp(key, "volatile.", 9) == 0 ||
		    strncmp(key, "image.", 6) == 0)
			json_object_object_add(config, key,
			    json_object_get(value));
	return config;
}

static void
on_copied(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;
	struct json_object *config = meta_obj(r->meta, "config");
	struct incus_reply why = *r;
	struct jbuf b;

	if (r->status == 200 && config == NULL)
		reply_fail(&why, 502, "Incus says nothing of the copy %s",
		    c->op.instance);
	if (why.status != 200) {
		create_ended(c, &why);
		return;
	}
	c->base = limits_base(r->meta);
	config = exact_config(c, config);
	jbuf_init(&b, 131072);
	jb_obj(&b);
	jb_kstr(&b, "architecture", meta_str(r->meta, "architecture"));
	jb_kstr(&b, "description", "agent of agentd");
	jb_kbool(&b, "ephemeral", false);
	jb_key(&b, "profiles");
	jb_arr(&b);
	jb_end(&b);
	jb_key(&b, "config");
	jb_raw(&b, json_object_to_json_string(config),
	    strlen(json_object_to_json_string(config)));
	create_devices(&b, c);
	jb_end(&b);
	json_object_put(config);
	instance_call("PUT", c->op.instance, &b, CT_TIMEOUT, on_made_exact,
	    c);
	jbuf_free(&b);
}

static void
on_posted(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;

	gate_leave(&c->turn);
	if (r->status != 200)
		create_ended(c, r);
	else
		instance_get(c->op.instance, on_copied, c);
}

static void
post(void *arg)
{
	struct create *c = arg;
	char path[CT_PATH_LEN], source[160];
	uint64_t disk = c->disk;
	struct jbuf b;

	if (!create_wanted(c))
		return;
	(void)snprintf(source, sizeof(source), "%s%s%s", c->source,
	    c->snapshot[0] != '\0' ? "/" : "", c->snapshot);
	jbuf_init(&b, 65536);
	jb_obj(&b);
	jb_kstr(&b, "name", c->op.instance);
	jb_kstr(&b, "type", "container");
	jb_kbool(&b, "start", false);
	jb_key(&b, "source");
	jb_obj(&b);
	jb_kstr(&b, "type", "copy");
	jb_kstr(&b, "source", source);
	jb_kbool(&b, "instance_only", true);
	/* A runtime goes on writing while a pool without clones copies. */
	jb_kbool(&b, "allow_inconsistent", true);
	jb_end(&b);
	jb_key(&b, "profiles");
	jb_arr(&b);
	jb_end(&b);
	create_config(&b, c);
	/* Its size comes with the rest: what it must hold is not known yet. */
	c->disk = 0;
	create_devices(&b, c);
	c->disk = disk;
	jb_end(&b);
	snprintf(path, sizeof(path), "/1.0/instances?project=%s",
	    env_project());
	incus_call("POST", path, jbuf_text(&b, NULL), COPY_TIMEOUT,
	    INCUS_REPLY_MAX, on_posted, c);
	jbuf_free(&b);
}

static void
on_source(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;
	struct instance i;

	if (r->status == 404) {
		op_done(&c->op, 404, NULL, "the source's instance %s is not "
		    "there", c->source);
		return;
	}
	if (r->status != 200) {
		op_fail(&c->op, r, NULL);
		return;
	}
	instance_read(r->meta, &i);
	if (!instance_is(&i, c->source_id)) {
		/* Not 409: that would say that the new name is taken. */
		op_done(&c->op, 403, NULL, "the source's instance %s belongs "
		    "to somebody else", c->source);
		return;
	}
	create_enter(c);
}

static void
run(struct op *op)
{
	struct create *c = (struct create *)op;

	if (create_wanted(c))
		instance_get(c->source, on_source, c);
}

static const char *
bad_field(const struct m_ct_copy *m, const struct m_ct_create *as)
{
	if (!sys_is_id(m->source_id))
		return "source_id";
	if (!valid_instance(m->source) ||
	    strcmp(m->source, m->instance) == 0)
		return "source";
	if (m->snapshot[0] != '\0' && !valid_snapshot(m->snapshot))
		return "snapshot";
	return create_bad_field(as);
}

void
copy_start(uint64_t id, const struct m_ct_copy *m)
{
	const struct m_ct_create as = {
		.agent_id = m->agent_id, .instance = m->instance,
		.slug = m->slug, .node_id = m->node_id, .image = "copy",
		.sock_dir = m->sock_dir, .memory = m->memory,
		.cpus = m->cpus, .disk = m->disk, .processes = m->processes,
		.request = m->request, .again = m->again,
	};
	struct create *c;
	const char *field;

	if ((field = bad_field(m, &as)) != NULL) {
		op_refuse(id, 400, "an instance cannot be copied: %s is not "
		    "valid", field);
		return;
	}
	if ((c = create_new(id, "copy", &as, run, post)) == NULL)
		return;
	strlcpy(c->source_id, m->source_id, sizeof(c->source_id));
	strlcpy(c->source, m->source, sizeof(c->source));
	strlcpy(c->snapshot, m->snapshot, sizeof(c->snapshot));
	op_start(&c->op);
}

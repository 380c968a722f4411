/*
 * CT_CREATE: one instance, made and started by one call.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * Alias to fingerprint, create with start, idmap.  When any step after the
 * creation fails the instance is destroyed again.
 *
 * keeper may ask twice for the same job, because it or this worker was
 * killed: what runs then and was made for that job is the answer; all else of
 * ours is removed and made anew.  When keeper goes and does not ask again it
 * removes what it finds and does not know.
 *
 * One creation at a time: see gate.c.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "create.h"
#include "image.h"
#include "jbuf.h"
#include "log.h"
#include "sys.h"

#define CREATE_TIMEOUT	300	/* seconds: a new image is unpacked first */

static void	post(void *);

static void
on_rolled_back(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;

	if (r->status != 200)
		log_warnx("%s: left behind: %s", c->op.instance, r->error);
	op_fail(&c->op, &c->why, NULL);
}

static void
roll_back(struct create *c, const struct incus_reply *why)
{
	c->undoing = true;
	c->why = *why;
	c->why.meta = NULL;
	destroy_run(c->op.instance, c->agent_id, 0, on_rolled_back, c);
}

static void
on_made(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;
	struct incus_reply why;
	struct instance i;

	if (r->status != 200) {
		roll_back(c, r);
		return;
	}
	instance_read(r->meta, &i);
	memset(&why, 0, sizeof(why));
	if (strcmp(i.status, "Running") != 0)
		reply_fail(&why, 502, "the instance %s stopped right after "
		    "its start", c->op.instance);
	else if (i.map.count == 0)
		reply_fail(&why, 502, "the instance %s has no idmap of its "
		    "own", c->op.instance);
	else {
		op_done(&c->op, 200, &i.map, "%s", "");
		return;
	}
	roll_back(c, &why);
}

static void
on_leftover_gone(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;

	c->undoing = false;
	if (r->status == 200)
		gate_enter(&c->turn, c->post, c);
	else
		op_fail(&c->op, r, NULL);
}

/* Of an earlier try that nobody finished. */
static void
remove_leftover(struct create *c)
{
	c->again = c->undoing = true;
	destroy_run(c->op.instance, c->agent_id, 0, on_leftover_gone, c);
}

static bool
same_request(const struct create *c, struct json_object *meta)
{
	const char *request = meta_str(meta_obj(meta, "config"),
	    "user.agentd.request");

	return request != NULL && strcmp(request, c->request) == 0;
}

static void
foreign(struct create *c)
{
	op_done(&c->op, 409, NULL, "an instance %s exists and belongs to "
	    "somebody else: left alone", c->op.instance);
}

/* A creation failed: whose is the instance that is there, if there is one? */
static void
on_remains(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;
	struct instance i;

	if (r->status != 200) {
		op_fail(&c->op, &c->why, NULL);
		return;
	}
	instance_read(r->meta, &i);
	if (!instance_is(&i, c->agent_id))
		foreign(c);
	else if (!same_request(c, r->meta) && !c->again && !c->op.orphan)
		remove_leftover(c);
	else
		roll_back(c, &c->why);
}

/* ---- asked again ---- */

static void
on_looked(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;
	struct instance i;

	if (r->status == 404) {
		gate_enter(&c->turn, c->post, c);
		return;
	}
	if (r->status != 200) {
		op_fail(&c->op, r, NULL);
		return;
	}
	instance_read(r->meta, &i);
	if (!instance_is(&i, c->agent_id)) {
		foreign(c);
	} else if (same_request(c, r->meta) && i.map.count != 0 &&
	    strcmp(i.status, "Running") == 0) {
		log_info("%s %s: it is there already", c->op.verb,
		    c->op.instance);
		op_done(&c->op, 200, &i.map, "%s", "");
	} else {
		remove_leftover(c);
	}
}

static void
on_quiet(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;

	if (r->status != 200)
		op_fail(&c->op, r, NULL);
	else
		instance_get(c->op.instance, on_looked, c);
}

bool
create_wanted(struct create *c)
{
	if (!c->op.orphan)
		return true;
	gate_leave(&c->turn);
	op_done(&c->op, 503, NULL, "nobody waits for it");
	return false;
}

void
create_enter(struct create *c)
{
	/* What a killed worker had asked for may still be in the making. */
	if (c->resume)
		busy_wait(BUSY_INSTANCE, c->op.instance, on_quiet, c);
	else
		gate_enter(&c->turn, c->post, c);
}

/*
 * keeper was restarted and asks for what is being made for it: the operation
 * of that verb answers this request then.
 */
static bool
take_over(uint64_t id, const char *verb, const struct m_ct_create *m)
{
	struct op *op = op_orphan(verb, m->instance);
	struct create *c = (struct create *)op;

	if (op == NULL || c->undoing || strcmp(c->request, m->request) != 0 ||
	    strcmp(c->agent_id, m->agent_id) != 0)
		return false;
	op_take(op, id);
	return true;
}

struct create *
create_new(uint64_t id, const char *verb, const struct m_ct_create *m,
    void (*run_fn)(struct op *), gate_fn post_fn)
{
	struct create *c;

	if (take_over(id, verb, m) || (c = op_new(sizeof(*c), id, verb,
	    m->instance, run_fn, NULL)) == NULL)
		return NULL;
	strlcpy(c->agent_id, m->agent_id, sizeof(c->agent_id));
	strlcpy(c->slug, m->slug, sizeof(c->slug));
	strlcpy(c->image, m->image, sizeof(c->image));
	strlcpy(c->sock_dir, m->sock_dir, sizeof(c->sock_dir));
	strlcpy(c->request, m->request, sizeof(c->request));
	c->resume = m->again != 0;
	c->post = post_fn;
	c->memory = m->memory;
	c->disk = m->disk;
	c->cpus = m->cpus;
	c->processes = m->processes;
	return c;
}

void
create_ended(struct create *c, const struct incus_reply *r)
{
	if (r->status == 200) {
		instance_get(c->op.instance, on_made, c);
		return;
	}
	c->why = *r;
	c->why.meta = NULL;
	if (r->down)
		op_fail(&c->op, r, NULL);
	else
		instance_get(c->op.instance, on_remains, c);
}

static void
on_created(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;

	gate_leave(&c->turn);
	create_ended(c, r);
}

/* ---- the request ---- */

void
create_config(struct jbuf *b, const struct create *c)
{
	jb_key(b, "config");
	jb_obj(b);
	jb_kstr(b, "boot.autostart", "false");
	kv(b, "limits.cpu", c->cpus);
	kv(b, "limits.memory", c->memory);
	kv(b, "limits.processes", c->processes);
	/* No socket of Incus inside: it would show our user.* keys. */
	jb_kstr(b, "security.guestapi", "false");
	jb_kstr(b, "security.idmap.isolated", "true");
	jb_kstr(b, "security.nesting", "false");
	jb_kstr(b, "security.privileged", "false");
	jb_kstr(b, "user.agentd.agent_id", c->agent_id);
	if (c->base != 0)
		kv(b, "user.agentd.base", c->base);
	jb_kstr(b, "user.agentd.node", env_node());
	jb_kstr(b, "user.agentd.request", c->request);
	jb_kstr(b, "user.agentd.slug", c->slug);
	jb_end(b);
}

void
create_devices(struct jbuf *b, const struct create *c)
{
	jb_key(b, "devices");
	jb_obj(b);
	limits_root(b, c->disk, c->base);
	jb_key(b, "agentd-sock");
	jb_obj(b);
	jb_kstr(b, "type", "disk");
	jb_kstr(b, "source", c->sock_dir);
	jb_kstr(b, "path", CT_SOCK_TARGET);
	jb_kstr(b, "readonly", "true");
	jb_end(b);
	jb_end(b);
}

static void
post(void *arg)
{
	struct create *c = arg;
	char path[CT_PATH_LEN];
	struct jbuf b;

	if (!create_wanted(c))
		return;
	jbuf_init(&b, 65536);
	jb_obj(&b);
	jb_kstr(&b, "name", c->op.instance);
	jb_kstr(&b, "type", "container");
	jb_kstr(&b, "description", "agent of agentd");
	jb_kbool(&b, "start", true);
	jb_key(&b, "source");
	jb_obj(&b);
	jb_kstr(&b, "type", "image");
	jb_kstr(&b, "fingerprint", c->fingerprint);
	jb_end(&b);
	jb_key(&b, "profiles");
	jb_arr(&b);
	jb_end(&b);
	create_config(&b, c);
	create_devices(&b, c);
	jb_end(&b);
	snprintf(path, sizeof(path), "/1.0/instances?project=%s",
	    env_project());
	incus_call("POST", path, jbuf_text(&b, NULL), CREATE_TIMEOUT,
	    INCUS_REPLY_MAX, on_created, c);
	jbuf_free(&b);
	gate_posted(c->op.instance);
}

static void
on_image(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;

	if (r->status != 200) {
		op_fail(&c->op, r, NULL);
		return;
	}
	c->base = limits_image_base(r->meta);
	create_enter(c);
}

static void
on_alias(const struct incus_reply *r, void *arg)
{
	struct create *c = arg;

	if (r->status == 404)
		op_done(&c->op, 404, NULL, "image %s is not there; build it: "
		    "agentctl image build", c->image);
	else if (imgget_target(&c->op, c->image, r, c->fingerprint))
		imgget(c->fingerprint, on_image, c);
}

static void
run(struct op *op)
{
	struct create *c = (struct create *)op;

	if (!create_wanted(c))
		return;
	if (valid_fingerprint(c->image)) {
		/* Of an import: it has no alias. */
		strlcpy(c->fingerprint, c->image, sizeof(c->fingerprint));
		create_enter(c);
	} else {
		imgget_alias(c->image, on_alias, c);
	}
}

/* The name of the first field that is not as it must be, or NULL. */
const char *
create_bad_field(const struct m_ct_create *m)
{
	if (!sys_is_id(m->agent_id))
		return "agent_id";
	if (!valid_instance(m->instance))
		return "instance";
	if (!sys_is_slug(m->slug))
		return "slug";
	if (!valid_name(m->node_id) || strcmp(m->node_id, env_node()) != 0)
		return "node_id";
	if (!valid_alias(m->image))
		return "image";
	if (!valid_sock_dir(m->sock_dir, env_agents_dir(), m->agent_id))
		return "sock_dir";
	if (!sys_is_id(m->request))
		return "request";
	return limits_bad(m->memory, m->cpus, m->processes, m->disk);
}

void
create_start(uint64_t id, const struct m_ct_create *m)
{
	struct create *c;
	const char *field;

	if ((field = create_bad_field(m)) != NULL) {
		op_refuse(id, 400, "an instance cannot be made: %s is not "
		    "valid", field);
		return;
	}
	if ((c = create_new(id, "create", m, run, post)) != NULL)
		op_start(&c->op);
}

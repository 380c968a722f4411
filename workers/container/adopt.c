/*
 * CT_ADOPT: an instance that was made ahead becomes an agent's.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * It carries the agent's id already, so it is checked as any other.  One that
 * was made from another image than the alias names now is refused: keeper
 * then makes a new one.  Done twice it is done once.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include "container.h"
#include "image.h"
#include "jbuf.h"
#include "sys.h"

struct adopt {
	struct op	 op;
	char		 agent_id[33];
	char		 slug[53];
	char		 image[129];
	char		 fingerprint[65];
	char		 status[32];
	uint64_t	 memory, disk;
	uint64_t	 base;		/* bytes of the image, unpacked */
	uint32_t	 cpus, processes;
	struct idmap	 map;
};

static void
on_thawed(const struct incus_reply *r, void *arg)
{
	struct adopt *a = arg;

	if (r->status != 200)
		op_fail(&a->op, r, NULL);
	else
		op_done(&a->op, 200, &a->map, "%s", "");
}

static void
on_patched(const struct incus_reply *r, void *arg)
{
	struct adopt *a = arg;

	if (r->status != 200)
		op_fail(&a->op, r, NULL);
	else if (strcmp(a->status, "Frozen") == 0)
		instance_state(a->op.instance, "unfreeze", CT_TIMEOUT, false,
		    on_thawed, a);
	else
		op_done(&a->op, 200, &a->map, "%s", "");
}

static void
patch(struct adopt *a)
{
	struct jbuf b;

	jbuf_init(&b, 8192);
	jb_obj(&b);
	jb_key(&b, "config");
	jb_obj(&b);
	kv(&b, "limits.cpu", a->cpus);
	kv(&b, "limits.memory", a->memory);
	kv(&b, "limits.processes", a->processes);
	jb_kstr(&b, "user.agentd.slug", a->slug);
	jb_end(&b);
	if (limits_root_size(a->disk, a->base) > 0) {
		/* A device is replaced as a whole. */
		jb_key(&b, "devices");
		jb_obj(&b);
		limits_root(&b, a->disk, a->base);
		jb_end(&b);
	}
	jb_end(&b);
	instance_call("PATCH", a->op.instance, &b, CT_TIMEOUT, on_patched, a);
	jbuf_free(&b);
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct adopt *a = arg;
	const char *base;
	struct instance i;

	if (!instance_of(&a->op, a->op.instance, a->agent_id, r, &i))
		return;
	base = meta_str(meta_obj(r->meta, "config"), "volatile.base_image");
	strlcpy(a->status, i.status, sizeof(a->status));
	a->map = i.map;
	a->base = limits_base(r->meta);
	if (base == NULL || strcmp(base, a->fingerprint) != 0)
		op_done(&a->op, 410, NULL, "the instance %s is of an older "
		    "image %s", a->op.instance, a->image);
	else if (strcmp(i.status, "Frozen") != 0 &&
	    strcmp(i.status, "Running") != 0)
		op_done(&a->op, 410, NULL, "the instance %s does not run",
		    a->op.instance);
	else if (i.map.count == 0)
		op_done(&a->op, 502, NULL, "the instance %s has no idmap of "
		    "its own", a->op.instance);
	else
		patch(a);
}

static void
on_alias(const struct incus_reply *r, void *arg)
{
	struct adopt *a = arg;
	const char *target;

	if (r->status != 200) {
		op_fail(&a->op, r, NULL);
		return;
	}
	target = meta_str(r->meta, "target");
	strlcpy(a->fingerprint, target == NULL ? "" : target,
	    sizeof(a->fingerprint));
	instance_get(a->op.instance, on_found, a);
}

static void
run(struct op *op)
{
	struct adopt *a = (struct adopt *)op;

	imgget_alias(a->image, on_alias, a);
}

/* The name of the first field that is not as it must be, or NULL. */
static const char *
bad_field(const struct m_ct_adopt *m)
{
	if (!sys_is_id(m->agent_id))
		return "agent_id";
	if (!valid_instance(m->instance))
		return "instance";
	if (!sys_is_slug(m->slug))
		return "slug";
	if (!valid_alias(m->image))
		return "image";
	return limits_bad(m->memory, m->cpus, m->processes, m->disk);
}

void
adopt_start(uint64_t id, const struct m_ct_adopt *m)
{
	struct adopt *a;
	const char *field;

	if ((field = bad_field(m)) != NULL) {
		op_refuse(id, 400, "an instance cannot be adopted: %s is not "
		    "valid", field);
		return;
	}
	if ((a = op_new(sizeof(*a), id, "adopt", m->instance, run, NULL)) ==
	    NULL)
		return;
	strlcpy(a->agent_id, m->agent_id, sizeof(a->agent_id));
	strlcpy(a->slug, m->slug, sizeof(a->slug));
	strlcpy(a->image, m->image, sizeof(a->image));
	a->memory = m->memory;
	a->disk = m->disk;
	a->cpus = m->cpus;
	a->processes = m->processes;
	op_start(&a->op);
}

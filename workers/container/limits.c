/*
 * CT_LIMITS: memory, CPUs, processes and disk of an instance, running or not.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * All or nothing: one PATCH carries every limit, and what Incus has then is
 * read back.  Limits that are so already cost one question and no change.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"
#include "jbuf.h"
#include "sys.h"

/* Of an image that does not say how large it is unpacked. */
#define UNPACKED	4

struct limits {
	struct op	 op;
	char		 agent_id[33];
	uint64_t	 memory, disk;
	uint32_t	 cpus, processes;
};

void
kv(struct jbuf *b, const char *key, uint64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	jb_kstr(b, key, text);
}

const char *
limits_bad(uint64_t memory, uint32_t cpus, uint32_t processes, uint64_t disk)
{
	if (memory < MEMORY_MIN || memory > MEMORY_MAX)
		return "memory";
	if (cpus < 1 || cpus > CPUS_MAX)
		return "cpus";
	if (disk > MEMORY_MAX)
		return "disk";
	if (processes < 1 || processes > PROCESSES_MAX)
		return "processes";
	return NULL;
}

uint64_t
limits_root_size(uint64_t disk, uint64_t base)
{
	if (disk == 0 || !env_pool_sized())
		return 0;
	return strcmp(env_pool_driver(), "btrfs") == 0 ? disk + base : disk;
}

void
limits_root(struct jbuf *b, uint64_t disk, uint64_t base)
{
	uint64_t size = limits_root_size(disk, base);

	jb_key(b, "root");
	jb_obj(b);
	jb_kstr(b, "type", "disk");
	jb_kstr(b, "path", "/");
	jb_kstr(b, "pool", env_pool());
	if (size > 0)
		kv(b, "size", size);
	jb_end(b);
}

/* Decimal digits and nothing else; 0 if that is not so. */
static uint64_t
number(const char *s)
{
	size_t len = s == NULL ? 0 : strlen(s);

	if (len == 0 || len > 17 || strspn(s, "0123456789") != len)
		return 0;
	return strtoull(s, NULL, 10);
}

uint64_t
limits_image_base(struct json_object *image)
{
	uint64_t n = number(meta_str(meta_obj(image, "properties"),
	    "agentd.size"));
	int64_t packed = meta_int(image, "size");

	if (n == 0 && packed > 0)
		n = (uint64_t)packed * UNPACKED;
	return n <= MEMORY_MAX ? n : 0;
}

uint64_t
limits_base(struct json_object *instance)
{
	return number(meta_str(meta_obj(instance, "config"),
	    "user.agentd.base"));
}

/* Has the instance these limits? */
static bool
is_so(const struct limits *l, struct json_object *meta)
{
	struct json_object *config = meta_obj(meta, "config");
	struct json_object *root = meta_obj(meta_obj(meta, "devices"), "root");

	return number(meta_str(config, "limits.memory")) == l->memory &&
	    number(meta_str(config, "limits.cpu")) == l->cpus &&
	    number(meta_str(config, "limits.processes")) == l->processes &&
	    number(meta_str(root, "size")) == limits_root_size(l->disk,
	    limits_base(meta));
}

static void
on_read_back(const struct incus_reply *r, void *arg)
{
	struct limits *l = arg;

	if (r->status != 200)
		op_fail(&l->op, r, NULL);
	else if (!is_so(l, r->meta))
		op_done(&l->op, 502, NULL, "Incus took the limits of %s, but "
		    "has others", l->op.instance);
	else
		op_done(&l->op, 200, NULL, "%s", "");
}

static void
on_patched(const struct incus_reply *r, void *arg)
{
	struct limits *l = arg;

	if (r->status != 200)
		op_fail(&l->op, r, "the limits were not taken");
	else
		instance_get(l->op.instance, on_read_back, l);
}

/* The device as it is, with another size. */
static void
put_root(struct jbuf *b, const struct limits *l, struct json_object *meta)
{
	struct json_object *root = meta_obj(meta_obj(meta, "devices"), "root");
	uint64_t size;

	size = limits_root_size(l->disk, limits_base(meta));
	if (root == NULL)
		return;
	jb_key(b, "devices");
	jb_obj(b);
	jb_key(b, "root");
	jb_obj(b);
	json_object_object_foreach(root, key, value)
		if (strcmp(key, "size") != 0)
			jb_kstr(b, key, json_object_get_string(value));
	if (size > 0)
		kv(b, "size", size);
	jb_end(b);
	jb_end(b);
}

static void
patch(struct limits *l, struct json_object *meta)
{
	struct jbuf b;

	jbuf_init(&b, 65536);
	jb_obj(&b);
	jb_key(&b, "config");
	jb_obj(&b);
	kv(&b, "limits.cpu", l->cpus);
	kv(&b, "limits.memory", l->memory);
	kv(&b, "limits.processes", l->processes);
	jb_end(&b);
	put_root(&b, l, meta);
	jb_end(&b);
	instance_call("PATCH", l->op.instance, &b, CT_TIMEOUT, on_patched, l);
	jbuf_free(&b);
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct limits *l = arg;
	struct instance i;

	if (!instance_of(&l->op, l->op.instance, l->agent_id, r, &i))
		return;
	if (is_so(l, r->meta))
		op_done(&l->op, 200, NULL, "%s", "");
	else
		patch(l, r->meta);
}

static void
run(struct op *op)
{
	instance_get(op->instance, on_found, op);
}

void
limits_start(uint64_t id, const struct m_ct_limits *m)
{
	const char *field;
	struct limits *l;

	field = !sys_is_id(m->agent_id) ? "agent_id" :
	    !valid_instance(m->instance) ? "instance" :
	    limits_bad(m->memory, m->cpus, m->processes, m->disk);
	if (field != NULL) {
		op_refuse(id, 400, "limits: %s is not valid", field);
		return;
	}
	if ((l = op_new(sizeof(*l), id, "limits", m->instance, run, NULL)) ==
	    NULL)
		return;
	strlcpy(l->agent_id, m->agent_id, sizeof(l->agent_id));
	l->memory = m->memory;
	l->disk = m->disk;
	l->cpus = m->cpus;
	l->processes = m->processes;
	op_start(&l->op);
}

/*
 * CT_USAGE: what an instance takes up, as Incus counts it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * Never by a look into the container: what df shows there is the host's file
 * system on some pools.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"
#include "log.h"
#include "peer.h"
#include "sys.h"
#include "worker.h"

struct usage {
	struct op	 op;
	char		 agent_id[33];
	/* Not the operation's: a look waits for nobody. */
	char		 instance[64];
	struct m_ct_usage u;
};

static void
on_state(const struct incus_reply *r, void *arg)
{
	struct usage *u = arg;
	struct json_object *root, *memory;
	int64_t n;

	if (r->status != 200) {
		op_fail(&u->op, r, NULL);
		return;
	}
	root = meta_obj(meta_obj(r->meta, "disk"), "root");
	memory = meta_obj(r->meta, "memory");
	n = root == NULL ? -1 : meta_int(root, "usage");
	u->u.disk_known = n > 0 && env_pool_sized();
	u->u.disk = u->u.disk_known ? (uint64_t)n : 0;
	n = memory == NULL ? 0 : meta_int(memory, "usage");
	u->u.memory = n > 0 ? (uint64_t)n : 0;
	n = meta_int(r->meta, "processes");
	u->u.processes = n > 0 && n < UINT32_MAX ? (uint32_t)n : 0;
	u->u.status = 200;
	u->u.error = "";
	op_row(&u->op, MSG_CT_USED, &u->u);
	op_done(&u->op, 200, NULL, "%s", "");
}

static void
on_snapshots(const struct incus_reply *r, void *arg)
{
	struct usage *u = arg;
	char path[CT_PATH_LEN];

	if (r->status != 200) {
		op_fail(&u->op, r, NULL);
		return;
	}
	u->u.snapshots = (uint32_t)meta_len(r->meta);
	snprintf(path, sizeof(path), "/1.0/instances/%s/state?project=%s",
	    u->instance, env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX, on_state,
	    u);
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct usage *u = arg;
	char path[CT_PATH_LEN];
	struct instance i;

	if (!instance_of(&u->op, u->instance, u->agent_id, r, &i))
		return;
	snprintf(path, sizeof(path), "/1.0/instances/%s/snapshots?project=%s",
	    u->instance, env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_LIST_MAX,
	    on_snapshots, u);
}

static void
run(struct op *op)
{
	instance_get(((struct usage *)op)->instance, on_found, op);
}

void
usage_start(uint64_t id, const struct m_ct_ref *m)
{
	struct usage *u;

	if (!sys_is_id(m->agent_id) || !valid_instance(m->instance)) {
		op_refuse(id, 400, "usage: %s is not valid",
		    !sys_is_id(m->agent_id) ? "agent_id" : "instance");
		return;
	}
	if ((u = op_new(sizeof(*u), id, "usage", "", run, NULL)) ==
	    NULL)
		return;
	strlcpy(u->agent_id, m->agent_id, sizeof(u->agent_id));
	strlcpy(u->instance, m->instance, sizeof(u->instance));
	op_start(&u->op);
}

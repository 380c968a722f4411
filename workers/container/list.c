/*
 * CT_LIST: which instances in Incus are ours.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"

static void
on_instances(const struct incus_reply *r, void *arg)
{
	struct op *op = arg;
	struct json_object *o;
	struct instance i;
	struct m_ct_row row;
	size_t k, n;

	if (r->status != 200) {
		op_fail(op, r, NULL);
		return;
	}
	n = meta_len(r->meta);
	for (k = 0; k < n; k++) {
		o = json_object_array_get_idx(r->meta, k);
		instance_read(o, &i);
		row.instance = meta_str(o, "name");
		if (!i.ours || i.agent_id[0] == '\0' || row.instance == NULL ||
		    !valid_instance(row.instance))
			continue;
		row.agent_id = i.agent_id;
		row.status = i.status;
		row.uid_base = i.map.base;
		row.uid_count = i.map.count;
		op_row(op, MSG_CT_ROW, &row);
	}
	op_done(op, 200, NULL, "%s", "");
}

static void
run_list(struct op *op)
{
	instances_get(on_instances, op);
}

void
list_start(uint64_t id)
{
	struct op *op;

	if ((op = op_new(sizeof(*op), id, "list", "", run_list, NULL)) !=
	    NULL)
		op_start(op);
}

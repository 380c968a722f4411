/*
 * CT_SNAP: snapshots of an instance of ours.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * Each verb says what should be: a snapshot that is there is not made again,
 * one that is gone is not deleted; the answer is then 208 instead of 200.
 *
 * Incus brings keys and devices of the snapshot back as well: limits,
 * network, labels of another day.  So what the instance had is put in place
 * again, and only its files are those of the snapshot.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"
#include "sys.h"

#define SNAP_TIMEOUT	600	/* seconds: a pool without clones copies all */
#define SNAPS_MAX	128	/* of one instance: each costs its deletion */

enum verb { V_MAKE, V_LIST, V_RESTORE, V_DELETE, V_MAX };

static const char *const verbs[V_MAX] = {
	[V_MAKE] = "make", [V_LIST] = "list", [V_RESTORE] = "restore",
	[V_DELETE] = "delete",
};

struct snap {
	struct op		 op;
	enum verb		 verb;
	char			 agent_id[33];
	char			 name[65];
	struct json_object	*was;	/* the instance before; owned */
};

static void
snap_free(struct op *op)
{
	json_object_put(((struct snap *)op)->was);
}

static void
call(struct snap *s, const char *method, const char *tail, const char *body,
    incus_fn fn)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/instances/%s%sproject=%s",
	    s->op.instance, tail, env_project());
	incus_call(method, path, body, SNAP_TIMEOUT, INCUS_REPLY_MAX, fn, s);
}

static void
on_end(const struct incus_reply *r, void *arg)
{
	struct snap *s = arg;

	if (r->status == 200)
		op_done(&s->op, 200, NULL, "%s", "");
	else if (s->verb == V_DELETE && r->status == 404)
		op_done(&s->op, 208, NULL, "%s", "");
	else
		op_fail(&s->op, r, NULL);
}

static void
no_sense(struct snap *s)
{
	op_done(&s->op, 502, NULL, "Incus gave an answer that makes no sense");
}

/* ---- list ---- */

static void
on_list(const struct incus_reply *r, void *arg)
{
	struct snap *s = arg;
	struct m_ct_snap_row row;
	struct json_object *o, *flag;
	const char *text;
	size_t i, n;

	if (r->status != 200) {
		op_fail(&s->op, r, NULL);
		return;
	}
	n = meta_len(r->meta);
	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(r->meta, i);
		row.name = meta_str(o, "name");
		if (row.name == NULL || !valid_snapshot(row.name) ||
		    temp_snapshot(row.name))
			continue;
		text = meta_str(o, "created_at");
		row.created_at = text != NULL ? time_parse(text) : 0;
		row.size = meta_int(o, "size") > 0 ?
		    (uint64_t)meta_int(o, "size") : 0;
		row.stateful = json_object_object_get_ex(o, "stateful",
		    &flag) && json_object_get_boolean(flag);
		op_row(&s->op, MSG_CT_SNAP_ROW, &row);
	}
	op_done(&s->op, 200, NULL, "%s", "");
}

/* ---- which there are ---- */

/* Names are the ends of "/1.0/instances/X/snapshots/NAME". */
static bool
is_there(struct json_object *list, const char *name)
{
	const char *url, *last;
	size_t i, n = json_object_array_length(list), len = strlen(name);

	for (i = 0; i < n; i++) {
		url = json_object_get_string(json_object_array_get_idx(list,
		    i));
		if (url == NULL || (last = strstr(url, "/snapshots/")) == NULL)
			continue;
		last += strlen("/snapshots/");
		if (strncmp(last, name, len) == 0 &&
		    (last[len] == '\0' || last[len] == '?'))
			return true;
	}
	return false;
}

/* ---- restore ---- */

/* What it had before, with the volatile keys that it has now. */
static struct json_object *
as_before(struct json_object *was, struct json_object *now)
{
	static const char *const members[] = { "architecture", "description",
	    "devices", "ephemeral", "profiles" };
	struct json_object *body = json_object_new_object();
	struct json_object *config = json_object_new_object(), *v;
	size_t i;

	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (json_object_object_get_ex(was, members[i], &v))
			json_object_object_add(body, members[i],
			    json_object_get(v));
	json_object_object_foreach(meta_obj(was, "config"), key, value)
		if (strncmp(key, "volatile.", 9) != 0)
			json_object_object_add(config, key,
			    json_object_get(value));
	json_object_object_foreach(meta_obj(now, "config"), k, val)
		if (strncmp(k, "volatile.", 9) == 0)
			json_object_object_add(config, k,
			    json_object_get(val));
	json_object_object_add(body, "config", config);
	return body;
}

static void
on_restored(const struct incus_reply *r, void *arg)
{
	struct snap *s = arg;
	struct json_object *body;

	if (r->status != 200) {
		op_fail(&s->op, r, NULL);
		return;
	}
	if (meta_obj(r->meta, "config") == NULL) {
		no_sense(s);
		return;
	}
	body = as_before(s->was, r->meta);
	call(s, "PUT", "?", json_object_to_json_string(body), on_end);
	json_object_put(body);
}

static void
on_rewound(const struct incus_reply *r, void *arg)
{
	struct snap *s = arg;

	if (r->status != 200)
		op_fail(&s->op, r, NULL);
	else
		call(s, "GET", "?", NULL, on_restored);
}

/* ---- all of them ---- */

/* Make and restore: the names of those that there are. */
static void
on_names(const struct incus_reply *r, void *arg)
{
	struct snap *s = arg;
	char body[128];
	bool there;

	if (r->status != 200) {
		op_fail(&s->op, r, NULL);
		return;
	}
	if (!json_object_is_type(r->meta, json_type_array)) {
		no_sense(s);
		return;
	}
	there = is_there(r->meta, s->name);
	if (s->verb == V_RESTORE && !there) {
		op_done(&s->op, 410, NULL, "there is no snapshot %s", s->name);
	} else if (s->verb == V_RESTORE) {
		snprintf(body, sizeof(body), "{\"restore\":\"%s\"}", s->name);
		call(s, "PUT", "?", body, on_rewound);
	} else if (there) {
		op_done(&s->op, 208, NULL, "%s", "");
	} else if (json_object_array_length(r->meta) >= SNAPS_MAX) {
		op_done(&s->op, 409, NULL, "there are %d snapshots: delete "
		    "some first", SNAPS_MAX);
	} else {
		snprintf(body, sizeof(body), "{\"name\":\"%s\","
		    "\"stateful\":false}", s->name);
		call(s, "POST", "/snapshots?", body, on_end);
	}
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct snap *s = arg;
	struct instance i;
	char tail[128];

	if (!instance_of(&s->op, s->op.instance, s->agent_id, r, &i))
		return;
	if (s->verb == V_LIST) {
		call(s, "GET", "/snapshots?recursion=1&", NULL, on_list);
	} else if (s->verb == V_RESTORE &&
	    strcmp(i.status, "Stopped") != 0) {
		op_done(&s->op, 409, NULL, "the instance %s is not stopped",
		    s->op.instance);
	} else if (s->verb == V_MAKE || s->verb == V_RESTORE) {
		s->was = json_object_get(r->meta);
		call(s, "GET", "/snapshots?", NULL, on_names);
	} else {
		snprintf(tail, sizeof(tail), "/snapshots/%s?", s->name);
		call(s, "DELETE", tail, NULL, on_end);
	}
}

static void
on_quiet(const struct incus_reply *r, void *arg)
{
	struct snap *s = arg;

	if (r->status != 200)
		op_fail(&s->op, r, NULL);
	else
		instance_get(s->op.instance, on_found, s);
}

static void
run(struct op *op)
{
	struct snap *s = (struct snap *)op;

	/* What an earlier worker began may end only now. */
	if (s->verb == V_LIST)
		instance_get(op->instance, on_found, s);
	else
		busy_wait(BUSY_INSTANCE, op->instance, on_quiet, s);
}

void
snap_start(uint64_t id, const struct m_ct_snap *m)
{
	const char *field = NULL;
	struct snap *s;
	int v;

	for (v = 0; v < V_MAX; v++)
		if (strcmp(m->verb, verbs[v]) == 0)
			break;
	if (v == V_MAX)
		field = "verb";
	else if (!sys_is_id(m->agent_id))
		field = "agent_id";
	else if (!valid_instance(m->instance))
		field = "instance";
	else if (v != V_LIST && !valid_snapshot(m->name))
		field = "name";
	if (field != NULL) {
		op_refuse(id, 400, "snapshot: %s is not valid", field);
		return;
	}
	if ((s = op_new(sizeof(*s), id, "snapshot", m->instance, run,
	    snap_free)) == NULL)
		return;
	s->verb = (enum verb)v;
	strlcpy(s->agent_id, m->agent_id, sizeof(s->agent_id));
	strlcpy(s->name, m->name, sizeof(s->name));
	op_start(&s->op);
}

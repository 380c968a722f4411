/*
 * agentctl recycle: what was deleted in an agent's container.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "ctl.h"

static const char *const heads[] = { "ID", "DELETED", "SIZE", "PATH", NULL };

static void
row(struct table *t, struct json_object *it)
{
	char when[64], size[64];
	double bytes = jnum(it, "size_bytes", -1);

	table_cell(t, "%s", jstr(it, "id"));
	table_cell(t, "%s", fmt_time(when, sizeof(when),
	    jnum(it, "deleted_at", 0)));
	table_cell(t, "%s", bytes < 0 ? "-" :
	    fmt_size(size, sizeof(size), bytes));
	table_cell(t, "%s", jstr(it, "original_path"));
}

static void
row_of_all(struct table *t, struct json_object *it)
{
	table_cell(t, "%s", jstr(it, "agent_name"));
	row(t, it);
}

/* Of all agents; who gives no list is named after it. */
static int
list_all(struct ctl *ctl)
{
	static const char *const all[] = { "AGENT", "ID", "DELETED", "SIZE",
	    "PATH", NULL };
	struct json_object *o;
	struct reply r;
	size_t i;
	int ret;

	ret = rest_get(ctl, "/api/recycle", &r);
	if (out_words(ctl, ret, &r)) {
		out_rows(ctl, jget(r.doc, "items"), all, row_of_all);
		for (i = 0; (o = jat(jget(r.doc, "without"), i)) != NULL; i++)
			complain("%s: %s", jstr(o, "agent_name"),
			    jstr(o, "reason"));
	}
	return reply_exit(ret, &r);
}

int
cmd_recycle_list(struct ctl *ctl, int argc, char **argv)
{
	char path[AGENT_PATH];
	struct reply r;
	int ret;

	if (argc == 0)
		return list_all(ctl);
	if (agent_path(path, argv[0], "/recycle") == -1)
		return CTL_USAGE;
	ret = rest_get(ctl, path, &r);
	if (out_words(ctl, ret, &r))
		out_rows(ctl, jget(r.doc, "items"), heads, row);
	return reply_exit(ret, &r);
}

static int
said(struct ctl *ctl, int rc, struct reply *r, const char *what)
{
	if (out_words(ctl, rc, r)) {
		(void)printf("%s ", what);
		out_str(jstr(r->doc, "original_path"));
		(void)putchar('\n');
	}
	return reply_exit(rc, r);
}

int
cmd_recycle_restore(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *doc;
	char path[AGENT_PATH];
	struct reply r;
	int rc;

	(void)argc;
	if (agent_path(path, argv[0], "/recycle/restore") == -1)
		return CTL_USAGE;
	doc = json_object_new_object();
	json_object_object_add(doc, argv[1][0] == '/' ? "original_path" :
	    "id", json_object_new_string(argv[1]));
	rc = rest_call(ctl, "POST", path, json_object_to_json_string_ext(doc,
	    JSON_C_TO_STRING_PLAIN), NULL, &r);
	json_object_put(doc);
	return said(ctl, rc, &r, "restored");
}

int
cmd_recycle_purge(struct ctl *ctl, int argc, char **argv)
{
	struct reply r;
	char path[512];
	int rc;

	(void)argc;
	if (!path_segment_ok(argv[0]) || !path_segment_ok(argv[1])) {
		complain("an agent and the ID of an item are needed: see "
		    "agentctl recycle list");
		return CTL_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/api/agents/%s/recycle/%s",
	    argv[0], argv[1]);
	rc = rest_call(ctl, "DELETE", path, NULL, NULL, &r);
	return said(ctl, rc, &r, "deleted for good:");
}

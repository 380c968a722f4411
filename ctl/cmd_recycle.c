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

int
cmd_recycle_list(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *items;
	struct table *t;
	struct reply r;
	char path[256];
	size_t i;

	(void)argc;
	if (!path_segment_ok(argv[0])) {
		complain("'%s' is not the name of an agent", argv[0]);
		return CTL_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/api/agents/%s/recycle", argv[0]);
	if (rest_get(ctl, path, &r) == -1) {
		reply_free(&r);
		return CTL_FAIL;
	}
	if (ctl->json) {
		out_json(&r);
		reply_free(&r);
		return CTL_OK;
	}
	t = table_new(4);
	for (i = 0; heads[i] != NULL; i++)
		table_cell(t, "%s", heads[i]);
	items = jget(r.doc, "items");
	for (i = 0; jat(items, i) != NULL; i++)
		row(t, jat(items, i));
	table_print(ctl, t);
	reply_free(&r);
	return CTL_OK;
}

static int
said(struct ctl *ctl, int rc, struct reply *r, const char *what)
{
	if (rc == 0 && ctl->json)
		out_json(r);
	else if (rc == 0) {
		(void)printf("%s ", what);
		out_str(jstr(r->doc, "original_path"));
		(void)putchar('\n');
	}
	reply_free(r);
	return rc == 0 ? CTL_OK : CTL_FAIL;
}

int
cmd_recycle_restore(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *doc = json_object_new_object();
	struct reply r;
	char path[256];
	int rc;

	(void)argc;
	if (!path_segment_ok(argv[0])) {
		json_object_put(doc);
		complain("'%s' is not the name of an agent", argv[0]);
		return CTL_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/api/agents/%s/recycle/restore",
	    argv[0]);
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

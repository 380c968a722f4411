/*
 * agentctl snapshot: list, make, restore, rm, schedule.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "ctl.h"
#include "jbuf.h"

#define PATH_LEN	256

/* "/api/agents/AGENT/snapshots" + "/NAME" (may be NULL) + tail. */
static int
snap_path(char *path, const char *agent, const char *name, const char *tail)
{
	if (!agent_name_ok(agent))
		return -1;
	if (name != NULL && (!path_segment_ok(name) || strlen(name) > 64)) {
		complain("'%s' is not the name of a snapshot", name);
		return -1;
	}
	(void)snprintf(path, PATH_LEN, "/api/agents/%s/snapshots%s%s%s",
	    agent, name != NULL ? "/" : "", name != NULL ? name : "", tail);
	return 0;
}

static void
snap_row(struct table *t, struct json_object *o)
{
	char buf[64];

	table_cell(t, "%s", jstr(o, "name"));
	table_cell(t, "%s", jstr(o, "kind"));
	table_cell(t, "%s", fmt_time(buf, sizeof(buf),
	    jnum(o, "created_at", 0)));
	table_cell(t, "%s", jnum(o, "size", 0) > 0 ?
	    fmt_size(buf, sizeof(buf), jnum(o, "size", 0)) : "-");
}

int
cmd_snapshot_list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {
		"SNAPSHOT", "MADE BY", "CREATED", "SIZE", NULL
	};
	char path[PATH_LEN];

	(void)argc;
	if (snap_path(path, argv[0], NULL, "") == -1)
		return CTL_USAGE;
	return out_list(ctl, path, heads, snap_row);
}

static int
change(struct ctl *ctl, const char *method, const char *path,
    const char *body, const char *what)
{
	struct reply r;
	int ret;

	ret = rest_call(ctl, method, path, body, NULL, &r);
	if (out_words(ctl, ret, &r))
		out_status(jstr(r.doc, what), r.doc);
	return reply_exit(ret, &r);
}

/* A body with one member, "{}" without a value. */
static int
put(struct ctl *ctl, const char *method, const char *path, const char *key,
    const char *value, const char *what)
{
	struct jbuf b;
	int ret;

	jbuf_init(&b, 4096);
	jb_obj(&b);
	if (value != NULL)
		jb_kstr(&b, key, value);
	jb_end(&b);
	ret = change(ctl, method, path, jbuf_text(&b, NULL), what);
	jbuf_free(&b);
	return ret;
}

int
cmd_snapshot_make(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_LEN];

	if (snap_path(path, argv[0], NULL, "") == -1)
		return CTL_USAGE;
	return put(ctl, "POST", path, "name", argc == 2 ? argv[1] : NULL,
	    "name");
}

int
cmd_snapshot_restore(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_LEN];

	(void)argc;
	if (snap_path(path, argv[0], argv[1], "/restore") == -1)
		return CTL_USAGE;
	return change(ctl, "POST", path, "{}", "name");
}

int
cmd_snapshot_rm(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_LEN];

	(void)argc;
	if (snap_path(path, argv[0], argv[1], "") == -1)
		return CTL_USAGE;
	return change(ctl, "DELETE", path, NULL, "name");
}

/* The words of a schedule may be one argument or several. */
int
cmd_snapshot_schedule(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_LEN], text[65];
	int i;

	if (snap_path(path, argv[0], NULL, "/schedule") == -1)
		return CTL_USAGE;
	text[0] = '\0';
	for (i = 1; i < argc; i++) {
		if (i > 1)
			(void)strlcat(text, " ", sizeof(text));
		if (strlcat(text, argv[i], sizeof(text)) >= sizeof(text))
			return ctl_usage();
	}
	return put(ctl, "PUT", path, "schedule", text, "snapshots");
}

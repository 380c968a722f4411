/*
 * agentctl agent: list, show.
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

bool
agent_name_ok(const char *name)
{
	if (path_segment_ok(name))
		return true;
	complain("'%s' is not the name of an agent", name);
	return false;
}

int
agent_path(char path[AGENT_PATH], const char *name, const char *tail)
{
	if (!agent_name_ok(name))
		return -1;
	(void)snprintf(path, AGENT_PATH, "/api/agents/%s%s", name, tail);
	return 0;
}

static const char *
presence(struct json_object *a)
{
	return jbool(jget(a, "presence"), "connected") ? "connected" : "-";
}

static void
agent_row(struct table *t, struct json_object *a)
{
	char buf[32];

	table_cell(t, "%s", jstr(a, "name"));
	table_cell(t, "%s", jstr(a, "status"));
	table_cell(t, "%s", presence(a));
	table_cell(t, "%s", jstr(a, "framework"));
	table_cell(t, "%s", jstr(a, "model")[0] != '\0' ?
	    jstr(a, "model") : "any");
	table_cell(t, "%s", fmt_time(buf, sizeof(buf),
	    jnum(a, "created_at", 0)));
}

int
cmd_agent_list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {
		"AGENT", "STATUS", "LINK",
		"FRAMEWORK", "MODEL", "CREATED", NULL
	};

	(void)argc;
	(void)argv;
	return out_list(ctl, "/api/agents", heads, agent_row);
}

static void
show_line(const char *name, const char *value)
{
	(void)printf("%-13s ", name);
	out_str(value[0] != '\0' ? value : "-");
	(void)putchar('\n');
}

static void
show_fallbacks(struct json_object *list)
{
	struct json_object *o;
	size_t i;

	for (i = 0; (o = jat(list, i)) != NULL; i++)
		show_line(i == 0 ? "fallbacks:" : "",
		    json_object_get_string(o));
}

static void
show_agent(struct json_object *a)
{
	struct json_object *p = jget(a, "presence");
	char buf[64];

	show_line("name:", jstr(a, "name"));
	show_line("display name:", jstr(a, "display_name"));
	show_line("status:", jstr(a, "status"));
	if (jstr(a, "reason")[0] != '\0')
		show_line("reason:", jstr(a, "reason"));
	(void)printf("%-13s %s", "link:", presence(a));
	if (jnum(p, "last_seen", 0) > 0)
		(void)printf(", last seen %s", fmt_time(buf, sizeof(buf),
		    jnum(p, "last_seen", 0)));
	(void)printf("\n%-13s %.0f messages\n", "waiting:",
	    jnum(a, "queued", 0));
	show_line("framework:", jstr(a, "framework"));
	show_line("model:", jstr(a, "model")[0] != '\0' ? jstr(a, "model") :
	    "any");
	show_fallbacks(jget(a, "fallback_models"));
	show_line("memory:", fmt_size(buf, sizeof(buf),
	    jnum(a, "memory_limit", 0)));
	(void)printf("%-13s %.0f\n", "CPUs:", jnum(a, "cpu_limit", 0));
	show_line("disk:", jnum(a, "disk_limit", 0) > 0 ? fmt_size(buf,
	    sizeof(buf), jnum(a, "disk_limit", 0)) : "no limit");
	show_line("network:", jstr(a, "network"));
	show_line("snapshots:", jstr(a, "snapshots"));
	show_line("container:", jstr(a, "container"));
	show_line("channel:", jstr(a, "channel_id"));
	show_line("id:", jstr(a, "id"));
	show_line("owner:", jstr(a, "owner"));
	show_line("created:", fmt_time(buf, sizeof(buf),
	    jnum(a, "created_at", 0)));
	show_line("started:", fmt_time(buf, sizeof(buf),
	    jnum(a, "started_at", 0)));
}

int
cmd_agent_show(struct ctl *ctl, int argc, char **argv)
{
	char path[AGENT_PATH];
	struct reply r;
	int ret;

	(void)argc;
	if (agent_path(path, argv[0], "") == -1)
		return CTL_USAGE;
	ret = rest_get(ctl, path, &r);
	if (out_words(ctl, ret, &r))
		show_agent(r.doc);
	return reply_exit(ret, &r);
}

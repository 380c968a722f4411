/*
 * agentctl catalog: which frameworks there are, and why one cannot be had.
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

static void
catalog_row(struct table *t, struct json_object *f)
{
	table_cell(t, "%s", jstr(f, "id"));
	table_cell(t, "%s", jstr(f, "status"));
	table_cell(t, "%s", jstr(f, "verification_status"));
	table_cell(t, "%s", jstr(f, "runtime"));
	table_cell(t, "%s", jstr(f, "version"));
	table_cell(t, "%s", jstr(f, "description"));
}

int
cmd_catalog_list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {
		"FRAMEWORK", "STATUS", "VERIFIED", "RUNTIME", "VERSION",
		"DESCRIPTION", NULL
	};

	(void)argc;
	(void)argv;
	return out_list(ctl, "/api/frameworks", heads, catalog_row);
}

static void
line(const char *what, const char *value)
{
	if (value[0] == '\0')
		return;
	(void)printf("%-14s", what);
	out_str(value);
	(void)printf("\n");
}

static void
show(struct json_object *f)
{
	char buf[64];

	line("framework:", jstr(f, "id"));
	line("name:", jstr(f, "name"));
	line("description:", jstr(f, "description"));
	line("status:", jstr(f, "status"));
	line("reason:", jstr(f, "reason"));
	line("verified:", jstr(f, "verification_status"));
	line("version:", jstr(f, "version"));
	line("license:", jstr(f, "license"));
	line("homepage:", jstr(f, "homepage"));
	if (jstr(f, "image")[0] == '\0')
		return;
	line("runtime:", jstr(f, "runtime"));
	line("image:", jstr(f, "image"));
	line("memory:", fmt_size(buf, sizeof(buf), jnum(f, "memory", 0)));
	(void)printf("%-14s%.0f\n", "cpus:", jnum(f, "cpus", 0));
	line("disk:", fmt_size(buf, sizeof(buf), jnum(f, "disk", 0)));
	(void)printf("%-14s%.0f\n", "processes:", jnum(f, "processes", 0));
	(void)printf("%-14s%.0f s\n", "ready within:",
	    jnum(f, "ready_timeout", 0));
	(void)printf("%-14s%.0f s, %.0f calls of a model\n", "a turn:",
	    jnum(f, "turn_timeout", 0), jnum(f, "max_calls_per_turn", 0));
}

int
cmd_catalog_show(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *f;
	struct reply r;
	int ret = CTL_FAIL;
	size_t i;

	(void)argc;
	if (rest_get(ctl, "/api/frameworks", &r) == -1) {
		reply_free(&r);
		return CTL_FAIL;
	}
	for (i = 0; (f = jat(r.doc, i)) != NULL; i++)
		if (strcmp(jstr(f, "id"), argv[0]) == 0)
			break;
	if (f == NULL)
		complain("there is no framework '%s'; try: agentctl catalog "
		    "list", argv[0]);
	else {
		ret = CTL_OK;
		if (ctl->json)
			(void)printf("%s\n", json_object_to_json_string_ext(f,
			    JSON_C_TO_STRING_PLAIN));
		else
			show(f);
	}
	reply_free(&r);
	return ret;
}

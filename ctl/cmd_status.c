/*
 * agentctl status, log-level and framework list.
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

static void
print_workers(const struct ctl *ctl, struct json_object *workers)
{
	struct table *t = table_new(7);
	struct json_object *w;
	char span[32];
	size_t i;
	double pid;

	table_cell(t, "WORKER");
	table_cell(t, "STATE");
	table_cell(t, "PID");
	table_cell(t, "UPTIME");
	table_cell(t, "RESTARTS");
	table_cell(t, "LOG");
	table_cell(t, "LAST CAUSE");
	for (i = 0; (w = jat(workers, i)) != NULL; i++) {
		pid = jnum(w, "pid", 0);
		table_cell(t, "%s", jstr(w, "name"));
		table_cell(t, "%s%s", jstr(w, "state"),
		    jbool(w, "alarm") ? " (ALARM: keeps dying)" : "");
		table_cell(t, pid > 0 ? "%.0f" : "-", pid);
		table_cell(t, "%s", pid > 0 ? fmt_span(span, sizeof(span),
		    jnum(w, "uptime_ms", 0) / 1000) : "-");
		table_cell(t, "%.0f", jnum(w, "restarts", 0));
		table_cell(t, "%s", jstr(w, "level"));
		table_cell(t, "%s", jstr(w, "cause")[0] != '\0' ?
		    jstr(w, "cause") : "-");
	}
	table_print(ctl, t);
}

int
cmd_status(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *agents;
	struct reply r;
	char span[32];
	int ret;

	(void)argc;
	(void)argv;
	ret = rest_get(ctl, "/api/status", &r);
	if (out_words(ctl, ret, &r)) {
		agents = jget(r.doc, "agents");
		(void)printf("agentd ");
		out_str(jstr(r.doc, "version"));
		(void)printf(", node ");
		out_str(jstr(r.doc, "node"));
		(void)printf(", up %s; agents: %.0f, running %.0f, "
		    "connected %.0f\n\n", fmt_span(span, sizeof(span),
		    jnum(r.doc, "uptime_s", 0)), jnum(agents, "total", 0),
		    jnum(agents, "running", 0), jnum(agents, "connected", 0));
		print_workers(ctl, jget(r.doc, "workers"));
	}
	return reply_exit(ret, &r);
}

int
cmd_log_level(struct ctl *ctl, int argc, char **argv)
{
	struct reply r;
	struct jbuf b;
	int ret;

	(void)argc;
	jbuf_init(&b, 1024);
	jb_obj(&b);
	jb_kstr(&b, "worker", argv[0]);
	jb_kstr(&b, "level", argv[1]);
	jb_end(&b);
	ret = rest_call(ctl, "PUT", "/api/system/log-level",
	    jbuf_text(&b, NULL), NULL, &r);
	jbuf_free(&b);
	if (out_words(ctl, ret, &r)) {
		out_str(jstr(r.doc, "worker"));
		(void)printf(" logs from ");
		out_str(jstr(r.doc, "level"));
		(void)printf(" up\n");
	}
	return reply_exit(ret, &r);
}

static void
framework_row(struct table *t, struct json_object *f)
{
	char size[32];

	table_cell(t, "%s", jstr(f, "id"));
	table_cell(t, "%s", jstr(f, "runtime"));
	table_cell(t, "%s", jstr(f, "image"));
	table_cell(t, "%s", fmt_size(size, sizeof(size),
	    jnum(f, "memory", 0)));
	table_cell(t, "%s", jstr(f, "description"));
}

int
cmd_framework_list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {
		"FRAMEWORK", "RUNTIME", "IMAGE",
		"MEMORY", "DESCRIPTION", NULL
	};

	(void)argc;
	(void)argv;
	return out_list(ctl, "/api/frameworks", heads, framework_row);
}

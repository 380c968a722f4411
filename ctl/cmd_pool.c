/*
 * agentctl pool, agentctl agent idle: instances made ahead, agents that sleep.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "ctl.h"

#define PATH_LEN	256

static void
show_wanted(struct json_object *doc)
{
	struct json_object *wanted = jget(doc, "wanted");
	struct json_object_iterator it, end;
	unsigned int n = 0;

	(void)printf("wanted:");
	if (json_object_is_type(wanted, json_type_object)) {
		it = json_object_iter_begin(wanted);
		end = json_object_iter_end(wanted);
		for (; !json_object_iter_equal(&it, &end);
		    json_object_iter_next(&it), n++) {
			(void)printf("%s %d ", n > 0 ? "," : "",
			    json_object_get_int(
			    json_object_iter_peek_value(&it)));
			out_str(json_object_iter_peek_name(&it));
		}
	}
	(void)printf("%s\n", n == 0 ? " none" : "");
	if (jstr(doc, "held_back")[0] != '\0') {
		(void)printf("none is made now: ");
		out_str(jstr(doc, "held_back"));
		(void)putchar('\n');
	}
}

static void
instance_row(struct table *t, struct json_object *m)
{
	char buf[64];

	table_cell(t, "%s", jstr(m, "container"));
	table_cell(t, "%s", jstr(m, "framework"));
	table_cell(t, "%s", jstr(m, "state"));
	table_cell(t, "%s", fmt_size(buf, sizeof(buf),
	    jnum(m, "memory_limit", 0)));
	table_cell(t, "%s", fmt_time(buf, sizeof(buf),
	    jnum(m, "created_at", 0)));
}

int
cmd_pool(struct ctl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {
		"CONTAINER", "FRAMEWORK", "STATE", "MEMORY", "MADE", NULL
	};
	struct reply r;
	int ret;

	(void)argc;
	(void)argv;
	ret = rest_get(ctl, "/api/pool", &r);
	if (out_words(ctl, ret, &r)) {
		show_wanted(r.doc);
		if (jat(jget(r.doc, "instances"), 0) != NULL)
			out_rows(ctl, jget(r.doc, "instances"), heads,
			    instance_row);
	}
	return reply_exit(ret, &r);
}

/* Seconds of "90", "10m", "2h", "1d" or "never"; -1: it is none. */
static long
seconds_of(const char *s)
{
	static const char units[] = "smhd";
	static const long size[] = { 1, 60, 3600, 86400 };
	const char *u, *errstr;
	char digits[16];
	size_t n = strspn(s, "0123456789");
	long v;

	if (strcmp(s, "never") == 0)
		return 0;
	if (n == 0 || n >= sizeof(digits))
		return -1;
	memcpy(digits, s, n);
	digits[n] = '\0';
	v = (long)strtonum(digits, 0, 100000000, &errstr);
	if (errstr != NULL)
		return -1;
	if (s[n] == '\0')
		return v;
	if (s[n + 1] != '\0' || (u = strchr(units, s[n])) == NULL)
		return -1;
	return v * size[u - units];
}

int
cmd_agent_idle(struct ctl *ctl, int argc, char **argv)
{
	char path[AGENT_PATH], body[64];
	struct reply r;
	long s;
	int ret;

	(void)argc;
	if (agent_path(path, argv[0], "/idle") == -1)
		return CTL_USAGE;
	if ((s = seconds_of(argv[1])) == -1) {
		complain("'%s' is not a time: 30s, 10m, 2h, 1d or never",
		    argv[1]);
		return CTL_USAGE;
	}
	(void)snprintf(body, sizeof(body), "{\"seconds\":%ld}", s);
	ret = rest_call(ctl, "PUT", path, body, NULL, &r);
	if (out_words(ctl, ret, &r)) {
		out_str(jstr(r.doc, "name"));
		if (s == 0)
			(void)printf(": never sleeps\n");
		else
			(void)printf(": sleeps after %ld seconds without "
			    "work\n", s);
	}
	return reply_exit(ret, &r);
}

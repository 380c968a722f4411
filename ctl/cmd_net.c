/*
 * agentctl agent network, allow, deny, denied.
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
#include "jbuf.h"

#define PATH_LEN	1024
#define DENIED_MAX	200	/* events that are looked through */
#define SEEN_MAX	64

static void
print_network(struct json_object *o)
{
	struct json_object *domains = jget(o, "domains"), *d;
	size_t i;

	(void)printf("%-13s ", "network:");
	out_str(jstr(o, "network"));
	(void)putchar('\n');
	for (i = 0; (d = jat(domains, i)) != NULL; i++) {
		(void)printf("%-13s ", i == 0 ? "domains:" : "");
		out_str(json_object_get_string(d));
		(void)putchar('\n');
	}
}

/* Asks, prints what it is now; the reply is freed. */
static int
done(struct ctl *ctl, int ret, struct reply *r)
{
	if (out_words(ctl, ret, r))
		print_network(r->doc);
	return reply_exit(ret, r);
}

int
cmd_agent_network(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_LEN];
	struct reply r;
	struct jbuf b;
	int ret;

	if (agent_path(path, argv[0], argc > 1 ? "/network" : "") == -1)
		return CTL_USAGE;
	if (argc == 1)
		return done(ctl, rest_get(ctl, path, &r), &r);
	jbuf_init(&b, 1024);
	jb_obj(&b);
	jb_kstr(&b, "policy", argv[1]);
	jb_end(&b);
	ret = rest_call(ctl, "PUT", path, jbuf_text(&b, NULL), NULL, &r);
	jbuf_free(&b);
	return done(ctl, ret, &r);
}

int
cmd_agent_allow(struct ctl *ctl, int argc, char **argv)
{
	bool private = false;
	char path[PATH_LEN];
	struct reply r;
	struct jbuf b;
	int i, ret = CTL_OK;

	if (argc > 0 && strcmp(argv[argc - 1], "--private") == 0) {
		private = true;
		argc--;
	}
	if (argc < 2)
		return ctl_usage();
	if (agent_path(path, argv[0], "/domains") == -1)
		return CTL_USAGE;
	for (i = 1; i < argc && ret == CTL_OK; i++) {
		jbuf_init(&b, 4096);
		jb_obj(&b);
		jb_kstr(&b, "domain", argv[i]);
		if (private)
			jb_kbool(&b, "allow_private", true);
		jb_end(&b);
		ret = rest_call(ctl, "POST", path, jbuf_text(&b, NULL), NULL,
		    &r);
		jbuf_free(&b);
		if (i + 1 == argc || ret != 0)
			return done(ctl, ret, &r);
		reply_free(&r);
	}
	return ret;
}

int
cmd_agent_deny(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_LEN];
	struct reply r;

	(void)argc;
	if (agent_path(path, argv[0], "/domains") == -1 ||
	    path_query(path, sizeof(path), "domain", argv[1]) == -1)
		return CTL_USAGE;
	return done(ctl, rest_call(ctl, "DELETE", path, NULL, NULL, &r), &r);
}

/* ---- what was refused ---- */

static bool
seen_before(struct json_object **seen, size_t n, struct json_object *p)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strcmp(jstr(seen[i], "host"), jstr(p, "host")) == 0 &&
		    jnum(seen[i], "port", 0) == jnum(p, "port", 0))
			return true;
	return false;
}

/* The newest refusal of each host. */
static void
print_denied(const struct ctl *ctl, struct json_object *events)
{
	struct json_object *e, *p, *seen[SEEN_MAX];
	struct table *t = table_new(4);
	char when[32];
	size_t i, n = 0;

	table_cell(t, "%s", "WHEN");
	table_cell(t, "%s", "HOST");
	table_cell(t, "%s", "PORT");
	table_cell(t, "%s", "WHY");
	for (i = 0; (e = jat(events, i)) != NULL && n < SEEN_MAX; i++) {
		p = jget(e, "payload");
		if (strcmp(jstr(p, "event"), "egress_denied") != 0 ||
		    seen_before(seen, n, p))
			continue;
		seen[n++] = p;
		table_cell(t, "%s", fmt_time(when, sizeof(when),
		    jnum(e, "created_at", 0)));
		table_cell(t, "%s", jstr(p, "host"));
		table_cell(t, "%.0f", jnum(p, "port", 0));
		table_cell(t, "%s", jstr(p, "reason"));
	}
	table_print(ctl, t);
}

int
cmd_agent_denied(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_LEN], tail[64];
	struct reply r;
	int ret;

	(void)argc;
	(void)snprintf(tail, sizeof(tail), "/trace?kind=lifecycle&limit=%d",
	    DENIED_MAX);
	if (agent_path(path, argv[0], tail) == -1)
		return CTL_USAGE;
	ret = rest_get(ctl, path, &r);
	if (out_words(ctl, ret, &r))
		print_denied(ctl, jget(r.doc, "events"));
	return reply_exit(ret, &r);
}

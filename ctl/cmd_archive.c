/*
 * agentctl agent archive, rm, rebuild, fork; agentctl archive.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "ctl.h"
#include "jbuf.h"
#include "sys.h"

/* One call that changes something; prints what became of it. */
static int
change(struct ctl *ctl, const char *method, const char *path,
    const char *body)
{
	struct reply r;
	int ret;

	ret = rest_call(ctl, method, path, body, NULL, &r);
	if (out_words(ctl, ret, &r)) {
		out_str(jstr(r.doc, "name")[0] != '\0' ?
		    jstr(r.doc, "name") : jstr(r.doc, "id"));
		(void)printf(": ");
		out_str(jstr(r.doc, "status"));
		if (jstr(r.doc, "state")[0] != '\0') {
			(void)printf(", ");
			out_str(jstr(r.doc, "state"));
		}
		if (jstr(r.doc, "note")[0] != '\0') {
			(void)printf(" (");
			out_str(jstr(r.doc, "note"));
			(void)putchar(')');
		}
		print_report(jget(r.doc, "prepare_report"),
		    jstr(r.doc, "name"));
		(void)putchar('\n');
	}
	return reply_exit(ret, &r);
}

static int
put_away(struct ctl *ctl, int argc, char **argv, bool may_purge)
{
	static const struct option opts[] = {
		{ "force", no_argument, NULL, 'f' },
		{ "timeout", required_argument, NULL, 't' },
		{ "purge", no_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 }
	};
	const char *timeout = NULL, *errstr;
	bool force = false, purge = false;
	char path[AGENT_PATH];
	int c;

	optind = 0;	/* argv[-1] is the verb's name: getopt skips it */
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		if (c == 'f')
			force = true;
		else if (c == 't') {
			(void)strtonum(timeout = optarg, 1, 300, &errstr);
			if (errstr != NULL) {
				complain("--timeout is %s: %s", errstr,
				    optarg);
				return CTL_USAGE;
			}
		} else if (c == 'p' && may_purge)
			purge = true;
		else
			return ctl_usage();
	}
	/* What is purged is not asked to finish. */
	if (argc + 1 - optind != 1 || (purge && (force || timeout != NULL)))
		return ctl_usage();
	if (agent_path(path, argv[optind - 1], "") == -1)
		return CTL_USAGE;
	if ((purge && path_query(path, sizeof(path), "purge", "1") == -1) ||
	    (force && path_query(path, sizeof(path), "force", "1") == -1) ||
	    (timeout != NULL && path_query(path, sizeof(path), "timeout",
	    timeout) == -1)) {
		complain("'%s' is too long", argv[optind - 1]);
		return CTL_USAGE;
	}
	return change(ctl, "DELETE", path, NULL);
}

int
cmd_agent_archive(struct ctl *ctl, int argc, char **argv)
{
	return put_away(ctl, argc, argv, false);
}

int
cmd_agent_rm(struct ctl *ctl, int argc, char **argv)
{
	return put_away(ctl, argc, argv, true);
}

int
cmd_agent_rebuild(struct ctl *ctl, int argc, char **argv)
{
	char path[AGENT_PATH];

	(void)argc;
	if (agent_path(path, argv[0], "/rebuild") == -1)
		return CTL_USAGE;
	return change(ctl, "POST", path, "{}");
}

/* ---- fork ---- */

int
cmd_agent_fork(struct ctl *ctl, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "name", required_argument, NULL, 'n' },
		{ "snapshot", required_argument, NULL, 's' },
		{ "wait", no_argument, NULL, 'w' },
		{ "no-wait", no_argument, NULL, 'W' },
		{ NULL, 0, NULL, 0 }
	};
	const char *name = NULL, *snapshot = NULL;
	char path[AGENT_PATH], key[ID_LEN + 1];
	struct reply r;
	struct jbuf b;
	bool wait = true;
	int c, ret;

	optind = 0;	/* argv[-1] is the verb's name: getopt skips it */
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		switch (c) {
		case 'n': name = optarg; break;
		case 's': snapshot = optarg; break;
		case 'w': wait = true; break;
		case 'W': wait = false; break;
		default:
			return ctl_usage();
		}
	}
	if (argc + 1 - optind != 1 || name == NULL)
		return ctl_usage();
	if (agent_path(path, argv[optind - 1], "/fork") == -1)
		return CTL_USAGE;
	jbuf_init(&b, 4096);
	jb_obj(&b);
	jb_kstr(&b, "name", name);
	if (snapshot != NULL)
		jb_kstr(&b, "snapshot", snapshot);
	jb_end(&b);
	sys_id(key);
	ret = rest_call(ctl, "POST", path, jbuf_text(&b, NULL), key, &r) ==
	    -1 ? CTL_FAIL : deploy_follow(ctl, &r, wait);
	jbuf_free(&b);
	reply_free(&r);
	return ret;
}

/* ---- the archive ---- */

static void
archive_row(struct table *t, struct json_object *a)
{
	table_cell(t, "%s", jstr(a, "archived_slug"));
	table_cell(t, "%s", jstr(a, "archived_at"));
	table_cell(t, "%s", jstr(jget(a, "original"), "framework"));
	table_cell(t, "%s", jstr(a, "snapshot_name")[0] != '\0' ?
	    "yes" : "no: tombstone");
	table_cell(t, "%s", jstr(a, "id"));
}

int
cmd_archive_list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {
		"AGENT", "ARCHIVED", "FRAMEWORK", "CAN BE RESTORED", "ID",
		NULL
	};

	(void)argc;
	(void)argv;
	return out_list(ctl, "/api/agents/archived", heads, archive_row);
}

/* An id, or a name if only one archived agent had it; NULL after a message. */
static struct json_object *
find(struct ctl *ctl, const char *what, struct reply *r)
{
	struct json_object *o, *found = NULL;
	size_t i;

	if (rest_get(ctl, "/api/agents/archived", r) == -1)
		return NULL;
	for (i = 0; (o = jat(r->doc, i)) != NULL; i++) {
		if (strcmp(jstr(o, "id"), what) == 0)
			return o;
		if (strcmp(jstr(o, "archived_slug"), what) != 0)
			continue;
		if (found != NULL) {
			complain("several archived agents were called %s: "
			    "name it by its id, see: agentctl archive list",
			    what);
			return NULL;
		}
		found = o;
	}
	if (found == NULL)
		complain("there is no archived agent %s", what);
	return found;
}

static void
show_line(const char *name, const char *value)
{
	(void)printf("%-13s ", name);
	out_str(value[0] != '\0' ? value : "-");
	(void)putchar('\n');
}

int
cmd_archive_show(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *o;
	struct reply r;

	(void)argc;
	o = find(ctl, argv[0], &r);
	if (o != NULL && ctl->json)
		(void)printf("%s\n", json_object_to_json_string_ext(o,
		    JSON_C_TO_STRING_PRETTY));
	else if (o != NULL) {
		show_line("name:", jstr(o, "archived_slug"));
		show_line("display name:", jstr(o, "display_name"));
		show_line("archived at:", jstr(o, "archived_at"));
		show_line("framework:", jstr(jget(o, "original"),
		    "framework"));
		show_line("model:", jstr(jget(o, "original"), "model"));
		show_line("snapshot:", jstr(o, "snapshot_name"));
		show_line("chat export:", jstr(o, "export_path"));
		show_line("container:", jstr(jget(o, "original"),
		    "container"));
		show_line("owner:", jstr(o, "owner"));
		show_line("id:", jstr(o, "id"));
	}
	reply_free(&r);
	return o != NULL ? CTL_OK : CTL_FAIL;
}

static int
archived(struct ctl *ctl, const char *what, const char *method,
    const char *tail, const char *body)
{
	char path[AGENT_PATH];
	struct json_object *o;
	struct reply r;
	int ret = CTL_FAIL;

	if ((o = find(ctl, what, &r)) != NULL &&
	    path_segment_ok(jstr(o, "id"))) {
		(void)snprintf(path, sizeof(path), "/api/agents/archived/%s%s",
		    jstr(o, "id"), tail);
		ret = change(ctl, method, path, body);
	}
	reply_free(&r);
	return ret;
}

int
cmd_archive_restore(struct ctl *ctl, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "state", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 }
	};
	const char *state = NULL;
	struct jbuf b;
	int c, ret;

	optind = 0;	/* argv[-1] is the verb's name: getopt skips it */
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		if (c != 's')
			return ctl_usage();
		state = optarg;
	}
	if (argc + 1 - optind != 1)
		return ctl_usage();
	jbuf_init(&b, 1024);
	jb_obj(&b);
	if (state != NULL)
		jb_kstr(&b, "state", state);
	jb_end(&b);
	if (jbuf_text(&b, NULL) == NULL) {
		jbuf_free(&b);
		complain("--state is too long");
		return CTL_USAGE;
	}
	ret = archived(ctl, argv[optind - 1], "POST", "/restore",
	    jbuf_text(&b, NULL));
	jbuf_free(&b);
	return ret;
}

int
cmd_archive_purge(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return archived(ctl, argv[0], "DELETE", "", NULL);
}

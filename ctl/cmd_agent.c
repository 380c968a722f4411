/*
 * agentctl agent: deploy, list, show, rm, start, stop, restart.
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
#include <time.h>

#include <json-c/json.h>

#include "ctl.h"
#include "jbuf.h"
#include "sse.h"
#include "sys.h"

#define PATH_LEN	256
#define PATIENCE	60	/* times a stream may break before we give up */

/* "/api/agents/NAME" + tail; -1 and a message when it is no name. */
static int
agent_path(char *path, const char *name, const char *tail)
{
	if (!path_segment_ok(name)) {
		complain("'%s' is not the name of an agent", name);
		return -1;
	}
	(void)snprintf(path, PATH_LEN, "/api/agents/%s%s", name, tail);
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
show_agent(struct json_object *a)
{
	struct json_object *p = jget(a, "presence");
	char buf[64];

	show_line("name:", jstr(a, "name"));
	show_line("display name:", jstr(a, "display_name"));
	show_line("status:", jstr(a, "status"));
	(void)printf("%-13s %s", "link:", presence(a));
	if (jnum(p, "last_seen", 0) > 0)
		(void)printf(", last seen %s", fmt_time(buf, sizeof(buf),
		    jnum(p, "last_seen", 0)));
	(void)printf("\n%-13s %.0f messages\n", "waiting:",
	    jnum(a, "queued", 0));
	show_line("framework:", jstr(a, "framework"));
	show_line("model:", jstr(a, "model")[0] != '\0' ? jstr(a, "model") :
	    "any");
	show_line("memory:", fmt_size(buf, sizeof(buf),
	    jnum(a, "memory_limit", 0)));
	(void)printf("%-13s %.0f\n", "CPUs:", jnum(a, "cpu_limit", 0));
	show_line("disk:", jnum(a, "disk_limit", 0) > 0 ? fmt_size(buf,
	    sizeof(buf), jnum(a, "disk_limit", 0)) : "no limit");
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
	char path[PATH_LEN];
	struct reply r;
	int ret;

	(void)argc;
	if (agent_path(path, argv[0], "") == -1)
		return CTL_USAGE;
	if ((ret = rest_get(ctl, path, &r)) == 0) {
		if (ctl->json)
			out_json(&r);
		else
			show_agent(r.doc);
	}
	reply_free(&r);
	return ret == 0 ? CTL_OK : CTL_FAIL;
}

static int
action(struct ctl *ctl, const char *method, const char *name,
    const char *tail)
{
	char path[PATH_LEN];
	struct reply r;
	int ret;

	if (agent_path(path, name, tail) == -1)
		return CTL_USAGE;
	ret = rest_call(ctl, method, path, tail[0] != '\0' ? "{}" : NULL,
	    NULL, &r);
	if (ret == 0 && ctl->json)
		out_json(&r);
	else if (ret == 0) {
		out_str(jstr(r.doc, "name"));
		(void)printf(": ");
		out_str(jstr(r.doc, "status"));
		(void)putchar('\n');
	}
	reply_free(&r);
	return ret == 0 ? CTL_OK : CTL_FAIL;
}

int
cmd_agent_rm(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return action(ctl, "DELETE", argv[0], "");
}

int
cmd_agent_start(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return action(ctl, "POST", argv[0], "/start");
}

int
cmd_agent_stop(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return action(ctl, "POST", argv[0], "/stop");
}

int
cmd_agent_restart(struct ctl *ctl, int argc, char **argv)
{
	(void)argc;
	return action(ctl, "POST", argv[0], "/restart");
}

/* ---- deploy ---- */

struct deploy {
	struct ctl *ctl;
	size_t shown;		/* steps that are printed */
	int verdict;		/* -1: still going on */
	char *last;		/* owned; the newest document */
};

/* Steps as they end; the last one when it begins is not news yet. */
static void
print_steps(struct deploy *d, struct json_object *doc)
{
	struct json_object *steps = jget(doc, "steps"), *s;
	double ms;

	for (; (s = jat(steps, d->shown)) != NULL; d->shown++) {
		if ((ms = jnum(s, "ms", -1)) < 0)
			break;
		(void)printf("  %-10s %6.2f s\n", jstr(s, "step"), ms / 1000);
	}
	(void)fflush(stdout);
}

static void
on_status(struct deploy *d, const char *text, size_t len)
{
	struct json_object *doc = json_tokener_parse(text);
	const char *status;

	if (doc == NULL)
		return;
	if (!d->ctl->json)
		print_steps(d, doc);
	status = jstr(doc, "status");
	if (strcmp(status, "success") == 0)
		d->verdict = CTL_OK;
	else if (strcmp(status, "failed") == 0)
		d->verdict = CTL_FAIL;
	free(d->last);
	d->last = strndup(text, len);
	json_object_put(doc);
}

static int
on_step(void *arg, const struct sse_event *ev)
{
	struct deploy *d = arg;

	if (strcmp(ev->name, "step") == 0)
		on_status(d, ev->data, ev->len);
	return d->verdict != -1;
}

/* Follows the job; a stream that breaks is opened again, and polled once. */
static void
follow(struct deploy *d, const char *slug)
{
	struct stream s = { .event = on_step, .arg = d };
	struct timespec ts = { 0, 500 * 1000 * 1000 };
	char path[PATH_LEN];
	struct reply r;
	int i;

	(void)snprintf(path, sizeof(path), "/api/agents/%s/deploy-status",
	    slug);
	for (i = 0; i < PATIENCE && d->verdict == -1; i++) {
		if (rest_stream(d->ctl, path, &s) == STREAM_REFUSED)
			return;
		if (d->verdict != -1)
			break;
		if (rest_try(d->ctl, path, &r) == 200)
			on_status(d, r.body, r.len);
		reply_free(&r);
		if (d->verdict == -1)
			(void)nanosleep(&ts, NULL);
	}
}

static int
verdict(struct deploy *d, const char *slug)
{
	struct json_object *doc;
	double took;

	doc = d->last != NULL ? json_tokener_parse(d->last) : NULL;
	if (d->ctl->json && d->last != NULL)
		(void)printf("%s\n", d->last);
	else if (d->verdict == CTL_OK) {
		took = jnum(doc, "updated_at", 0) - jnum(doc, "started_at", 0);
		(void)printf("%s is running (%.2f s). Talk to it: "
		    "agentctl chat %s\n", slug, took, slug);
	}
	if (d->verdict == CTL_FAIL) {
		complain("deploy of %s failed in step '%s': %s", slug,
		    jstr(doc, "step"), jstr(doc, "error"));
	} else if (d->verdict == -1)
		complain("how the deploy of %s ended is not known; see: "
		    "agentctl agent show %s", slug, slug);
	json_object_put(doc);
	return d->verdict == CTL_OK ? CTL_OK : CTL_FAIL;
}

struct wish {
	const char *framework, *model, *memory, *disk, *emoji;
	int cpus;
	bool wait;
};

static int
parse_wish(int argc, char **argv, struct wish *w, const char **name)
{
	static const struct option opts[] = {
		{ "framework", required_argument, NULL, 'f' },
		{ "model", required_argument, NULL, 'm' },
		{ "memory", required_argument, NULL, 'M' },
		{ "disk", required_argument, NULL, 'd' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "emoji", required_argument, NULL, 'e' },
		{ "wait", no_argument, NULL, 'w' },
		{ "no-wait", no_argument, NULL, 'W' },
		{ NULL, 0, NULL, 0 }
	};
	const char *errstr;
	int c;

	optind = 0;	/* argv[-1] is the verb's name: getopt skips it */
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		switch (c) {
		case 'f': w->framework = optarg; break;
		case 'm': w->model = optarg; break;
		case 'M': w->memory = optarg; break;
		case 'd': w->disk = optarg; break;
		case 'e': w->emoji = optarg; break;
		case 'w': w->wait = true; break;
		case 'W': w->wait = false; break;
		case 'c':
			w->cpus = (int)strtonum(optarg, 1, 1024, &errstr);
			if (errstr == NULL)
				break;
			complain("--cpus is %s: %s", errstr, optarg);
			return CTL_USAGE;
		default:
			return ctl_usage();
		}
	}
	if (argc + 1 - optind != 1)
		return ctl_usage();
	*name = argv[optind - 1];
	return CTL_OK;
}

static int
post_deploy(struct ctl *ctl, const struct wish *w, const char *name,
    struct reply *r)
{
	char key[ID_LEN + 1];
	struct jbuf b;
	int ret;

	jbuf_init(&b, 8192);
	jb_obj(&b);
	jb_kstr(&b, "name", name);
	jb_kstr(&b, "framework", w->framework);
	if (w->model != NULL)
		jb_kstr(&b, "model", w->model);
	if (w->memory != NULL)
		jb_kstr(&b, "memory_limit", w->memory);
	if (w->disk != NULL)
		jb_kstr(&b, "disk_limit", w->disk);
	if (w->emoji != NULL)
		jb_kstr(&b, "emoji", w->emoji);
	if (w->cpus > 0)
		jb_kint(&b, "cpu_limit", w->cpus);
	jb_end(&b);
	sys_id(key);
	ret = rest_call(ctl, "POST", "/api/agents/deploy",
	    jbuf_text(&b, NULL), key, r);
	jbuf_free(&b);
	return ret;
}

int
cmd_agent_deploy(struct ctl *ctl, int argc, char **argv)
{
	struct wish w = { .framework = "pi", .wait = true };
	struct deploy d = { .ctl = ctl, .verdict = -1 };
	const char *name = NULL;
	char slug[64];
	struct reply r;
	int ret;

	if ((ret = parse_wish(argc, argv, &w, &name)) != CTL_OK)
		return ret;
	if (post_deploy(ctl, &w, name, &r) == -1) {
		reply_free(&r);
		return CTL_FAIL;
	}
	(void)strlcpy(slug, jstr(r.doc, "name"), sizeof(slug));
	if (!path_segment_ok(slug)) {
		complain("agentd's answer names no agent");
		reply_free(&r);
		return CTL_FAIL;
	}
	if (!ctl->json)
		(void)printf("deploying %s\n", slug);
	else if (!w.wait)
		out_json(&r);
	(void)fflush(stdout);
	reply_free(&r);
	if (!w.wait)
		return CTL_OK;
	follow(&d, slug);
	ret = verdict(&d, slug);
	free(d.last);
	return ret;
}

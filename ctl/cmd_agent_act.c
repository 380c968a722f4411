/*
 * agentctl agent: start, stop, restart, pause, resume.
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

#define NAMES_MAX	(48 * 1024)	/* bytes of names in one request */

struct act {
	const char *verb;
	bool finish;		/* --force and --timeout make sense */
	bool all, force;
	int timeout;		/* seconds; 0: the service's own */
};

void
print_report(struct json_object *report, const char *name)
{
	struct json_object *a = jget(jget(report, "agents"), name);

	if (strcmp(jstr(a, "status"), "timed out") == 0)
		(void)printf(" (it did not finish within %.0f s)",
		    jnum(a, "duration_s", 0));
}

static void
print_one(struct json_object *doc)
{
	const char *name = jstr(doc, "name");

	out_str(name);
	(void)printf(": ");
	out_str(strcmp(jstr(doc, "status"), "ok") == 0 ? "was not paused" :
	    jstr(doc, "status"));
	print_report(jget(doc, "prepare_report"), name);
	print_report(jget(doc, "report"), name);
	(void)putchar('\n');
}

static int
act_one(struct ctl *ctl, const struct act *a, const char *name)
{
	char path[AGENT_PATH], tail[64], number[16];
	struct reply r;
	int ret;

	(void)snprintf(tail, sizeof(tail), "/%s", a->verb);
	if (agent_path(path, name, tail) == -1)
		return CTL_USAGE;
	(void)snprintf(number, sizeof(number), "%d", a->timeout);
	if ((a->force && path_query(path, sizeof(path), "force", "1") == -1) ||
	    (a->timeout > 0 && path_query(path, sizeof(path), "timeout",
	    number) == -1)) {
		complain("'%s' is too long", name);
		return CTL_USAGE;
	}
	ret = rest_call(ctl, "POST", path, "{}", NULL, &r);
	if (out_words(ctl, ret, &r))
		print_one(r.doc);
	return reply_exit(ret, &r);
}

/* One agent's end of several. */
static void
print_end(const char *name, struct json_object *end, const char *verb)
{
	out_str(name);
	(void)printf(": ");
	if (jbool(end, "success"))
		(void)printf("%s done", verb);
	else
		out_str(jstr(end, "error"));
	print_report(jget(end, "prepare_report"), name);
	(void)putchar('\n');
}

/* CTL_FAIL if one of them failed. */
static int
verdict(struct ctl *ctl, struct json_object *results, const char *verb)
{
	int n = 0, bad = 0;

	if (results != NULL) {
		json_object_object_foreach(results, name, end) {
			if (!ctl->json)
				print_end(name, end, verb);
			bad += !jbool(end, "success");
			n++;
		}
	}
	if (n == 0 && !ctl->json)
		(void)printf("there are no agents\n");
	return bad > 0 ? CTL_FAIL : CTL_OK;
}

static int
act_bulk(struct ctl *ctl, const struct act *a, const char *const *names,
    size_t n)
{
	char path[AGENT_PATH];
	struct reply r;
	struct jbuf b;
	int ret;

	(void)snprintf(path, sizeof(path), "/api/agents/bulk/%s", a->verb);
	jbuf_init(&b, NAMES_MAX);
	jb_obj(&b);
	if (!a->all)
		jb_strings(&b, "names", names, n);
	if (a->force)
		jb_kbool(&b, "force", true);
	if (a->timeout > 0)
		jb_kint(&b, "timeout", a->timeout);
	jb_end(&b);
	if (jbuf_text(&b, NULL) == NULL) {
		jbuf_free(&b);
		complain("too many names");
		return CTL_USAGE;
	}
	ret = rest_call(ctl, "POST", path, jbuf_text(&b, NULL), NULL, &r);
	jbuf_free(&b);
	if (ret == -1)
		ret = CTL_FAIL;
	else {
		if (ctl->json)
			out_json(&r);
		ret = verdict(ctl, jget(r.doc, "results"), a->verb);
	}
	reply_free(&r);
	return ret;
}

static int
act(struct ctl *ctl, int argc, char **argv, const char *verb, bool finish)
{
	static const struct option opts[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "force", no_argument, NULL, 'f' },
		{ "timeout", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 }
	};
	struct act a = { .verb = verb, .finish = finish };
	const char *errstr;
	int c;

	optind = 0;	/* argv[-1] is the verb's name: getopt skips it */
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		if (c == 'a')
			a.all = true;
		else if (c == 'f' && finish)
			a.force = true;
		else if (c == 't' && finish) {
			a.timeout = (int)strtonum(optarg, 1, 300, &errstr);
			if (errstr != NULL) {
				complain("--timeout is %s: %s", errstr,
				    optarg);
				return CTL_USAGE;
			}
		} else
			return ctl_usage();
	}
	argc -= optind - 1;
	argv += optind - 1;
	if (a.all ? argc != 0 : argc == 0)
		return ctl_usage();
	if (argc == 1)
		return act_one(ctl, &a, argv[0]);
	return act_bulk(ctl, &a, (const char *const *)argv, (size_t)argc);
}

int
cmd_agent_start(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, "start", false);
}

int
cmd_agent_stop(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, "stop", true);
}

int
cmd_agent_restart(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, "restart", true);
}

int
cmd_agent_pause(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, "pause", true);
}

int
cmd_agent_resume(struct ctl *ctl, int argc, char **argv)
{
	return act(ctl, argc, argv, "resume", false);
}

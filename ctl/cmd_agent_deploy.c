/*
 * agentctl agent deploy.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <json-c/json.h>

#include "ctl.h"
#include "jbuf.h"
#include "sse.h"
#include "sys.h"

#define PATIENCE	60	/* times a stream may break before we give up */
#define FALLBACKS	16
#define DOMAINS		64

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
	char path[AGENT_PATH];
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
	const char *framework, *model, *memory, *disk, *emoji, *color;
	const char *network;
	const char *fallbacks[FALLBACKS], *domains[DOMAINS];
	size_t nfallbacks, ndomains;
	int cpus, processes;
	bool wait;
};

/* One more of a list, or false and a message. */
static bool
add(const char **list, size_t *n, size_t max, const char *what)
{
	if (*n == max) {
		complain("more than %zu %s", max, what);
		return false;
	}
	list[(*n)++] = optarg;
	return true;
}

static bool
number(const char *option, int max, int *value)
{
	const char *errstr;

	*value = (int)strtonum(optarg, 1, max, &errstr);
	if (errstr != NULL)
		complain("--%s is %s: %s", option, errstr, optarg);
	return errstr == NULL;
}

static int
take(struct wish *w, int c)
{
	switch (c) {
	case 'f': w->framework = optarg; break;
	case 'm': w->model = optarg; break;
	case 'M': w->memory = optarg; break;
	case 'd': w->disk = optarg; break;
	case 'e': w->emoji = optarg; break;
	case 'C': w->color = optarg; break;
	case 'n': w->network = optarg; break;
	case 'w': w->wait = true; break;
	case 'W': w->wait = false; break;
	case 'b':
		return add(w->fallbacks, &w->nfallbacks, FALLBACKS,
		    "fallbacks") ? CTL_OK : CTL_USAGE;
	case 'a':
		return add(w->domains, &w->ndomains, DOMAINS, "domains") ?
		    CTL_OK : CTL_USAGE;
	case 'c':
		return number("cpus", 1024, &w->cpus) ? CTL_OK : CTL_USAGE;
	case 'p':
		return number("processes", INT_MAX, &w->processes) ? CTL_OK :
		    CTL_USAGE;
	default:
		return ctl_usage();
	}
	return CTL_OK;
}

static int
parse_wish(int argc, char **argv, struct wish *w, const char **name)
{
	static const struct option opts[] = {
		{ "framework", required_argument, NULL, 'f' },
		{ "model", required_argument, NULL, 'm' },
		{ "fallback", required_argument, NULL, 'b' },
		{ "memory", required_argument, NULL, 'M' },
		{ "disk", required_argument, NULL, 'd' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "processes", required_argument, NULL, 'p' },
		{ "network", required_argument, NULL, 'n' },
		{ "allow", required_argument, NULL, 'a' },
		{ "emoji", required_argument, NULL, 'e' },
		{ "color", required_argument, NULL, 'C' },
		{ "wait", no_argument, NULL, 'w' },
		{ "no-wait", no_argument, NULL, 'W' },
		{ NULL, 0, NULL, 0 }
	};
	int c, ret;

	optind = 0;	/* argv[-1] is the verb's name: getopt skips it */
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1)
		if ((ret = take(w, c)) != CTL_OK)
			return ret;
	/* Domains mean nothing without the policy that looks at them. */
	if (w->ndomains > 0 && w->network == NULL)
		w->network = "allow";
	if (w->ndomains > 0 && strcmp(w->network, "allow") != 0) {
		complain("--allow goes with --network allow only");
		return CTL_USAGE;
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

	jbuf_init(&b, 65536);
	jb_obj(&b);
	jb_kstr(&b, "name", name);
	jb_kstr(&b, "framework", w->framework);
	if (w->model != NULL)
		jb_kstr(&b, "model", w->model);
	if (w->nfallbacks > 0)
		jb_strings(&b, "fallback_models", w->fallbacks,
		    w->nfallbacks);
	if (w->memory != NULL)
		jb_kstr(&b, "memory_limit", w->memory);
	if (w->disk != NULL)
		jb_kstr(&b, "disk_limit", w->disk);
	if (w->emoji != NULL)
		jb_kstr(&b, "emoji", w->emoji);
	if (w->cpus > 0)
		jb_kint(&b, "cpu_limit", w->cpus);
	if (w->processes > 0)
		jb_kint(&b, "process_limit", w->processes);
	if (w->color != NULL)
		jb_kstr(&b, "color", w->color);
	if (w->network != NULL)
		jb_kstr(&b, "network", w->network);
	if (w->ndomains > 0)
		jb_strings(&b, "domains", w->domains, w->ndomains);
	jb_end(&b);
	sys_id(key);
	if (jbuf_text(&b, NULL) == NULL) {
		complain("what is asked for is too long");
		ret = -1;
	} else {
		ret = rest_call(ctl, "POST", "/api/agents/deploy",
		    jbuf_text(&b, NULL), key, r);
	}
	jbuf_free(&b);
	return ret;
}

int
cmd_agent_deploy(struct ctl *ctl, int argc, char **argv)
{
	struct wish w = { .framework = "pi", .wait = true };
	const char *name = NULL;
	struct reply r = { 0 };
	int ret;

	if ((ret = parse_wish(argc, argv, &w, &name)) != CTL_OK)
		return ret;
	if (post_deploy(ctl, &w, name, &r) == -1)
		ret = CTL_FAIL;
	else
		ret = deploy_follow(ctl, &r, w.wait);
	reply_free(&r);
	return ret;
}

int
deploy_follow(struct ctl *ctl, const struct reply *r, bool wait)
{
	struct deploy d = { .ctl = ctl, .verdict = -1 };
	char slug[64];
	int ret;

	(void)strlcpy(slug, jstr(r->doc, "name"), sizeof(slug));
	if (!path_segment_ok(slug)) {
		complain("agentd's answer names no agent");
		return CTL_FAIL;
	}
	if (!ctl->json)
		(void)printf("deploying %s\n", slug);
	else if (!wait)
		out_json(r);
	(void)fflush(stdout);
	if (!wait)
		return CTL_OK;
	follow(&d, slug);
	ret = verdict(&d, slug);
	free(d.last);
	return ret;
}

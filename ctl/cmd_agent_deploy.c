/*
 * agentctl agent deploy.
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

#define PATIENCE	60	/* times a stream may break before we give up */
#define FALLBACKS	16

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
	const char *framework, *model, *memory, *disk, *emoji;
	const char *fallbacks[FALLBACKS];
	size_t nfallbacks;
	int cpus;
	bool wait;
};

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
		case 'b':
			if (w->nfallbacks == FALLBACKS) {
				complain("more than %d fallbacks", FALLBACKS);
				return CTL_USAGE;
			}
			w->fallbacks[w->nfallbacks++] = optarg;
			break;
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
	const char *name = NULL;
	struct reply r;
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

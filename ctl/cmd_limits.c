/*
 * agentctl agent limits, agent disk.
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

static void
print_disk(struct json_object *d)
{
	char used[32], quota[32];
	double u = jnum(d, "used", -1), q = jnum(d, "quota", 0);

	(void)printf("%-13s %s used", "disk:", u < 0 ? "not known how much" :
	    fmt_size(used, sizeof(used), u));
	if (q > 0)
		(void)printf(" of %s (%.1f %%, %s)%s", fmt_size(quota,
		    sizeof(quota), q), 100 * jnum(d, "percent", 0),
		    jstr(d, "state"), jbool(d, "enforced") ? "" :
		    ", not enforced");
	else
		(void)printf(", no limit");
	(void)putchar('\n');
}

static void
print_limits(struct json_object *a)
{
	char buf[32];

	(void)printf("%-13s %s\n", "memory:", fmt_size(buf, sizeof(buf),
	    jnum(a, "memory_limit", 0)));
	(void)printf("%-13s %.0f\n", "CPUs:", jnum(a, "cpu_limit", 0));
	(void)printf("%-13s %.0f\n", "processes:",
	    jnum(a, "process_limit", 0));
	print_disk(jget(a, "disk"));
}

/* The body of the change, or NULL without one. -1: wrong usage. */
static int
options(int argc, char **argv, struct jbuf *b, const char **name)
{
	static const struct option opts[] = {
		{ "memory", required_argument, NULL, 'm' },
		{ "cpus", required_argument, NULL, 'c' },
		{ "processes", required_argument, NULL, 'p' },
		{ "disk", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 }
	};
	const char *errstr;
	int c, n = 0;

	optind = 0;	/* argv[-1] is the verb's name: getopt skips it */
	jb_obj(b);
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		n++;
		if (c == 'm') {
			jb_kstr(b, "memory_limit", optarg);
		} else if (c == 'd') {
			jb_kstr(b, "disk_limit", optarg);
		} else if (c == 'c' || c == 'p') {
			jb_kint(b, c == 'c' ? "cpu_limit" : "process_limit",
			    strtonum(optarg, 0, 1 << 30, &errstr));
			if (errstr != NULL) {
				complain("'%s' is %s", optarg, errstr);
				return -1;
			}
		} else {
			return -1;
		}
	}
	jb_end(b);
	if (argc + 1 - optind != 1)
		return -1;
	*name = argv[optind - 1];
	return n;
}

int
cmd_agent_limits(struct ctl *ctl, int argc, char **argv)
{
	const char *name = NULL;
	char path[AGENT_PATH];
	struct reply r;
	struct jbuf b;
	int n, ret;

	jbuf_init(&b, 4096);
	n = options(argc, argv, &b, &name);
	if (n == -1 || agent_path(path, name, n > 0 ? "/limits" : "") == -1) {
		jbuf_free(&b);
		return n == -1 ? ctl_usage() : CTL_USAGE;
	}
	if (n > 0)
		ret = rest_call(ctl, "PUT", path, jbuf_text(&b, NULL), NULL,
		    &r);
	else
		ret = rest_get(ctl, path, &r);
	jbuf_free(&b);
	if (out_words(ctl, ret, &r))
		print_limits(r.doc);
	return reply_exit(ret, &r);
}

int
cmd_agent_disk(struct ctl *ctl, int argc, char **argv)
{
	char path[AGENT_PATH];
	struct reply r;
	int ret;

	(void)argc;
	if (agent_path(path, argv[0], "/disk") == -1)
		return CTL_USAGE;
	ret = rest_get(ctl, path, &r);
	if (out_words(ctl, ret, &r))
		print_disk(r.doc);
	return reply_exit(ret, &r);
}

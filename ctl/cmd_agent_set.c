/*
 * agentctl agent: rename, set.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "ctl.h"
#include "jbuf.h"

#define FALLBACKS	16

static int
patch(struct ctl *ctl, const char *name, struct jbuf *b)
{
	char path[AGENT_PATH];
	struct reply r;
	int ret = -1;

	if (agent_path(path, name, "") == -1) {
		jbuf_free(b);
		return CTL_USAGE;
	}
	ret = rest_call(ctl, "PATCH", path, jbuf_text(b, NULL), NULL, &r);
	jbuf_free(b);
	if (out_words(ctl, ret, &r))
		out_status(jstr(r.doc, "name"), r.doc);
	return reply_exit(ret, &r);
}

int
cmd_agent_rename(struct ctl *ctl, int argc, char **argv)
{
	struct jbuf b;

	(void)argc;
	jbuf_init(&b, 8192);
	jb_obj(&b);
	jb_kstr(&b, "display_name", argv[1]);
	jb_end(&b);
	return patch(ctl, argv[0], &b);
}

int
cmd_agent_set(struct ctl *ctl, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "model", required_argument, NULL, 'm' },
		{ "fallback", required_argument, NULL, 'b' },
		{ "no-fallbacks", no_argument, NULL, 'n' },
		{ "emoji", required_argument, NULL, 'e' },
		{ "color", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 }
	};
	static const struct {
		int		 opt;
		const char	*member;
	} members[] = {
		{ 'm', "model" }, { 'e', "emoji" }, { 'c', "color" },
	};
	const char *fallbacks[FALLBACKS];
	bool none = false, any = false;
	struct jbuf b;
	size_t i, n = 0;
	int c;

	jbuf_init(&b, 65536);
	jb_obj(&b);
	optind = 0;	/* argv[-1] is the verb's name: getopt skips it */
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		any = true;
		for (i = 0; i < sizeof(members) / sizeof(members[0]); i++)
			if (members[i].opt == c)
				jb_kstr(&b, members[i].member, optarg);
		if (c == 'n')
			none = true;
		else if (c == 'b' && n < FALLBACKS)
			fallbacks[n++] = optarg;
		else if (c == '?' || c == 'b') {
			jbuf_free(&b);
			return ctl_usage();
		}
	}
	if (argc + 1 - optind != 1 || !any || (none && n > 0)) {
		jbuf_free(&b);
		return ctl_usage();
	}
	if (none || n > 0)
		jb_strings(&b, "fallback_models", fallbacks, n);
	jb_end(&b);
	return patch(ctl, argv[optind - 1], &b);
}

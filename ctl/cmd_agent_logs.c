/*
 * agentctl agent logs: the journal of an agent's container.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "ctl.h"
#include "sse.h"

static int
on_line(void *arg, const struct sse_event *ev)
{
	struct ctl *ctl = arg;
	struct json_object *doc;
	const char *line;

	if (strcmp(ev->name, "log") != 0)
		return 0;
	if (ctl->json) {
		(void)printf("%.*s\n", (int)ev->len, ev->data);
	} else if ((doc = json_tokener_parse(ev->data)) != NULL) {
		line = jstr(doc, "line");
		out_text(line, strlen(line), false);
		(void)putchar('\n');
		json_object_put(doc);
	}
	return fflush(stdout) == EOF ? -1 : 0;
}

static int
follow(struct ctl *ctl, const char *path)
{
	struct stream s = { .event = on_line, .arg = ctl };

	switch (rest_stream(ctl, path, &s)) {
	case STREAM_ENDED:
		return CTL_OK;
	case STREAM_LOST:
		complain("the stream ended: the container or agentd stopped");
		return CTL_FAIL;
	default:
		return CTL_FAIL;
	}
}

static int
show(struct ctl *ctl, const char *path)
{
	struct reply r;
	const char *logs;
	size_t len;
	int ret;

	ret = rest_get(ctl, path, &r);
	if (out_words(ctl, ret, &r)) {
		logs = jstr(r.doc, "logs");
		len = strlen(logs);
		out_text(logs, len, true);
		if (len > 0 && logs[len - 1] != '\n')
			(void)putchar('\n');
	}
	return reply_exit(ret, &r);
}

int
cmd_agent_logs(struct ctl *ctl, int argc, char **argv)
{
	char path[512];
	const char *agent = NULL, *lines = "100", *errstr;
	bool more = false, link = false;
	int i;

	for (i = 0; i < argc; i++) {
		if (strcmp(argv[i], "-f") == 0)
			more = true;
		else if (strcmp(argv[i], "--link") == 0)
			link = true;
		else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
			lines = argv[++i];
		else if (argv[i][0] != '-' && agent == NULL)
			agent = argv[i];
		else
			return ctl_usage();
	}
	if (agent == NULL)
		return ctl_usage();
	(void)strtonum(lines, 1, 10000, &errstr);
	if (errstr != NULL || !path_segment_ok(agent)) {
		complain(errstr != NULL ? "-n: 1 to 10000" :
		    "that is not the name of an agent");
		return CTL_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/api/agents/%s/logs", agent);
	if (path_query(path, sizeof(path), "lines", lines) == -1 ||
	    (link && path_query(path, sizeof(path), "link", "true") == -1))
		return CTL_USAGE;
	return more ? follow(ctl, path) : show(ctl, path);
}

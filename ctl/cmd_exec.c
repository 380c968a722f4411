/*
 * agentctl agent exec, agent shell: a command in an agent's container.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ctl.h"
#include "exec_session.h"

struct options {
	bool		 tty;
	const char	*cwd;
	long long	 uid, gid;
};

static char *
make_body(const struct options *o, int argc, char **argv)
{
	struct json_object *doc = json_object_new_object();
	struct json_object *arr = json_object_new_array();
	const char *term = getenv("TERM");
	unsigned int cols, rows;
	char *text;
	int i;

	for (i = 0; i < argc; i++)
		json_object_array_add(arr, json_object_new_string(argv[i]));
	json_object_object_add(doc, "argv", arr);
	if (o->cwd != NULL)
		json_object_object_add(doc, "cwd",
		    json_object_new_string(o->cwd));
	json_object_object_add(doc, "uid", json_object_new_int64(o->uid));
	json_object_object_add(doc, "gid", json_object_new_int64(o->gid));
	if (o->tty) {
		exec_window(&cols, &rows);
		json_object_object_add(doc, "tty",
		    json_object_new_boolean(1));
		json_object_object_add(doc, "cols",
		    json_object_new_int64(cols));
		json_object_object_add(doc, "rows",
		    json_object_new_int64(rows));
		if (term != NULL && *term != '\0' && strlen(term) <= 64)
			json_object_object_add(doc, "term",
			    json_object_new_string(term));
	}
	text = strdup(json_object_to_json_string_ext(doc,
	    JSON_C_TO_STRING_PLAIN));
	json_object_put(doc);
	return text;
}

static int
run(struct ctl *ctl, const char *agent, const struct options *o, int argc,
    char **argv)
{
	char *body;
	int ret;

	if (!agent_name_ok(agent))
		return CTL_USAGE;
	if ((body = make_body(o, argc, argv)) == NULL)
		return EXEC_CUT;
	ret = exec_session(ctl, agent, body, o->tty);
	free(body);
	return ret;
}

static int
read_ids(const char *text, struct options *o)
{
	const char *err1, *err2 = NULL, *colon = strchr(text, ':');
	char uid[16];

	(void)snprintf(uid, sizeof(uid), "%.*s", colon != NULL ?
	    (int)(colon - text) : 15, text);
	o->uid = strtonum(uid, 0, 65533, &err1);
	o->gid = colon == NULL ? o->uid : strtonum(colon + 1, 0, 65533,
	    &err2);
	if (err1 == NULL && err2 == NULL)
		return 0;
	complain("-u: UID or UID:GID, as numbers");
	return -1;
}

int
cmd_agent_exec(struct ctl *ctl, int argc, char **argv)
{
	struct options o = { false, NULL, 0, 0 };
	const char *agent = NULL;
	int i;

	for (i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "-t") == 0)
			o.tty = true;
		else if (strcmp(argv[i], "-C") == 0 && i + 1 < argc)
			o.cwd = argv[++i];
		else if (strcmp(argv[i], "-u") == 0 && i + 1 < argc) {
			if (read_ids(argv[++i], &o) == -1)
				return CTL_USAGE;
		} else if (argv[i][0] == '-')
			return ctl_usage();
		else if (agent == NULL)
			agent = argv[i];
		else
			break;
	}
	if (i < argc && strcmp(argv[i], "--") == 0)
		i++;
	if (agent == NULL || i >= argc)
		return ctl_usage();
	return run(ctl, agent, &o, argc - i, argv + i);
}

int
cmd_agent_shell(struct ctl *ctl, int argc, char **argv)
{
	struct options o = { false, NULL, 0, 0 };
	char bash[] = "/bin/bash", login[] = "-l";
	char *words[] = { bash, login, NULL };

	(void)argc;
	o.tty = isatty(STDIN_FILENO) != 0;
	return run(ctl, argv[0], &o, 2, words);
}

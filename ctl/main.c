/*
 * agentctl: the admin's client of agentd.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#define TOKEN_MAX	256

static const struct verb verbs[] = {
	{ "status", NULL, "", "the workers, and what became of them",
	    0, 0, cmd_status },
	{ "agent", "deploy", "NAME [--framework F] [--model M] "
	    "[--fallback M]...\n\t"
	    "[--memory SIZE] [--cpus N]\n\t[--disk SIZE] [--processes N]\n\t"
	    "[--network none|egress|allow] [--allow DOMAIN]...\n\t"
	    "[--emoji E] [--color C] "
	    "[--wait | --no-wait]", "make an agent and start it",
	    1, -1, cmd_agent_deploy },
	{ "agent", "list", "", "all agents", 0, 0, cmd_agent_list },
	{ "agent", "show", "AGENT", "one agent", 1, 1, cmd_agent_show },
	{ "agent", "archive", "AGENT [--force] [--timeout SECONDS]",
	    "let it finish, stop it and put it away",
	    1, -1, cmd_agent_archive },
	{ "agent", "rm", "AGENT [--purge] [--force] [--timeout SECONDS]",
	    "the same; --purge: delete it at once and for good, its trace "
	    "stays", 1, -1, cmd_agent_rm },
	{ "agent", "rebuild", "AGENT", "a new container for one whose own is "
	    "gone; its home is lost", 1, 1, cmd_agent_rebuild },
	{ "agent", "fork", "AGENT --name NAME [--snapshot S] "
	    "[--wait | --no-wait]", "a new agent with its files",
	    3, -1, cmd_agent_fork },
	{ "agent", "start", "AGENT... | --all", "start it",
	    1, -1, cmd_agent_start },
	{ "agent", "stop", "AGENT... | --all [--force] [--timeout SECONDS]",
	    "let it finish, then stop it", 1, -1, cmd_agent_stop },
	{ "agent", "restart", "AGENT... | --all [--force] "
	    "[--timeout SECONDS]", "let it finish, then stop and start it",
	    1, -1, cmd_agent_restart },
	{ "agent", "pause", "AGENT... | --all [--force] [--timeout SECONDS]",
	    "let it finish, then freeze it", 1, -1, cmd_agent_pause },
	{ "agent", "resume", "AGENT... | --all", "let it go on",
	    1, -1, cmd_agent_resume },
	{ "agent", "rename", "AGENT NAME", "another name, while it runs",
	    2, 2, cmd_agent_rename },
	{ "agent", "set", "AGENT [--model M] [--fallback M]... "
	    "[--no-fallbacks]\n\t[--emoji E] [--color C]",
	    "change it while it runs", 2, -1, cmd_agent_set },
	{ "agent", "limits", "AGENT [--memory SIZE] [--cpus N] "
	    "[--processes N] [--disk SIZE]", "show its limits, or change "
	    "them while it runs", 1, -1, cmd_agent_limits },
	{ "agent", "network", "AGENT [none|egress|allow]",
	    "what it may reach", 1, 2, cmd_agent_network },
	{ "agent", "allow", "AGENT DOMAIN... [--private]",
	    "domains that it may reach", 2, -1, cmd_agent_allow },
	{ "agent", "deny", "AGENT DOMAIN", "no longer",
	    2, 2, cmd_agent_deny },
	{ "agent", "denied", "AGENT", "what it was refused",
	    1, 1, cmd_agent_denied },
	{ "agent", "disk", "AGENT", "what its disk holds now",
	    1, 1, cmd_agent_disk },
	{ "agent", "idle", "AGENT TIME | never", "after how long without work "
	    "it sleeps", 2, 2, cmd_agent_idle },
	{ "pool", NULL, "", "instances made ahead", 0, 0, cmd_pool },
	{ "archive", "list", "", "archived agents", 0, 0, cmd_archive_list },
	{ "archive", "show", "ID|AGENT", "one of them",
	    1, 1, cmd_archive_show },
	{ "archive", "restore", "ID|AGENT [--state running|stopped|paused]",
	    "let it live again, as it was", 1, 3, cmd_archive_restore },
	{ "archive", "purge", "ID|AGENT", "remove it for good; its trace "
	    "stays", 1, 1, cmd_archive_purge },
	{ "snapshot", "list", "AGENT", "its snapshots",
	    1, 1, cmd_snapshot_list },
	{ "snapshot", "make", "AGENT [NAME]", "make one of its files",
	    1, 2, cmd_snapshot_make },
	{ "snapshot", "restore", "AGENT NAME", "put its files back to one",
	    2, 2, cmd_snapshot_restore },
	{ "snapshot", "rm", "AGENT NAME", "delete one",
	    2, 2, cmd_snapshot_rm },
	{ "snapshot", "schedule", "AGENT off | hourly|daily keep N",
	    "make and prune them by schedule", 2, 4,
	    cmd_snapshot_schedule },
	{ "agent", "export", "AGENT [-o FILE] [--force]",
	    "write it into a file, signed by this server",
	    1, -1, cmd_agent_export },
	{ "agent", "import", "FILE [--name NAME] [--model M]\n"
	    "\t[--network none|egress|allow] [--trust-key KEY] [--no-wait]",
	    "make an agent from such a file", 1, -1, cmd_agent_import },
	{ "agent", "exec", "AGENT [-t] [-u UID[:GID]] [-C DIR] -- "
	    "COMMAND [ARG ...]", "run a command in its container",
	    2, -1, cmd_agent_exec },
	{ "agent", "shell", "AGENT", "a shell in its container",
	    1, 1, cmd_agent_shell },
	{ "agent", "logs", "AGENT [-f] [-n LINES] [--link]",
	    "the journal of its container", 1, -1, cmd_agent_logs },
	{ "recycle", "list", "[AGENT]", "what was deleted in its container, "
	    "or in all", 0, 1, cmd_recycle_list },
	{ "recycle", "restore", "AGENT ID|PATH", "put it back where it was",
	    2, 2, cmd_recycle_restore },
	{ "recycle", "purge", "AGENT ID", "delete it for good",
	    2, 2, cmd_recycle_purge },
	{ "chat", NULL, "AGENT [MESSAGE]", "talk to it", 1, 2, cmd_chat },
	{ "trace", NULL, "AGENT [-f] [--last] [--kind K] [--trace-id T] "
	    "[--limit N]", "what it did, turn by turn", 1, -1, cmd_trace },
	{ "provider", "add", "NAME --type openai|demo [--url U] "
	    "[--model M]...\n\t[--allow-private] [--ca FILE] "
	    "[--key-file FILE | --no-key]", "add an LLM provider",
	    1, -1, cmd_provider_add },
	{ "provider", "list", "", "LLM providers", 0, 0, cmd_provider_list },
	{ "provider", "rm", "NAME", "delete it and its key",
	    1, 1, cmd_provider_rm },
	{ "framework", "list", "", "agent runtimes that can be deployed",
	    0, 0, cmd_framework_list },
	{ "catalog", "list", "", "all frameworks, also those that cannot be "
	    "had", 0, 0, cmd_catalog_list },
	{ "catalog", "show", "FRAMEWORK", "one, or why it cannot be had",
	    1, 1, cmd_catalog_show },
	{ "logs", NULL, "WORKER [-f] [-n LINES] [--log-dir DIR]",
	    "the log of a worker", 1, -1, cmd_logs },
	{ "log-level", NULL, "WORKER error|warn|info|debug",
	    "how much it logs", 2, 2, cmd_log_level },
	{ "image", "build", "NAME [--version V] [--output FILE]",
	    "build an image here and import it", 1, -1, cmd_image_build },
	{ "image", "import", "ALIAS FILE|URL [--sha256 HEX] [--signature F] "
	    "[--unsigned]", "import a signed image", 2, -1,
	    cmd_image_import },
	{ "image", "preload", "[LIST]", "import what a list names and is not "
	    "there", 0, 1, cmd_image_preload },
	{ "image", "verify", "[ALIAS]", "read images again and compare",
	    0, 1, cmd_image_verify },
	{ "image", "rm", "ALIAS", "delete an image", 1, 1, cmd_image_rm },
	{ "image", "prune", "", "delete images that nothing needs", 0, 0,
	    cmd_image_prune },
	{ "image", "sbom", "FILE", "the packages in an image's file",
	    1, 1, cmd_image_sbom },
	{ "image", "compare", "FILE FILE", "what is not the same in two of "
	    "them", 2, 2, cmd_image_compare },
	{ "image", "list", "", "container images", 0, 0, cmd_image_list },
	{ "doctor", NULL, "[--repair]", "what is missing or not as it should "
	    "be, and what mends it", 0, 1, cmd_doctor },
};
#define NVERBS	(sizeof(verbs) / sizeof(verbs[0]))

#define WIDTH	78	/* of a line of help */

static const struct verb *running;	/* for its usage */

static void
print_verb(FILE *f, const struct verb *v)
{
	(void)fprintf(f, "  agentctl %s%s%s%s%s\n", v->noun,
	    v->verb != NULL ? " " : "", v->verb != NULL ? v->verb : "",
	    v->args[0] != '\0' ? " " : "", v->args);
	(void)fprintf(f, "\t%s\n", v->help);
}

int
ctl_usage(void)
{
	(void)fprintf(stderr, "usage:\n");
	print_verb(stderr, running);
	return CTL_USAGE;
}

/* The verbs of a noun on lines of a terminal's width. */
static void
print_noun(FILE *f, const char *noun)
{
	size_t i, col = 0;

	for (i = 0; i < NVERBS; i++) {
		if (strcmp(noun, verbs[i].noun) != 0)
			continue;
		if (verbs[i].verb == NULL) {
			(void)fprintf(f, "  %-10s%s", noun, verbs[i].help);
			continue;
		}
		if (col == 0 || col + 1 + strlen(verbs[i].verb) > WIDTH) {
			(void)fprintf(f, "%s  %-10s", col == 0 ? "" : "\n",
			    col == 0 ? noun : "");
			col = 12;
		} else {
			col += (size_t)fprintf(f, " ");
		}
		col += (size_t)fprintf(f, "%s", verbs[i].verb);
	}
	(void)fprintf(f, "\n");
}

static void
overview(FILE *f)
{
	size_t i, j;

	(void)fprintf(f, "usage: agentctl [-s SOCKET | --url URL "
	    "[--token-file FILE]] [--json] VERB ...\n\n");
	for (i = 0; i < NVERBS; i++) {
		for (j = 0; strcmp(verbs[j].noun, verbs[i].noun) != 0; j++)
			continue;
		if (j == i)
			print_noun(f, verbs[i].noun);
	}
	(void)fprintf(f, "\nMore of one: agentctl help agent, agentctl agent "
	    "deploy --help; of all: agentctl(8).\n");
}

/* Of all in short, of a noun, or of one verb; CTL_USAGE: there is none. */
static int
help(FILE *f, const char *noun, const char *verb)
{
	size_t i;
	int n = 0;

	if (noun == NULL) {
		overview(f);
		return CTL_OK;
	}
	for (i = 0; i < NVERBS; i++) {
		if (strcmp(noun, verbs[i].noun) != 0 || (verb != NULL &&
		    (verbs[i].verb == NULL ||
		    strcmp(verb, verbs[i].verb) != 0)))
			continue;
		print_verb(f, &verbs[i]);
		n++;
	}
	return n > 0 ? CTL_OK : CTL_USAGE;
}

/* Is help asked for, before what "--" keeps from us? */
static bool
wants_help(char **argv)
{
	for (; *argv != NULL && strcmp(*argv, "--") != 0; argv++)
		if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0)
			return true;
	return false;
}

static void
read_token(struct ctl *ctl, const char *file)
{
	char buf[TOKEN_MAX];
	ssize_t n;
	int fd;

	if ((fd = open(file, O_RDONLY | O_CLOEXEC)) == -1 ||
	    (n = read(fd, buf, sizeof(buf) - 1)) == -1)
		err(CTL_FAIL, "%s", file);
	close(fd);
	buf[n] = '\0';
	buf[strcspn(buf, " \t\r\n")] = '\0';
	if (buf[0] == '\0')
		errx(CTL_FAIL, "%s: there is no token in it", file);
	if (asprintf(&ctl->token, "Authorization: Bearer %s", buf) == -1)
		err(CTL_FAIL, NULL);
	explicit_bzero(buf, sizeof(buf));
}

/* True and *value when argv[*i] is that option; it may take two words. */
static bool
option(char **argv, int *i, const char *name, char **value)
{
	size_t n = strlen(name);

	if (strcmp(argv[*i], name) == 0) {
		if ((*value = argv[*i + 1]) == NULL)
			errx(CTL_USAGE, "%s needs a value", name);
		(*i)++;
		return true;
	}
	if (n > 2 && strncmp(argv[*i], name, n) == 0 && argv[*i][n] == '=') {
		*value = argv[*i] + n + 1;
		return true;
	}
	return false;
}

/*
 * Takes the options that all verbs have out of argv, wherever they are;
 * returns how many words are left. What follows "--" is not looked at.
 */
static int
global_options(struct ctl *ctl, char **argv)
{
	char *value, *token_file = NULL;
	int i, n = 0;

	for (i = 0; argv[i] != NULL; i++) {
		if (strcmp(argv[i], "--") == 0) {
			while (argv[i] != NULL)
				argv[n++] = argv[i++];
			break;
		}
		if (option(argv, &i, "-s", &value) ||
		    option(argv, &i, "--socket", &value))
			ctl->socket = value;
		/* "provider add" has a --url of its own. */
		else if ((n == 0 || strcmp(argv[0], "provider") != 0) &&
		    option(argv, &i, "--url", &value))
			ctl->url = value;
		else if (option(argv, &i, "--token-file", &value))
			token_file = value;
		else if (strcmp(argv[i], "--json") == 0)
			ctl->json = true;
		else if (n == 0 && (strcmp(argv[i], "-V") == 0 ||
		    strcmp(argv[i], "--version") == 0)) {
			(void)printf("agentctl %s\n", PACKAGE_VERSION);
			exit(CTL_OK);
		} else
			argv[n++] = argv[i];
	}
	argv[n] = NULL;
	if (ctl->url != NULL && strncmp(ctl->url, "http://", 7) != 0 &&
	    strncmp(ctl->url, "https://", 8) != 0)
		errx(CTL_USAGE, "--url: not a http:// or https:// URL");
	if (token_file != NULL)
		read_token(ctl, token_file);
	return n;
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	size_t i;
	int skip;

	for (i = 0; i < NVERBS; i++) {
		const struct verb *v = &verbs[i];

		skip = v->verb != NULL ? 2 : 1;
		if (argc < skip || strcmp(argv[0], v->noun) != 0 ||
		    (v->verb != NULL && strcmp(argv[1], v->verb) != 0))
			continue;
		running = v;
		argc -= skip;
		argv += skip;
		if (wants_help(argv)) {
			print_verb(stdout, v);
			return CTL_OK;
		}
		if (argc > 0 && strcmp(argv[0], "--") == 0 && v->max != -1) {
			argc--;
			argv++;
		}
		if (argc < v->min || (v->max != -1 && argc > v->max))
			return ctl_usage();
		return v->run(ctl, argc, argv);
	}
	if (argc == 2 && wants_help(argv + 1))
		return help(stdout, argv[0], NULL);
	if (help(stderr, argv[0], NULL) == CTL_USAGE)
		(void)fprintf(stderr, "agentctl: there is no verb '%s'; try: "
		    "agentctl help\n", argv[0]);
	return CTL_USAGE;
}

int
main(int argc, char *argv[])
{
	struct ctl ctl = { .socket = RUNSTATEDIR "/agentd/agentd.sock" };
	int n, ret;

	(void)argc;
	setprogname("agentctl");
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		err(CTL_FAIL, "signal");
	n = global_options(&ctl, argv + 1);
	argv++;
	if (n == 0) {
		overview(stderr);
		return CTL_USAGE;
	}
	if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0 ||
	    strcmp(argv[0], "-h") == 0) {
		ret = help(stdout, n > 1 ? argv[1] : NULL,
		    n > 2 ? argv[2] : NULL);
		if (ret == CTL_USAGE)
			warnx("there is no such verb; try: agentctl help");
		return ret;
	}
	ctl.color = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL;
	rest_init();
	ret = run(&ctl, n, argv);
	if (ctl.token != NULL)
		freezero(ctl.token, strlen(ctl.token));
	if (fflush(stdout) == EOF || ferror(stdout))
		ret = CTL_FAIL;
	return ret;
}

/*
 * agentctl provider: add, list, rm.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 *
 * A key comes from a file, from standard input or from a terminal that does
 * not show it: never from the command line, which others can read.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <readpassphrase.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ctl.h"
#include "jbuf.h"

#define KEY_MAX		4096
#define CA_MAX		32768
#define MODELS_MAX	200
#define BODY_MAX	(256UL << 10)

struct provider {
	const char *name, *type, *url, *ca, *key_file;
	const char *models[MODELS_MAX];
	unsigned int nmodels;
	bool allow_private, no_key;
	char key[KEY_MAX + 1];
	char ca_pem[CA_MAX + 1];
};

/* All of a small file, NUL-terminated; "-" is standard input. */
static int
read_file(const char *file, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int fd = STDIN_FILENO;

	if (strcmp(file, "-") != 0 &&
	    (fd = open(file, O_RDONLY | O_CLOEXEC)) == -1) {
		complain("%s: %s", file, strerror(errno));
		return -1;
	}
	while ((n = read(fd, buf + len, size - len)) > 0)
		len += (size_t)n;
	if (fd != STDIN_FILENO)
		close(fd);
	if (n == -1 || len == size) {
		complain("%s: %s", file, n == -1 ? strerror(errno) :
		    "too long");
		return -1;
	}
	buf[len] = '\0';
	if (strlen(buf) != len) {
		complain("%s: there is a NUL byte in it", file);
		return -1;
	}
	return 0;
}

static int
read_key(struct provider *p)
{
	char prompt[160];

	if (p->no_key || strcmp(p->type, "demo") == 0)
		return 0;
	if (p->key_file != NULL || !isatty(STDIN_FILENO)) {
		if (read_file(p->key_file != NULL ? p->key_file : "-",
		    p->key, sizeof(p->key)) == -1)
			return -1;
		p->key[strcspn(p->key, "\r\n")] = '\0';
	} else {
		(void)snprintf(prompt, sizeof(prompt),
		    "API key for %s (is not shown): ", p->name);
		if (readpassphrase(prompt, p->key, sizeof(p->key),
		    RPP_ECHO_OFF | RPP_REQUIRE_TTY) == NULL) {
			complain("cannot read the key: %s", strerror(errno));
			return -1;
		}
	}
	if (p->key[0] == '\0') {
		complain("there is no key; a provider without one: --no-key");
		return -1;
	}
	return 0;
}

static int
parse_provider(int argc, char **argv, struct provider *p)
{
	static const struct option opts[] = {
		{ "type", required_argument, NULL, 't' },
		{ "url", required_argument, NULL, 'u' },
		{ "model", required_argument, NULL, 'm' },
		{ "ca", required_argument, NULL, 'c' },
		{ "key-file", required_argument, NULL, 'k' },
		{ "no-key", no_argument, NULL, 'n' },
		{ "allow-private", no_argument, NULL, 'p' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	p->type = "";
	optind = 0;
	while ((c = getopt_long(argc + 1, argv - 1, "", opts, NULL)) != -1) {
		switch (c) {
		case 't': p->type = optarg; break;
		case 'u': p->url = optarg; break;
		case 'c': p->ca = optarg; break;
		case 'k': p->key_file = optarg; break;
		case 'n': p->no_key = true; break;
		case 'p': p->allow_private = true; break;
		case 'm':
			if (p->nmodels == MODELS_MAX) {
				complain("more than %d models", MODELS_MAX);
				return CTL_USAGE;
			}
			p->models[p->nmodels++] = optarg;
			break;
		default:
			return ctl_usage();
		}
	}
	if (argc + 1 - optind != 1 || p->type[0] == '\0')
		return ctl_usage();
	p->name = argv[optind - 1];
	return CTL_OK;
}

static int
post(struct ctl *ctl, const struct provider *p, struct reply *r)
{
	const char *text;
	struct jbuf b;
	int ret = -1;

	jbuf_init(&b, BODY_MAX);
	b.secret = true;
	jb_obj(&b);
	jb_kstr(&b, "name", p->name);
	jb_kstr(&b, "type", p->type);
	if (p->url != NULL)
		jb_kstr(&b, "url", p->url);
	if (p->key[0] != '\0')
		jb_kstr(&b, "api_key", p->key);
	if (p->ca_pem[0] != '\0')
		jb_kstr(&b, "ca_pem", p->ca_pem);
	if (p->allow_private)
		jb_kbool(&b, "allow_private", true);
	jb_strings(&b, "models", p->models, p->nmodels);
	jb_end(&b);
	if ((text = jbuf_text(&b, NULL)) == NULL)
		complain("the request is too long");
	else
		ret = rest_call(ctl, "POST", "/api/providers", text, NULL, r);
	jbuf_free(&b);
	return ret;
}

int
cmd_provider_add(struct ctl *ctl, int argc, char **argv)
{
	struct provider *p = calloc(1, sizeof(*p));
	struct reply r = { .status = 0 };
	int ret;

	if (p == NULL)
		return CTL_FAIL;
	if ((ret = parse_provider(argc, argv, p)) != CTL_OK)
		goto out;
	ret = CTL_FAIL;
	if ((p->ca != NULL &&
	    read_file(p->ca, p->ca_pem, sizeof(p->ca_pem)) == -1) ||
	    read_key(p) == -1 || post(ctl, p, &r) == -1)
		goto out;
	ret = CTL_OK;
	if (ctl->json)
		out_json(&r);
	else
		out_status(jstr(r.doc, "name"), r.doc);
out:
	reply_free(&r);
	freezero(p, sizeof(*p));
	return ret;
}

/* "a, b, c and 4 more" into buf. */
static const char *
join_models(struct json_object *list, char *buf, size_t size)
{
	struct json_object *m;
	size_t i, n = 0;

	buf[0] = '\0';
	while (jat(list, n) != NULL)
		n++;
	for (i = 0; i < n && i < 4 && (m = jat(list, i)) != NULL; i++) {
		if (i > 0)
			(void)strlcat(buf, ", ", size);
		(void)strlcat(buf, json_object_is_type(m, json_type_object) ?
		    jstr(m, "id") : json_object_get_string(m), size);
	}
	if (n > i)
		(void)snprintf(buf + strlen(buf), size - strlen(buf),
		    " and %zu more", n - i);
	return buf;
}

static void
provider_row(struct table *t, struct json_object *p)
{
	char buf[400];

	table_cell(t, "%s", jstr(p, "name"));
	table_cell(t, "%s%s", jstr(p, "type"),
	    jbool(p, "built_in") ? " (built in)" : "");
	table_cell(t, "%s", jstr(p, "url")[0] != '\0' ?
	    jstr(p, "url") : "-");
	table_cell(t, "%s", jbool(p, "allow_private") ? "allowed" :
	    "-");
	table_cell(t, "%s", join_models(jget(p, "models"), buf,
	    sizeof(buf)));
}

int
cmd_provider_list(struct ctl *ctl, int argc, char **argv)
{
	static const char *const heads[] = {
		"PROVIDER", "TYPE", "URL",
		"PRIVATE", "MODELS", NULL
	};

	(void)argc;
	(void)argv;
	return out_list(ctl, "/api/providers", heads, provider_row);
}

int
cmd_provider_rm(struct ctl *ctl, int argc, char **argv)
{
	char path[256];
	struct reply r;
	int ret;

	(void)argc;
	if (!path_segment_ok(argv[0])) {
		complain("'%s' is not the name of a provider", argv[0]);
		return CTL_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/api/providers/%s", argv[0]);
	ret = rest_call(ctl, "DELETE", path, NULL, NULL, &r);
	if (out_words(ctl, ret, &r))
		(void)printf("%s: deleted\n", argv[0]);
	return reply_exit(ret, &r);
}

/*
 * Reads agent-link's strict "key = value" configuration file.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#include "config.h"

#include <arpa/inet.h>

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

#define LINE_MAX_LEN	4096
#define HTTP_SCHEME	"http://"

struct parser {
	struct conf *conf;
	const char *path;
	char *err;
	size_t errsz;
	unsigned int line;
	unsigned int seen;	/* bit per row of keys[] */
};

struct key {
	const char *name;
	int (*set)(struct parser *, const char *);
	unsigned int only;	/* bits of kinds; 0 = all of them */
	bool required;
};

static int	set_kind(struct parser *, const char *);
static int	set_runtime(struct parser *, const char *);
static int	set_socket(struct parser *, const char *);
static int	set_command(struct parser *, const char *);
static int	set_format(struct parser *, const char *);
static int	set_input(struct parser *, const char *);
static int	set_resume(struct parser *, const char *);
static int	set_url(struct parser *, const char *);
static int	set_ready(struct parser *, const char *);
static int	set_token_file(struct parser *, const char *);
static int	set_model(struct parser *, const char *);
static int	set_turn_timeout(struct parser *, const char *);
static int	set_ready_timeout(struct parser *, const char *);
static int	set_llm_listen(struct parser *, const char *);
static int	set_api_listen(struct parser *, const char *);
static int	set_proxy_listen(struct parser *, const char *);

static const struct key keys[] = {
	{ "kind",		set_kind,		KIND_NONE, true },
	{ "runtime",		set_runtime,		KIND_NONE, true },
	{ "socket",		set_socket,		KIND_NONE, true },
	{ "command",		set_command,
	    KIND_RPC | KIND_ACP | KIND_EXEC, true },
	{ "format",		set_format,		KIND_EXEC, true },
	{ "input",		set_input,		KIND_EXEC, false },
	{ "resume",		set_resume,		KIND_EXEC, false },
	{ "url",		set_url,		KIND_HTTP, true },
	{ "ready",		set_ready,		KIND_HTTP, false },
	{ "token_file",		set_token_file,		KIND_HTTP, false },
	{ "model",		set_model,		KIND_HTTP, false },
	{ "turn_timeout",	set_turn_timeout,	KIND_NONE, false },
	{ "ready_timeout",	set_ready_timeout,	KIND_NONE, false },
	{ "llm_listen",		set_llm_listen,		KIND_NONE, false },
	{ "api_listen",		set_api_listen,		KIND_NONE, false },
	{ "proxy_listen",	set_proxy_listen,	KIND_NONE, false },
};
#define NKEYS	(sizeof(keys) / sizeof(keys[0]))

static const struct {
	const char *name;
	enum link_kind kind;
} kinds[] = {
	{ "http",	KIND_HTTP },
	{ "rpc",	KIND_RPC },
	{ "acp",	KIND_ACP },
	{ "exec",	KIND_EXEC },
};
#define NKINDS	(sizeof(kinds) / sizeof(kinds[0]))

static int	parse_line(struct parser *, char *);
static int	check_all(struct parser *);
static int	fail(struct parser *, const char *, ...)
		    __attribute__((__format__(printf, 2, 3)));

static void
conf_defaults(struct conf *conf)
{
	struct in_addr lo = { .s_addr = htonl(INADDR_LOOPBACK) };

	memset(conf, 0, sizeof(*conf));
	conf->turn_timeout = 600;
	conf->ready_timeout = 180;
	conf->llm_listen.sin_family = AF_INET;
	conf->llm_listen.sin_addr = lo;
	conf->llm_listen.sin_port = htons(4000);
	conf->api_listen = conf->llm_listen;
	conf->api_listen.sin_port = htons(6969);
	conf->proxy_listen = conf->llm_listen;
	conf->proxy_listen.sin_port = htons(3128);
	(void)strlcpy(conf->model, "default", sizeof(conf->model));
}

int
conf_load(struct conf *conf, const char *path, char *err, size_t errsz)
{
	struct parser p = { .conf = conf, .path = path, .err = err,
	    .errsz = errsz };
	char buf[LINE_MAX_LEN];
	FILE *f;
	int ret = 0;

	conf_defaults(conf);
	if ((f = fopen(path, "re")) == NULL) {
		(void)snprintf(err, errsz, "%s: %s", path, strerror(errno));
		return -1;
	}
	while (ret == 0 && fgets(buf, sizeof(buf), f) != NULL) {
		p.line++;
		if (strchr(buf, '\n') == NULL && !feof(f))
			ret = fail(&p, "line longer than %d bytes",
			    LINE_MAX_LEN - 2);
		else
			ret = parse_line(&p, buf);
	}
	if (ret == 0 && ferror(f)) {
		(void)snprintf(err, errsz, "%s: read error", path);
		ret = -1;
	}
	fclose(f);
	if (ret == 0)
		ret = check_all(&p);
	return ret;
}

void
conf_free(struct conf *conf)
{
	free(conf->command);
	conf->command = NULL;
}

const char *
conf_kind_name(enum link_kind kind)
{
	size_t i;

	for (i = 0; i < NKINDS; i++)
		if (kinds[i].kind == kind)
			return kinds[i].name;
	return "none";
}

static int
fail(struct parser *p, const char *fmt, ...)
{
	char msg[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	(void)snprintf(p->err, p->errsz, "%s:%u: %s", p->path, p->line, msg);
	return -1;
}

/* Cuts blanks at both ends, in place. */
static char *
trim(char *s)
{
	size_t n;

	while (isspace((unsigned char)*s))
		s++;
	n = strlen(s);
	while (n > 0 && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
	return s;
}

/* A comment starts with '#' in column 0 or after a blank: URLs may hold one. */
static void
cut_comment(char *s)
{
	char *c;

	for (c = s; (c = strchr(c, '#')) != NULL; c++) {
		if (c == s || isspace((unsigned char)c[-1])) {
			*c = '\0';
			return;
		}
	}
}

static int
parse_line(struct parser *p, char *buf)
{
	char *name, *value, *c;
	size_t i;

	cut_comment(buf);
	name = trim(buf);
	if (*name == '\0')
		return 0;
	for (c = name; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c) && *c != '\t')
			return fail(p, "control character");
	if ((value = strchr(name, '=')) == NULL)
		return fail(p, "expected 'key = value'");
	*value++ = '\0';
	name = trim(name);
	value = trim(value);
	for (i = 0; i < NKEYS; i++)
		if (strcmp(name, keys[i].name) == 0)
			break;
	if (i == NKEYS)
		return fail(p, "unknown key '%.64s'", name);
	if (p->seen & (1U << i))
		return fail(p, "'%s' given twice", name);
	if (*value == '\0')
		return fail(p, "'%s' has no value", name);
	p->seen |= 1U << i;
	return keys[i].set(p, value);
}

/* What can only be judged when the whole file has been read. */
static int
check_all(struct parser *p)
{
	enum link_kind kind = p->conf->kind;
	size_t i;

	for (i = 0; i < NKEYS; i++) {
		bool mine = keys[i].only == 0 || (keys[i].only & kind);
		bool seen = p->seen & (1U << i);

		if (mine && keys[i].required && !seen)
			return fail(p, "'%s' is missing", keys[i].name);
		if (!mine && seen)
			return fail(p, "'%s' is not for kind '%s'",
			    keys[i].name, conf_kind_name(kind));
	}
	if (p->conf->llm_listen.sin_port == p->conf->api_listen.sin_port &&
	    p->conf->llm_listen.sin_addr.s_addr ==
	    p->conf->api_listen.sin_addr.s_addr)
		return fail(p, "llm_listen and api_listen are the same");
	return 0;
}

static int
set_kind(struct parser *p, const char *v)
{
	size_t i;

	for (i = 0; i < NKINDS; i++) {
		if (strcmp(v, kinds[i].name) == 0) {
			p->conf->kind = kinds[i].kind;
			return 0;
		}
	}
	if (strcmp(v, "bridge") == 0)
		return fail(p, "kind 'bridge' is not in this build "
		    "(it has: http, rpc, acp, exec)");
	return fail(p, "unknown kind '%.64s' (http, rpc, acp or exec)", v);
}

/* The number of the word, or -1 after an error that names all of them. */
static int
one_of(struct parser *p, const char *key, const char *a, const char *b,
    const char *v)
{
	if (strcmp(v, a) == 0)
		return 0;
	if (strcmp(v, b) == 0)
		return 1;
	return fail(p, "%s is '%.64s' (%s or %s)", key, v, a, b);
}

static int
set_format(struct parser *p, const char *v)
{
	int n = one_of(p, "format", "text", "jsonl", v);

	if (n == -1)
		return -1;
	p->conf->format = n == 0 ? FORMAT_TEXT : FORMAT_JSONL;
	return 0;
}

static int
set_input(struct parser *p, const char *v)
{
	int n = one_of(p, "input", "stdin", "argument", v);

	if (n == -1)
		return -1;
	p->conf->input = n == 0 ? INPUT_STDIN : INPUT_ARGUMENT;
	return 0;
}

static int
set_string(struct parser *p, const char *key, char *dst, size_t dstsz,
    const char *v)
{
	if (strlcpy(dst, v, dstsz) >= dstsz)
		return fail(p, "%s is longer than %zu bytes", key, dstsz - 1);
	return 0;
}

static int
set_resume(struct parser *p, const char *v)
{
	if (strpbrk(v, " \t") != NULL)
		return fail(p, "resume is more than one word");
	return set_string(p, "resume", p->conf->resume,
	    sizeof(p->conf->resume), v);
}

static int
set_runtime(struct parser *p, const char *v)
{
	const char *c;

	for (c = v; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && strchr("-_.", *c) == NULL)
			return fail(p, "runtime may hold only letters, digits, "
			    "'-', '_' and '.'");
	return set_string(p, "runtime", p->conf->runtime,
	    sizeof(p->conf->runtime), v);
}

static int
set_path(struct parser *p, const char *key, char *dst, size_t dstsz,
    const char *v)
{
	if (*v != '/')
		return fail(p, "%s is not an absolute path", key);
	return set_string(p, key, dst, dstsz, v);
}

static int
set_socket(struct parser *p, const char *v)
{
	return set_path(p, "socket", p->conf->socket,
	    sizeof(p->conf->socket), v);
}

static int
set_token_file(struct parser *p, const char *v)
{
	return set_path(p, "token_file", p->conf->token_file,
	    sizeof(p->conf->token_file), v);
}

static int
set_model(struct parser *p, const char *v)
{
	return set_string(p, "model", p->conf->model,
	    sizeof(p->conf->model), v);
}

/* Splits on blanks; no quoting, so that there is nothing to get wrong. */
static int
set_command(struct parser *p, const char *v)
{
	char *word, *rest;
	int n = 0;

	if (*v != '/')
		return fail(p, "command does not start with an absolute path");
	if ((p->conf->command = strdup(v)) == NULL)
		return fail(p, "out of memory");
	rest = p->conf->command;
	while ((word = strsep(&rest, " \t")) != NULL) {
		if (*word == '\0')
			continue;
		if (n == CONF_MAXARGS)
			return fail(p, "command has more than %d words",
			    CONF_MAXARGS);
		p->conf->argv[n++] = word;
	}
	p->conf->argv[n] = NULL;
	p->conf->argc = n;
	return 0;
}

/* "127.x.y.z:port": names are not resolved, other networks are refused. */
static int
parse_hostport(struct parser *p, const char *key, const char *v, size_t len,
    struct sockaddr_in *sin)
{
	char buf[32], *colon;
	const char *errstr;

	if (len >= sizeof(buf))
		return fail(p, "%s: not an address:port", key);
	memcpy(buf, v, len);
	buf[len] = '\0';
	if ((colon = strchr(buf, ':')) == NULL)
		return fail(p, "%s: no port", key);
	*colon++ = '\0';
	memset(sin, 0, sizeof(*sin));
	sin->sin_family = AF_INET;
	if (inet_pton(AF_INET, buf, &sin->sin_addr) != 1)
		return fail(p, "%s: '%s' is not an IPv4 address", key, buf);
	if (ntohl(sin->sin_addr.s_addr) >> 24 != 127)
		return fail(p, "%s: '%s' is not on the loopback", key, buf);
	sin->sin_port = htons((in_port_t)strtonum(colon, 1, 65535, &errstr));
	if (errstr != NULL)
		return fail(p, "%s: port is %s", key, errstr);
	return 0;
}

static int
parse_url(struct parser *p, const char *key, const char *v,
    struct conf_url *url)
{
	const char *host, *c;

	if (strncmp(v, HTTP_SCHEME, strlen(HTTP_SCHEME)) != 0)
		return fail(p, "%s does not start with %s", key, HTTP_SCHEME);
	host = v + strlen(HTTP_SCHEME);
	for (c = host; *c != '\0'; c++)
		if (isspace((unsigned char)*c) || *c == '#' ||
		    (unsigned char)*c > 126)
			return fail(p, "%s: bad character in the URL", key);
	if ((c = strchr(host, '/')) == NULL)
		return fail(p, "%s has no path", key);
	if (parse_hostport(p, key, host, (size_t)(c - host), &url->addr) == -1)
		return -1;
	return set_string(p, key, url->path, sizeof(url->path), c);
}

static int
set_url(struct parser *p, const char *v)
{
	return parse_url(p, "url", v, &p->conf->url);
}

static int
set_ready(struct parser *p, const char *v)
{
	return parse_url(p, "ready", v, &p->conf->ready);
}

static int
set_seconds(struct parser *p, const char *key, int max, int *dst,
    const char *v)
{
	const char *errstr;

	*dst = (int)strtonum(v, 1, max, &errstr);
	if (errstr != NULL)
		return fail(p, "%s is %s (1 to %d seconds)", key, errstr, max);
	return 0;
}

static int
set_turn_timeout(struct parser *p, const char *v)
{
	return set_seconds(p, "turn_timeout", 86400,
	    &p->conf->turn_timeout, v);
}

static int
set_ready_timeout(struct parser *p, const char *v)
{
	return set_seconds(p, "ready_timeout", 3600,
	    &p->conf->ready_timeout, v);
}

static int
set_llm_listen(struct parser *p, const char *v)
{
	return parse_hostport(p, "llm_listen", v, strlen(v),
	    &p->conf->llm_listen);
}

static int
set_api_listen(struct parser *p, const char *v)
{
	return parse_hostport(p, "api_listen", v, strlen(v),
	    &p->conf->api_listen);
}

static int
set_proxy_listen(struct parser *p, const char *v)
{
	return parse_hostport(p, "proxy_listen", v, strlen(v),
	    &p->conf->proxy_listen);
}

/*
 * The configuration file agentd.yaml: its keys, their defaults and bounds.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>

#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "conf.h"
#include "diag.h"
#include "log.h"
#include "schema.h"
#include "ytree.h"

#define LOWER	"abcdefghijklmnopqrstuvwxyz"
#define UPPER	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"

static const char *check_path(const char *);
static const char *check_node_id(const char *);
static const char *check_user(const char *);
static const char *check_http(const char *);
static const char *check_unix(const char *);
static const char *check_host(const char *);
static const char *check_name(const char *);
static const char *check_socket(const char *);
static const char *check_ca(const char *);
static const char *check_key(const char *);
static const char *check_framework(const char *);
static const char *check_minisign(const char *);

static const char *const levels[] = { "error", "warn", "info", "debug",
    NULL };
static const char *const idle_modes[] = { "stop", "freeze", NULL };
static const char *const targets[] = { "auto", "journal", "file", NULL };

#define M(member)	offsetof(struct conf, member)
#define PATH(name, member)						\
	{ name, SK_STR, 0, M(member), 1, 1023, NULL, check_path, NULL }
#define TEXT(name, member, max, check)					\
	{ name, SK_STR, 0, M(member), 1, max, NULL, check, NULL }
#define NUMBER(name, member, min, max)					\
	{ name, SK_INT, 0, M(member), min, max, NULL, NULL, NULL }
#define WORD(name, member, words)					\
	{ name, SK_WORD, 0, M(member), 0, 0, words, NULL, NULL }
#define SUB(name, keys)							\
	{ name, SK_MAP, 0, 0, 0, 0, NULL, NULL, keys }
#define END	{ NULL, SK_STR, 0, 0, 0, 0, NULL, NULL, NULL }

static const struct schema_key log_keys[] = {
	WORD("level", log_level, levels),
	WORD("target", log_target, targets),
	END
};

static const struct schema_key listen_keys[] = {
	TEXT("http", listen_http, 64, check_http),
	TEXT("unix", listen_unix, 107, check_unix),
	{ "allow_remote", SK_BOOL, 0, M(allow_remote), 0, 0, NULL, NULL, NULL },
	END
};

static const struct schema_key incus_keys[] = {
	TEXT("socket", incus_socket, 107, check_socket),
	TEXT("project", incus_project, 63, check_name),
	TEXT("pool", incus_pool, 63, check_name),
	END
};

static const struct schema_key limits_keys[] = {
	NUMBER("max_connections", max_connections, 16, 8192),
	NUMBER("max_calls_per_turn", max_calls_per_turn, 1, 10000),
	NUMBER("deploy_timeout", deploy_timeout, 10, 3600),
	NUMBER("disk_scan", disk_scan, 1, 86400),
	{ "import_size", SK_SIZE, 0, M(import_limit), 1 << 20, 1LL << 42, NULL,
	    NULL, NULL },
	END
};

static const struct schema_key trace_keys[] = {
	NUMBER("retention_days", retention_days, 0, 36500),
	END
};

static const struct schema_key image_keys[] = {
	{ "trusted_keys", SK_LIST, 0, M(image_keys), 56, 56,
	    NULL, check_minisign, NULL },
	END
};

static const struct schema_key conf_keys[] = {
	TEXT("node_id", node_id, 32, check_node_id),
	PATH("state_dir", state_dir),
	PATH("run_dir", run_dir),
	PATH("log_dir", log_dir),
	PATH("libexec_dir", libexec_dir),
	PATH("catalog_dir", catalog_dir),
	TEXT("ca_file", ca_file, 1023, check_ca),
	TEXT("user_prefix", user_prefix, 20, check_user),
	TEXT("admin_group", admin_group, 31, check_user),
	{ "allowed_hosts", SK_LIST, 0, M(allowed_hosts), 1, 253, NULL,
	    check_host, NULL },
	{ "trusted_exporters", SK_LIST, 0, M(trusted_exporters), 64, 64, NULL,
	    check_key, NULL },
	NUMBER("drain_timeout", drain_timeout, 1, 300),
	SUB("log", log_keys),
	SUB("listen", listen_keys),
	SUB("incus", incus_keys),
	SUB("images", image_keys),
	SUB("limits", limits_keys),
	{ "warm_pool", SK_COUNTS, 0, M(warm_pool), 0, CONF_POOL_MAX, NULL,
	    check_framework, NULL },
	{ "idle_suspend", SK_TIME, 0, M(idle_suspend), CONF_IDLE_MIN,
	    CONF_IDLE_MAX, NULL, NULL, NULL },
	WORD("idle_mode", idle_mode, idle_modes),
	SUB("trace", trace_keys),
	END
};

/* What a reload does not change, because workers or files depend on it. */
static const struct {
	const char	*name;
	size_t		 offset;
} fixed[] = {
	{ "node_id", M(node_id) },
	{ "state_dir", M(state_dir) },
	{ "run_dir", M(run_dir) },
	{ "log_dir", M(log_dir) },
	{ "libexec_dir", M(libexec_dir) },
	{ "user_prefix", M(user_prefix) },
	{ "admin_group", M(admin_group) },
};

/* An Ed25519 public key: 32 bytes in lower-case hex. */
static const char *
check_key(const char *s)
{
	return strspn(s, "0123456789abcdef") == 64 && s[64] == '\0' ? NULL :
	    "not a key of 64 lower-case hex digits; agentctl status on the "
	    "other server shows it";
}

static const char *
check_path(const char *s)
{
	const char *p;

	if (s[0] != '/')
		return "not an absolute path";
	for (p = s; (p = strstr(p, "/..")) != NULL; p += 3)
		if (p[3] == '/' || p[3] == '\0')
			return "a path with \"..\"";
	return NULL;
}

static const char *
check_unix(const char *s)
{
	return check_path(s);
}

static const char *
check_socket(const char *s)
{
	return strcmp(s, "auto") == 0 ? NULL : check_path(s);
}

static const char *
check_ca(const char *s)
{
	return strcmp(s, "none") == 0 ? NULL : check_path(s);
}

static const char *
check_node_id(const char *s)
{
	if (s[strspn(s, LOWER DIGITS "-")] != '\0')
		return "only a-z, 0-9 and - may be used";
	return NULL;
}

static const char *
check_framework(const char *s)
{
	if (s[0] == '\0' || strlen(s) > 64 ||
	    s[strspn(s, LOWER DIGITS "-_.")] != '\0')
		return "not the id of a framework";
	return NULL;
}

static const char *
check_minisign(const char *s)
{
	/* Base64 of "Ed", 8 bytes of id, 32 of key. */
	if (strncmp(s, "RW", 2) != 0 ||
	    s[strspn(s, LOWER UPPER DIGITS "+/")] != '\0')
		return "not the second line of a minisign public key";
	return NULL;
}

static const char *
check_user(const char *s)
{
	if (strchr(LOWER "_", s[0]) == NULL ||
	    s[strspn(s, LOWER DIGITS "_-")] != '\0')
		return "must be like a user name: a-z, 0-9, _ and -, not "
		    "beginning with a digit or -";
	return NULL;
}

static const char *
check_name(const char *s)
{
	if (strchr(UPPER LOWER DIGITS, s[0]) == NULL ||
	    s[strspn(s, UPPER LOWER DIGITS "-_.")] != '\0')
		return "only letters, digits, -, _ and . may be used";
	return NULL;
}

static const char *
check_host(const char *s)
{
	if (s[0] == '-' || s[0] == '.' ||
	    s[strspn(s, UPPER LOWER DIGITS "-.")] != '\0')
		return "not a host name (without a port)";
	return NULL;
}

static const char *
check_http(const char *s)
{
	struct sockaddr_storage ss;
	unsigned len;

	if (strcmp(s, "none") == 0 || conf_http_addr(s, &ss, &len) == 0)
		return NULL;
	return "must be ADDRESS:PORT with a numeric address "
	    "(127.0.0.1:6969 or [::1]:6969), or none";
}

int
conf_http_addr(const char *s, struct sockaddr_storage *ss, unsigned *len)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	    .ai_socktype = SOCK_STREAM }, *res;
	char host[65];
	const char *colon, *err;
	size_t n;

	if (s == NULL || (colon = strrchr(s, ':')) == NULL)
		return -1;
	n = (size_t)(colon - s);
	/* A bare "::1" has more than one colon and no brackets. */
	if (s[0] == '[' && n > 2 && s[n - 1] == ']') {
		s++;
		n -= 2;
	} else if (memchr(s, ':', n) != NULL) {
		return -1;
	}
	if (n == 0 || n >= sizeof(host))
		return -1;
	memcpy(host, s, n);
	host[n] = '\0';
	(void)strtonum(colon + 1, 1, 65535, &err);
	if (err != NULL || colon[1] < '1' || colon[1] > '9')
		return -1;
	if (getaddrinfo(host, colon + 1, &hints, &res) != 0)
		return -1;
	memcpy(ss, res->ai_addr, res->ai_addrlen);
	*len = res->ai_addrlen;
	freeaddrinfo(res);
	return 0;
}

bool
conf_is_loopback(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

	if (ss->ss_family == AF_INET)
		return ntohl(in4->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static void
set(char **member, const char *value)
{
	if ((*member = strdup(value)) == NULL)
		fatal("out of memory");
}

static struct conf *
conf_defaults(void)
{
	struct conf *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		fatal("out of memory");
	set(&c->state_dir, LOCALSTATEDIR "/lib/agentd");
	set(&c->run_dir, RUNSTATEDIR "/agentd");
	set(&c->log_dir, LOCALSTATEDIR "/log/agentd");
	set(&c->libexec_dir, PKGLIBEXECDIR);
	set(&c->catalog_dir, PKGDATADIR "/catalog");
	set(&c->ca_file, "/etc/ssl/certs/ca-certificates.crt");
	set(&c->user_prefix, USER_PREFIX);
	set(&c->admin_group, "agentd-admin");
	c->log_level = LOG_L_INFO;
	c->log_target = LOG_AUTO;
	set(&c->listen_http, "127.0.0.1:6969");
	set(&c->incus_socket, "auto");
	set(&c->incus_project, "agentd");
	set(&c->incus_pool, "auto");
	set(&c->warm_pool, "");
	c->max_connections = 512;
	c->max_calls_per_turn = 50;
	c->deploy_timeout = 300;
	c->disk_scan = 300;
	c->drain_timeout = 10;
	c->import_limit = 16ULL << 30;
	return c;
}

/* Rules that concern more than one key. */
static void
check_together(struct conf *c, const struct ynode *root, struct diags *d)
{
	const struct ynode *n = ytree_get(root, "listen"), *v;
	struct sockaddr_storage ss;
	unsigned len;
	char path[1200];
	size_t i, total = 0;

	if (!c->allow_remote && (v = ytree_get(n, "http")) != NULL &&
	    conf_http_addr(c->listen_http, &ss, &len) == 0 &&
	    !conf_is_loopback(&ss))
		diags_add(d, v->line, v->col, "listen.http: %s can be reached "
		    "from other machines; listen.allow_remote: true allows it",
		    c->listen_http);
	for (i = 0; i < c->allowed_hosts.n; i++)
		total += strlen(c->allowed_hosts.v[i]) + 1;
	if (total > CONF_HOSTS_MAX && (v = ytree_get(root, "allowed_hosts")))
		diags_add(d, v->line, v->col, "allowed_hosts: more than %d "
		    "bytes in all", CONF_HOSTS_MAX);
	if (c->trusted_exporters.n > CONF_KEYS_MAX / 65 &&
	    (v = ytree_get(root, "trusted_exporters")) != NULL)
		diags_add(d, v->line, v->col, "trusted_exporters: more than "
		    "%d keys", CONF_KEYS_MAX / 65);
	if (c->listen_unix == NULL) {
		snprintf(path, sizeof(path), "%s/agentd.sock", c->run_dir);
		set(&c->listen_unix, path);
		v = ytree_get(root, "run_dir");
		if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			diags_add(d, v == NULL ? 0 : v->line,
			    v == NULL ? 0 : v->col, "run_dir: too long for "
			    "the socket in it (set listen.unix)");
	}
}

struct conf *
conf_parse(const char *buf, size_t len, struct diags *d)
{
	struct conf *c = conf_defaults();
	struct ynode *root = ytree_parse(buf, len, d);

	schema_read(root, conf_keys, "", c, d);
	check_together(c, root, d);
	ytree_free(root);
	return c;
}

struct conf *
conf_load(const char *path, struct diags *d)
{
	struct conf *c;
	size_t len;
	char *buf;

	if ((buf = ytree_read_file(path, &len, d)) == NULL)
		return conf_defaults();
	c = conf_parse(buf, len, d);
	free(buf);
	return c;
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	schema_free(conf_keys, c);
	free(c);
}

void
conf_keep_fixed(struct conf *c, const struct conf *old)
{
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		char **new = (char **)((char *)c + fixed[i].offset);
		const char *was = *(char *const *)
		    ((const char *)old + fixed[i].offset);

		if (was == NULL || (*new != NULL && strcmp(*new, was) == 0))
			continue;
		/* A default that the start filled in is no change. */
		if (*new != NULL)
			log_warnx("%s: a change needs a restart; %s stays",
			    fixed[i].name, was);
		free(*new);
		set(new, was);
	}
	if (c->log_target != old->log_target) {
		log_warnx("log.target: a change needs a restart; %s stays",
		    targets[old->log_target]);
		c->log_target = old->log_target;
	}
}

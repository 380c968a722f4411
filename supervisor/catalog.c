/*
 * Framework manifests: what agents there are.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 *
 * catalog/README.md describes the keys.
 */
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog.h"
#include "diag.h"
#include "log.h"
#include "schema.h"
#include "ytree.h"

#define LOWER	"abcdefghijklmnopqrstuvwxyz"
#define UPPER	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"
#define SUFFIX	".yaml"
#define MIB	(1024ULL * 1024)

static const char *check_id(const char *);
static const char *check_image(const char *);
static const char *check_runtime(const char *);
static const char *check_unit(const char *);
static const char *check_homepage(const char *);

static const char *const refusals[] = { "400", "402", "403", "429", NULL };
static const char *const statuses[] = { "works", "unavailable", NULL };
static const char *const verifications[] = { "stable", "beta", "alpha",
    NULL };
static const uint32_t refusal_codes[] = { 400, 402, 403, 429 };

#define M(member)	offsetof(struct framework, member)
#define TEXT(name, max, check)						\
	{ #name, SK_STR, SCHEMA_REQUIRED, M(name), 1, max, NULL, check, NULL }
#define NUMBER(name, min, max)						\
	{ #name, SK_INT, SCHEMA_REQUIRED, M(name), min, max, NULL, NULL, NULL }
#define SIZE(name, min, max)						\
	{ #name, SK_SIZE, SCHEMA_REQUIRED, M(name), min, max, NULL, NULL, NULL }

#define OPTION(name, max, check)						\
	{ #name, SK_STR, 0, M(name), 1, max, NULL, check, NULL }

#define COMMON								\
	NUMBER(schema_version, 1, 1),					\
	TEXT(id, 32, check_id),						\
	TEXT(name, 64, NULL),						\
	TEXT(description, 200, NULL),					\
	{ "status", SK_WORD, 0, M(status), 0, 0, statuses, NULL, NULL },	\
	OPTION(version, 64, NULL),					\
	OPTION(homepage, 256, check_homepage),				\
	OPTION(license, 128, NULL)

static const struct schema_key unavailable_keys[] = {
	COMMON,
	TEXT(reason, 400, NULL),
	{ NULL, SK_STR, 0, 0, 0, 0, NULL, NULL, NULL }
};

static const struct schema_key keys[] = {
	COMMON,
	{ "verification", SK_WORD, 0, M(verification), 0, 0, verifications,
	    NULL, NULL },
	TEXT(image, 64, check_image),
	TEXT(runtime, 16, check_runtime),
	TEXT(unit, 128, check_unit),
	SIZE(memory, 32 * MIB, 1024 * 1024 * MIB),
	NUMBER(cpus, 1, 64),
	SIZE(disk, 128 * MIB, 16 * 1024 * 1024 * MIB),
	NUMBER(processes, 16, 65536),
	NUMBER(ready_timeout, 1, 600),
	{ "refusal_status", SK_WORD, SCHEMA_REQUIRED, M(refusal), 0, 0,
	    refusals, NULL, NULL },
	NUMBER(turn_timeout, 1, 86400),
	NUMBER(max_calls_per_turn, 1, 10000),
	{ NULL, SK_STR, 0, 0, 0, 0, NULL, NULL, NULL }
};

static const char *
check_id(const char *s)
{
	if (strchr(LOWER, s[0]) == NULL ||
	    s[strspn(s, LOWER DIGITS "-")] != '\0')
		return "must be a-z, 0-9 and -, beginning with a letter";
	return NULL;
}

static const char *
check_image(const char *s)
{
	if (strchr(LOWER DIGITS, s[0]) == NULL ||
	    s[strspn(s, LOWER DIGITS ".-")] != '\0')
		return "must be a-z, 0-9, . and -, beginning with a letter "
		    "or a digit";
	return NULL;
}

/* The kinds that the design names; agent-link drives some of them. */
static const char *
check_runtime(const char *s)
{
	static const struct {
		const char	*name;
		const char	*error;
	} kinds[] = {
		{ "http", NULL },
		{ "rpc", NULL },
		{ "acp", NULL },
		{ "exec", NULL },
		{ "bridge", "this build has no runtime kind \"bridge\" "
		    "(its agent-link has http, rpc, acp and exec)" },
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, s) == 0)
			return kinds[i].error;
	return "is not a runtime kind (http, rpc, acp, exec)";
}

static const char *
check_unit(const char *s)
{
	size_t len = strlen(s);

	if (s[strspn(s, LOWER UPPER DIGITS "-_.@")] != '\0' || len < 9 ||
	    strcmp(s + len - 8, ".service") != 0)
		return "must be like NAME.service";
	return NULL;
}

static const char *
check_homepage(const char *s)
{
	if (strncmp(s, "https://", 8) != 0 || strpbrk(s, " \"<>") != NULL)
		return "must be an https URL";
	return NULL;
}

void
catalog_framework_free(struct framework *f)
{
	schema_free(keys, f);
	schema_free(unavailable_keys, f);
}

const char *
catalog_status(const struct framework *f)
{
	return statuses[f->status];
}

const char *
catalog_verification(const struct framework *f)
{
	return f->status == FW_UNAVAILABLE ? "broken" :
	    verifications[f->verification];
}

/* What is not on offer has a reason, and needs nothing else. */
static const struct schema_key *
keys_of(const struct ynode *root)
{
	const struct ynode *n = ytree_get(root, "status");

	if (n != NULL && n->kind == YN_SCALAR &&
	    strcmp(n->text, statuses[FW_UNAVAILABLE]) == 0)
		return unavailable_keys;
	return keys;
}

int
catalog_parse(const char *buf, size_t len, const char *id,
    struct framework *f, struct diags *d)
{
	struct ynode *root = ytree_parse(buf, len, d);
	const struct ynode *n;

	memset(f, 0, sizeof(*f));
	schema_read(root, keys_of(root), "", f, d);
	n = ytree_get(root, "id");
	if (f->id != NULL && strcmp(f->id, id) != 0)
		diags_add(d, n->line, n->col,
		    "id: must be \"%s\", as the file is called", id);
	f->refusal_status = refusal_codes[f->refusal];
	ytree_free(root);
	if (d->n == 0)
		return 0;
	catalog_framework_free(f);
	return -1;
}

static int
is_manifest(const struct dirent *e)
{
	size_t len = strlen(e->d_name), tail = strlen(SUFFIX);

	return e->d_name[0] != '.' && len > tail &&
	    strcmp(e->d_name + len - tail, SUFFIX) == 0;
}

static void
load_one(struct catalog *c, const char *dir, const char *file,
    void (*tell)(const char *, void *), void *arg)
{
	char path[2048], id[256];
	struct diags *d;
	char *buf;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	strlcpy(id, file, sizeof(id));
	id[strlen(id) - strlen(SUFFIX)] = '\0';
	d = diags_new(path);
	if (c->n == CATALOG_MAX)
		diags_add(d, 0, 0, "more than %d frameworks", CATALOG_MAX);
	else if ((buf = ytree_read_file(path, &len, d)) != NULL) {
		if (catalog_parse(buf, len, id, &c->v[c->n], d) == 0)
			c->n++;
		free(buf);
	}
	if (d->n > 0)
		c->bad++;
	diags_each(d, tell, arg);
	diags_free(d);
}

struct catalog *
catalog_load(const char *dir, void (*tell)(const char *, void *), void *arg)
{
	struct dirent **list;
	struct catalog *c;
	struct diags *d;
	char path[1280];
	int i, n;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		fatal("out of memory");
	snprintf(path, sizeof(path), "%s/frameworks", dir);
	n = scandir(path, &list, is_manifest, alphasort);
	if (n == -1) {
		d = diags_new(path);
		diags_add(d, 0, 0, "cannot open: %s", strerror(errno));
		diags_each(d, tell, arg);
		diags_free(d);
		c->bad++;
		return c;
	}
	for (i = 0; i < n; i++) {
		load_one(c, path, list[i]->d_name, tell, arg);
		free(list[i]);
	}
	free(list);
	return c;
}

void
catalog_free(struct catalog *c)
{
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < c->n; i++)
		catalog_framework_free(&c->v[i]);
	free(c);
}

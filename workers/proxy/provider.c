/*
 * The catalog of providers and the models they serve.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: proxy. Talks to: nobody.
 */
#include <sys/types.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "jbuf.h"
#include "ledger.h"

/* Walks a list with one name a line. */
struct lines {
	const char	*p;
	char		 name[MODEL_MAX + 1];
};

static bool	name_valid(const char *);
static int	models_check(const char *, struct why *);
static int	line_next(struct lines *);
static int	models_store(struct db *, const struct m_provider_put *);

int
provider_check(struct db *db, const struct m_provider_put *p, struct why *why)
{
	int64_t n;

	if (!name_valid(p->name))
		return why_set(why, 422, "name: must be a-z, 0-9 and inner "
		    "hyphens, at most 64");
	if (strcmp(p->provider_id, DEMO_ID) == 0 ||
	    strcmp(p->name, DEMO_NAME) == 0)
		return why_set(why, 409, "name: the provider \"" DEMO_NAME
		    "\" is built in");
	if (strcmp(p->type, "openai") != 0 && strcmp(p->type, "demo") != 0)
		return why_set(why, 422, "type: must be openai or demo");
	if (strcmp(p->type, "openai") == 0 && p->url[0] == '\0')
		return why_set(why, 422, "url: is missing");
	if (models_check(p->models, why) == -1)
		return 422;
	switch (db_get_int(db, &n, "SELECT 1 FROM provider WHERE name = ?1 "
	    "AND id <> ?2", "ss", p->name, p->provider_id)) {
	case 1:
		return why_set(why, 409, "name: there is a provider \"%s\" "
		    "already", p->name);
	case 0:
		break;
	default:
		return why_set(why, 503, "the ledger cannot be read");
	}
	if (db_get_int(db, &n, "SELECT count(*) FROM provider WHERE id <> ?1",
	    "s", p->provider_id) == 1 && n >= PROVIDERS_MAX)
		return why_set(why, 409, "there are %d providers already",
		    PROVIDERS_MAX);
	return 0;
}

static bool
name_valid(const char *name)
{
	size_t i, len = strlen(name);

	if (len == 0 || len > 64 || name[0] == '-' || name[len - 1] == '-')
		return false;
	for (i = 0; i < len; i++)
		if (!islower((unsigned char)name[i]) &&
		    !isdigit((unsigned char)name[i]) && name[i] != '-')
			return false;
	return true;
}

static int
models_check(const char *models, struct why *why)
{
	struct lines l = { .p = models };
	const char *p;
	int n = 0, r;

	while ((r = line_next(&l)) == 1) {
		if (++n > MODELS_MAX)
			return why_set(why, -1, "models: more than %d",
			    MODELS_MAX);
		for (p = l.name; *p != '\0'; p++)
			if ((unsigned char)*p <= ' ' || *p == 0x7f)
				return why_set(why, -1, "models: \"%s\" has a "
				    "blank or a control character", l.name);
	}
	if (r == -1)
		return why_set(why, -1, "models: a name is over %d bytes",
		    MODEL_MAX);
	return 0;
}

/* 1 and the next name that is not empty, 0 at the end, -1: too long. */
static int
line_next(struct lines *l)
{
	size_t len;

	do {
		if (*l->p == '\0')
			return 0;
		len = strcspn(l->p, "\n");
		if (len > MODEL_MAX)
			return -1;
		memcpy(l->name, l->p, len);
		l->name[len] = '\0';
		l->p += len + (l->p[len] == '\n');
	} while (len == 0);
	return 1;
}

int
provider_store(struct db *db, const struct m_provider_put *p, struct why *why)
{
	if (db_begin(db) == -1)
		return why_set(why, 503, "the ledger cannot be written");
	(void)db_exec(db, "INSERT INTO provider (id, name, owner_id, type, "
	    "url, models, allow_private, ca_pem, created_at) "
	    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) "
	    "ON CONFLICT (id) DO UPDATE SET name = ?2, owner_id = ?3, "
	    "type = ?4, url = ?5, models = ?6, allow_private = ?7, "
	    "ca_pem = ?8", "ssssssusd", p->provider_id, p->name, p->owner,
	    p->type, p->url, p->models, p->allow_private, p->ca_pem,
	    sys_time());
	(void)db_exec(db, "DELETE FROM provider_model WHERE provider_id = ?1",
	    "s", p->provider_id);
	(void)models_store(db, p);
	if (db_commit(db) == -1)
		return why_set(why, 507, "the ledger cannot be written");
	return 0;
}

static int
models_store(struct db *db, const struct m_provider_put *p)
{
	struct lines l = { .p = p->models };
	int i = 0;

	while (line_next(&l) == 1)
		if (db_exec(db, "INSERT OR IGNORE INTO provider_model "
		    "(provider_id, model, position) VALUES (?1, ?2, ?3)",
		    "ssi", p->provider_id, l.name, i++) == -1)
			return -1;
	return 0;
}

int
provider_drop(struct db *db, const char *id, struct why *why)
{
	if (strcmp(id, DEMO_ID) == 0)
		return why_set(why, 409, "the provider \"" DEMO_NAME
		    "\" is built in");
	if (db_exec(db, "DELETE FROM provider WHERE id = ?1", "s", id) == -1)
		return why_set(why, 507, "the ledger cannot be written");
	return 0;
}

int
provider_each(struct db *db, const char *id,
    int (*fn)(const struct m_provider_put *, double, void *), void *arg)
{
	struct m_provider_put p;
	struct db_stmt *st;
	int r, result = 0;

	st = db_query(db, "SELECT id, name, owner_id, type, url, models, "
	    "allow_private, ca_pem, created_at FROM provider "
	    "WHERE ?1 IS NULL OR id = ?1 ORDER BY name", "s", id);
	if (st == NULL)
		return -1;
	while ((r = db_step(st)) == 1 && result == 0) {
		p.provider_id = db_text(st, 0);
		p.name = db_text(st, 1);
		p.owner = db_text(st, 2);
		p.type = db_text(st, 3);
		p.url = db_text(st, 4);
		p.models = db_text(st, 5);
		p.allow_private = (uint32_t)db_int(st, 6);
		p.ca_pem = db_text(st, 7);
		result = fn(&p, db_double(st, 8), arg);
	}
	db_end(st);
	return r == -1 ? -1 : result;
}

void
provider_json(struct jbuf *b, const struct m_provider_put *p, double created)
{
	struct lines l = { .p = p->models };

	jb_obj(b);
	jb_kstr(b, "id", p->provider_id);
	jb_kstr(b, "name", p->name);
	jb_kstr(b, "type", p->type);
	jb_kstr(b, "url", p->url);
	jb_key(b, "models");
	jb_arr(b);
	while (line_next(&l) == 1)
		jb_str(b, l.name);
	jb_end(b);
	jb_kbool(b, "allow_private", p->allow_private != 0);
	jb_kbool(b, "own_ca", p->ca_pem[0] != '\0');
	jb_kbool(b, "built_in", strcmp(p->provider_id, DEMO_ID) == 0);
	jb_kstr(b, "owner", p->owner);
	jb_ktime(b, "created_at", (int64_t)(created * 1e6));
	jb_end(b);
}

/*
 * What an agent may use, and which provider serves it.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: proxy. Talks to: nobody.
 *
 * Names are compared whole, byte for byte: no case folding, no prefix, no
 * pattern. So what is not in a list cannot be reached by another spelling.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include "ledger.h"

static int	no_route(struct db *, const char *, struct why *);
static int	find_by_name(struct db *, const char *, struct route_found *);
static int	find_spelled(struct db *, const char *, struct route_found *);
static int	find_first(struct db *, struct route_found *);
static int	take_route(struct db_stmt *, struct route_found *);
static int	allowed(struct db *, const char *, const char *, const char *);
static int	list_check(struct db *, const struct m_agent_policy *,
		    struct why *);
static int	list_store(struct db *, const struct m_agent_policy *);

int
policy_store(struct db *db, const struct m_agent_policy *p, struct why *why)
{
	struct route_found found;
	int status;

	if (p->model[0] != '\0') {
		status = model_resolve(db, p->model, &found, why);
		if (status != 0)
			return status;
	}
	if ((status = list_check(db, p, why)) != 0)
		return status;
	if (db_begin(db) == -1)
		return why_set(why, 503, "the ledger cannot be written");
	(void)db_exec(db, "INSERT INTO agent (id, slug, owner_id, model, "
	    "max_calls) VALUES (?1, ?2, ?3, ?4, ?5) "
	    "ON CONFLICT (id) DO UPDATE SET slug = ?2, owner_id = ?3, "
	    "model = ?4, max_calls = ?5", "ssssu", p->agent_id, p->slug,
	    p->owner, p->model, p->max_calls_per_turn);
	(void)db_exec(db, "DELETE FROM agent_model WHERE agent_id = ?1", "s",
	    p->agent_id);
	(void)list_store(db, p);
	if (db_commit(db) == -1)
		return why_set(why, 507, "the ledger cannot be written");
	return 0;
}

/* The next name of a list; false at its end. */
static bool
next_name(const char **list, char name[MODEL_MAX + 1])
{
	const char *line;
	size_t len;

	while (*(line = *list) != '\0') {
		len = strcspn(line, "\n");
		*list = line + len + (line[len] == '\n');
		/* No model has a longer name, so it allows nothing. */
		if (len == 0 || len > MODEL_MAX)
			continue;
		memcpy(name, line, len);
		name[len] = '\0';
		return true;
	}
	return false;
}

/* A name that nobody serves would be a promise. */
static int
list_check(struct db *db, const struct m_agent_policy *p, struct why *why)
{
	char name[MODEL_MAX + 1];
	struct route_found found;
	const char *list = p->models;
	int status;

	while (next_name(&list, name)) {
		status = model_resolve(db, name, &found, why);
		if (status != 0)
			return status;
	}
	return 0;
}

static int
list_store(struct db *db, const struct m_agent_policy *p)
{
	char name[MODEL_MAX + 1];
	const char *list = p->models;

	while (next_name(&list, name)) {
		if (db_exec(db, "INSERT OR IGNORE INTO agent_model "
		    "(agent_id, model) VALUES (?1, ?2)", "ss", p->agent_id,
		    name) == -1)
			return -1;
	}
	return 0;
}

int
policy_drop(struct db *db, const char *agent_id, struct why *why)
{
	if (db_exec(db, "DELETE FROM agent WHERE id = ?1", "s",
	    agent_id) == -1)
		return why_set(why, 507, "the ledger cannot be written");
	return 0;
}

int
policy_each(struct db *db, void (*fn)(const char *, const char *, uint32_t,
    void *), void *arg)
{
	struct db_stmt *st;
	int r;

	st = db_query(db, "SELECT id, slug, (SELECT count(*) FROM vkey WHERE "
	    "agent_id = agent.id AND state <> 'revoked') FROM agent "
	    "ORDER BY id", "");
	if (st == NULL)
		return -1;
	while ((r = db_step(st)) == 1)
		fn(db_text(st, 0), db_text(st, 1), (uint32_t)db_int(st, 2),
		    arg);
	db_end(st);
	return r;
}

int
model_resolve(struct db *db, const char *name, struct route_found *found,
    struct why *why)
{
	int r;

	if ((r = find_by_name(db, name, found)) == 0)
		r = find_spelled(db, name, found);
	if (r == -1)
		return why_set(why, 503, "the ledger cannot be read");
	return r == 1 ? 0 : no_route(db, name, why);
}

/* The provider whose list has the name; of several the one added first. */
static int
find_by_name(struct db *db, const char *name, struct route_found *found)
{
	return take_route(db_query(db, "SELECT p.id, p.name, m.model "
	    "FROM provider_model m JOIN provider p ON p.id = m.provider_id "
	    "WHERE m.model = ?1 ORDER BY p.created_at, p.id LIMIT 1", "s",
	    name), found);
}

/* PROVIDER/MODEL; a provider without a list takes any name. */
static int
find_spelled(struct db *db, const char *name, struct route_found *found)
{
	const char *slash = strchr(name, '/');
	char provider[65];
	size_t len;

	if (slash == NULL || slash == name || slash[1] == '\0')
		return 0;
	len = (size_t)(slash - name);
	if (len >= sizeof(provider))
		return 0;
	memcpy(provider, name, len);
	provider[len] = '\0';
	return take_route(db_query(db, "SELECT p.id, p.name, ?2 "
	    "FROM provider p WHERE p.name = ?1 AND (EXISTS (SELECT 1 "
	    "FROM provider_model WHERE provider_id = p.id AND model = ?2) "
	    "OR NOT EXISTS (SELECT 1 FROM provider_model "
	    "WHERE provider_id = p.id))", "ss", provider, slash + 1), found);
}

/* For an agent without a model of its own: a real provider before demo. */
static int
find_first(struct db *db, struct route_found *found)
{
	return take_route(db_query(db, "SELECT p.id, p.name, m.model "
	    "FROM provider_model m JOIN provider p ON p.id = m.provider_id "
	    "ORDER BY p.type = 'demo', p.created_at, p.id, m.position "
	    "LIMIT 1", ""), found);
}

static int
take_route(struct db_stmt *st, struct route_found *found)
{
	int r;

	if (st == NULL)
		return -1;
	if ((r = db_step(st)) == 1) {
		(void)snprintf(found->provider_id, sizeof(found->provider_id),
		    "%s", db_text(st, 0));
		(void)snprintf(found->provider, sizeof(found->provider), "%s",
		    db_text(st, 1));
		(void)snprintf(found->model, sizeof(found->model), "%s",
		    db_text(st, 2));
	}
	db_end(st);
	return r;
}

static int
no_route(struct db *db, const char *name, struct why *why)
{
	struct db_stmt *st;
	char known[256];
	size_t len = 0, n;

	known[0] = '\0';
	st = db_query(db, "SELECT DISTINCT model FROM provider_model "
	    "ORDER BY model LIMIT 20", "");
	while (st != NULL && db_step(st) == 1) {
		n = strlen(db_text(st, 0));
		if (len + n + 3 > sizeof(known))
			break;
		len += (size_t)snprintf(known + len, sizeof(known) - len,
		    "%s%s", len == 0 ? "" : ", ", db_text(st, 0));
	}
	db_end(st);
	return why_set(why, 404, "no provider serves the model \"%.200s\"; "
	    "known are: %s", name, known);
}

int
policy_route(struct db *db, const char *agent_id, const char *name,
    struct route_found *found, struct why *why)
{
	char model[MODEL_MAX + 1];
	struct db_stmt *st;
	int r;

	st = db_query(db, "SELECT model FROM agent WHERE id = ?1", "s",
	    agent_id);
	r = st == NULL ? -1 : db_step(st);
	(void)snprintf(model, sizeof(model), "%s", r == 1 ? db_text(st, 0) :
	    "");
	db_end(st);
	if (r == -1)
		return why_set(why, 503, "the ledger cannot be read");
	if (r == 0)
		return why_set(why, 403, "this agent has no policy");
	if (strcmp(name, "default") == 0) {
		if (model[0] != '\0')
			return model_resolve(db, model, found, why);
		if ((r = find_first(db, found)) == -1)
			return why_set(why, 503, "the ledger cannot be read");
		if (r == 0)
			return no_route(db, name, why);
		name = found->model;
	}
	if ((r = allowed(db, agent_id, model, name)) == -1)
		return why_set(why, 503, "the ledger cannot be read");
	if (r == 0)
		return why_set(why, 403, "this agent may not use the model "
		    "\"%.200s\"", name);
	return model_resolve(db, name, found, why);
}

/* Its own model and its list; with neither, all that there is. */
static int
allowed(struct db *db, const char *agent_id, const char *model,
    const char *name)
{
	int64_t n, listed;

	if (model[0] != '\0' && strcmp(model, name) == 0)
		return 1;
	if (db_get_int(db, &n, "SELECT count(*) FROM agent_model "
	    "WHERE agent_id = ?1", "s", agent_id) != 1 ||
	    db_get_int(db, &listed, "SELECT count(*) FROM agent_model "
	    "WHERE agent_id = ?1 AND model = ?2", "ss", agent_id, name) != 1)
		return -1;
	if (n == 0)
		return model[0] == '\0';
	return listed == 1;
}

int
policy_models(struct db *db, const char *agent_id,
    void (*fn)(const char *, const char *, void *), void *arg)
{
	struct db_stmt *st;
	int r;

	st = db_query(db, "SELECT DISTINCT m.model, p.name "
	    "FROM provider_model m JOIN provider p ON p.id = m.provider_id "
	    "JOIN agent a ON a.id = ?1 WHERE m.model = a.model OR "
	    "m.model IN (SELECT model FROM agent_model WHERE agent_id = ?1) "
	    "OR (a.model = '' AND NOT EXISTS (SELECT 1 FROM agent_model "
	    "WHERE agent_id = ?1)) ORDER BY m.model, p.created_at", "s",
	    agent_id);
	if (st == NULL)
		return -1;
	while ((r = db_step(st)) == 1)
		fn(db_text(st, 0), db_text(st, 1), arg);
	db_end(st);
	return r;
}

/*
 * The database of the proxy manager.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: proxy. Talks to: nobody.
 */
#include <sys/types.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ledger.h"

/* A step, once released, is never changed: what is new comes behind it. */
static const char *const steps[] = {
	"CREATE TABLE provider ("
	"	id TEXT PRIMARY KEY,"
	"	name TEXT NOT NULL UNIQUE,"
	"	owner_id TEXT NOT NULL,"
	"	type TEXT NOT NULL,"
	"	url TEXT NOT NULL,"
	"	models TEXT NOT NULL,"		/* one a line, as given */
	"	allow_private INTEGER NOT NULL,"
	"	ca_pem TEXT NOT NULL,"
	"	created_at REAL NOT NULL"
	") STRICT;"
	"CREATE TABLE provider_model ("
	"	provider_id TEXT NOT NULL REFERENCES provider(id)"
	"	    ON DELETE CASCADE,"
	"	model TEXT NOT NULL,"
	"	position INTEGER NOT NULL,"
	"	PRIMARY KEY (provider_id, model)"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX provider_model_name ON provider_model (model);"
	"CREATE TABLE agent ("
	"	id TEXT PRIMARY KEY,"
	"	slug TEXT NOT NULL,"
	"	owner_id TEXT NOT NULL,"
	"	model TEXT NOT NULL,"
	"	max_calls INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE agent_model ("
	"	agent_id TEXT NOT NULL REFERENCES agent(id)"
	"	    ON DELETE CASCADE,"
	"	model TEXT NOT NULL,"
	"	PRIMARY KEY (agent_id, model)"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE vkey ("
	"	serial INTEGER PRIMARY KEY,"	/* in the order of minting */
	"	digest BLOB NOT NULL UNIQUE,"	/* SHA-256 of the key */
	"	agent_id TEXT NOT NULL REFERENCES agent(id)"
	"	    ON DELETE CASCADE,"
	"	owner_id TEXT NOT NULL,"
	"	state TEXT NOT NULL CHECK (state IN"
	"	    ('pending', 'active', 'revoked')),"
	"	created_at REAL NOT NULL,"
	"	activated_at REAL,"
	"	revoked_at REAL"
	") STRICT;"
	"CREATE INDEX vkey_agent ON vkey (agent_id, serial);"
};

static const struct db_schema schema = {
	.name = "ledger",
	.steps = steps,
	.nsteps = sizeof(steps) / sizeof(steps[0]),
	.cache_kib = 256,
};

struct db *
ledger_open(const char *path)
{
	static const struct m_provider_put demo = {
		.provider_id = DEMO_ID, .name = DEMO_NAME, .owner = "",
		.type = "demo", .url = "", .models = "demo", .ca_pem = "",
	};
	struct why why = { "" };
	struct db *db;
	int64_t n;

	if ((db = db_open(path, &schema)) == NULL)
		return NULL;
	if (db_get_int(db, &n, "SELECT 1 FROM provider WHERE id = ?1", "s",
	    DEMO_ID) == 0 && provider_store(db, &demo, &why) != 0) {
		db_close(db);
		return NULL;
	}
	return db;
}

int
why_set(struct why *why, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why->text, sizeof(why->text), fmt, ap);
	va_end(ap);
	return status;
}

/*
 * Which agent a slug means, and whose the agent is.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: nobody.
 *
 * keeper says it again each time it connects.  An agent that was deleted
 * stays: its trace can still be read by id, and by slug until another agent
 * takes the slug.
 */
#include <sys/types.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db.h"
#include "log.h"
#include "sys.h"
#include "trace.h"

static struct db *db;

static const char *const steps[] = {
	"CREATE TABLE agents ("
	" seq INTEGER PRIMARY KEY,"
	" agent_id TEXT NOT NULL UNIQUE,"
	" slug TEXT NOT NULL,"
	" owner TEXT NOT NULL);"
	"CREATE INDEX agents_slug ON agents (slug)",
};

static const struct db_schema schema = {
	.name = "agents",
	.steps = steps,
	.nsteps = sizeof(steps) / sizeof(steps[0]),
	.cache_kib = 128,
	.exclusive = true,
};

void
agents_init(const char *state_dir)
{
	char *root, path[1200];

	/* The database is opened without following symbolic links. */
	if ((root = realpath(state_dir, NULL)) == NULL)
		fatal("%s", state_dir);
	snprintf(path, sizeof(path), "%s/agents.db", root);
	free(root);
	if ((db = db_open(path, &schema)) == NULL)
		fatal("%s", path);
}

void
agents_close(void)
{
	db_close(db);
	db = NULL;
}

static int
read_row(struct db_stmt *s, struct agent *a)
{
	int r;

	if (s == NULL)
		return -1;
	if ((r = db_step(s)) == 1) {
		strlcpy(a->id, db_text(s, 0), sizeof(a->id));
		strlcpy(a->slug, db_text(s, 1), sizeof(a->slug));
		strlcpy(a->owner, db_text(s, 2), sizeof(a->owner));
	}
	db_end(s);
	return r;
}

int
agents_by_id(const char *id, struct agent *a)
{
	return read_row(db_query(db, "SELECT agent_id, slug, owner FROM "
	    "agents WHERE agent_id=?1", "s", id), a);
}

int
agents_find(const char *name, struct agent *a)
{
	int r;

	if (sys_is_id(name) && (r = agents_by_id(name, a)) != 0)
		return r;
	if (!sys_is_slug(name))
		return 0;
	return read_row(db_query(db, "SELECT agent_id, slug, owner FROM "
	    "agents WHERE slug=?1 ORDER BY seq DESC LIMIT 1", "s", name), a);
}

int
agents_put(const char *id, const char *slug, const char *owner)
{
	struct agent a;
	int r;

	if (!sys_is_id(id) || !sys_is_slug(slug)) {
		errno = EINVAL;
		return -1;
	}
	if ((r = agents_by_id(id, &a)) == -1)
		return -1;
	/* Nothing new must not make it the newest of its slug. */
	if (r == 1 && strcmp(a.slug, slug) == 0 &&
	    strcmp(a.owner, owner) == 0)
		return 0;
	return db_exec(db, "INSERT OR REPLACE INTO agents (agent_id, slug, "
	    "owner) VALUES (?1, ?2, ?3)", "sss", id, slug, owner) == -1 ?
	    -1 : 0;
}

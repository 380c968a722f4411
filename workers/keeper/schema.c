/*
 * The tables of the state database; one element a version.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 *
 * Every row has an owner.  A step that has been released is never changed:
 * what comes later is a new step.
 */
#include "keeper.h"

static const char v1[] =
	"CREATE TABLE agent ("
	" id TEXT PRIMARY KEY,"
	" owner_id TEXT NOT NULL,"
	" slug TEXT NOT NULL UNIQUE,"
	" display_name TEXT NOT NULL,"
	" framework TEXT NOT NULL,"
	" model TEXT NOT NULL,"
	" emoji TEXT NOT NULL,"
	" color TEXT NOT NULL,"
	" status TEXT NOT NULL,"
	" memory INTEGER NOT NULL,"
	" cpus INTEGER NOT NULL,"
	" disk INTEGER NOT NULL,"
	" instance TEXT NOT NULL,"
	" channel_id TEXT NOT NULL DEFAULT '',"
	" uid_base INTEGER NOT NULL DEFAULT 0,"
	" uid_count INTEGER NOT NULL DEFAULT 0,"
	" next_event INTEGER NOT NULL DEFAULT 0,"
	" created_at REAL NOT NULL,"
	" started_at REAL NOT NULL DEFAULT 0,"
	" last_seen REAL NOT NULL DEFAULT 0) STRICT;"

	/* A job outlives its agent: a failed one must stay readable. */
	"CREATE TABLE job ("
	" id TEXT PRIMARY KEY,"
	" owner_id TEXT NOT NULL,"
	" agent_id TEXT NOT NULL,"
	" slug TEXT NOT NULL,"
	" display_name TEXT NOT NULL,"
	" instance TEXT NOT NULL,"
	" idem_key TEXT,"
	" status TEXT NOT NULL,"	/* deploying, success, failed */
	" step TEXT NOT NULL,"
	" error TEXT NOT NULL DEFAULT '',"
	" started_at REAL NOT NULL,"
	" updated_at REAL NOT NULL) STRICT;"
	"CREATE INDEX job_slug ON job (slug, started_at);"
	"CREATE INDEX job_open ON job (status) WHERE status = 'deploying';"
	"CREATE UNIQUE INDEX job_idem ON job (owner_id, idem_key)"
	" WHERE idem_key IS NOT NULL;"
	"CREATE TABLE job_step ("
	" job_id TEXT NOT NULL REFERENCES job ON DELETE CASCADE,"
	" n INTEGER NOT NULL,"
	" owner_id TEXT NOT NULL,"
	" step TEXT NOT NULL,"
	" at REAL NOT NULL,"
	" ms INTEGER,"			/* NULL: under way */
	" PRIMARY KEY (job_id, n)) STRICT, WITHOUT ROWID;"

	"CREATE TABLE channel ("
	" id TEXT PRIMARY KEY,"
	" owner_id TEXT NOT NULL,"
	" agent_id TEXT NOT NULL,"	/* who answers in it */
	" name TEXT NOT NULL,"
	" type TEXT NOT NULL,"
	" created_at REAL NOT NULL,"
	" last_message_at REAL NOT NULL DEFAULT 0) STRICT;"
	"CREATE INDEX channel_agent ON channel (agent_id);"
	"CREATE TABLE channel_member ("
	" channel_id TEXT NOT NULL REFERENCES channel ON DELETE CASCADE,"
	" member TEXT NOT NULL,"
	" owner_id TEXT NOT NULL,"
	" PRIMARY KEY (channel_id, member)) STRICT, WITHOUT ROWID;"

	/* AUTOINCREMENT: a seq is never used again, streams resume by it. */
	"CREATE TABLE message ("
	" seq INTEGER PRIMARY KEY AUTOINCREMENT,"
	" id TEXT NOT NULL UNIQUE,"
	" owner_id TEXT NOT NULL,"
	" channel_id TEXT NOT NULL REFERENCES channel ON DELETE CASCADE,"
	" author_id TEXT NOT NULL,"
	" author_type TEXT NOT NULL,"
	" content TEXT NOT NULL,"
	" state TEXT NOT NULL,"
	" trace_id TEXT NOT NULL,"
	" error TEXT NOT NULL DEFAULT '',"
	" idem_key TEXT,"
	" created_at REAL NOT NULL,"
	" edited_at REAL NOT NULL DEFAULT 0) STRICT;"
	"CREATE INDEX message_channel ON message (channel_id, seq);"
	"CREATE UNIQUE INDEX message_idem ON message (owner_id, idem_key)"
	" WHERE idem_key IS NOT NULL;"
	/* One answer a turn. */
	"CREATE UNIQUE INDEX message_answer ON message (trace_id)"
	" WHERE author_type = 'agent';"

	/* A row here is an open turn: it goes when the turn is over. */
	"CREATE TABLE outbox ("
	" agent_id TEXT NOT NULL REFERENCES agent ON DELETE CASCADE,"
	" event_id INTEGER NOT NULL,"
	" owner_id TEXT NOT NULL,"
	" message_id TEXT NOT NULL UNIQUE REFERENCES message (id)"
	"  ON DELETE CASCADE,"
	" delivered_at REAL NOT NULL DEFAULT 0,"
	" PRIMARY KEY (agent_id, event_id)) STRICT, WITHOUT ROWID;"

	"CREATE TABLE trace_outbox ("
	" n INTEGER PRIMARY KEY AUTOINCREMENT,"
	" id TEXT NOT NULL,"
	" owner_id TEXT NOT NULL,"
	" agent_id TEXT NOT NULL,"
	" kind TEXT NOT NULL,"
	" trace_id TEXT NOT NULL,"
	" channel_id TEXT NOT NULL,"
	" error TEXT NOT NULL,"
	" payload TEXT NOT NULL,"
	" created_at REAL NOT NULL) STRICT;"

	"CREATE TABLE provider ("
	" id TEXT PRIMARY KEY,"
	" owner_id TEXT NOT NULL,"
	" name TEXT NOT NULL,"
	" type TEXT NOT NULL,"
	" url TEXT NOT NULL,"
	" models TEXT NOT NULL,"
	" allow_private INTEGER NOT NULL,"
	" ca_pem TEXT NOT NULL,"
	" key_id TEXT NOT NULL,"	/* which key sealed it; '': no secret */
	" nonce BLOB,"
	" secret BLOB,"
	/* Kept until proxy and upstream have forgotten it. */
	" deleted INTEGER NOT NULL DEFAULT 0,"
	" created_at REAL NOT NULL) STRICT;"
	"CREATE UNIQUE INDEX provider_name ON provider (name)"
	" WHERE deleted = 0;"

	"CREATE TABLE audit ("
	" n INTEGER PRIMARY KEY AUTOINCREMENT,"
	" at REAL NOT NULL,"
	" owner_id TEXT NOT NULL,"	/* the principal */
	" conn INTEGER NOT NULL,"
	" action TEXT NOT NULL,"
	" target TEXT NOT NULL,"
	" status INTEGER NOT NULL,"
	" detail TEXT NOT NULL) STRICT;";

static const char v2[] =
	"ALTER TABLE agent ADD COLUMN fallbacks TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE agent ADD COLUMN processes INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE agent ADD COLUMN network TEXT NOT NULL DEFAULT 'none';"
	"ALTER TABLE agent ADD COLUMN idle INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE agent ADD COLUMN asleep INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE agent ADD COLUMN paused_by TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE agent ADD COLUMN snapshots TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE agent ADD COLUMN image TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE agent ADD COLUMN reason TEXT NOT NULL DEFAULT '';"
	/* What the instance is made from: see enum job_source. */
	"ALTER TABLE job ADD COLUMN source TEXT NOT NULL DEFAULT 'image';"
	"ALTER TABLE job ADD COLUMN source_ref TEXT NOT NULL DEFAULT '';";

/* These belong to nobody yet. */
static const char v_pool[] =
	"CREATE TABLE pool ("
	" id TEXT PRIMARY KEY,"		/* the agent's, one day */
	" instance TEXT NOT NULL,"
	" framework TEXT NOT NULL,"
	" image TEXT NOT NULL,"
	" state TEXT NOT NULL,"		/* making, warming, ready, dropping */
	" memory INTEGER NOT NULL,"
	" cpus INTEGER NOT NULL,"
	" disk INTEGER NOT NULL,"
	" processes INTEGER NOT NULL,"
	" uid_base INTEGER NOT NULL DEFAULT 0,"
	" uid_count INTEGER NOT NULL DEFAULT 0,"
	" created_at REAL NOT NULL,"
	" ready_at REAL NOT NULL DEFAULT 0) STRICT;";

/* A job of before has no deadline: what is open of those is rolled back. */
static const char v_saga[] =
	"ALTER TABLE job ADD COLUMN due REAL NOT NULL DEFAULT 0;"
	"ALTER TABLE job ADD COLUMN resumed INTEGER NOT NULL DEFAULT 0;";

static const char v_limits[] =
	"ALTER TABLE agent ADD COLUMN domains TEXT NOT NULL DEFAULT '';"
	"CREATE TABLE disk ("
	" agent_id TEXT PRIMARY KEY REFERENCES agent ON DELETE CASCADE,"
	" owner_id TEXT NOT NULL,"
	" own INTEGER NOT NULL,"	/* bytes that only it has */
	" base INTEGER NOT NULL,"	/* bytes shared with its snapshots */
	" snapshots INTEGER NOT NULL,"
	" state TEXT NOT NULL,"		/* ok, warn, hard */
	" checked_at REAL NOT NULL) STRICT;";

static const char v_archive[] =
	/* All columns of agent, and when and what of it was kept. */
	"CREATE TABLE archive ("
	" id TEXT PRIMARY KEY,"
	" owner_id TEXT NOT NULL,"
	" slug TEXT NOT NULL,"		/* not unique: the name is free */
	" display_name TEXT NOT NULL,"
	" framework TEXT NOT NULL,"
	" model TEXT NOT NULL,"
	" emoji TEXT NOT NULL,"
	" color TEXT NOT NULL,"
	" status TEXT NOT NULL,"
	" memory INTEGER NOT NULL,"
	" cpus INTEGER NOT NULL,"
	" disk INTEGER NOT NULL,"
	" instance TEXT NOT NULL,"
	" channel_id TEXT NOT NULL,"
	" uid_base INTEGER NOT NULL,"
	" uid_count INTEGER NOT NULL,"
	" next_event INTEGER NOT NULL,"
	" created_at REAL NOT NULL,"
	" started_at REAL NOT NULL,"
	" last_seen REAL NOT NULL,"
	" fallbacks TEXT NOT NULL,"
	" processes INTEGER NOT NULL,"
	" network TEXT NOT NULL,"
	" idle INTEGER NOT NULL,"
	" asleep INTEGER NOT NULL,"
	" paused_by TEXT NOT NULL,"
	" snapshots TEXT NOT NULL,"
	" image TEXT NOT NULL,"
	" reason TEXT NOT NULL,"
	" domains TEXT NOT NULL,"
	" archived_at TEXT NOT NULL,"	/* YYYYMMDDTHHMMSS */
	" archived_ts REAL NOT NULL,"
	" snapshot TEXT NOT NULL) STRICT;"	/* '': a tombstone */
	"ALTER TABLE channel ADD COLUMN archived_at TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE channel ADD COLUMN archived_slug TEXT NOT NULL DEFAULT '';"
	/* Work in steps that is under way: see saga.h. */
	"CREATE TABLE saga ("
	" id TEXT PRIMARY KEY,"
	" owner_id TEXT NOT NULL,"
	" agent_id TEXT NOT NULL,"
	" kind TEXT NOT NULL,"
	" step TEXT NOT NULL,"
	" direction TEXT NOT NULL,"	/* forth, back */
	" status INTEGER NOT NULL,"	/* why it goes back */
	" error TEXT NOT NULL,"
	" arg0 TEXT NOT NULL,"
	" arg1 TEXT NOT NULL,"
	" arg2 TEXT NOT NULL,"
	" arg3 TEXT NOT NULL,"
	" created_at REAL NOT NULL,"
	" updated_at REAL NOT NULL) STRICT;"
	/* When the schedule made its last one. */
	"CREATE TABLE snapshot_made ("
	" agent_id TEXT PRIMARY KEY REFERENCES agent ON DELETE CASCADE,"
	" owner_id TEXT NOT NULL,"
	" at REAL NOT NULL) STRICT, WITHOUT ROWID;";

static const char v_move[] =
	"CREATE TABLE server_key ("
	" id TEXT PRIMARY KEY,"
	" owner_id TEXT NOT NULL,"
	" public BLOB NOT NULL,"
	" key_id TEXT NOT NULL,"	/* which state key sealed it */
	" nonce BLOB NOT NULL,"
	" secret BLOB NOT NULL,"
	" created_at REAL NOT NULL) STRICT;"
	/* One answer a turn: a copy of a chat is another channel's. */
	"DROP INDEX message_answer;"
	"CREATE UNIQUE INDEX message_answer ON message (channel_id, trace_id)"
	" WHERE author_type = 'agent';";

/* What a restore must know of the row that it takes out of the archive. */
static const char v_restore[] =
	"ALTER TABLE saga ADD COLUMN arg4 TEXT NOT NULL DEFAULT '';";

/* A new part of keeper appends a step of its own, named after it. */
static const char *const steps[] = { v1, v2, v_pool, v_saga, v_limits,
    v_archive, v_move, v_restore };

const struct db_schema keeper_schema = {
	.name = "state.db",
	.steps = steps,
	.nsteps = sizeof(steps) / sizeof(steps[0]),
	.cache_kib = 512,
	.max_pages = 4U * 1024 * 1024,		/* 16 GiB */
	.exclusive = true,
};

/*
 * Routes: the archive, rebuilds, snapshots and forks.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include "front.h"
#include "routes.h"

#define T_STEPS		100000	/* keeper itself says 504 after 70 s */

#define SNAP(what) \
	{ "action", AT_FIXED, FT_STR, false, 0, 16, O(snap, action), what, \
	    NULL }
#define NAME_IN(where, must) \
	{ "name", where, FT_STR, must, 1, 63, O(snap, name), NULL, \
	    "the snapshot's name" }
#define ARCHIVED(what) \
	{ "id", AT_PATH, FT_ID, true, 32, 32, O(archive_action, id), NULL, \
	    "the agent's id" }, \
	{ "action", AT_FIXED, FT_STR, false, 0, 16, \
	    O(archive_action, action), what, NULL }

static const struct field remove[] = {
	SLUG(agent_remove, slug),
	{ "purge", AT_QUERY, FT_U32, false, 0, 1, O(agent_remove, purge),
	    NULL, "1: for good, with no way back" },
	FORCE(agent_remove, AT_QUERY), TIMEOUT(agent_remove, AT_QUERY),
};

static const struct field restore[] = {
	ARCHIVED("restore"),
	{ "state", AT_BODY, FT_STR, false, 0, 16, O(archive_action, state),
	    NULL, "running, stopped or paused; else as it was" },
};

static const struct field purge[] = { ARCHIVED("purge") };

static const struct field agent[] = { SLUG(agent_ref, slug) };

static const struct field make[] = {
	SLUG(snap, slug), SNAP("make"), NAME_IN(AT_BODY, false),
};

static const struct field back[] = {
	SLUG(snap, slug), SNAP("restore"), NAME_IN(AT_PATH, true),
};

static const struct field delete[] = {
	SLUG(snap, slug), SNAP("delete"), NAME_IN(AT_PATH, true),
};

static const struct field schedule[] = {
	SLUG(snap_schedule, slug),
	{ "schedule", AT_BODY, FT_STR, true, 1, 64,
	    O(snap_schedule, schedule), NULL,
	    "off, or hourly or daily keep N" },
};

static const struct field copy[] = {
	SLUG(agent_fork, slug),
	{ "name", AT_BODY, FT_STR, true, 1, 128, O(agent_fork, name), NULL,
	    "display name of the new agent" },
	{ "snapshot", AT_BODY, FT_STR, false, 1, 63, O(agent_fork, snapshot),
	    NULL, "as the agent was then; else as it is now" },
	IDEMPOTENCY(agent_fork),
};

static const struct route rows[] = {
	{ { "DELETE", "/api/agents/{slug}", 0, 0 }, WHO_USER,
	    MSG_AGENT_REMOVE, PROC_KEEPER, ANS_DOC, T_FINISH, N(remove), NULL,
	    NULL, 200, "Ask an agent to finish and archive it, or delete it "
	    "at once and for good; its trace stays", "status, name, id, "
	    "archived_at, snapshot_name, export_path, prepare_report" },
	{ { "GET", "/api/agents/archived", 0, 0 }, WHO_USER,
	    MSG_ARCHIVE_LIST, PROC_KEEPER, ANS_LIST, T_READ, NONE, NULL,
	    NULL, 200, "Archived agents", "array of archived agents" },
	{ { "POST", "/api/agents/archived/{id}/restore", 1 * KIB, 0 },
	    WHO_USER, MSG_ARCHIVE_ACTION, PROC_KEEPER, ANS_DOC, T_STEPS,
	    N(restore), NULL, NULL, 200, "Let an archived agent live again, "
	    "as it was: running, stopped or paused",
	    "status, id, name, display_name, model, state" },
	{ { "DELETE", "/api/agents/archived/{id}", 0, 0 }, WHO_USER,
	    MSG_ARCHIVE_ACTION, PROC_KEEPER, ANS_DOC, T_STEPS, N(purge),
	    NULL, NULL, 200, "Remove an archived agent for good; its trace "
	    "stays", "status, id" },
	{ { "GET", "/api/agents/{slug}/snapshots", 0, 0 }, WHO_USER,
	    MSG_SNAP_LIST, PROC_KEEPER, ANS_LIST, T_WRITE, N(agent), NULL,
	    NULL, 200, "Snapshots of an agent", "array of snapshots" },
	{ { "POST", "/api/agents/{slug}/snapshots", 1 * KIB, 0 }, WHO_USER,
	    MSG_SNAP_ACTION, PROC_KEEPER, ANS_DOC, T_STEPS, N(make), NULL,
	    NULL, 201, "Make a snapshot of its files", "status, name" },
	{ { "POST", "/api/agents/{slug}/snapshots/{name}/restore", 1 * KIB,
	    0 }, WHO_USER, MSG_SNAP_ACTION, PROC_KEEPER, ANS_DOC, T_STEPS,
	    N(back), NULL, NULL, 200, "Put its files back to a snapshot; it "
	    "is stopped meanwhile", "status, name" },
	{ { "DELETE", "/api/agents/{slug}/snapshots/{name}", 0, 0 },
	    WHO_USER, MSG_SNAP_ACTION, PROC_KEEPER, ANS_DOC, T_STEPS,
	    N(delete), NULL, NULL, 200, "Delete a snapshot",
	    "status, name" },
	{ { "PUT", "/api/agents/{slug}/snapshots/schedule", 1 * KIB, 0 },
	    WHO_USER, MSG_SNAP_SCHEDULE, PROC_KEEPER, ANS_DOC, T_WRITE,
	    N(schedule), NULL, NULL, 200, "Make and prune snapshots by "
	    "schedule", "status, name, snapshots" },
	{ { "POST", "/api/agents/{slug}/rebuild", 1 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_REBUILD, PROC_KEEPER, ANS_DOC, T_STEPS, N(agent), NULL,
	    NULL, 200, "Make a new instance for an agent whose own is gone; "
	    "what was in it is lost", "status, name, id, note" },
	{ { "POST", "/api/agents/{slug}/fork", 4 * KIB, 0 }, WHO_USER,
	    MSG_AGENT_FORK, PROC_KEEPER, ANS_DOC, T_WRITE, N(copy), NULL,
	    NULL, 202, "Deploy an agent with the files of another",
	    "job_id, name, status deploying" },
};

const struct route_set routes_archive = { N(rows) };

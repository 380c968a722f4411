/*
 * Virtual keys: minted, used, replaced.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: proxy. Talks to: nobody.
 *
 * A new key is pending until it is used; that very use revokes all that were
 * minted before it. So a key whose handing over failed costs nothing, and an
 * old one dies as soon as its successor is known to have arrived.
 */
#include <sys/types.h>

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "ledger.h"

static int	activate(struct db *, const char *, int64_t);

void
vkey_digest(const char *key, uint8_t digest[DIGEST_LEN])
{
	crypto_hash_sha256(digest, (const unsigned char *)key, strlen(key));
}

int
vkey_mint(struct db *db, const char *agent_id, char key[KEY_SIZE],
    struct why *why)
{
	uint8_t raw[32], digest[DIGEST_LEN];
	int n;

	sys_random(raw, sizeof(raw));
	memcpy(key, KEY_PREFIX, sizeof(KEY_PREFIX));
	sys_hex(key + sizeof(KEY_PREFIX) - 1, raw, sizeof(raw));
	explicit_bzero(raw, sizeof(raw));
	vkey_digest(key, digest);
	if (db_begin(db) == -1)
		return why_set(why, 503, "the ledger cannot be written");
	n = db_exec(db, "INSERT INTO vkey (digest, agent_id, owner_id, state, "
	    "created_at) SELECT ?1, id, owner_id, 'pending', ?3 FROM agent "
	    "WHERE id = ?2", "bsd", digest, sizeof(digest), agent_id,
	    sys_time());
	(void)db_exec(db, "DELETE FROM vkey WHERE agent_id = ?1 AND "
	    "state = 'pending' AND serial NOT IN (SELECT serial FROM vkey "
	    "WHERE agent_id = ?1 AND state = 'pending' ORDER BY serial DESC "
	    "LIMIT ?2)", "si", agent_id, KEYS_PENDING);
	if (db_commit(db) == -1)
		return why_set(why, 507, "the ledger cannot be written");
	if (n == 0)
		return why_set(why, 404, "this agent has no policy");
	return 0;
}

int
vkey_check(struct db *db, const char *agent_id,
    const uint8_t digest[DIGEST_LEN], struct vkey_info *info)
{
	bool pending = false, revoked = false, ours = false;
	int64_t serial = 0;
	struct db_stmt *st;
	const void *stored;
	size_t len;
	int r;

	memset(info, 0, sizeof(*info));
	/*
	 * Looked up by digest: what time tells is a digest's prefix, from
	 * which nobody comes to a key.
	 */
	st = db_query(db, "SELECT k.serial, k.state, k.agent_id, a.slug, "
	    "k.digest FROM vkey k JOIN agent a ON a.id = k.agent_id "
	    "WHERE k.digest = ?1", "b", digest, (size_t)DIGEST_LEN);
	r = st == NULL ? -1 : db_step(st);
	if (r == 1) {
		stored = db_blob(st, 4, &len);
		if (len != DIGEST_LEN ||
		    sodium_memcmp(stored, digest, DIGEST_LEN) != 0)
			r = 0;
	}
	if (r == 1) {
		serial = db_int(st, 0);
		pending = strcmp(db_text(st, 1), "pending") == 0;
		revoked = strcmp(db_text(st, 1), "revoked") == 0;
		(void)snprintf(info->owner_agent, sizeof(info->owner_agent),
		    "%s", db_text(st, 2));
		(void)snprintf(info->owner_slug, sizeof(info->owner_slug),
		    "%s", db_text(st, 3));
		ours = strcmp(info->owner_agent, agent_id) == 0;
	}
	db_end(st);
	if (r == -1)
		return 503;
	if (r == 0)
		return 401;
	/* A dead key in the wrong hands has been stolen all the same. */
	if (!ours)
		return 403;
	if (revoked)
		return 401;
	if (pending) {
		if (activate(db, agent_id, serial) == -1)
			return 503;
		info->activated = true;
	}
	return 200;
}

static int
activate(struct db *db, const char *agent_id, int64_t serial)
{
	double now = sys_time();

	if (db_begin(db) == -1)
		return -1;
	(void)db_exec(db, "UPDATE vkey SET state = 'active', "
	    "activated_at = ?2 WHERE serial = ?1", "qd", serial, now);
	(void)db_exec(db, "UPDATE vkey SET state = 'revoked', "
	    "revoked_at = ?3 WHERE agent_id = ?1 AND serial < ?2 AND "
	    "state <> 'revoked'", "sqd", agent_id, serial, now);
	(void)db_exec(db, "DELETE FROM vkey WHERE agent_id = ?1 AND "
	    "state = 'revoked' AND serial NOT IN (SELECT serial FROM vkey "
	    "WHERE agent_id = ?1 AND state = 'revoked' ORDER BY serial DESC "
	    "LIMIT ?2)", "si", agent_id, KEYS_REVOKED);
	return db_commit(db);
}

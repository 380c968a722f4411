/*
 * Archived agents as rows and as documents.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "log.h"

static void
from_row(struct db_stmt *s, struct archived *r)
{
	r->agent = agent_from_row(s);
	(void)strlcpy(r->stamp, db_text(s, AGENT_NCOLS), sizeof(r->stamp));
	(void)strlcpy(r->snapshot, db_text(s, AGENT_NCOLS + 1),
	    sizeof(r->snapshot));
}

int
archive_get(const char *id, struct archived *r)
{
	struct db_stmt	*s;
	int		 rc = -1;

	memset(r, 0, sizeof(*r));
	s = db_query(keeper_db(), "SELECT " AGENT_COLS ", archived_at, "
	    "snapshot FROM archive WHERE id = ?1", "s", id);
	if (s != NULL && db_step(s) == 1) {
		from_row(s, r);
		rc = 0;
	}
	db_end(s);
	return rc;
}

void
archived_free(struct archived *r)
{
	free(r->agent);
	r->agent = NULL;
}

void
archive_dir(const char *slug, const char *stamp, char *out, size_t size)
{
	(void)snprintf(out, size, "%s-%s", slug, stamp);
}

static void
to_json(struct jbuf *jb, const struct archived *r)
{
	char	 path[ARCHIVE_PATH], dir[128];

	archive_dir(r->agent->slug, r->stamp, dir, sizeof(dir));
	archfile_path(path, r->agent->slug, r->stamp, false);
	jb_obj(jb);
	jb_kstr(jb, "id", r->agent->id);
	jb_kstr(jb, "archived_at", r->stamp);
	jb_kstr(jb, "archived_slug", r->agent->slug);
	jb_kstr(jb, "display_name", r->agent->display_name);
	jb_kstr(jb, "owner", r->agent->owner);
	jb_kstr(jb, "snapshot_name",
	    r->snapshot[0] != '\0' ? r->snapshot : NULL);
	jb_kstr(jb, "export_path", r->snapshot[0] != '\0' ? path : NULL);
	jb_kstr(jb, "archive_dir", r->snapshot[0] != '\0' ? dir : NULL);
	jb_key(jb, "original");
	agent_json(jb, r->agent);
	jb_end(jb);
}

static void
row_json(struct jbuf *jb, struct db_stmt *s, void *arg)
{
	struct archived	 r;

	(void)arg;
	from_row(s, &r);
	to_json(jb, &r);
	archived_free(&r);
}

int
h_archive_list(struct peer *p, struct msg *m)
{
	struct db_stmt	*s;
	struct pass	 who;

	(void)p;
	if (auth_request(m, &m->u.api.pass, ROLE_USER, &who) == -1)
		return 0;
	s = db_query(keeper_db(), "SELECT " AGENT_COLS ", archived_at, "
	    "snapshot FROM archive WHERE (?1 = 1 OR owner_id = ?2) "
	    "AND id NOT IN (SELECT id FROM agent) "
	    "ORDER BY archived_ts, id", "is", who.role == ROLE_ADMIN,
	    who.principal);
	reply_query(client_of(m), s, row_json, NULL);
	return 0;
}

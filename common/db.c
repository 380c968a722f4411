/*
 * The narrow interface to a database, on SQLite.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper, proxy, trace.
 *
 * WAL with synchronous=FULL: an acknowledged row must survive a power cut,
 * which NORMAL does not give.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sqlite3.h>

#include "db.h"
#include "log.h"

#define STMT_MAX	256
#define BUSY_MS		2000
#define CACHE_KIB	512

struct db_stmt {
	struct db	*db;
	sqlite3_stmt	*st;		/* NULL: free slot */
	const char	*sql;		/* the literal it came from */
	uint64_t	 used;		/* for the choice whom to evict */
	bool		 busy;
};

struct db {
	sqlite3		*sql;
	char		*name;
	bool		 tx;
	int		 failed;	/* errno of the transaction's first error */
	uint64_t	 clock;
	struct db_stmt	 stmts[STMT_MAX];
};

static int
db_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_FULL:
		return ENOSPC;
	case SQLITE_CONSTRAINT:
		return EEXIST;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return EBUSY;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return EBADMSG;
	case SQLITE_NOMEM:
		return ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_CANTOPEN:
		return EACCES;
	case SQLITE_IOERR:
		return EIO;
	default:
		return EINVAL;
	}
}

/* Logs and maps the error that SQLite reports now; always -1. */
static int
db_fail(struct db *db, int rc, const char *what)
{
	const char	*sp;
	int		 n;

	/* The start of the statement says which it was; no values in it. */
	sp = strchr(what, '(');
	n = sp != NULL && sp - what < 60 ? (int)(sp - what) : 60;
	log_warnx("%s: %.*s: %s (%d)", db->name, n, what,
	    db->sql != NULL ? sqlite3_errmsg(db->sql) : sqlite3_errstr(rc), rc);
	errno = db_errno(rc);
	if (db->tx && db->failed == 0)
		db->failed = errno;
	return -1;
}

/* Process-wide settings; must come before SQLite's first use. */
static void
db_setup(void)
{
	static bool	 done;
	unsigned char	 seed;

	if (done)
		return;
	done = true;
	/* No threads here: no mutexes. */
	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	(void)sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 256, 64);
	if (sqlite3_initialize() != SQLITE_OK)
		fatalx("cannot initialise sqlite");
	/* Opens what the sandbox will not let it open later. */
	sqlite3_randomness(1, &seed);
	tzset();
}

static int
db_run(struct db *db, const char *sql)
{
	int	 rc;

	rc = sqlite3_exec(db->sql, sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return db_fail(db, rc, sql);
	return 0;
}

static int
db_pragmas(struct db *db, const struct db_schema *schema)
{
	char	 buf[64];

	if (sqlite3_busy_timeout(db->sql, BUSY_MS) != SQLITE_OK ||
	    sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DQS_DDL, 0, NULL) !=
	    SQLITE_OK ||
	    sqlite3_db_config(db->sql, SQLITE_DBCONFIG_DQS_DML, 0, NULL) !=
	    SQLITE_OK)
		return db_fail(db, SQLITE_ERROR, "configure");
	(void)snprintf(buf, sizeof(buf), "PRAGMA cache_size=-%u",
	    schema->cache_kib != 0 ? schema->cache_kib : CACHE_KIB);
	/* Before WAL, so that its index is in memory: no shm file. */
	if (schema->exclusive &&
	    db_run(db, "PRAGMA locking_mode=EXCLUSIVE") == -1)
		return -1;
	if (db_run(db, buf) == -1 ||
	    db_run(db, "PRAGMA temp_store=2") == -1 ||
	    db_run(db, "PRAGMA trusted_schema=0") == -1 ||
	    db_run(db, "PRAGMA journal_mode=WAL") == -1 ||
	    db_run(db, "PRAGMA journal_size_limit=4194304") == -1 ||
	    db_run(db, "PRAGMA synchronous=FULL") == -1 ||
	    db_run(db, "PRAGMA foreign_keys=1") == -1)
		return -1;
	if (schema->max_pages == 0)
		return 0;
	(void)snprintf(buf, sizeof(buf), "PRAGMA max_page_count=%u",
	    schema->max_pages);
	return db_run(db, buf);
}

static int
db_migrate(struct db *db, const struct db_schema *schema)
{
	char	 buf[64];
	int64_t	 have;

	if (db_get_int(db, &have, "PRAGMA user_version", "") != 1)
		return -1;
	if (have < 0 || (size_t)have > schema->nsteps) {
		log_warnx("%s: the file is of version %lld, this program "
		    "knows up to %zu: install the newer agentd again",
		    db->name, (long long)have, schema->nsteps);
		errno = EPROTO;
		return -1;
	}
	for (; (size_t)have < schema->nsteps; have++) {
		(void)snprintf(buf, sizeof(buf), "PRAGMA user_version=%lld",
		    (long long)have + 1);
		if (db_begin(db) == -1)
			return -1;
		if (db_run(db, schema->steps[have]) == -1 ||
		    db_run(db, buf) == -1) {
			db_rollback(db);
			return -1;
		}
		if (db_commit(db) == -1)
			return -1;
		if (have > 0)
			log_info("%s: migrated to version %lld", db->name,
			    (long long)have + 1);
	}
	return 0;
}

struct db *
db_open(const char *path, const struct db_schema *schema)
{
	struct db	*db;
	int		 rc, saved;

	db_setup();
	if ((db = calloc(1, sizeof(*db))) == NULL)
		return NULL;
	if ((db->name = strdup(schema->name)) == NULL)
		goto fail;
	rc = sqlite3_open_v2(path, &db->sql, SQLITE_OPEN_READWRITE |
	    SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
	    (schema->exclusive ? SQLITE_OPEN_NOFOLLOW : 0), NULL);
	if (rc != SQLITE_OK) {
		(void)db_fail(db, rc, "open");
		goto fail;
	}
	if (db_pragmas(db, schema) == -1 || db_migrate(db, schema) == -1)
		goto fail;
	return db;
fail:
	saved = errno;
	db_close(db);
	errno = saved;
	return NULL;
}

void
db_close(struct db *db)
{
	size_t	 i;

	if (db == NULL)
		return;
	for (i = 0; i < STMT_MAX; i++)
		(void)sqlite3_finalize(db->stmts[i].st);
	/* An open transaction is rolled back; the WAL is written back. */
	(void)sqlite3_close(db->sql);
	free(db->name);
	free(db);
}

int
db_begin(struct db *db)
{
	if (db->tx)
		fatalx("%s: transaction in a transaction", db->name);
	if (db_run(db, "BEGIN IMMEDIATE") == -1)
		return -1;
	db->tx = true;
	db->failed = 0;
	return 0;
}

int
db_commit(struct db *db)
{
	int	 saved;

	if (!db->tx)
		fatalx("%s: commit without a transaction", db->name);
	if (db->failed != 0 || db_run(db, "COMMIT") == -1) {
		/* Which it was decides what the caller can still do. */
		saved = db->failed;
		db_rollback(db);
		errno = saved;
		return -1;
	}
	db->tx = false;
	return 0;
}

void
db_rollback(struct db *db)
{
	if (!db->tx)
		return;
	db->tx = false;
	db->failed = 0;
	/* SQLite may have rolled back itself, on a full disk for one. */
	if (!sqlite3_get_autocommit(db->sql))
		(void)db_run(db, "ROLLBACK");
}

bool
db_in_tx(const struct db *db)
{
	return db->tx;
}

/* A statement ready to be bound: from the cache or prepared. */
static struct db_stmt *
db_prepare(struct db *db, const char *sql)
{
	struct db_stmt	*s, *slot = NULL;
	size_t		 i;
	int		 rc;

	if (db->tx && db->failed != 0) {
		errno = db->failed;
		return NULL;
	}
	for (i = 0; i < STMT_MAX; i++) {
		s = &db->stmts[i];
		if (s->busy)
			continue;
		if (s->sql == sql && s->st != NULL) {
			slot = s;
			goto found;
		}
		if (slot == NULL || s->st == NULL ||
		    (slot->st != NULL && s->used < slot->used))
			slot = s;
	}
	if (slot == NULL)
		fatalx("%s: all statements are in use", db->name);
	(void)sqlite3_finalize(slot->st);
	slot->st = NULL;
	rc = sqlite3_prepare_v3(db->sql, sql, -1, SQLITE_PREPARE_PERSISTENT,
	    &slot->st, NULL);
	if (rc != SQLITE_OK) {
		slot->st = NULL;
		(void)db_fail(db, rc, sql);
		return NULL;
	}
	slot->db = db;
	slot->sql = sql;
found:
	slot->used = ++db->clock;
	slot->busy = true;
	return slot;
}

static int
db_bind(struct db_stmt *s, const char *types, va_list ap)
{
	const void	*ptr;
	const char	*str;
	size_t		 len;
	int		 i, rc;

	for (i = 1; *types != '\0'; types++, i++) {
		switch (*types) {
		case 's':
			str = va_arg(ap, const char *);
			rc = sqlite3_bind_text(s->st, i, str, -1,
			    SQLITE_TRANSIENT);
			break;
		case 'i':
			rc = sqlite3_bind_int64(s->st, i, va_arg(ap, int));
			break;
		case 'u':
			rc = sqlite3_bind_int64(s->st, i,
			    va_arg(ap, unsigned int));
			break;
		case 'q':
			rc = sqlite3_bind_int64(s->st, i, va_arg(ap, int64_t));
			break;
		case 'd':
			rc = sqlite3_bind_double(s->st, i, va_arg(ap, double));
			break;
		case 'b':
			ptr = va_arg(ap, const void *);
			len = va_arg(ap, size_t);
			/* An empty blob is not NULL. */
			rc = len == 0 ? sqlite3_bind_zeroblob(s->st, i, 0) :
			    sqlite3_bind_blob64(s->st, i, ptr, len,
			    SQLITE_TRANSIENT);
			break;
		case 'n':
			rc = sqlite3_bind_null(s->st, i);
			break;
		default:
			fatalx("%s: type '%c' of a parameter", s->db->name,
			    *types);
		}
		if (rc != SQLITE_OK)
			return db_fail(s->db, rc, s->sql);
	}
	if (sqlite3_bind_parameter_count(s->st) != i - 1)
		fatalx("%s: %d parameters for: %s", s->db->name, i - 1, s->sql);
	return 0;
}

static struct db_stmt *
db_vquery(struct db *db, const char *sql, const char *types, va_list ap)
{
	struct db_stmt	*s;

	if ((s = db_prepare(db, sql)) == NULL)
		return NULL;
	if (db_bind(s, types, ap) == -1) {
		db_end(s);
		return NULL;
	}
	return s;
}

struct db_stmt *
db_query(struct db *db, const char *sql, const char *types, ...)
{
	struct db_stmt	*s;
	va_list		 ap;

	va_start(ap, types);
	s = db_vquery(db, sql, types, ap);
	va_end(ap);
	return s;
}

int
db_exec(struct db *db, const char *sql, const char *types, ...)
{
	struct db_stmt	*s;
	va_list		 ap;
	int		 rc;

	va_start(ap, types);
	s = db_vquery(db, sql, types, ap);
	va_end(ap);
	if (s == NULL)
		return -1;
	while ((rc = db_step(s)) == 1)
		;
	db_end(s);
	return rc == -1 ? -1 : sqlite3_changes(db->sql);
}

int
db_get_int(struct db *db, int64_t *out, const char *sql, const char *types,
    ...)
{
	struct db_stmt	*s;
	va_list		 ap;
	int		 rc;

	va_start(ap, types);
	s = db_vquery(db, sql, types, ap);
	va_end(ap);
	if (s == NULL)
		return -1;
	if ((rc = db_step(s)) == 1)
		*out = db_int(s, 0);
	db_end(s);
	return rc;
}

int64_t
db_last_id(const struct db *db)
{
	return sqlite3_last_insert_rowid(db->sql);
}

int
db_step(struct db_stmt *s)
{
	int	 rc;

	rc = sqlite3_step(s->st);
	if (rc == SQLITE_ROW)
		return 1;
	if (rc == SQLITE_DONE)
		return 0;
	return db_fail(s->db, rc, s->sql);
}

void
db_end(struct db_stmt *s)
{
	int	 saved = errno;

	if (s == NULL)
		return;
	(void)sqlite3_reset(s->st);
	/* Bound values may be secrets or large. */
	(void)sqlite3_clear_bindings(s->st);
	s->busy = false;
	errno = saved;
}

int64_t
db_int(struct db_stmt *s, int col)
{
	return sqlite3_column_int64(s->st, col);
}

double
db_double(struct db_stmt *s, int col)
{
	return sqlite3_column_double(s->st, col);
}

const char *
db_text(struct db_stmt *s, int col)
{
	const unsigned char	*text;

	text = sqlite3_column_text(s->st, col);
	return text != NULL ? (const char *)text : "";
}

const void *
db_blob(struct db_stmt *s, int col, size_t *len)
{
	const void	*p;

	p = sqlite3_column_blob(s->st, col);
	*len = p != NULL ? (size_t)sqlite3_column_bytes(s->st, col) : 0;
	return p;
}

bool
db_is_null(struct db_stmt *s, int col)
{
	return sqlite3_column_type(s->st, col) == SQLITE_NULL;
}

/*
 * Tests of the database interface: migrations, transactions, statements.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <sys/stat.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "db.h"
#include "log.h"

static const char *const steps[] = {
	"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
	"INSERT INTO t (name) VALUES ('first')",
	"ALTER TABLE t ADD COLUMN size INTEGER NOT NULL DEFAULT 7",
};
static const char *const broken[] = {
	"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
	"INSERT INTO t (name) VALUES ('first')",
	"CREATE TABLE u (id INTEGER); CREATE TABLE t (id INTEGER)",
};
static const struct db_schema v1 = { "test", steps, 1, 0, 0, false };
static const struct db_schema v2 = { "test", steps, 2, 0, 0, false };
static const struct db_schema bad2 = { "test", broken, 2, 0, 0, false };

static char	 dir[] = "/tmp/test_db.XXXXXX";
static char	 path[64];

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_db.XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/x.db", dir);
	return 0;
}

static int
teardown(void **state)
{
	static const char *const ext[] = { "", "-wal", "-shm" };
	char	 name[80];
	size_t	 i;

	(void)state;
	for (i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "%s%s", path, ext[i]);
		(void)unlink(name);
	}
	return rmdir(dir);
}

static int64_t
get(struct db *db, const char *sql)
{
	int64_t	 v = -1;

	assert_int_equal(db_get_int(db, &v, sql, ""), 1);
	return v;
}

static void
test_migrate(void **state)
{
	struct db	*db;

	(void)state;
	db = db_open(path, &v1);
	assert_non_null(db);
	assert_int_equal(get(db, "PRAGMA user_version"), 1);
	assert_int_equal(get(db, "PRAGMA synchronous"), 2);
	assert_int_equal(get(db, "PRAGMA foreign_keys"), 1);
	db_close(db);

	/* Forward keeps the rows; again changes nothing. */
	db = db_open(path, &v2);
	assert_non_null(db);
	assert_int_equal(get(db, "PRAGMA user_version"), 2);
	assert_int_equal(get(db, "SELECT size FROM t WHERE name='first'"), 7);
	db_close(db);
	db = db_open(path, &v2);
	assert_non_null(db);
	assert_int_equal(get(db, "SELECT count(*) FROM t"), 1);
	db_close(db);

	/* A newer file is refused and left alone. */
	assert_null(db_open(path, &v1));
	assert_int_equal(errno, EPROTO);
	db = db_open(path, &v2);
	assert_non_null(db);
	db_close(db);
}

static void
test_migrate_broken(void **state)
{
	struct db	*db;

	(void)state;
	db = db_open(path, &v1);
	assert_non_null(db);
	db_close(db);
	/* A step that fails half-way leaves the version before it. */
	assert_null(db_open(path, &bad2));
	db = db_open(path, &v1);
	assert_non_null(db);
	assert_int_equal(get(db, "PRAGMA user_version"), 1);
	assert_int_equal(get(db,
	    "SELECT count(*) FROM sqlite_schema WHERE name='u'"), 0);
	db_close(db);
}

static void
test_not_a_database(void **state)
{
	FILE	*f;
	int	 i;

	(void)state;
	f = fopen(path, "w");
	assert_non_null(f);
	for (i = 0; i < 100; i++)
		(void)fputs("this is no database at all\n", f);
	assert_int_equal(fclose(f), 0);
	assert_null(db_open(path, &v1));
	assert_int_equal(errno, EBADMSG);
}

static void
test_values(void **state)
{
	static const char	 blob[3] = { 'a', '\0', 'b' };
	struct db		*db;
	struct db_stmt		*s;
	const void		*p;
	size_t			 len;

	(void)state;
	db = db_open(path, &v1);
	assert_non_null(db);
	s = db_query(db, "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7", "siuqdbn",
	    "x'); DROP TABLE t; --", -3, 4000000000U, (int64_t)1 << 40, 0.25,
	    blob, sizeof(blob));
	assert_non_null(s);
	assert_int_equal(db_step(s), 1);
	assert_string_equal(db_text(s, 0), "x'); DROP TABLE t; --");
	assert_int_equal(db_int(s, 1), -3);
	assert_int_equal(db_int(s, 2), 4000000000LL);
	assert_int_equal(db_int(s, 3), (int64_t)1 << 40);
	assert_true(db_double(s, 4) > 0.24 && db_double(s, 4) < 0.26);
	p = db_blob(s, 5, &len);
	assert_int_equal(len, sizeof(blob));
	assert_memory_equal(p, blob, sizeof(blob));
	assert_true(db_is_null(s, 6));
	assert_string_equal(db_text(s, 6), "");
	assert_int_equal(db_step(s), 0);
	db_end(s);
	db_close(db);
}

static void
test_transaction(void **state)
{
	struct db	*db;
	int64_t		 v;

	(void)state;
	db = db_open(path, &v1);
	assert_non_null(db);
	assert_int_equal(db_begin(db), 0);
	assert_int_equal(db_exec(db, "INSERT INTO t (name) VALUES (?1)", "s",
	    "two"), 1);
	assert_int_equal(db_last_id(db), 2);
	assert_int_equal(db_commit(db), 0);
	assert_int_equal(get(db, "SELECT count(*) FROM t"), 2);

	/* One failure spoils the whole of it. */
	assert_int_equal(db_begin(db), 0);
	assert_int_equal(db_exec(db, "INSERT INTO t (name) VALUES (?1)", "s",
	    "three"), 1);
	assert_int_equal(db_exec(db, "INSERT INTO t (name) VALUES (?1)", "s",
	    "two"), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(db_exec(db, "DELETE FROM t", ""), -1);
	assert_int_equal(db_commit(db), -1);
	assert_false(db_in_tx(db));
	assert_int_equal(get(db, "SELECT count(*) FROM t"), 2);

	assert_int_equal(db_get_int(db, &v,
	    "SELECT id FROM t WHERE name=?1", "s", "three"), 0);
	db_close(db);
}

static void
test_full(void **state)
{
	struct db	*db;
	char		 big[8192];
	int		 i, rc = 0;

	(void)state;
	db = db_open(path, &v1);
	assert_non_null(db);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	(void)get(db, "PRAGMA max_page_count=16");
	assert_int_equal(db_begin(db), 0);
	for (i = 0; i < 100 && rc != -1; i++)
		rc = db_exec(db, "INSERT INTO t (name) VALUES (?1 || ?2)",
		    "si", big, i);
	assert_int_equal(rc, -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(db_commit(db), -1);
	/* It goes on working afterwards. */
	assert_int_equal(get(db, "SELECT count(*) FROM t"), 1);
	assert_int_equal(db_begin(db), 0);
	assert_int_equal(db_exec(db, "UPDATE t SET name='a'", ""), 1);
	assert_int_equal(db_commit(db), 0);
	db_close(db);
}

/* The same text may be in use twice; many texts evict each other. */
static void
test_cache(void **state)
{
	struct db_stmt	*a, *b;
	struct db	*db;
	char		 sql[200][32];
	int		 i, round;
	static const char q[] = "SELECT ?1";

	(void)state;
	db = db_open(path, &v1);
	assert_non_null(db);
	a = db_query(db, q, "i", 1);
	b = db_query(db, q, "i", 2);
	assert_non_null(a);
	assert_non_null(b);
	assert_ptr_not_equal(a, b);
	assert_int_equal(db_step(a), 1);
	assert_int_equal(db_step(b), 1);
	assert_int_equal(db_int(a, 0), 1);
	assert_int_equal(db_int(b, 0), 2);
	db_end(a);
	db_end(b);
	for (round = 0; round < 2; round++)
		for (i = 0; i < 200; i++) {
			(void)snprintf(sql[i], sizeof(sql[i]), "SELECT %d", i);
			assert_int_equal(get(db, sql[i]), i);
		}
	db_close(db);
}

/* Full is full, and says so; then the database is as it was. */
static void
test_max_pages(void **state)
{
	static const struct db_schema small = {
		.name = "test", .steps = steps, .nsteps = 2, .max_pages = 8,
		.exclusive = true,
	};
	struct db	*db;
	char		 text[3000];
	int		 i, rc = 0;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	db = db_open(path, &small);
	assert_non_null(db);
	assert_int_equal(db_begin(db), 0);
	for (i = 0; i < 100 && rc != -1; i++) {
		text[0] = (char)('0' + i % 75);
		text[1] = (char)('0' + i / 75);
		rc = db_exec(db, "INSERT INTO t (name) VALUES (?1)", "s",
		    text);
	}
	assert_int_equal(rc, -1);
	assert_int_equal(errno, ENOSPC);
	errno = 0;
	assert_int_equal(db_commit(db), -1);
	assert_int_equal(errno, ENOSPC);
	assert_int_equal(get(db, "SELECT count(*) FROM t"), 1);
	assert_int_equal(db_begin(db), 0);
	assert_int_equal(db_exec(db, "INSERT INTO t (name) VALUES ('two')",
	    ""), 1);
	assert_int_equal(db_commit(db), 0);
	db_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_migrate, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_migrate_broken, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_not_a_database, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_values, setup, teardown),
		cmocka_unit_test_setup_teardown(test_transaction, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cache, setup, teardown),
		cmocka_unit_test_setup_teardown(test_max_pages, setup,
		    teardown),
	};

	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

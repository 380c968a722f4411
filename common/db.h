/*
 * The narrow interface to a database: open with migrations, transactions,
 * cached statements, rows.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper, proxy, trace.
 *
 * Every error is logged here, once, with the database's name; callers only
 * decide what to answer.  Functions return -1 with errno: ENOSPC, EIO, EBUSY,
 * EEXIST (a constraint), EBADMSG (not a database, damaged), EINVAL.
 *
 * Parameters are numbered ?1 ?2 ... and given by a string of types:
 *	s	const char *, NULL gives NULL
 *	i	int, u unsigned int, q int64_t, d double
 *	b	const void *, size_t
 *	n	NULL, without an argument
 */
#ifndef DB_H
#define DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct db_stmt;

struct db_schema {
	const char		*name;		/* for the log */
	const char *const	*steps;		/* SQL; step n makes version n */
	size_t			 nsteps;
	unsigned		 cache_kib;	/* page cache; 0: 512 */
	unsigned		 max_pages;	/* of 4 KiB: ENOSPC; 0: no cap */
	bool			 exclusive;	/* one opener, no symlinks */
};

/*
 * Opens or makes the file (WAL, synchronous=FULL) and brings it to the newest
 * version, each step in one transaction.  NULL with errno; EPROTO: the file
 * is of a newer version than we know.
 */
struct db	*db_open(const char *path, const struct db_schema *);
void		 db_close(struct db *);		/* NULL is allowed */

/*
 * One transaction at a time.  A statement that fails makes all others of the
 * transaction and the commit fail, so only the commit needs a check; it then
 * has rolled back.
 */
int	db_begin(struct db *);
int	db_commit(struct db *);
void	db_rollback(struct db *);
bool	db_in_tx(const struct db *);

/* Runs a statement without rows: number of rows changed, or -1. */
int	db_exec(struct db *, const char *sql, const char *types, ...);
/* Id of the last row inserted. */
int64_t	db_last_id(const struct db *);

/*
 * A statement with its parameters (copied).  The SQL text must be a literal:
 * statements are cached by it.  NULL with errno.  To be ended with db_end().
 */
struct db_stmt	*db_query(struct db *, const char *sql, const char *types,
		    ...);
int	db_step(struct db_stmt *);	/* 1 a row, 0 no more, -1 error */
void	db_end(struct db_stmt *);	/* NULL is allowed */

/*
 * Columns of the row at hand, from 0.  Text is NUL-terminated and lives until
 * the next step; NULL reads as "" and 0.
 */
int64_t		 db_int(struct db_stmt *, int col);
double		 db_double(struct db_stmt *, int col);
const char	*db_text(struct db_stmt *, int col);
const void	*db_blob(struct db_stmt *, int col, size_t *len);
bool		 db_is_null(struct db_stmt *, int col);

/* First column of the first row: 1 and *out, 0 if there is none, -1. */
int	db_get_int(struct db *, int64_t *out, const char *sql,
	    const char *types, ...);

#endif /* DB_H */

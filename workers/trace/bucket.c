/*
 * Hourly databases of traces: names, open handles, removal.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: nobody.
 *
 * A bucket is locked exclusively, so SQLite needs no shared memory and its
 * steady state is pwrite and fdatasync.  Few are open at a time: the oldest
 * used is closed for a new one, and all after some idle time.
 */
#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "db.h"
#include "log.h"
#include "sys.h"
#include "trace.h"

#define SUSPECTS	16
#define CACHE_KIB	128

struct bucket {
	struct db	*db;		/* NULL: free */
	char		 agent_id[33];
	int64_t		 hour;
	uint64_t	 used;		/* sys_now_ms() */
	uint64_t	 tick;		/* order of use */
};

static struct {
	char		*root;		/* without symbolic links */
	int		 rootfd;
	struct bucket	 open[BUCKETS_OPEN];
	uint64_t	 tick;
	struct {
		char	 agent_id[33];
		int64_t	 hour;
	}		 suspects[SUSPECTS];
	size_t		 nsuspects;
} bk = { .rootfd = -1 };

/*
 * seq is the order of commit; id is what the sender said, digest what the
 * whole event was, to tell a repetition from another event of that id.
 */
static const char *const steps[] = {
	"CREATE TABLE trace_events ("
	" seq INTEGER PRIMARY KEY,"
	" id TEXT NOT NULL UNIQUE,"
	" v INTEGER NOT NULL DEFAULT 1,"
	" created_at REAL NOT NULL,"
	" trace_id TEXT NOT NULL,"
	" parent_id TEXT NOT NULL,"
	" agent_name TEXT NOT NULL,"
	" kind TEXT NOT NULL,"
	" channel_id TEXT NOT NULL,"
	" thread_id TEXT NOT NULL,"
	" backend_name TEXT NOT NULL,"
	" model TEXT NOT NULL,"
	" duration_ms INTEGER NOT NULL,"
	" tokens_in INTEGER NOT NULL,"
	" tokens_out INTEGER NOT NULL,"
	" cost_pico INTEGER NOT NULL,"
	" error TEXT NOT NULL,"
	" source TEXT NOT NULL,"
	" payload TEXT NOT NULL DEFAULT '{}',"
	" digest BLOB NOT NULL);"
	"CREATE INDEX trace_created ON trace_events (created_at);"
	"CREATE INDEX trace_kind ON trace_events (kind, created_at);"
	"CREATE INDEX trace_trace ON trace_events (trace_id);"
	"CREATE INDEX trace_channel ON trace_events (channel_id, created_at)",
};

static const struct db_schema schema = {
	.name = "trace bucket",
	.steps = steps,
	.nsteps = sizeof(steps) / sizeof(steps[0]),
	.cache_kib = CACHE_KIB,
	.exclusive = true,
	.max_pages = 262144,	/* 1 GiB an hour and agent */
};

void
bucket_init(const char *state_dir)
{
	size_t len;

	bucket_close_all();
	free(bk.root);
	if (bk.rootfd != -1)
		close(bk.rootfd);
	bk.nsuspects = 0;
	if ((bk.root = realpath(state_dir, NULL)) == NULL)
		fatal("%s", state_dir);
	len = strlen(bk.root);
	if (len > 1024)
		fatalx("%s: the path is too long", state_dir);
	bk.rootfd = open(bk.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (bk.rootfd == -1)
		fatal("%s", bk.root);
}

int
bucket_root(void)
{
	return bk.rootfd;
}

int64_t
hour_of(double t)
{
	return (int64_t)floor(t / 3600);
}

void
bucket_name(char out[HOUR_NAME], int64_t hour)
{
	time_t t = (time_t)(hour * 3600);
	struct tm tm;

	memset(&tm, 0, sizeof(tm));
	gmtime_r(&t, &tm);
	strftime(out, HOUR_NAME, "%Y-%m-%dT%H", &tm);
}

int64_t
bucket_hour(const char *file, const char **suffix)
{
	char name[HOUR_NAME], again[HOUR_NAME];
	struct tm tm;
	int64_t hour;
	size_t i;

	for (i = 0; i < HOUR_NAME - 1; i++)
		if ((name[i] = file[i]) == '\0')
			return -1;
	name[i] = '\0';
	if (file[i] != '.')
		return -1;
	memset(&tm, 0, sizeof(tm));
	if (strptime(name, "%Y-%m-%dT%H", &tm) != name + HOUR_NAME - 1)
		return -1;
	hour = (int64_t)timegm(&tm) / 3600;
	/* Only the one spelling that we write: the name is made again. */
	if (hour < 0)
		return -1;
	bucket_name(again, hour);
	if (strcmp(name, again) != 0)
		return -1;
	*suffix = file + i;
	return hour;
}

int
bucket_dir(const char *agent_id, bool make)
{
	int fd;

	if (!sys_is_id(agent_id)) {
		errno = EINVAL;
		return -1;
	}
	fd = openat(bk.rootfd, agent_id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	if (fd != -1 || errno != ENOENT || !make)
		return fd;
	if (mkdirat(bk.rootfd, agent_id, 0700) == -1 && errno != EEXIST)
		return -1;
	/* The name must survive a power cut as well as what is in it. */
	if (fsync(bk.rootfd) == -1)
		return -1;
	return openat(bk.rootfd, agent_id, O_RDONLY | O_DIRECTORY |
	    O_NOFOLLOW | O_CLOEXEC);
}

/* ---- handles ---- */

static void
close_bucket(struct bucket *b)
{
	db_close(b->db);
	b->db = NULL;
}

static struct bucket *
find(const char *agent_id, int64_t hour)
{
	size_t i;

	for (i = 0; i < BUCKETS_OPEN; i++)
		if (bk.open[i].db != NULL && bk.open[i].hour == hour &&
		    strcmp(bk.open[i].agent_id, agent_id) == 0)
			return &bk.open[i];
	return NULL;
}

static struct bucket *
free_slot(void)
{
	struct bucket *oldest = &bk.open[0];
	size_t i;

	for (i = 0; i < BUCKETS_OPEN; i++) {
		if (bk.open[i].db == NULL)
			return &bk.open[i];
		if (bk.open[i].tick < oldest->tick)
			oldest = &bk.open[i];
	}
	close_bucket(oldest);
	return oldest;
}

static bool
is_suspect(const char *agent_id, int64_t hour)
{
	size_t i;

	for (i = 0; i < SUSPECTS && i < bk.nsuspects; i++)
		if (bk.suspects[i].hour == hour &&
		    strcmp(bk.suspects[i].agent_id, agent_id) == 0)
			return true;
	return false;
}

struct db *
bucket_get(const char *agent_id, int64_t hour, bool make)
{
	char name[HOUR_NAME], path[1200];
	struct bucket *b;
	struct stat st;
	int dir, r;

	if (make && is_suspect(agent_id, hour)) {
		errno = EIO;
		return NULL;
	}
	if ((b = find(agent_id, hour)) == NULL) {
		if ((dir = bucket_dir(agent_id, make)) == -1)
			return NULL;
		bucket_name(name, hour);
		snprintf(path, sizeof(path), "%s.db", name);
		r = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW);
		close(dir);
		if (r == -1 && (errno != ENOENT || !make))
			return NULL;
		if (r == 0 && !S_ISREG(st.st_mode)) {
			errno = EINVAL;
			return NULL;
		}
		snprintf(path, sizeof(path), "%s/%s/%s.db", bk.root, agent_id,
		    name);
		b = free_slot();
		if ((b->db = db_open(path, &schema)) == NULL)
			return NULL;
		strlcpy(b->agent_id, agent_id, sizeof(b->agent_id));
		b->hour = hour;
	}
	b->used = sys_now_ms();
	b->tick = ++bk.tick;
	return b->db;
}

void
bucket_suspect(const char *agent_id, int64_t hour)
{
	struct bucket *b;
	size_t i;

	if ((b = find(agent_id, hour)) != NULL)
		close_bucket(b);
	if (is_suspect(agent_id, hour))
		return;
	i = bk.nsuspects++ % SUSPECTS;
	strlcpy(bk.suspects[i].agent_id, agent_id,
	    sizeof(bk.suspects[i].agent_id));
	bk.suspects[i].hour = hour;
}

int
bucket_remove(const char *agent_id, int64_t hour)
{
	static const char *const suffixes[] = {
		/* The database first: a WAL without it is nothing. */
		".db", ".db-wal", ".db-journal", ".jsonl", NULL
	};
	char name[HOUR_NAME], file[HOUR_NAME + 16];
	struct bucket *b;
	int dir, n = 0;
	size_t i;

	if ((b = find(agent_id, hour)) != NULL)
		close_bucket(b);
	if ((dir = bucket_dir(agent_id, false)) == -1)
		return -1;
	bucket_name(name, hour);
	for (i = 0; suffixes[i] != NULL; i++) {
		snprintf(file, sizeof(file), "%s%s", name, suffixes[i]);
		if (unlinkat(dir, file, 0) == 0)
			n++;
		else if (errno != ENOENT)
			log_warn("%s/%s", agent_id, file);
	}
	close(dir);
	return n;
}

void
bucket_idle(uint64_t ms)
{
	uint64_t now = sys_now_ms();
	size_t i;

	for (i = 0; i < BUCKETS_OPEN; i++)
		if (bk.open[i].db != NULL && now - bk.open[i].used >= ms)
			close_bucket(&bk.open[i]);
}

void
bucket_close_all(void)
{
	size_t i;

	for (i = 0; i < BUCKETS_OPEN; i++)
		if (bk.open[i].db != NULL)
			close_bucket(&bk.open[i]);
}

size_t
bucket_open_count(void)
{
	size_t i, n = 0;

	for (i = 0; i < BUCKETS_OPEN; i++)
		n += bk.open[i].db != NULL;
	return n;
}

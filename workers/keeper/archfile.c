/*
 * The export of an archived agent's chat: archive/SLUG-STAMP below our state
 * directory, one message object a line.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: nobody.
 *
 * It is written in slices, so that a long history holds up nobody, under
 * another name until all of it is on disk.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archive.h"
#include "log.h"
#include "saga.h"
#include "worker.h"

#define SLICE		200		/* messages */
#define FILE_NAME	"chat-export.jsonl"

struct export {
	int		 fd;
	int64_t		 seq;		/* of the last one written */
};

void
archfile_path(char path[ARCHIVE_PATH], const char *slug, const char *stamp,
    bool dir)
{
	char	 name[128];

	archive_dir(slug, stamp, name, sizeof(name));
	(void)snprintf(path, ARCHIVE_PATH, "%s/archive/%s%s",
	    worker_conf()->state_dir, name, dir ? "" : "/" FILE_NAME);
}

/* While it is not complete. */
static void
part_path(char path[ARCHIVE_PATH], const char *slug, const char *stamp)
{
	archfile_path(path, slug, stamp, false);
	(void)strlcat(path, ".part", ARCHIVE_PATH);
}

static void
export_free(void *arg)
{
	struct export	*e = arg;

	if (e->fd != -1)
		(void)close(e->fd);
	free(e);
}

static int
sync_dir(const char *path)
{
	int	 fd, rc;

	if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return -1;
	rc = fsync(fd);
	(void)close(fd);
	return rc;
}

static int
write_all(int fd, const char *p, size_t len)
{
	ssize_t	 n;

	while (len > 0) {
		if ((n = write(fd, p, len)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
write_message(struct export *e, struct db_stmt *r)
{
	struct message	 m;
	struct jbuf	 jb;
	const char	*text;
	size_t		 len;
	int		 rc = -1;

	message_from_row(r, &m);
	e->seq = (int64_t)m.seq;
	jbuf_init(&jb, JSON_MAX);
	message_json(&jb, &m);
	if ((text = jbuf_text(&jb, &len)) != NULL)
		rc = write_all(e->fd, text, len) == -1 ? -1 :
		    write_all(e->fd, "\n", 1);
	jbuf_free(&jb);
	return rc;
}

/* Of all archived agents. */
static void
all_path(char path[ARCHIVE_PATH])
{
	(void)snprintf(path, ARCHIVE_PATH, "%s/archive",
	    worker_conf()->state_dir);
}

/* The file, and the names that lead to it. */
static int
finish(struct saga *s, struct export *e)
{
	char	 from[ARCHIVE_PATH], to[ARCHIVE_PATH], dir[ARCHIVE_PATH];
	char	 all[ARCHIVE_PATH];

	part_path(from, s->arg[0], s->arg[1]);
	archfile_path(to, s->arg[0], s->arg[1], false);
	archfile_path(dir, s->arg[0], s->arg[1], true);
	all_path(all);
	return fsync(e->fd) == -1 || rename(from, to) == -1 ||
	    sync_dir(dir) == -1 || sync_dir(all) == -1 ||
	    sync_dir(worker_conf()->state_dir) == -1 ? -1 : 0;
}

static void
on_slice(struct saga *s, uint32_t status, const char *error)
{
	struct export	*e = s->work;
	struct db_stmt	*r;
	int		 rc = -1, n = 0, bad = 0;

	(void)status;
	(void)error;
	r = db_query(keeper_db(), "SELECT " MESSAGE_COLS " FROM message "
	    "WHERE channel_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
	    "sqi", s->agent->channel_id, e->seq, SLICE);
	while (r != NULL && !bad && (rc = db_step(r)) == 1) {
		bad = write_message(e, r);
		n++;
	}
	db_end(r);
	if (r == NULL || rc == -1)
		saga_fail(s, 507, "the chat cannot be read");
	else if (bad || (n < SLICE && finish(s, e) == -1))
		saga_fail(s, 507, "the chat cannot be exported: %s",
		    strerror(errno));
	else if (n == SLICE)
		saga_yield(s, on_slice);
	else
		saga_ok(s);
}

static int
make_dir(const char *path)
{
	return mkdir(path, 0700) == -1 && errno != EEXIST ? -1 : 0;
}

void
archfile_export(struct saga *s)
{
	char		 path[ARCHIVE_PATH];
	struct export	*e;

	/* A tombstone has none: what was said stays where it is. */
	if (s->arg[2][0] == '\0') {
		saga_ok(s);
		return;
	}
	if ((e = calloc(1, sizeof(*e))) == NULL)
		fatal("export");
	e->fd = -1;
	s->work = e;
	s->work_free = export_free;
	all_path(path);
	if (make_dir(path) == 0) {
		archfile_path(path, s->arg[0], s->arg[1], true);
		if (make_dir(path) == 0) {
			part_path(path, s->arg[0], s->arg[1]);
			e->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC |
			    O_NOFOLLOW | O_CLOEXEC, 0600);
		}
	}
	if (e->fd == -1)
		saga_fail(s, 507, "%s: %s", path, strerror(errno));
	else
		saga_yield(s, on_slice);
}

static int
remove_file(const char *path)
{
	return unlink(path) == -1 && errno != ENOENT ? -1 : 0;
}

int
archfile_remove(const char *slug, const char *stamp)
{
	char	 path[ARCHIVE_PATH];

	part_path(path, slug, stamp);
	if (remove_file(path) == -1)
		return -1;
	archfile_path(path, slug, stamp, false);
	if (remove_file(path) == -1)
		return -1;
	archfile_path(path, slug, stamp, true);
	return rmdir(path) == -1 && errno != ENOENT ? -1 : 0;
}

void
archfile_unexport(struct saga *s)
{
	if (archfile_remove(s->arg[0], s->arg[1]) == -1)
		saga_fail(s, 500, "the export: %s", strerror(errno));
	else
		saga_ok(s);
}

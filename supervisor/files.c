/*
 * The directories and the secrets that must be there before anything starts.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "files.h"
#include "log.h"
#include "msg.h"
#include "spawn.h"
#include "sys.h"

#define TOKEN_FILE	".auth_local_token"
#define KEY_FILE	"secret.key"
#define NODE_FILE	"node-id"
#define SECRET_LEN	32		/* bytes of chance in each secret */

/* A directory of our own: made if missing, owner and mode set right. */
static void
need_dir(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	struct stat st;
	int fd;

	if (mkdir(path, mode) == -1 && errno != EEXIST)
		fatal("directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1)
		fatal("directory %s", path);
	/* Whoever else owns it could put its own files in our place. */
	if (st.st_uid != 0 && st.st_uid != uid)
		fatalx("directory %s belongs to uid %u, not to %u", path,
		    (unsigned)st.st_uid, (unsigned)uid);
	if ((st.st_uid != uid || st.st_gid != gid) &&
	    fchown(fd, uid, gid) == -1)
		fatal("owner of %s", path);
	if ((st.st_mode & 07777) != mode && fchmod(fd, mode) == -1)
		fatal("mode of %s", path);
	close(fd);
}

static void
sync_dir(const char *path)
{
	int fd;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || fsync(fd) == -1)
		fatal("%s", path);
	close(fd);
}

/*
 * Makes a file with these bytes unless it is there, never a part of one: it
 * gets its name only after all is on disk.
 */
static void
need_file(const char *dir, const char *name, const void *data, size_t len)
{
	char path[1280], tmp[1300];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (lstat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode) || st.st_uid != 0 ||
		    (st.st_mode & 077) != 0)
			fatalx("%s must be a file of root with mode 0600",
			    path);
		return;
	}
	if (errno != ENOENT)
		fatal("%s", path);
	snprintf(tmp, sizeof(tmp), "%s.new", path);
	if (unlink(tmp) == -1 && errno != ENOENT)
		fatal("%s", tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd == -1 || write(fd, data, len) != (ssize_t)len ||
	    fsync(fd) == -1 || rename(tmp, path) == -1)
		fatal("%s", path);
	close(fd);
	sync_dir(dir);
}

static void
make_token(const char *dir)
{
	uint8_t raw[SECRET_LEN];
	char hex[2 * SECRET_LEN + 1];

	sys_random(raw, sizeof(raw));
	sys_hex(hex, raw, sizeof(raw));
	need_file(dir, TOKEN_FILE, hex, sizeof(hex) - 1);
	explicit_bzero(raw, sizeof(raw));
	explicit_bzero(hex, sizeof(hex));
}

static void
make_key(const char *dir)
{
	uint8_t raw[SECRET_LEN];

	sys_random(raw, sizeof(raw));
	need_file(dir, KEY_FILE, raw, sizeof(raw));
	explicit_bzero(raw, sizeof(raw));
}

/*
 * Kept in a file and not derived from the machine: a cloned machine must not
 * take the other's instances for its own.
 */
static void
find_node_id(struct conf *c)
{
	char path[1280], id[ID_LEN + 1];
	ssize_t n;
	int fd;

	if (c->node_id != NULL)
		return;
	sys_id(id);
	need_file(c->state_dir, NODE_FILE, id, ID_LEN);
	snprintf(path, sizeof(path), "%s/%s", c->state_dir, NODE_FILE);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		fatal("%s", path);
	n = read(fd, id, ID_LEN);
	close(fd);
	id[ID_LEN] = '\0';
	if (n != ID_LEN || !sys_is_id(id))
		fatalx("%s does not hold an id", path);
	if ((c->node_id = strdup(id)) == NULL)
		fatal("out of memory");
}

static gid_t
admin_gid(const struct conf *c)
{
	struct group *gr = getgrnam(c->admin_group);

	if (gr == NULL)
		log_warnx("group %s does not exist: only root is an admin",
		    c->admin_group);
	return gr == NULL ? 0 : gr->gr_gid;
}

void
files_prepare(struct conf *c)
{
	static const enum proc owners[] = { PROC_KEEPER, PROC_PROXY,
	    PROC_TRACE, PROC_MOVER };
	char path[1280];
	size_t i;

	need_dir(c->run_dir, 0, 0, 0755);
	need_dir(c->log_dir, 0, admin_gid(c), 0750);
	need_dir(c->state_dir, 0, 0, 0711);
	make_token(c->state_dir);
	make_key(c->state_dir);
	find_node_id(c);
	snprintf(path, sizeof(path), "%s/agents", c->state_dir);
	need_dir(path, 0, 0, 0700);
	for (i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", c->state_dir,
		    proc_name(owners[i]));
		need_dir(path, spawn_uid(owners[i]), spawn_gid(owners[i]),
		    0700);
	}
}

static int
open_secret(const struct conf *c, const char *name)
{
	char path[1280];

	snprintf(path, sizeof(path), "%s/%s", c->state_dir, name);
	return open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

int
files_open_token(const struct conf *c)
{
	return open_secret(c, TOKEN_FILE);
}

int
files_open_key(const struct conf *c)
{
	return open_secret(c, KEY_FILE);
}

/*
 * Where files that come in are kept until they are checked and used.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 *
 * Such a file loses its name as soon as it is open: whatever ends this
 * process, nothing is left on the disk.
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/vfs.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "log.h"
#include "mover.h"
#include "sys.h"

#define RESERVE		(256ULL * 1024 * 1024)	/* left to the others */

static bool
ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && strcmp(name + n - k, suffix) == 0;
}

void
spool_clear(const char *path)
{
	struct dirent *d;
	DIR *dir;

	if ((dir = opendir(path)) == NULL)
		fatal("%s", path);
	while ((d = readdir(dir)) != NULL)
		if (ends_with(d->d_name, SPOOL_SUFFIX) &&
		    unlinkat(dirfd(dir), d->d_name, 0) == -1)
			log_warn("%s/%s", path, d->d_name);
	closedir(dir);
}

int
spool_open(const char *dir, uint64_t size, const char **why)
{
	char path[1200], id[ID_LEN + 1];
	struct statfs fs;
	int fd;

	sys_id(id);
	snprintf(path, sizeof(path), "%s/%s%s", dir, id, SPOOL_SUFFIX);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0600);
	if (fd == -1) {
		log_warn("%s", path);
		*why = "the file cannot be kept here";
		return -1;
	}
	if (unlink(path) == -1)
		log_warn("%s", path);
	if (fstatfs(fd, &fs) == 0 && (uint64_t)fs.f_bavail *
	    (uint64_t)fs.f_bsize < size + RESERVE) {
		*why = "there is not enough room on the disk of the state "
		    "directory for it";
		close(fd);
		return -1;
	}
	return fd;
}

int
pipe_make(int *ours, int *theirs)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	    sv) == -1) {
		log_warn("socket pair");
		return -1;
	}
	*ours = sv[0];
	*theirs = sv[1];
	return 0;
}

void
pipe_noise(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);

	(void)arg;
	(void)evbuffer_drain(in, evbuffer_get_length(in));
}

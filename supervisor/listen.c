/*
 * The sockets on which people and programs reach the service.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 *
 * They live here so that a connection that comes while front restarts waits
 * instead of being refused.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "listen.h"
#include "log.h"

static struct listeners {
	int	 http;		/* -1: none */
	int	 unix_fd;
	char	*http_addr;	/* as configured; what is bound */
	char	*unix_path;
} ls = { -1, -1, NULL, NULL };

int
listen_unix_at(int dir, const char *name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char tmp[64];
	int fd, saved;

	/* By way of /proc: the path may be longer than a socket's may be. */
	snprintf(tmp, sizeof(tmp), ".%s.new", name);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "/proc/self/fd/%d/%s",
	    dir, tmp);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if ((unlinkat(dir, tmp, 0) == -1 && errno != ENOENT) ||
	    bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ||
	    fchmodat(dir, tmp, 0666, 0) == -1 ||
	    listen(fd, LISTEN_BACKLOG) == -1 ||
	    renameat(dir, tmp, dir, name) == -1) {
		saved = errno;
		(void)unlinkat(dir, tmp, 0);	/* it may not be there */
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int
open_http(const char *addr)
{
	struct sockaddr_storage ss;
	unsigned len;
	int fd, on = 1;

	if (conf_http_addr(addr, &ss, &len) == -1) {
		errno = EINVAL;
		return -1;
	}
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (fd == -1)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, (struct sockaddr *)&ss, len) == -1 ||
	    listen(fd, LISTEN_BACKLOG) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* Splits a path of a configured socket and binds it there. */
static int
open_unix(const char *path)
{
	char dirbuf[256], namebuf[256];
	int dir, fd, saved;

	strlcpy(dirbuf, path, sizeof(dirbuf));
	strlcpy(namebuf, path, sizeof(namebuf));
	dir = open(dirname(dirbuf), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir == -1)
		return -1;
	fd = listen_unix_at(dir, basename(namebuf));
	saved = errno;
	close(dir);
	errno = saved;
	return fd;
}

static int
bind_both(const struct conf *c, bool http, bool unix_too, int *h, int *u)
{
	*h = *u = -1;
	if (http && (*h = open_http(c->listen_http)) == -1) {
		log_warn("cannot listen on %s (listen.http)", c->listen_http);
		return -1;
	}
	if (unix_too && (*u = open_unix(c->listen_unix)) == -1) {
		log_warn("cannot listen on %s (listen.unix)", c->listen_unix);
		if (*h != -1)
			close(*h);
		return -1;
	}
	return 0;
}

static void
keep(int *slot, char **name, int fd, const char *value)
{
	if (*slot != -1)
		close(*slot);
	*slot = fd;
	free(*name);
	if ((*name = strdup(value)) == NULL)
		fatal("out of memory");
}

int
listen_init(const struct conf *c)
{
	bool http = strcmp(c->listen_http, "none") != 0;
	int h, u;

	if (bind_both(c, http, true, &h, &u) == -1)
		return -1;
	keep(&ls.http, &ls.http_addr, h, c->listen_http);
	keep(&ls.unix_fd, &ls.unix_path, u, c->listen_unix);
	return 0;
}

int
listen_reload(const struct conf *c, void (*changed)(const char *))
{
	bool http = strcmp(c->listen_http, ls.http_addr) != 0;
	bool unix_too = strcmp(c->listen_unix, ls.unix_path) != 0;
	int h, u;

	if (http && strcmp(c->listen_http, "none") == 0) {
		log_warnx("listen.http: to close it needs a restart; %s stays",
		    ls.http_addr);
		http = false;
	}
	if (bind_both(c, http, unix_too, &h, &u) == -1)
		return -1;
	if (unix_too) {
		if (unlink(ls.unix_path) == -1)
			log_warn("%s", ls.unix_path);
		keep(&ls.unix_fd, &ls.unix_path, u, c->listen_unix);
		changed("unix");
	}
	if (http) {
		keep(&ls.http, &ls.http_addr, h, c->listen_http);
		changed("http");
	}
	return 0;
}

int
listen_dup(const char *role)
{
	int fd = strcmp(role, "http") == 0 ? ls.http : ls.unix_fd;

	if (fd == -1)
		return -1;
	if ((fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) == -1)
		log_warn("listener %s", role);
	return fd;
}

void
listen_cleanup(void)
{
	if (ls.unix_fd != -1 && unlink(ls.unix_path) == -1)
		log_warn("%s", ls.unix_path);
}

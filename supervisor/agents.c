/*
 * The agents' sockets: one directory and one listener for each.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.  Talks to: gateway.
 *
 * agents/ is 0700 root and so keeps all other users of the host away;
 * agents/<id>/ is bind-mounted into the container, so it and the socket in it
 * are open to the container's mapped users.
 */
#include <sys/stat.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agents.h"
#include "conf.h"
#include "listen.h"
#include "log.h"
#include "super.h"
#include "sys.h"

#define SOCKET		"agentd.sock"
#define FD_RESERVE	256	/* descriptors kept for all else */

struct agent {
	LIST_ENTRY(agent) entry;
	char		 id[ID_LEN + 1];
	int		 fd;		/* listens */
};
static struct agents {
	int			 dir;
	struct worker		*gateway;
	LIST_HEAD(, agent)	 all;	/* some thousands at most */
	size_t			 n, max;
} ag = { -1, NULL, LIST_HEAD_INITIALIZER(ag.all), 0, 0 };

void
agents_init(const struct conf *c, struct worker *gateway)
{
	struct rlimit rl;
	char path[1280];

	/* The workers' own needs come first. */
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		fatal("descriptors");
	ag.max = rl.rlim_cur <= FD_RESERVE ? 0 : rl.rlim_cur - FD_RESERVE;
	if (ag.max > AGENTS_MAX)
		ag.max = AGENTS_MAX;
	snprintf(path, sizeof(path), "%s/agents", c->state_dir);
	ag.dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ag.dir == -1)
		fatal("%s", path);
	ag.gateway = gateway;
}

static struct agent *
agent_find(const char *id)
{
	struct agent *a;

	LIST_FOREACH(a, &ag.all, entry)
		if (strcmp(a->id, id) == 0)
			return a;
	return NULL;
}

/* Without a gateway nothing is lost: all are handed over when it starts. */
static void
push(const struct agent *a)
{
	struct m_agent_id m = { .agent_id = a->id };
	int fd;

	if (!worker_is_up(ag.gateway))
		return;
	if ((fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 0)) == -1 ||
	    peer_send_fd(ag.gateway->peer, MSG_GW_LISTEN, &m, fd) == -1)
		worker_kill(ag.gateway, "cannot hand it a listener: %s",
		    strerror(errno));
}

static void
withdraw(const struct agent *a)
{
	struct m_agent_id m = { .agent_id = a->id };

	if (worker_is_up(ag.gateway) &&
	    peer_send(ag.gateway->peer, MSG_GW_UNLISTEN, &m) == -1)
		worker_kill(ag.gateway, "cannot withdraw a listener: %s",
		    strerror(errno));
}

static void
agent_free(struct agent *a)
{
	LIST_REMOVE(a, entry);
	ag.n--;
	close(a->fd);
	free(a);
}

/* The agent's directory, made if missing. */
static int
open_dir(const char *id)
{
	struct stat st;
	int dir;

	if (mkdirat(ag.dir, id, 0711) == -1 && errno != EEXIST)
		return -1;
	dir = openat(ag.dir, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	if (dir == -1)
		return -1;
	if (fstat(dir, &st) == -1 || fchmod(dir, 0711) == -1) {
		close(dir);
		return -1;
	}
	if (st.st_uid != 0) {
		close(dir);
		errno = EPERM;
		return -1;
	}
	return dir;
}

static struct agent *
agent_new(const char *id)
{
	struct agent *a;
	int dir, saved;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	strlcpy(a->id, id, sizeof(a->id));
	if ((dir = open_dir(id)) == -1) {
		free(a);
		return NULL;
	}
	a->fd = listen_unix_at(dir, SOCKET);
	saved = errno;
	close(dir);
	if (a->fd == -1) {
		free(a);
		errno = saved;
		return NULL;
	}
	LIST_INSERT_HEAD(&ag.all, a, entry);
	ag.n++;
	return a;
}

/* Someone may have tidied up behind our back. */
static bool
socket_is_there(const struct agent *a)
{
	char path[ID_LEN + sizeof(SOCKET) + 2];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", a->id, SOCKET);
	return fstatat(ag.dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISSOCK(st.st_mode);
}

uint32_t
agents_listen(const char *id, char *why, size_t size)
{
	struct agent *a;

	if ((a = agent_find(id)) != NULL) {
		if (socket_is_there(a))
			return 200;
		withdraw(a);
		agent_free(a);
	}
	if (ag.n >= ag.max) {
		snprintf(why, size, "there are %zu agents' sockets, no more "
		    "fit", ag.n);
		return 503;
	}
	if ((a = agent_new(id)) == NULL) {
		snprintf(why, size, "socket of agent %s: %s", id,
		    strerror(errno));
		log_warnx("%s", why);
		return 500;
	}
	push(a);
	return 200;
}

uint32_t
agents_unlisten(const char *id, char *why, size_t size)
{
	struct agent *a;
	int dir;

	if ((a = agent_find(id)) != NULL) {
		withdraw(a);
		agent_free(a);
	}
	/* One from an earlier life has files, but no listener. */
	dir = openat(ag.dir, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	if (dir == -1 && errno == ENOENT)
		return 200;
	/* A kill in the middle of listen_unix_at() leaves the second one. */
	if (dir == -1 ||
	    (unlinkat(dir, SOCKET, 0) == -1 && errno != ENOENT) ||
	    (unlinkat(dir, "." SOCKET ".new", 0) == -1 && errno != ENOENT) ||
	    unlinkat(ag.dir, id, AT_REMOVEDIR) == -1) {
		snprintf(why, size, "socket directory of agent %s: %s", id,
		    strerror(errno));
		log_warnx("%s", why);
		if (dir != -1)
			close(dir);
		return 500;
	}
	close(dir);
	return 200;
}

int
agents_each(struct peer *p, struct msg *m)
{
	struct m_held row = { .slug = "" };
	struct dirent *e;
	DIR *d;
	int fd;

	/* A copy of ag.dir would share its position. */
	if ((fd = openat(ag.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) ==
	    -1)
		return -1;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return -1;
	}
	while ((e = readdir(d)) != NULL) {
		if (!sys_is_id(e->d_name))
			continue;
		row.agent_id = e->d_name;
		row.n = agent_find(e->d_name) != NULL;
		if (peer_reply(p, m, MSG_HELD, true, &row) == -1)
			log_warn("directory to keeper");
	}
	closedir(d);
	return 0;
}

void
agents_push_all(void)
{
	struct agent *a;

	LIST_FOREACH(a, &ag.all, entry)
		push(a);
}

/*
 * A process of its own in the background, once.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <libutil.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf.h"
#include "daemon.h"
#include "log.h"

#define FD_LOW		10
#define NOFILE_WANTED	16384
#define START_MS	90000	/* the parent waits no longer */

static struct {
	struct pidfh	*pid;
	int		 tell;		/* to the waiting parent */
} dm = { NULL, -1 };

void
daemon_lock(const struct conf *c)
{
	char path[1280];
	pid_t other = -1;

	snprintf(path, sizeof(path), "%s/agentd.pid", c->run_dir);
	if ((dm.pid = pidfile_open(path, 0644, &other)) != NULL)
		return;
	if (errno == EEXIST)
		fatalx("agentd runs already (pid %d holds %s)", (int)other,
		    path);
	fatal("pid file %s", path);
}

void
daemon_write_pid(void)
{
	/* status programs of any user may read it, whatever the umask. */
	if (pidfile_write(dm.pid) == -1 ||
	    fchmod(pidfile_fileno(dm.pid), 0644) == -1)
		fatal("pid file");
}

void
daemon_unlock(void)
{
	if (pidfile_remove(dm.pid) == -1)
		log_warn("pid file");
}

/* In the parent: what the child says, or its end, becomes our status. */
static void __attribute__((noreturn))
wait_for_child(int fd, const struct conf *c)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char ok;
	int r;

	do
		r = poll(&pfd, 1, START_MS);
	while (r == -1 && errno == EINTR);
	if (r == 1 && read(fd, &ok, 1) == 1)
		_exit(ok == '1' ? 0 : 1);
	if (r == 0)
		fprintf(stderr, "agentd: in the background, but not all "
		    "workers are up after %d s; see %s\n", START_MS / 1000,
		    c->log_dir);
	else
		fprintf(stderr, "agentd: did not start; see %s\n",
		    c->log_dir);
	_exit(1);
}

void
daemon_detach(const struct conf *c)
{
	int fds[2], null;

	if (pipe2(fds, O_CLOEXEC) == -1)
		fatal("pipe");
	switch (fork()) {
	case -1:
		fatal("fork");
	case 0:
		break;
	default:
		close(fds[1]);
		wait_for_child(fds[0], c);
	}
	close(fds[0]);
	dm.tell = fcntl(fds[1], F_DUPFD_CLOEXEC, FD_LOW);
	close(fds[1]);
	if (dm.tell == -1 || setsid() == -1)
		fatal("setsid");
	if ((null = open("/dev/null", O_RDWR | O_CLOEXEC)) == -1 ||
	    dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1)
		fatal("/dev/null");
	if (null > STDERR_FILENO)
		close(null);
}

void
daemon_started(bool ok)
{
	if (dm.tell == -1)
		return;
	/* A parent that was killed has nobody to tell. */
	if (write(dm.tell, ok ? "1" : "0", 1) == -1 && errno != EPIPE)
		log_warn("start");
	close(dm.tell);
	dm.tell = -1;
}

void
daemon_harden(void)
{
	struct rlimit rl;
	int fd;

	/* 0, 1 and 2 must be taken, or a socket would become stderr. */
	do
		if ((fd = open("/dev/null", O_RDWR)) == -1)
			fatal("/dev/null");
	while (fd <= STDERR_FILENO);
	close(fd);
	umask(077);
	if (chdir("/") == -1)
		fatal("chdir");
	signal(SIGPIPE, SIG_IGN);
	rl.rlim_cur = rl.rlim_max = 0;
	if (setrlimit(RLIMIT_CORE, &rl) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0) == -1)
		fatal("no core dumps");
	if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
		fatal("descriptors");
	if (rl.rlim_max < NOFILE_WANTED)
		rl.rlim_max = NOFILE_WANTED;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &rl) == -1) {
		/* Without the right to raise the limit: up to it. */
		if (getrlimit(RLIMIT_NOFILE, &rl) == -1)
			fatal("descriptors");
		rl.rlim_cur = rl.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &rl) == -1)
			fatal("descriptors");
	}
}

/*
 * Starts a worker: its user, its limits, its descriptors.
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
#include <grp.h>
#include <linux/close_range.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "caps.h"
#include "conf.h"
#include "log.h"
#include "spawn.h"
#include "worker.h"

/* Above the numbers that a child's descriptors take. */
#define FD_LOW		10
#define NOFILE_SPARE	128
#define INCUS_GROUP	"incus-admin"
#define EXIT_SPAWN	126	/* the child never became the worker */

static struct spawner {
	int	exec_fd[PROC_MAX];
	uid_t	uid[PROC_MAX];
	gid_t	gid[PROC_MAX];
	int	null_fd;
} sp;

static const struct {
	bool	files;		/* may it write files? */
	rlim_t	nofile;		/* besides what its connections take */
	rlim_t	per_conn;	/* descriptors per connection */
} limits[PROC_MAX] = {
	[PROC_FRONT] = { false, 64, 2 },
	[PROC_KEEPER] = { true, 256, 0 },
	/* one listener an agent, and its connections */
	[PROC_GATEWAY] = { false, 4096, 1 },
	[PROC_UPSTREAM] = { false, 1024, 0 },
	[PROC_DIALER] = { false, 1024, 0 },
	[PROC_PROXY] = { true, 128, 0 },
	[PROC_CONTAINER] = { false, 256, 0 },
	[PROC_TRACE] = { true, 1024, 0 },
	[PROC_MOVER] = { true, 64, 0 },
};

static void
find_user(enum proc p, const struct conf *c)
{
	char name[64];
	struct passwd *pw;

	snprintf(name, sizeof(name), "%s%s", c->user_prefix, proc_name(p));
	errno = 0;
	if ((pw = getpwnam(name)) == NULL) {
		if (errno != 0 && errno != ENOENT)
			fatal("user %s", name);
		fatalx("user %s does not exist; this makes all users: "
		    "%s/mkusers -p %s -g %s", name, PKGLIBEXECDIR,
		    c->user_prefix, c->admin_group);
	}
	if (pw->pw_uid == 0 || pw->pw_gid == 0)
		fatalx("user %s is root or in root's group; a worker must "
		    "not be", name);
	sp.uid[p] = pw->pw_uid;
	sp.gid[p] = pw->pw_gid;
}

static void
open_executable(enum proc p, const struct conf *c)
{
	char path[1200];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/agentd-%s", c->libexec_dir,
	    proc_name(p));
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		fatal("program of worker %s: %s", proc_name(p), path);
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    !(st.st_mode & 0111))
		fatalx("%s is not a program", path);
	if (st.st_mode & S_IWOTH)
		fatalx("%s can be written by everybody", path);
	sp.exec_fd[p] = fcntl(fd, F_DUPFD_CLOEXEC, FD_LOW);
	if (sp.exec_fd[p] == -1)
		fatal("%s", path);
	close(fd);
}

void
spawn_init(const struct conf *c, uint32_t mask)
{
	enum proc p;
	int q, fd;

	if ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) == -1 ||
	    (sp.null_fd = fcntl(fd, F_DUPFD_CLOEXEC, FD_LOW)) == -1)
		fatal("/dev/null");
	close(fd);
	for (p = PROC_SUPER + 1; p < PROC_MAX; p++) {
		find_user(p, c);
		for (q = PROC_SUPER + 1; q < (int)p; q++)
			if (sp.uid[q] == sp.uid[p])
				fatalx("%s and %s have one uid; each worker "
				    "needs its own", proc_name((enum proc)q),
				    proc_name(p));
		if (mask & 1U << p)
			open_executable(p, c);
	}
}

uid_t
spawn_uid(enum proc p)
{
	return sp.uid[p];
}

gid_t
spawn_gid(enum proc p)
{
	return sp.gid[p];
}

const char *
spawn_incus_socket(const struct conf *c)
{
	static const char *const known[] = {
		"/var/lib/incus/unix.socket",
		"/run/incus/unix.socket",
	};
	size_t i;

	if (strcmp(c->incus_socket, "auto") != 0)
		return c->incus_socket;
	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (access(known[i], F_OK) == 0)
			return known[i];
	return known[0];
}

/* The group that may use Incus: of its socket, else by its usual name. */
static bool
incus_group(const struct conf *c, gid_t *gid)
{
	struct stat st;
	struct group *gr;

	if (stat(spawn_incus_socket(c), &st) == 0 && st.st_gid != 0) {
		*gid = st.st_gid;
		return true;
	}
	if ((gr = getgrnam(INCUS_GROUP)) != NULL && gr->gr_gid != 0) {
		*gid = gr->gr_gid;
		return true;
	}
	log_warnx("Incus' socket %s has no group of its own: worker container "
	    "cannot use it", spawn_incus_socket(c));
	return false;
}

/* ---- in the child: nothing here returns after a failure ---- */

static void __attribute__((noreturn))
die(enum proc p, const char *what)
{
	log_warn("worker %s: %s", proc_name(p), what);
	_exit(EXIT_SPAWN);
}

static void
limit(enum proc p, int resource, rlim_t value)
{
	struct rlimit rl;

	if (getrlimit((__rlimit_resource_t)resource, &rl) == -1)
		die(p, "getrlimit");
	if (rl.rlim_max == RLIM_INFINITY || value < rl.rlim_max)
		rl.rlim_max = value;
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit((__rlimit_resource_t)resource, &rl) == -1)
		die(p, "setrlimit");
}

static void
set_limits(enum proc p, const struct conf *c)
{
	limit(p, RLIMIT_CORE, 0);
	limit(p, RLIMIT_NOFILE, NOFILE_SPARE + limits[p].nofile +
	    limits[p].per_conn * c->max_connections);
	if (!limits[p].files)
		limit(p, RLIMIT_FSIZE, 0);
	/*
	 * No threads, no children.  Only after the change of user: the kernel
	 * would hold it against the exec otherwise.
	 */
	limit(p, RLIMIT_NPROC, 0);
}

static void
become_user(enum proc p, const gid_t *groups, size_t ngroups)
{
	uid_t r, e, s;

	if (caps_drop_all() == -1)
		die(p, "capabilities");
	if (setgroups(ngroups, groups) == -1 ||
	    setresgid(sp.gid[p], sp.gid[p], sp.gid[p]) == -1 ||
	    setresuid(sp.uid[p], sp.uid[p], sp.uid[p]) == -1)
		die(p, "cannot change user");
	if (getresuid(&r, &e, &s) == -1 || r != sp.uid[p] || e != r ||
	    s != r || setuid(0) != -1)
		die(p, "the change of user did not hold");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		die(p, "no_new_privs");
}

static void
set_fds(enum proc p, int chan, int log)
{
	/* Sources lie above FD_LOW: none is overwritten. */
	if (dup2(sp.null_fd, STDIN_FILENO) == -1 ||
	    dup2(sp.null_fd, STDOUT_FILENO) == -1 ||
	    dup2(chan, WORKER_SUPER_FD) == -1 ||
	    dup2(log, STDERR_FILENO) == -1)
		die(p, "dup2");
	/* Not closed but to be closed: the program is among them. */
	if (close_range(WORKER_SUPER_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) == -1)
		die(p, "close_range");
}

static void
reset_signals(void)
{
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);	/* KILL and STOP refuse: harmless */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void __attribute__((noreturn))
child(enum proc p, const struct conf *c, pid_t parent, int chan, int log,
    bool journal, const gid_t *groups, size_t ngroups)
{
	char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char lang[] = "LANG=C", tz[] = "TZ=UTC", name[64];
	char to_journal[] = "journal", to_file[] = "file";
	char *argv[] = { name, journal ? to_journal : to_file, NULL };
	char *envp[] = { path, lang, tz, NULL };

	snprintf(name, sizeof(name), "agentd-%s", proc_name(p));
	become_user(p, groups, ngroups);
	set_limits(p, c);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
		die(p, "pdeathsig");
	if (getppid() != parent)
		_exit(EXIT_SPAWN);
	umask(077);
	if (chdir("/") == -1)
		die(p, "chdir");
	reset_signals();
	set_fds(p, chan, log);
	fexecve(sp.exec_fd[p], argv, envp);
	die(p, "cannot execute");
}

pid_t
spawn_worker(enum proc p, const struct conf *c, int chan, int log,
    bool journal)
{
	pid_t pid, parent = getpid();
	gid_t groups[1];
	size_t ngroups = 0;
	int high[2];

	if (p == PROC_CONTAINER && incus_group(c, &groups[0]))
		ngroups = 1;
	high[0] = fcntl(chan, F_DUPFD_CLOEXEC, FD_LOW);
	high[1] = fcntl(log, F_DUPFD_CLOEXEC, FD_LOW);
	if (high[0] == -1 || high[1] == -1)
		pid = -1;
	else
		pid = fork();
	if (pid == 0)
		child(p, c, parent, high[0], high[1], journal, groups,
		    ngroups);
	if (high[0] != -1)
		close(high[0]);
	if (high[1] != -1)
		close(high[1]);
	return pid;
}

/*
 * A worker that has been taken over: enters the sandbox of a worker and then
 * tries one attack.
 *
 * SPDX-License-Identifier: ISC
 *
 * usage: probe WORKER on|off ATTACK [ARG]
 *	probe list
 *
 * Prints "done" if the attack worked and "refused: why" if it got an error;
 * a filter that kills shows in the exit status (SIGSYS).  With "off" no
 * sandbox is entered: the negative control, in which every attack must work.
 * ARG is what the attack is aimed at: a path, a pid, a port.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "sandbox.h"

/* Returns 0 if it worked, -1 with errno if not. */
struct attack {
	const char	*name;
	int		(*fn)(const char *);
};

static int
a_open(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC) == -1 ? -1 : 0;
}

static int
a_create(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) == -1 ? -1 : 0;
}

static int
a_readdir(const char *path)
{
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) == -1 ? -1 : 0;
}

static int
a_inet(const char *port)
{
	struct sockaddr_in sin;
	int s;

	if ((s = socket(AF_INET, SOCK_STREAM, 0)) == -1)
		return -1;
	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return connect(s, (struct sockaddr *)&sin, sizeof(sin));
}

static int
a_unix(const char *path)
{
	struct sockaddr_un sun;
	int s;

	if ((s = socket(AF_UNIX, SOCK_STREAM, 0)) == -1)
		return -1;
	memset(&sun, 0, sizeof(sun));
	sun.sun_family = AF_UNIX;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	return connect(s, (struct sockaddr *)&sun, sizeof(sun));
}

static int
a_netlink(const char *arg)
{
	(void)arg;
	return socket(AF_NETLINK, SOCK_RAW, 0) == -1 ? -1 : 0;
}

static int
a_listen(const char *arg)
{
	struct sockaddr_in sin;
	int s;

	(void)arg;
	if ((s = socket(AF_INET, SOCK_STREAM, 0)) == -1)
		return -1;
	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(s, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		return -1;
	return listen(s, 1);
}

static int
a_exec(const char *path)
{
	char *const argv[] = { "probe-child", NULL };

	/* Says "done" itself if it runs. */
	return execve(path, argv, argv + 1);
}

static int
a_fork(const char *arg)
{
	pid_t pid;

	(void)arg;
	if ((pid = fork()) == 0)
		_exit(0);
	if (pid == -1)
		return -1;
	return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static int
a_kill(const char *pid)
{
	return kill((pid_t)strtol(pid, NULL, 10), SIGCONT);
}

static int
a_ptrace(const char *pid)
{
	return (int)ptrace(PTRACE_ATTACH, (pid_t)strtol(pid, NULL, 10), NULL,
	    NULL);
}

static int
a_readmem(const char *pid)
{
	char buf[8];
	struct iovec here = { buf, sizeof(buf) };
	struct iovec there = { (void *)(uintptr_t)buf, sizeof(buf) };

	return process_vm_readv((pid_t)strtol(pid, NULL, 10), &here, 1, &there,
	    1, 0) == -1 && errno != EFAULT ? -1 : 0;
}

static int
a_rwx(const char *arg)
{
	(void)arg;
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

static int
a_unshare(const char *arg)
{
	(void)arg;
	return (int)syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */);
}

static int
a_memfd(const char *arg)
{
	(void)arg;
	return syscall(SYS_memfd_create, "x", 0) == -1 ? -1 : 0;
}

static int
a_prctl(const char *arg)
{
	(void)arg;
	return prctl(PR_SET_DUMPABLE, 1);
}

static const struct attack attacks[] = {
	{ "open", a_open },
	{ "create", a_create },
	{ "readdir", a_readdir },
	{ "inet", a_inet },
	{ "unix", a_unix },
	{ "netlink", a_netlink },
	{ "listen", a_listen },
	{ "exec", a_exec },
	{ "fork", a_fork },
	{ "kill", a_kill },
	{ "ptrace", a_ptrace },
	{ "readmem", a_readmem },
	{ "rwx", a_rwx },
	{ "unshare", a_unshare },
	{ "memfd", a_memfd },
	{ "prctl", a_prctl },
};

static int
say(const char *text)
{
	return write(STDOUT_FILENO, text, strlen(text)) == -1;
}

static int
attempt(const struct attack *a, const char *arg)
{
	if (a->fn(arg) == 0)
		return say("done\n");
	(void)say("refused: ");
	(void)say(strerror(errno));
	(void)say("\n");
	return 3;
}

int
main(int argc, char **argv)
{
	const char *state;
	size_t i, n = sizeof(attacks) / sizeof(attacks[0]);
	int proc;

	log_init("probe", LOG_L_WARN, 0);
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (i = 0; i < n; i++)
			printf("%s\n", attacks[i].name);
		return 0;
	}
	if (argc < 4 || (proc = proc_by_name(argv[1])) <= PROC_SUPER)
		fatalx("usage: probe WORKER on|off ATTACK [ARG]");
	/* The directory that the worker owns, for those that have one. */
	if ((state = getenv("PROBE_STATE_DIR")) == NULL)
		state = "";
	if (strcmp(argv[2], "on") == 0 &&
	    sandbox_enter((enum proc)proc, state) == -1)
		fatal("sandbox");
	for (i = 0; i < n; i++)
		if (strcmp(attacks[i].name, argv[3]) == 0)
			return attempt(&attacks[i], argc > 4 ? argv[4] : "");
	fatalx("no attack %s", argv[3]);
}

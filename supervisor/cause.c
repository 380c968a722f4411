/*
 * Says in words how a worker ended.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 *
 * The kernel tells a parent no more than SIGSYS; which call it was stands in
 * the audit record that goes to the kernel's log (unless an audit daemon
 * takes it).
 */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cause.h"
#include "log.h"

#define RECORD_MAX	8192	/* of /dev/kmsg */
#define WAIT_MS		10	/* the record may come after the signal, */
#define WAITS		10	/* but not much */

static int kmsg = -1;

void
cause_init(void)
{
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg == -1)
		log_info("/dev/kmsg cannot be read: deaths by seccomp will "
		    "not name their system call");
	else if (lseek(kmsg, 0, SEEK_END) == -1)
		log_warn("/dev/kmsg");
}

/* The number after a word like "pid=", -1 if it is not there. */
static long
number_after(const char *line, const char *word, int base)
{
	const char *p = strstr(line, word);
	char *end;
	long v;

	if (p == NULL)
		return -1;
	p += strlen(word);
	errno = 0;
	v = strtol(p, &end, base);
	return end == p || errno != 0 || v < 0 ? -1 : v;
}

int
cause_parse_record(const char *line, pid_t pid, unsigned *arch)
{
	long call, a;

	/* SECCOMP records; the blanks keep "ppid=" and others out. */
	if (strstr(line, "type=1326 ") == NULL ||
	    number_after(line, " pid=", 10) != (long)pid)
		return -1;
	call = number_after(line, " syscall=", 10);
	a = number_after(line, " arch=", 16);
	if (call == -1 || a == -1 || call > 0x7fffffff)
		return -1;
	*arch = (unsigned)a;
	return (int)call;
}

/* Reads what is new in the kernel's log. */
static int
find_record(pid_t pid, unsigned *arch)
{
	char buf[RECORD_MAX];
	int call = -1;
	ssize_t n;

	for (;;) {
		n = read(kmsg, buf, sizeof(buf) - 1);
		/* EPIPE: records were overwritten before we read them. */
		if (n == -1 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			return call;
		buf[n] = '\0';
		if (call == -1)
			call = cause_parse_record(buf, pid, arch);
	}
}

static void
seccomp_text(char *out, size_t size, pid_t pid)
{
	struct pollfd pfd = { .fd = kmsg, .events = POLLIN };
	unsigned arch = 0;
	int call = -1, i;
	char *name;

	for (i = 0; kmsg != -1 && call == -1 && i < WAITS; i++) {
		if ((call = find_record(pid, &arch)) == -1)
			(void)poll(&pfd, 1, WAIT_MS);	/* only a pause */
	}
	if (call == -1) {
		snprintf(out, size, "seccomp");
		return;
	}
	name = seccomp_syscall_resolve_num_arch(arch, call);
	snprintf(out, size, "seccomp: syscall %d (%s)", call,
	    name == NULL ? "unknown" : name);
	free(name);
}

void
cause_text(char *out, size_t size, pid_t pid, int status, const char *killed)
{
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	/* It may see the end of its channel before our signal, and exit. */
	if (killed[0] != '\0' && (sig == 0 || sig == SIGKILL))
		snprintf(out, size, "killed by agentd: %s", killed);
	else if (sig == 0)
		snprintf(out, size, "exit %d", WEXITSTATUS(status));
	else if (sig == SIGSYS)
		seccomp_text(out, size, pid);
	else
		snprintf(out, size, "signal %d (%s)", sig, strsignal(sig));
}

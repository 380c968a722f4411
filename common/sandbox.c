/*
 * The sandbox of each worker.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every worker.
 *
 * The filter is an allow-list made of sets; a table says which worker gets
 * which.  What is not listed kills the process, not only the thread.  Calls
 * that libraries try and survive without (open and its kin) fail with an
 * error instead.  The supervisor names a death by SIGSYS and its call.
 */
#include <sys/types.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "sandbox.h"

/* Sets of the table below. */
#define S_CORE		0x01U	/* memory, time, events, the channels */
#define S_ACCEPT	0x02U	/* connections from a listener it was given */
#define S_FILES		0x04U	/* files below its state directory */
#define S_SOCKPAIR	0x08U	/* socketpair: to hand an end over */
#define S_SOCKOPT	0x10U	/* options of sockets it was given */
#define S_UNIXOUT	0x20U	/* connect to Unix sockets */
#define S_INETOUT	0x40U	/* connect over IP: resolver and dialer */

static const uint32_t sets_of[PROC_MAX] = {
	[PROC_FRONT] = S_CORE | S_ACCEPT | S_SOCKPAIR | S_SOCKOPT,
	[PROC_KEEPER] = S_CORE | S_FILES | S_SOCKOPT,
	[PROC_GATEWAY] = S_CORE | S_ACCEPT | S_SOCKOPT,
	[PROC_UPSTREAM] = S_CORE | S_SOCKOPT,
	[PROC_DIALER] = S_CORE | S_SOCKOPT | S_INETOUT,
	[PROC_PROXY] = S_CORE | S_FILES,
	[PROC_CONTAINER] = S_CORE | S_SOCKOPT | S_SOCKPAIR | S_UNIXOUT,
	[PROC_TRACE] = S_CORE | S_FILES,
	[PROC_MOVER] = S_CORE | S_FILES | S_SOCKPAIR,
};

struct rule {
	uint32_t	set;
	int		call;
};

static const struct rule allowed[] = {
	/* memory */
	{ S_CORE, SCMP_SYS(brk) },
	{ S_CORE, SCMP_SYS(munmap) },
	{ S_CORE, SCMP_SYS(mremap) },
	{ S_CORE, SCMP_SYS(madvise) },
	/* time, identity, chance */
	{ S_CORE, SCMP_SYS(clock_gettime) },
	{ S_CORE, SCMP_SYS(clock_nanosleep) },
	{ S_CORE, SCMP_SYS(gettimeofday) },
	{ S_CORE, SCMP_SYS(time) },
	{ S_CORE, SCMP_SYS(getpid) },
	{ S_CORE, SCMP_SYS(getppid) },
	{ S_CORE, SCMP_SYS(gettid) },
	{ S_CORE, SCMP_SYS(getuid) },
	{ S_CORE, SCMP_SYS(geteuid) },
	{ S_CORE, SCMP_SYS(getgid) },
	{ S_CORE, SCMP_SYS(getegid) },
	{ S_CORE, SCMP_SYS(getrandom) },
	{ S_CORE, SCMP_SYS(uname) },
	/* descriptors it has */
	{ S_CORE, SCMP_SYS(read) },
	{ S_CORE, SCMP_SYS(write) },
	{ S_CORE, SCMP_SYS(readv) },
	{ S_CORE, SCMP_SYS(writev) },
	{ S_CORE, SCMP_SYS(close) },
	{ S_CORE, SCMP_SYS(fstat) },
	{ S_CORE, SCMP_SYS(lseek) },
	{ S_CORE, SCMP_SYS(recvmsg) },
	{ S_CORE, SCMP_SYS(sendmsg) },
	{ S_CORE, SCMP_SYS(recvfrom) },
	{ S_CORE, SCMP_SYS(sendto) },
	{ S_CORE, SCMP_SYS(shutdown) },
	{ S_CORE, SCMP_SYS(epoll_wait) },
	{ S_CORE, SCMP_SYS(epoll_pwait) },
	{ S_CORE, SCMP_SYS(epoll_ctl) },
	{ S_CORE, SCMP_SYS(poll) },
	{ S_CORE, SCMP_SYS(ppoll) },
	/* signals and the end */
	{ S_CORE, SCMP_SYS(rt_sigaction) },
	{ S_CORE, SCMP_SYS(rt_sigprocmask) },
	{ S_CORE, SCMP_SYS(rt_sigreturn) },
	{ S_CORE, SCMP_SYS(restart_syscall) },
	{ S_CORE, SCMP_SYS(exit) },
	{ S_CORE, SCMP_SYS(exit_group) },

	{ S_ACCEPT, SCMP_SYS(accept4) },
	{ S_ACCEPT, SCMP_SYS(accept) },
	{ S_SOCKPAIR, SCMP_SYS(socketpair) },
	{ S_SOCKOPT, SCMP_SYS(getsockopt) },
	{ S_SOCKOPT, SCMP_SYS(setsockopt) },
	{ S_SOCKOPT, SCMP_SYS(getsockname) },
	{ S_SOCKOPT, SCMP_SYS(getpeername) },

	/* below the state directory: Landlock says where */
	{ S_FILES, SCMP_SYS(open) },
	{ S_FILES, SCMP_SYS(openat) },
	{ S_FILES, SCMP_SYS(stat) },
	{ S_FILES, SCMP_SYS(lstat) },
	{ S_FILES, SCMP_SYS(newfstatat) },
	{ S_FILES, SCMP_SYS(access) },
	{ S_FILES, SCMP_SYS(faccessat) },
	{ S_FILES, SCMP_SYS(readlink) },
	{ S_FILES, SCMP_SYS(getcwd) },
	{ S_FILES, SCMP_SYS(getdents64) },
	{ S_FILES, SCMP_SYS(mkdir) },
	{ S_FILES, SCMP_SYS(mkdirat) },
	{ S_FILES, SCMP_SYS(rmdir) },
	{ S_FILES, SCMP_SYS(unlink) },
	{ S_FILES, SCMP_SYS(unlinkat) },
	{ S_FILES, SCMP_SYS(rename) },
	{ S_FILES, SCMP_SYS(renameat) },
	{ S_FILES, SCMP_SYS(renameat2) },
	{ S_FILES, SCMP_SYS(fsync) },
	{ S_FILES, SCMP_SYS(fdatasync) },
	{ S_FILES, SCMP_SYS(ftruncate) },
	{ S_FILES, SCMP_SYS(fstatfs) },
	{ S_FILES, SCMP_SYS(fallocate) },
	{ S_FILES, SCMP_SYS(pread64) },
	{ S_FILES, SCMP_SYS(pwrite64) },
	{ S_FILES, SCMP_SYS(fchmod) },
	{ S_FILES, SCMP_SYS(utimensat) },

	{ S_UNIXOUT | S_INETOUT, SCMP_SYS(connect) },
	{ S_INETOUT, SCMP_SYS(bind) },
	{ S_INETOUT, SCMP_SYS(sendmmsg) },
#ifdef AGENTD_SANITIZE
	/* What the sanitizers' runtime needs to start and to report. */
	{ S_CORE, SCMP_SYS(mmap) },
	{ S_CORE, SCMP_SYS(mprotect) },
	{ S_CORE, SCMP_SYS(sigaltstack) },
	{ S_CORE, SCMP_SYS(prlimit64) },
	{ S_CORE, SCMP_SYS(sched_getaffinity) },
	{ S_CORE, SCMP_SYS(sched_yield) },
	{ S_CORE, SCMP_SYS(tgkill) },
	{ S_CORE, SCMP_SYS(futex) },
#endif
};

/* Refused with an error that a library survives. */
static const struct {
	int	call;
	int	error;
} refused[] = {
	{ SCMP_SYS(open), EACCES },
	{ SCMP_SYS(openat), EACCES },
	{ SCMP_SYS(stat), EACCES },
	{ SCMP_SYS(lstat), EACCES },
	{ SCMP_SYS(newfstatat), EACCES },
	{ SCMP_SYS(statx), ENOSYS },
	{ SCMP_SYS(access), EACCES },
	{ SCMP_SYS(faccessat), EACCES },
	{ SCMP_SYS(faccessat2), ENOSYS },
	{ SCMP_SYS(openat2), ENOSYS },
	{ SCMP_SYS(readlink), EACCES },
	{ SCMP_SYS(readlinkat), EACCES },
	{ SCMP_SYS(getcwd), EACCES },
	{ SCMP_SYS(chmod), EACCES },
	{ SCMP_SYS(fchown), EPERM },
	{ SCMP_SYS(clone3), ENOSYS },
	{ SCMP_SYS(sysinfo), EPERM },
	{ SCMP_SYS(prlimit64), EPERM },
	{ SCMP_SYS(sched_getaffinity), EPERM },
};

static int
allow(scmp_filter_ctx ctx, int call)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, call, 0);
}

static bool
is_allowed(uint32_t sets, int call)
{
	size_t i;

	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (allowed[i].call == call && allowed[i].set & sets)
			return true;
	return false;
}

/* Allowed for one value of an argument only. */
static int
allow_value(scmp_filter_ctx ctx, int call, unsigned int arg, uint64_t value)
{
	struct scmp_arg_cmp cmp = { arg, SCMP_CMP_EQ, value, 0 };

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &cmp);
}

#ifndef AGENTD_SANITIZE
/* Allowed as long as none of the bits is set in an argument. */
static int
allow_without(scmp_filter_ctx ctx, int call, unsigned int arg, uint64_t bits)
{
	struct scmp_arg_cmp cmp = { arg, SCMP_CMP_MASKED_EQ, bits, 0 };

	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, call, 1, &cmp);
}
#endif

static int
add_argument_rules(scmp_filter_ctx ctx, uint32_t sets)
{
	static const int fcntls[] = {
		F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC,
	};
	static const int locks[] = { F_GETLK, F_SETLK, F_SETLKW };
	size_t i;
	int r = 0;

	for (i = 0; i < sizeof(fcntls) / sizeof(fcntls[0]); i++)
		r |= allow_value(ctx, SCMP_SYS(fcntl), 1,
		    (uint64_t)fcntls[i]);
	if (sets & S_FILES)
		for (i = 0; i < sizeof(locks) / sizeof(locks[0]); i++)
			r |= allow_value(ctx, SCMP_SYS(fcntl), 1,
			    (uint64_t)locks[i]);
	/* libevent asks how much there is to read. */
	r |= allow_value(ctx, SCMP_SYS(ioctl), 1, FIONREAD);
	r |= allow_value(ctx, SCMP_SYS(ioctl), 1, FIONBIO);
#ifndef AGENTD_SANITIZE
	/* No code is made or loaded once the work has begun. */
	r |= allow_without(ctx, SCMP_SYS(mmap), 2, PROT_EXEC);
	r |= allow_without(ctx, SCMP_SYS(mprotect), 2, PROT_EXEC);
	r |= allow_value(ctx, SCMP_SYS(futex), 1, 129 /* WAKE, private */);
	/* abort(): only this process can be meant. */
	r |= allow_value(ctx, SCMP_SYS(tgkill), 0, (uint64_t)getpid());
#endif
	if (sets & S_UNIXOUT)
		r |= allow_value(ctx, SCMP_SYS(socket), 0, AF_UNIX);
	if (sets & S_INETOUT) {
		r |= allow_value(ctx, SCMP_SYS(socket), 0, AF_INET);
		r |= allow_value(ctx, SCMP_SYS(socket), 0, AF_INET6);
	}
	return r == 0 ? 0 : -1;
}

static int
enter_seccomp(enum proc proc)
{
	uint32_t action = SCMP_ACT_KILL_PROCESS, sets = sets_of[proc];
	scmp_filter_ctx ctx;
	size_t i;
	int r = 0;

#ifdef AGENTD_SANDBOX_LOG
	action = SCMP_ACT_LOG;
#endif
	if ((ctx = seccomp_init(action)) == NULL) {
		errno = ENOMEM;
		return -1;
	}
	for (i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (allowed[i].set & sets)
			r |= allow(ctx, allowed[i].call);
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (!is_allowed(sets, refused[i].call))
			r |= seccomp_rule_add(ctx, SCMP_ACT_ERRNO(
			    (uint32_t)refused[i].error), refused[i].call, 0);
	if (r == 0)
		r = add_argument_rules(ctx, sets);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r != 0) {
		errno = r < -1 ? -r : EINVAL;
		return -1;
	}
	return 0;
}

/* ---- Landlock ---- */

/* Rights that came after the header of Debian 12's kernel. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE	(1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV	(1ULL << 15)
#endif
#define NET_BIND_TCP			(1ULL << 0)
#define NET_CONNECT_TCP			(1ULL << 1)
#define SCOPE_ABSTRACT_UNIX		(1ULL << 0)
#define SCOPE_SIGNAL			(1ULL << 1)

/* The attribute as of ABI 6; an older kernel is given its first part. */
struct ruleset {
	uint64_t	fs;
	uint64_t	net;
	uint64_t	scope;
};

#define FS_ABI_1	((1ULL << 13) - 1)
#define FS_DIR_RW	(LANDLOCK_ACCESS_FS_READ_FILE | \
			LANDLOCK_ACCESS_FS_WRITE_FILE | \
			LANDLOCK_ACCESS_FS_READ_DIR | \
			LANDLOCK_ACCESS_FS_REMOVE_DIR | \
			LANDLOCK_ACCESS_FS_REMOVE_FILE | \
			LANDLOCK_ACCESS_FS_MAKE_DIR | \
			LANDLOCK_ACCESS_FS_MAKE_REG | \
			LANDLOCK_ACCESS_FS_TRUNCATE)

static int abi_in_force;

int
sandbox_landlock_abi(void)
{
	return abi_in_force;
}

static int
allow_dir(int ruleset, const char *path, uint64_t rights)
{
	struct landlock_path_beneath_attr beneath;
	int r;

	memset(&beneath, 0, sizeof(beneath));
	beneath.allowed_access = rights;
	beneath.parent_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (beneath.parent_fd == -1) {
		log_warn("%s", path);
		return -1;
	}
	r = (int)syscall(SYS_landlock_add_rule, ruleset,
	    LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
	close(beneath.parent_fd);
	return r;
}

static int
enter_landlock(enum proc proc, const char *state_dir)
{
	struct ruleset attr;
	size_t size = sizeof(attr.fs);
	int abi, fd;

	abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	    LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < 1) {
		log_warnx("this kernel has no Landlock");
		return 0;
	}
	memset(&attr, 0, sizeof(attr));
	attr.fs = FS_ABI_1;
	if (abi >= 2)
		attr.fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		attr.fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi >= 5)
		attr.fs |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (abi >= 4) {
		attr.net = NET_BIND_TCP;
		if (!(sets_of[proc] & S_INETOUT))
			attr.net |= NET_CONNECT_TCP;
		size += sizeof(attr.net);
	}
	if (abi >= 6) {
		attr.scope = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
		size += sizeof(attr.scope);
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	if (fd == -1)
		return -1;
	if (sets_of[proc] & S_FILES &&
	    allow_dir(fd, state_dir, FS_DIR_RW & attr.fs) == -1) {
		close(fd);
		return -1;
	}
	if (syscall(SYS_landlock_restrict_self, fd, 0) == -1) {
		close(fd);
		return -1;
	}
	close(fd);
	abi_in_force = abi;
	return 0;
}

int
sandbox_enter(enum proc proc, const char *state_dir)
{
	if (proc >= PROC_MAX || sets_of[proc] == 0) {
		errno = EINVAL;
		return -1;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	if (enter_landlock(proc, state_dir) == -1)
		return -1;
	return enter_seccomp(proc);
}

/*
 * Where the processes' log lines go.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 *
 * Without a journal each process writes into a pipe, and the supervisor
 * copies the bytes, unparsed, into that process's file.  Both ends of a pipe
 * are non-blocking: a full disk or a flood costs lines, never a stop.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <event2/event.h>
#include <systemd/sd-journal.h>

#include "conf.h"
#include "log.h"
#include "logs.h"

#define COPY_MAX	(64 * 1024)	/* bytes per turn and stream */
#define ECHO_CHUNK	4096		/* PIPE_BUF: never blocks after poll */
#define FD_LOW		10

struct stream {
	char		 file[32];
	int		 rd, wr;	/* the pipe; -1 if there is none */
	int		 fd;		/* the file; -1 if it cannot be opened */
	off_t		 size;
	uint64_t	 lost;		/* bytes since the last good write */
	struct event	*event;
};

static struct logs {
	bool		 journal;
	int		 dir;
	gid_t		 gid;
	int		 echo;		/* -1: none */
	pid_t		 owner;		/* a forked child must not flush */
	struct stream	 stream[PROC_MAX];
} lg;

static void
stream_open(struct stream *s)
{
	struct stat st;

	s->fd = openat(lg.dir, s->file, O_WRONLY | O_APPEND | O_CREAT |
	    O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0640);
	if (s->fd == -1)
		return;
	if (fstat(s->fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    fchown(s->fd, geteuid(), lg.gid) == -1 || fchmod(s->fd, 0640) == -1) {
		close(s->fd);
		s->fd = -1;
		return;
	}
	s->size = st.st_size;
}

/* name.log.3 becomes name.log.4 ... name.log becomes name.log.1 */
static void
stream_rotate(struct stream *s)
{
	char from[48], to[48];
	int i;

	for (i = LOGS_FILES - 1; i > 0; i--) {
		snprintf(to, sizeof(to), "%s.%d", s->file, i);
		if (i == 1)
			strlcpy(from, s->file, sizeof(from));
		else
			snprintf(from, sizeof(from), "%s.%d", s->file, i - 1);
		if (renameat(lg.dir, from, lg.dir, to) == -1 &&
		    errno != ENOENT)
			return;
	}
	close(s->fd);
	stream_open(s);
}

static void
stream_write(struct stream *s, const char *buf, size_t len)
{
	char note[128];
	ssize_t n;
	int l;

	if (s->fd == -1)
		stream_open(s);
	if (s->fd != -1 && s->size + (off_t)len > LOGS_FILE_MAX)
		stream_rotate(s);
	/* A file that could not be moved away does not grow either. */
	if (s->fd == -1 || s->size + (off_t)len > LOGS_FILE_MAX) {
		s->lost += len;
		return;
	}
	if (s->lost > 0) {
		l = snprintf(note, sizeof(note), "level=warn worker=supervisor "
		    "msg=\"%llu bytes of this log were lost\"\n",
		    (unsigned long long)s->lost);
		n = write(s->fd, note, (size_t)l);
		if (n > 0) {
			s->size += n;
			s->lost = 0;
		}
	}
	n = write(s->fd, buf, len);
	if (n > 0)
		s->size += n;
	if (n < (ssize_t)len)
		s->lost += len - (n > 0 ? (size_t)n : 0);
}

static void
echo(const char *buf, size_t len)
{
	struct pollfd pfd = { .fd = lg.echo, .events = POLLOUT };
	size_t n;
	ssize_t r;

	while (len > 0 && poll(&pfd, 1, 0) == 1 && pfd.revents & POLLOUT) {
		n = len < ECHO_CHUNK ? len : ECHO_CHUNK;
		if ((r = write(lg.echo, buf, n)) <= 0)
			return;
		buf += r;
		len -= (size_t)r;
	}
}

static void
stream_copy(evutil_socket_t fd, short what, void *arg)
{
	static char buf[COPY_MAX];
	struct stream *s = arg;
	ssize_t n;

	(void)fd;
	(void)what;
	if ((n = read(s->rd, buf, sizeof(buf))) <= 0)
		return;
	if (lg.echo != -1)
		echo(buf, (size_t)n);
	stream_write(s, buf, (size_t)n);
}

static void
stream_init(struct stream *s, enum proc p)
{
	int fds[2];

	snprintf(s->file, sizeof(s->file), "%s.log", proc_name(p));
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) == -1 ||
	    (s->rd = fcntl(fds[0], F_DUPFD_CLOEXEC, FD_LOW)) == -1 ||
	    (s->wr = fcntl(fds[1], F_DUPFD_CLOEXEC, FD_LOW)) == -1)
		fatal("log pipe of %s", proc_name(p));
	close(fds[0]);
	close(fds[1]);
	stream_open(s);
	if (s->fd == -1)
		fatal("log file %s", s->file);
}

static bool
want_journal(const struct conf *c)
{
	if (c->log_target != LOG_AUTO)
		return c->log_target == LOG_JOURNAL;
	return getenv("NOTIFY_SOCKET") != NULL;
}

static void
journal_init(void)
{
	int fd;

	fd = sd_journal_stream_fd("agentd", LOG_INFO, 1);
	if (fd < 0) {
		errno = -fd;
		fatal("journal (log.target: file does without)");
	}
	if (dup2(fd, STDERR_FILENO) == -1)
		fatal("dup2");
	close(fd);
	log_init(proc_name(PROC_SUPER), log_level(), 1);
}

static void
flush_at_exit(void)
{
	if (getpid() == lg.owner)
		logs_flush();
}

void
logs_init(const struct conf *c, bool echo_too)
{
	struct group *gr;
	enum proc p;

	lg.owner = getpid();
	lg.echo = -1;
	lg.journal = want_journal(c);
	for (p = PROC_SUPER; p < PROC_MAX; p++)
		lg.stream[p].rd = lg.stream[p].wr = lg.stream[p].fd = -1;
	if (lg.journal) {
		journal_init();
		return;
	}
	gr = getgrnam(c->admin_group);
	lg.gid = gr == NULL ? getegid() : gr->gr_gid;
	lg.dir = open(c->log_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lg.dir == -1)
		fatal("%s", c->log_dir);
	for (p = PROC_SUPER; p < PROC_MAX; p++)
		stream_init(&lg.stream[p], p);
	if (echo_too)
		lg.echo = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, FD_LOW);
	if (dup2(lg.stream[PROC_SUPER].wr, STDERR_FILENO) == -1)
		fatal("dup2");
	if (atexit(flush_at_exit) != 0)
		fatal("atexit");
}

void
logs_start(struct event_base *base)
{
	enum proc p;
	struct stream *s;

	for (p = PROC_SUPER; p < PROC_MAX; p++) {
		s = &lg.stream[p];
		if (s->rd == -1)
			continue;
		s->event = event_new(base, s->rd, EV_READ | EV_PERSIST,
		    stream_copy, s);
		if (s->event == NULL || event_add(s->event, NULL) == -1)
			fatal("log event");
	}
}

bool
logs_to_journal(void)
{
	return lg.journal;
}

int
logs_open_worker(enum proc p)
{
	char name[32];
	int fd;

	if (!lg.journal)
		return fcntl(lg.stream[p].wr, F_DUPFD_CLOEXEC, FD_LOW);
	snprintf(name, sizeof(name), "agentd-%s", proc_name(p));
	fd = sd_journal_stream_fd(name, LOG_INFO, 1);
	if (fd < 0) {
		errno = -fd;
		return -1;
	}
	return fd;
}

void
logs_flush(void)
{
	enum proc p;
	struct pollfd pfd;
	int i;

	for (p = PROC_SUPER; p < PROC_MAX; p++) {
		pfd.fd = lg.stream[p].rd;
		pfd.events = POLLIN;
		/* A pipe holds no more than 16 turns of the loop. */
		for (i = 0; i < 16 && pfd.fd != -1 && poll(&pfd, 1, 0) == 1 &&
		    pfd.revents & POLLIN; i++)
			stream_copy(pfd.fd, EV_READ, &lg.stream[p]);
	}
}

void
logs_reopen(void)
{
	enum proc p;
	struct stream *s;

	for (p = PROC_SUPER; p < PROC_MAX; p++) {
		s = &lg.stream[p];
		if (s->rd == -1)
			continue;
		if (s->fd != -1)
			close(s->fd);
		stream_open(s);
	}
}

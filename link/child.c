/*
 * A child process with lines on its stdin and stdout.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: the runtime.
 *
 * The child leads its own session, so that one kill reaches what it started
 * in the same process group. Its stderr is ours: the container's journal.
 */
#include "config.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "child.h"
#include "log.h"
#include "util.h"

#define LINE_MAX_LEN	(8UL << 20)
#define LINE_KEEP	(64UL << 10)	/* memory that may stay for the next */
#define STDIN_MAX	(4UL << 20)	/* queued bytes */
#define TERM_TRIES	100		/* of 10 ms */

struct child {
	struct event_base *base;
	char *const *argv;		/* NULL before the first start */
	const struct child_cb *cb;
	void *arg;
	bool keep;
	bool closing;			/* its stdin, after what is queued */
	pid_t pid;			/* 0 = none */
	struct bufferevent *bev;	/* its stdin and stdout */
	struct event *sigchld;
	struct event *again;
	unsigned int step;
	char *line;			/* owned */
	size_t len, size;
	bool skipping;			/* the rest of a line that is too long */
};

static void	child_again(evutil_socket_t, short, void *);
static void	child_reap(evutil_socket_t, short, void *);

struct child *
child_new(struct event_base *base, bool keep, const struct child_cb *cb,
    void *arg)
{
	struct child *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	c->base = base;
	c->keep = keep;
	c->cb = cb;
	c->arg = arg;
	c->sigchld = evsignal_new(base, SIGCHLD, child_reap, c);
	c->again = evtimer_new(base, child_again, c);
	if (c->sigchld == NULL || c->again == NULL ||
	    evsignal_add(c->sigchld, NULL) == -1)
		fatal("child");
	return c;
}

static void
child_disconnect(struct child *c)
{
	if (c->bev != NULL)
		bufferevent_free(c->bev);
	c->bev = NULL;
	c->len = 0;
	c->skipping = c->closing = false;
}

void
child_free(struct child *c)
{
	struct timespec ts = { 0, 10 * 1000 * 1000 };
	int i;

	if (c == NULL)
		return;
	event_free(c->sigchld);
	event_free(c->again);
	child_disconnect(c);
	if (c->pid > 0) {
		(void)kill(-c->pid, SIGTERM);
		for (i = 0; i < TERM_TRIES; i++) {
			if (waitpid(c->pid, NULL, WNOHANG) != 0)
				break;
			(void)nanosleep(&ts, NULL);
		}
		(void)kill(-c->pid, SIGKILL);
	}
	free(c->line);
	free(c);
}

void
child_is_well(struct child *c)
{
	c->step = 0;
}

void
child_kill(struct child *c)
{
	if (c->pid > 0 && kill(-c->pid, SIGKILL) == -1)
		log_warn("kill %d", (int)c->pid);
}

int
child_write(struct child *c, const char *p, size_t len)
{
	if (c->bev == NULL || len > STDIN_MAX -
	    evbuffer_get_length(bufferevent_get_output(c->bev)))
		return -1;
	return bufferevent_write(c->bev, p, len);
}

/* All of stdin has gone out. */
static void
child_drained(struct bufferevent *bev, void *arg)
{
	struct child *c = arg;

	if (c->closing)
		(void)shutdown(bufferevent_getfd(bev), SHUT_WR);
}

void
child_close_stdin(struct child *c)
{
	if (c->bev == NULL)
		return;
	c->closing = true;
	if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
		child_drained(c->bev, c);
}

/* In the new process: between fork and exec only what is safe there. */
static void __attribute__((__noreturn__))
child_exec(char *const *argv, int fd)
{
	static const char msg[] = "agent-link: cannot execute the command\n";
	struct sigaction sa = { .sa_handler = SIG_DFL };
	sigset_t none;

	(void)setsid();
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigaction(SIGPIPE, &sa, NULL);
	(void)sigaction(SIGCHLD, &sa, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(fd, STDIN_FILENO) != -1 && dup2(fd, STDOUT_FILENO) != -1)
		(void)execv(argv[0], argv);
	(void)!write(STDERR_FILENO, msg, sizeof(msg) - 1);
	_exit(127);
}

/* Adds to the line; false when it is over the bound. */
static bool
line_add(struct child *c, const unsigned char *p, size_t n)
{
	size_t size;
	char *line;

	if (c->len + n > LINE_MAX_LEN)
		return false;
	if (c->len + n + 1 > c->size) {
		size = c->size == 0 ? 4096 : c->size;
		while (size < c->len + n + 1)
			size *= 2;
		if ((line = realloc(c->line, size)) == NULL)
			fatal("line");
		c->line = line;
		c->size = size;
	}
	memcpy(c->line + c->len, p, n);
	c->len += n;
	return true;
}

static void
line_end(struct child *c)
{
	if (c->skipping)
		log_debug("skipped a line over %lu bytes", LINE_MAX_LEN);
	else {
		if (c->len > 0 && c->line[c->len - 1] == '\r')
			c->len--;
		c->line[c->len] = '\0';
		c->cb->line(c->arg, c->line, c->len);
	}
	c->skipping = false;
	c->len = 0;
	if (c->size > LINE_KEEP) {
		free(c->line);
		c->line = NULL;
		c->size = 0;
	}
}

static void
child_feed(struct child *c, const unsigned char *p, size_t len)
{
	const unsigned char *nl;
	size_t n;

	for (; len > 0; p += n, len -= n) {
		nl = memchr(p, '\n', len);
		n = nl != NULL ? (size_t)(nl - p) : len;
		if (!c->skipping && !line_add(c, p, n))
			c->skipping = true;
		if (nl != NULL) {
			line_end(c);
			n++;
		}
	}
}

static void
child_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	size_t len;

	while ((len = evbuffer_get_contiguous_space(in)) > 0) {
		child_feed(arg, evbuffer_pullup(in, (ssize_t)len), len);
		evbuffer_drain(in, len);
	}
}

/* Its stdout is closed: whatever is left of it must go too, unless it runs
 * once and ends by itself. */
static void
child_event(struct bufferevent *bev, short what, void *arg)
{
	struct child *c = arg;

	/* It need not read all of its stdin. */
	if (!c->keep && (what & BEV_EVENT_WRITING)) {
		bufferevent_disable(bev, EV_WRITE);
		return;
	}
	bufferevent_disable(bev, EV_READ | EV_WRITE);
	if (c->keep)
		child_kill(c);
}

static void
child_failed(struct child *c, const char *why, bool clean)
{
	unsigned int ms;

	child_disconnect(c);
	if (c->keep) {
		ms = retry_next(&c->step);
		log_warnx("the runtime %s, again in %u ms", why, ms);
		timer_ms(c->again, ms);
	}
	c->cb->ended(c->arg, why, clean);
}

static void
child_spawn(struct child *c)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == -1) {
		log_warn("socketpair");
		child_failed(c, "could not be started", false);
		return;
	}
	switch (c->pid = fork()) {
	case -1:
		log_warn("fork");
		c->pid = 0;
		close(sv[0]);
		close(sv[1]);
		child_failed(c, "could not be started", false);
		return;
	case 0:
		child_exec(c->argv, sv[1]);
	}
	close(sv[1]);
	if (evutil_make_socket_nonblocking(sv[0]) == -1 ||
	    (c->bev = bufferevent_socket_new(c->base, sv[0],
	    BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("child");
	bufferevent_setcb(c->bev, child_read, child_drained, child_event, c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	log_info("runtime started, pid %d", (int)c->pid);
	c->cb->started(c->arg);
}

void
child_start(struct child *c, char *const *argv)
{
	c->argv = argv;
	child_spawn(c);
}

static void
child_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	child_spawn(arg);
}

/* What an ended child said last may still lie in the socket. */
static void
child_last_words(struct child *c)
{
	unsigned char buf[4096];
	ssize_t n;

	if (c->bev == NULL)
		return;
	child_read(c->bev, c);
	while ((n = recv(bufferevent_getfd(c->bev), buf, sizeof(buf),
	    MSG_DONTWAIT)) > 0)
		child_feed(c, buf, (size_t)n);
	if (c->len > 0 || c->skipping)
		line_end(c);	/* its last line had no end */
}

static void
child_reap(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	siginfo_t si = { .si_pid = 0 };
	char why[64];

	(void)fd;
	(void)what;
	if (c->pid <= 0 || waitid(P_PID, (id_t)c->pid, &si,
	    WEXITED | WNOHANG | WNOWAIT) == -1 || si.si_pid != c->pid)
		return;
	child_last_words(c);
	/* While it is not waited for, nobody else can have its number. */
	(void)kill(-c->pid, SIGKILL);
	(void)waitpid(c->pid, NULL, 0);
	c->pid = 0;
	if (si.si_code == CLD_EXITED)
		(void)snprintf(why, sizeof(why), "ended with status %d",
		    si.si_status);
	else
		(void)snprintf(why, sizeof(why), "was killed by signal %d",
		    si.si_status);
	child_failed(c, why, si.si_code == CLD_EXITED && si.si_status == 0);
}

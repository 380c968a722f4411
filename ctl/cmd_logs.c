/*
 * agentctl logs: the log of a worker, from the journal or its file.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: nobody.
 *
 * This runs as the caller, who must be able to read the log: root, or a
 * member of the admin group.
 */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ctl.h"

#define LINES_MAX	100000
#define CHUNK		65536
#define POLL_MS		250

struct logs {
	const char *worker, *dir;
	bool follow;
	int lines;
};

static const char *const workers[] = { "supervisor", "front", "keeper",
    "gateway", "upstream", "dialer", "proxy", "container", "trace",
    "mover" };

static int
parse_logs(int argc, char **argv, struct logs *l)
{
	static const struct option opts[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "lines", required_argument, NULL, 'n' },
		{ "log-dir", required_argument, NULL, 'd' },
		{ NULL, 0, NULL, 0 }
	};
	const char *errstr;
	size_t i;
	int c;

	optind = 0;
	while ((c = getopt_long(argc + 1, argv - 1, "fn:", opts,
	    NULL)) != -1) {
		switch (c) {
		case 'f': l->follow = true; break;
		case 'd': l->dir = optarg; break;
		case 'n':
			l->lines = (int)strtonum(optarg, 0, LINES_MAX,
			    &errstr);
			if (errstr == NULL)
				break;
			complain("-n is %s (0 to %d)", errstr, LINES_MAX);
			return CTL_USAGE;
		default:
			return ctl_usage();
		}
	}
	if (argc + 1 - optind != 1)
		return ctl_usage();
	l->worker = argv[optind - 1];
	for (i = 0; i < sizeof(workers) / sizeof(workers[0]); i++)
		if (strcmp(workers[i], l->worker) == 0)
			return CTL_OK;
	complain("there is no worker '%s'; there are: supervisor front "
	    "keeper gateway upstream dialer proxy container trace",
	    l->worker);
	return CTL_USAGE;
}

static int
from_journal(const struct logs *l)
{
	char lines[16], id[64];

	(void)snprintf(lines, sizeof(lines), "%d", l->lines);
	(void)snprintf(id, sizeof(id), "agentd%s%s",
	    strcmp(l->worker, "supervisor") == 0 ? "" : "-",
	    strcmp(l->worker, "supervisor") == 0 ? "" : l->worker);
	(void)fflush(stdout);
	(void)execlp("journalctl", "journalctl", "--no-pager", "-o", "cat",
	    "-t", id, "-n", lines, l->follow ? "-f" : (char *)NULL,
	    (char *)NULL);
	complain("journalctl: %s", strerror(errno));
	return CTL_FAIL;
}

/* Where the last n lines begin. */
static off_t
tail_start(int fd, off_t size, int n)
{
	char buf[CHUNK];
	off_t at = size;
	ssize_t got, i;

	if (n == 0)
		return size;
	while (at > 0) {
		off_t from = at > CHUNK ? at - CHUNK : 0;

		got = pread(fd, buf, (size_t)(at - from), from);
		if (got <= 0)
			break;
		for (i = got - 1; i >= 0; i--) {
			/* The newline at the very end ends the last line. */
			if (buf[i] == '\n' && from + i != size - 1 &&
			    --n == 0)
				return from + i + 1;
		}
		at = from;
	}
	return 0;
}

/* Copies what there is from *at on; -1 on a read or write error. */
static int
copy_rest(int fd, off_t *at)
{
	char buf[CHUNK];
	ssize_t n;

	while ((n = pread(fd, buf, sizeof(buf), *at)) > 0) {
		if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
			return -1;
		*at += n;
	}
	return fflush(stdout) == EOF || n == -1 ? -1 : 0;
}

/* True once the file under that name is another one, or was cut. */
static bool
rotated(int fd, const char *path, off_t at)
{
	struct stat old, new;

	if (fstat(fd, &old) == -1 || stat(path, &new) == -1)
		return false;	/* it comes back under its name */
	return old.st_ino != new.st_ino || old.st_dev != new.st_dev ||
	    new.st_size < at;
}

static int
from_file(const struct logs *l, const char *path)
{
	struct timespec ts = { 0, POLL_MS * 1000000L };
	struct stat st;
	off_t at;
	int fd, ret;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    fstat(fd, &st) == -1) {
		complain("%s: %s", path, strerror(errno));
		if (errno == EACCES)
			complain("root and members of the admin group may "
			    "read it");
		if (fd != -1)
			close(fd);
		return CTL_FAIL;
	}
	at = tail_start(fd, st.st_size, l->lines);
	while ((ret = copy_rest(fd, &at)) == 0 && l->follow) {
		(void)nanosleep(&ts, NULL);
		if (!rotated(fd, path, at))
			continue;
		(void)copy_rest(fd, &at);
		close(fd);
		if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
			return CTL_FAIL;
		at = 0;
	}
	close(fd);
	return ret == 0 ? CTL_OK : CTL_FAIL;
}

int
cmd_logs(struct ctl *ctl, int argc, char **argv)
{
	struct logs l = { .worker = "", .lines = 50 };
	char path[1024];
	int ret;

	(void)ctl;
	if ((ret = parse_logs(argc, argv, &l)) != CTL_OK)
		return ret;
	/* log.target "auto" is the journal where systemd runs. */
	if (l.dir == NULL && access("/run/systemd/system", F_OK) == 0)
		return from_journal(&l);
	ret = snprintf(path, sizeof(path), "%s/%s.log",
	    l.dir != NULL ? l.dir : LOCALSTATEDIR "/log/agentd", l.worker);
	if (ret < 0 || (size_t)ret >= sizeof(path)) {
		complain("the directory's name is too long");
		return CTL_USAGE;
	}
	return from_file(&l, path);
}

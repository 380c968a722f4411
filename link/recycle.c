/*
 * The recycle bin in a container: put, list, restore, purge, sweep.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: a container, by the agent as rm, by agentd's exec, by a timer.
 *
 * usage: recycle list | restore|purge --id ID | --path PATH | sweep
 *
 * A file is BIN/files/ID and what is known of it BIN/info/ID.trashinfo, as
 * the desktops write it (times are UTC).  Answers are records of id, time of
 * deletion, size and path, each ended by a NUL.  Nothing is read from the
 * environment, and set-uid it does nothing at all.
 *
 * Exit: 2 wrong usage, 3 there is no such thing, 4 something is in the way.
 */
#include <sys/auxv.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recycle.h"

#define KEEP_S		(30 * 24 * 3600L)
#define FREE_PERCENT	10	/* less is free: nothing is kept */
#define LIST_MAX	20000
#define INFO_MAX	(4 * PATH_MAX)
#define E_USAGE		2
#define E_NONE		3
#define E_EXISTS	4

struct item {
	char	 id[BIN_ID + 1];
	char	 path[PATH_MAX];	/* where it was */
	time_t	 deleted;
};

extern char **environ;

/* ---- names ---- */

int
bin_resolve(const char *path, char out[PATH_MAX])
{
	char	 copy[PATH_MAX], dir[PATH_MAX], *base;
	size_t	 n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n >= sizeof(copy)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(copy, path, n);
	copy[n] = '\0';
	if ((base = strrchr(copy, '/')) == NULL) {
		if (realpath(".", dir) == NULL)
			return -1;
		base = copy;
	} else {
		*base++ = '\0';
		if (realpath(copy[0] == '\0' ? "/" : copy, dir) == NULL)
			return -1;
	}
	if (snprintf(out, PATH_MAX, "%s/%s", strcmp(dir, "/") == 0 ? "" :
	    dir, base) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

static void
file_of(const char *id, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s/%s", BIN_FILES, id);
}

static void
info_of(const char *id, char out[PATH_MAX])
{
	(void)snprintf(out, PATH_MAX, "%s/%s.trashinfo", BIN_INFO, id);
}

static bool
id_ok(const char *id)
{
	return strlen(id) == BIN_ID &&
	    strspn(id, "0123456789abcdef") == BIN_ID;
}

static int
new_id(char id[BIN_ID + 1])
{
	unsigned char	 r[BIN_ID / 2];
	size_t		 i;

	if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
		return -1;
	for (i = 0; i < sizeof(r); i++)
		(void)snprintf(id + 2 * i, 3, "%02x", r[i]);
	return 0;
}

/* ---- put ---- */

static int
write_info(const char *info, const char *path)
{
	static const char	 plain[] = "/-_.~";
	struct tm		 tm;
	time_t			 now = time(NULL);
	FILE			*f;
	int			 fd, rc;

	fd = open(info, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	if (fd == -1 || (f = fdopen(fd, "w")) == NULL)
		return -1;
	(void)fprintf(f, "[Trash Info]\nPath=");
	for (; *path != '\0'; path++)
		if (isalnum((unsigned char)*path) ||
		    strchr(plain, *path) != NULL)
			(void)fputc(*path, f);
		else
			(void)fprintf(f, "%%%02X", (unsigned char)*path);
	if (gmtime_r(&now, &tm) != NULL)
		(void)fprintf(f, "\nDeletionDate=%04d-%02d-%02dT%02d:%02d:"
		    "%02d\n", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		    tm.tm_hour, tm.tm_min, tm.tm_sec);
	rc = ferror(f) ? -1 : 0;
	if (fclose(f) == EOF)
		rc = -1;
	if (rc == -1)
		(void)unlink(info);
	return rc;
}

static bool
full(void)
{
	struct statvfs	 vfs;

	return statvfs(BIN_FILES, &vfs) == -1 || vfs.f_blocks == 0 ||
	    vfs.f_bavail < vfs.f_blocks / 100 * FREE_PERCENT;
}

/* Is it that directory, or within it? */
static bool
under(const char *path, const char *dir)
{
	size_t	 n = strlen(dir);

	return strncmp(path, dir, n) == 0 &&
	    (path[n] == '/' || path[n] == '\0');
}

int
bin_put(const char *path)
{
	char	 where[PATH_MAX], file[PATH_MAX], info[PATH_MAX];
	char	 id[BIN_ID + 1];
	int	 saved;

	if (bin_resolve(path, where) == -1)
		return -1;
	/* What is in the bin, or holds it, is not put into it. */
	if (under(where, BIN) || under(BIN, where) || full()) {
		errno = EXDEV;
		return -1;
	}
	if (new_id(id) == -1)
		return -1;
	file_of(id, file);
	info_of(id, info);
	if (write_info(info, where) == -1)
		return -1;
	if (rename(where, file) == -1) {
		saved = errno;
		(void)unlink(info);
		errno = saved;
		return -1;
	}
	return 0;
}

int
real_rm(const char *flags, const char *path)
{
	char	 name[] = "rm", end[] = "--", bin[] = "/usr/bin/rm";
	char	 f[8], *copy, *argv[5];
	int	 status;
	pid_t	 pid;

	(void)snprintf(f, sizeof(f), "%s", flags);
	if ((copy = strdup(path)) == NULL)
		return 1;
	argv[0] = name;
	argv[1] = f;
	argv[2] = end;
	argv[3] = copy;
	argv[4] = NULL;
	if ((pid = fork()) == 0) {
		(void)execve(bin, argv, environ);
		_exit(127);
	}
	free(copy);
	if (pid == -1)
		return 1;
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- what is in it ---- */

static int
unescape(char *out, size_t size, const char *p)
{
	char	 hex[3] = "", *end;
	size_t	 n = 0;

	for (; *p != '\0' && *p != '\n'; p++) {
		if (n + 1 >= size)
			return -1;
		if (*p != '%') {
			out[n++] = *p;
			continue;
		}
		if (p[1] == '\0' || p[2] == '\0')
			return -1;
		hex[0] = p[1];
		hex[1] = p[2];
		out[n] = (char)strtol(hex, &end, 16);
		if (end != hex + 2 || out[n++] == '\0')
			return -1;
		p += 2;
	}
	out[n] = '\0';
	return n > 0 && out[0] == '/' ? 0 : -1;
}

static int
read_info(const char *id, struct item *it)
{
	static char	 buf[INFO_MAX];
	char		 info[PATH_MAX];
	const char	*p;
	struct tm	 tm;
	ssize_t		 n;
	int		 fd;

	info_of(id, info);
	fd = open(info, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return -1;
	n = read(fd, buf, sizeof(buf) - 1);
	(void)close(fd);
	if (n <= 0)
		return -1;
	buf[n] = '\0';
	(void)snprintf(it->id, sizeof(it->id), "%s", id);
	if ((p = strstr(buf, "\nPath=")) == NULL ||
	    unescape(it->path, sizeof(it->path), p + 6) == -1 ||
	    (p = strstr(buf, "\nDeletionDate=")) == NULL)
		return -1;
	memset(&tm, 0, sizeof(tm));
	if (strptime(p + 14, "%Y-%m-%dT%H:%M:%S", &tm) == NULL ||
	    (it->deleted = timegm(&tm)) < 0)
		return -1;
	return 0;
}

/* Calls for each item until it says so; -1 if there is no bin. */
static int
each(int (*fn)(struct item *, void *), void *arg)
{
	static struct item	 it;
	char			 id[BIN_ID + 1];
	struct dirent		*e;
	DIR			*d;
	int			 stop = 0;

	if ((d = opendir(BIN_INFO)) == NULL)
		return -1;
	while (!stop && (e = readdir(d)) != NULL) {
		if (strlen(e->d_name) != BIN_ID + 10 ||
		    strcmp(e->d_name + BIN_ID, ".trashinfo") != 0)
			continue;
		memcpy(id, e->d_name, BIN_ID);
		id[BIN_ID] = '\0';
		if (id_ok(id) && read_info(id, &it) == 0)
			stop = fn(&it, arg);
	}
	(void)closedir(d);
	return 0;
}

static void
say(const struct item *it)
{
	char		 file[PATH_MAX];
	struct stat	 st;

	file_of(it->id, file);
	(void)printf("%s%c%lld%c", it->id, 0, (long long)it->deleted, 0);
	if (lstat(file, &st) == 0 && S_ISREG(st.st_mode))
		(void)printf("%lld", (long long)st.st_size);
	else
		(void)putchar('-');
	(void)printf("%c%s%c", 0, it->path, 0);
}

static int
list_one(struct item *it, void *arg)
{
	char		 file[PATH_MAX];
	struct stat	 st;
	unsigned int	*n = arg;

	file_of(it->id, file);
	if (lstat(file, &st) == -1)
		return 0;
	say(it);
	return ++*n == LIST_MAX;
}

static int
sweep_one(struct item *it, void *arg)
{
	char	 file[PATH_MAX], info[PATH_MAX];

	(void)arg;
	if (it->deleted > time(NULL) - KEEP_S)
		return 0;
	file_of(it->id, file);
	info_of(it->id, info);
	/* The note goes last: what was cut off is tried again. */
	if (real_rm("-rf", file) == 0)
		(void)unlink(info);
	return 0;
}

/* The newest of a path, or the one of an id. */
struct wanted {
	const char	*id, *path;
	struct item	 best;
	bool		 found;
};

static int
want_one(struct item *it, void *arg)
{
	struct wanted	*w = arg;
	char		 file[PATH_MAX];
	struct stat	 st;

	if (w->id != NULL && strcmp(it->id, w->id) != 0)
		return 0;
	if (w->path != NULL && strcmp(it->path, w->path) != 0)
		return 0;
	file_of(it->id, file);
	if (lstat(file, &st) == -1 ||
	    (w->found && it->deleted < w->best.deleted))
		return 0;
	w->best = *it;
	w->found = true;
	return w->id != NULL;
}

static void
make_parents(const char *path)
{
	char	 copy[PATH_MAX], *p;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (p = copy + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
		*p = '\0';
		(void)mkdir(copy, 0755);
	}
}

static int
restore(const struct item *it)
{
	char	 file[PATH_MAX], info[PATH_MAX];

	file_of(it->id, file);
	info_of(it->id, info);
	make_parents(it->path);
	if (renameat2(AT_FDCWD, file, AT_FDCWD, it->path,
	    RENAME_NOREPLACE) == -1) {
		(void)fprintf(stderr, errno == EEXIST ?
		    "there is something at %s already\n" :
		    "%s cannot be restored\n", it->path);
		return errno == EEXIST ? E_EXISTS : 1;
	}
	(void)unlink(info);
	say(it);
	return 0;
}

static int
purge(const struct item *it)
{
	char	 file[PATH_MAX], info[PATH_MAX];

	file_of(it->id, file);
	info_of(it->id, info);
	if (real_rm("-rf", file) != 0)
		return 1;
	(void)unlink(info);
	say(it);
	return 0;
}

static int
on_one(int argc, char **argv)
{
	static struct wanted	 w;

	if (argc != 4 || (strcmp(argv[2], "--id") != 0 &&
	    strcmp(argv[2], "--path") != 0)) {
		(void)fprintf(stderr, "--id ID or --path PATH is needed\n");
		return E_USAGE;
	}
	if (strcmp(argv[2], "--id") == 0)
		w.id = argv[3];
	else
		w.path = argv[3];
	if ((w.id != NULL && !id_ok(w.id)) ||
	    (w.path != NULL && w.path[0] != '/')) {
		(void)fprintf(stderr, w.id != NULL ?
		    "an id has 32 hex digits\n" :
		    "original_path must be absolute\n");
		return E_USAGE;
	}
	if (each(want_one, &w) == -1 || !w.found) {
		(void)fprintf(stderr, "there is no such thing in the recycle "
		    "bin\n");
		return E_NONE;
	}
	return strcmp(argv[1], "restore") == 0 ? restore(&w.best) :
	    purge(&w.best);
}

int
main(int argc, char *argv[])
{
	const char	*name;
	unsigned int	 n = 0;

	if (getauxval(AT_SECURE) != 0 || getuid() != geteuid() ||
	    getgid() != getegid()) {
		(void)fprintf(stderr, "recycle: set-uid: refused\n");
		return E_USAGE;
	}
	if (argc < 1)
		return E_USAGE;
	name = strrchr(argv[0], '/');
	name = name != NULL ? name + 1 : argv[0];
	if (strcmp(name, "rm") == 0)
		return rm_main(argc, argv);
	(void)umask(077);
	if (argc == 2 && strcmp(argv[1], "list") == 0)
		return each(list_one, &n) == 0 || errno == ENOENT ? 0 : 1;
	if (argc == 2 && strcmp(argv[1], "sweep") == 0)
		return each(sweep_one, NULL) == 0 || errno == ENOENT ? 0 : 1;
	if (argc > 1 && (strcmp(argv[1], "restore") == 0 ||
	    strcmp(argv[1], "purge") == 0))
		return on_one(argc, argv);
	(void)fprintf(stderr, "usage: recycle list | restore|purge --id ID | "
	    "--path PATH | sweep\n");
	return E_USAGE;
}

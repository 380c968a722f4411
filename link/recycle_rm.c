/*
 * rm that can be taken back: what is on the bin's file system is moved there.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: a container, as /usr/local/bin/rm.
 */
#include <sys/stat.h>

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recycle.h"

static struct {
	bool	 recursive, force, verbose, dir;
	char	 ask;		/* 0, 'i' each, 'I' once */
	bool	 root_ok;
} opt;

/* An answer that begins with y. */
static bool
yes(void)
{
	int c = getchar(), first = c;

	while (c != '\n' && c != EOF)
		c = getchar();
	return first == 'y' || first == 'Y';
}

static bool
protected(const char *path, const struct stat *st)
{
	return !opt.force && opt.ask == 0 && isatty(STDIN_FILENO) &&
	    !S_ISLNK(st->st_mode) && access(path, W_OK) == -1;
}

/* "." and ".." at the end, and "/", are not for rm. */
static bool
forbidden(const char *path)
{
	size_t	 n = strlen(path);
	const char *base;

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n == 1 && path[0] == '/' && !opt.root_ok) {
		(void)fprintf(stderr, "rm: it is dangerous to operate "
		    "recursively on '/'\n");
		return true;
	}
	for (base = path + n; base > path && base[-1] != '/'; base--)
		;
	n -= (size_t)(base - path);
	if ((n == 1 && base[0] == '.') ||
	    (n == 2 && base[0] == '.' && base[1] == '.')) {
		(void)fprintf(stderr, "rm: refusing to remove '.' or '..' "
		    "directory: skipping '%s'\n", path);
		return true;
	}
	return false;
}

static int
complain(const char *path, int error)
{
	(void)fprintf(stderr, "rm: cannot remove '%s': %s\n", path,
	    strerror(error));
	return 1;
}

static int
remove_one(const char *path)
{
	struct stat	 st;
	int		 rc;

	if (lstat(path, &st) == -1)
		return opt.force && (errno == ENOENT || errno == ENOTDIR) ?
		    0 : complain(path, errno);
	if (forbidden(path))
		return 1;
	if (S_ISDIR(st.st_mode) && !opt.recursive) {
		if (!opt.dir)
			return complain(path, EISDIR);
		return rmdir(path) == -1 ? complain(path, errno) : 0;
	}
	if (opt.ask == 'i' || protected(path, &st)) {
		(void)fprintf(stderr, "rm: remove %s'%s'? ",
		    opt.ask == 'i' ? "" : "write-protected ", path);
		if (!yes())
			return 0;
	}
	if (bin_put(path) == -1) {
		rc = real_rm(opt.recursive ? "-rf" : "-f", path);
		if (rc != 0)
			return rc;
	}
	if (opt.verbose)
		(void)printf("%s'%s'\n", S_ISDIR(st.st_mode) ?
		    "removed directory " : "removed ", path);
	return 0;
}

static int
usage(void)
{
	(void)fprintf(stderr, "usage: rm [-dfiIrRv] [--] FILE ...\n"
	    "What is removed goes to the recycle bin for 30 days; the real "
	    "one is /usr/bin/rm.\n");
	return 1;
}

static int
when(const char *arg)
{
	if (arg == NULL || strcmp(arg, "always") == 0 ||
	    strcmp(arg, "yes") == 0)
		opt.ask = 'i';
	else if (strcmp(arg, "once") == 0)
		opt.ask = 'I';
	else if (strcmp(arg, "never") == 0 || strcmp(arg, "no") == 0 ||
	    strcmp(arg, "none") == 0)
		opt.ask = 0;
	else
		return -1;
	return 0;
}

static int
options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "dir", no_argument, NULL, 'd' },
		{ "force", no_argument, NULL, 'f' },
		{ "interactive", optional_argument, NULL, 1 },
		{ "no-preserve-root", no_argument, NULL, 2 },
		{ "one-file-system", no_argument, NULL, 3 },
		{ "preserve-root", optional_argument, NULL, 3 },
		{ "recursive", no_argument, NULL, 'r' },
		{ "verbose", no_argument, NULL, 'v' },
		{ NULL, 0, NULL, 0 }
	};
	int	 c;

	while ((c = getopt_long(argc, argv, "dfiIrRv", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			opt.dir = true;
			break;
		case 'f':
			opt.force = true;
			opt.ask = 0;
			break;
		case 'i':
		case 'I':
			opt.ask = (char)c;
			opt.force = false;
			break;
		case 'r':
		case 'R':
			opt.recursive = true;
			break;
		case 'v':
			opt.verbose = true;
			break;
		case 1:
			if (when(optarg) == -1)
				return -1;
			break;
		case 2:
			opt.root_ok = true;
			break;
		case 3:
			break;
		default:
			return -1;
		}
	}
	return 0;
}

int
rm_main(int argc, char **argv)
{
	int	 i, rc = 0;

	if (options(argc, argv) == -1)
		return usage();
	if (optind == argc)
		return opt.force ? 0 : usage();
	if (opt.ask == 'I' && (argc - optind > 3 || opt.recursive)) {
		(void)fprintf(stderr, "rm: remove %d argument%s%s? ",
		    argc - optind, argc - optind == 1 ? "" : "s",
		    opt.recursive ? " recursively" : "");
		if (!yes())
			return 0;
	}
	for (i = optind; i < argc; i++)
		rc |= remove_one(argv[i]);
	return rc == 0 ? 0 : 1;
}

/*
 * The directory in which files that come in are kept until they are checked
 * and used.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 */
#include <sys/types.h>

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "mover.h"

static int
ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), k = strlen(suffix);

	return n > k && strcmp(name + n - k, suffix) == 0;
}

void
spool_clear(const char *path)
{
	struct dirent *d;
	DIR *dir;

	if ((dir = opendir(path)) == NULL)
		fatal("%s", path);
	while ((d = readdir(dir)) != NULL)
		if (ends_with(d->d_name, SPOOL_SUFFIX) &&
		    unlinkat(dirfd(dir), d->d_name, 0) == -1)
			log_warn("%s/%s", path, d->d_name);
	closedir(dir);
}

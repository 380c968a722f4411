/*
 * Which hours of an agent there are.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: nobody.
 */
#include <sys/types.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "trace.h"

static int
newest_first(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

int
hours_list(const char *agent_id, double since, double until, int64_t **out,
    size_t *nout)
{
	const char *suffix;
	struct dirent *d;
	int64_t hour, *hours = NULL;
	size_t i, n = 0, size = 0;
	DIR *dir;
	int fd;

	*out = NULL;
	*nout = 0;
	if ((fd = bucket_dir(agent_id, false)) == -1)
		return errno == ENOENT ? 0 : -1;
	if ((dir = fdopendir(fd)) == NULL) {
		close(fd);
		return -1;
	}
	while (n < HOURS_MAX && (d = readdir(dir)) != NULL) {
		hour = bucket_hour(d->d_name, &suffix);
		if (hour == -1 || (strcmp(suffix, ".db") != 0 &&
		    strcmp(suffix, ".jsonl") != 0) ||
		    (double)(hour + 1) * 3600 <= since ||
		    (double)hour * 3600 > until)
			continue;
		if (n == size) {
			size = size == 0 ? 64 : size * 2;
			hours = reallocarray(hours, size, sizeof(*hours));
			if (hours == NULL)
				fatal("hours");
		}
		hours[n++] = hour;
	}
	closedir(dir);
	if (n > 0)
		qsort(hours, n, sizeof(*hours), newest_first);
	/* A bucket and its fallback are one hour. */
	for (i = 0; i < n; i++)
		if (*nout == 0 || hours[*nout - 1] != hours[i])
			hours[(*nout)++] = hours[i];
	*out = hours;
	return 0;
}

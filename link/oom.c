/*
 * How often the kernel has killed in this container for want of memory.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 *
 * The container sees its own part of the cgroup tree. With cgroup v2 the
 * count at its root is that of all below; with v1 each group counts for
 * itself, so those of the services are added up.
 */
#include "config.h"

#include <fcntl.h>
#include <glob.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "oom.h"

#define FILES_MAX	256
#define FILE_MAX	1024

uint64_t
oom_parse(const char *text)
{
	const char *line = text;
	uint64_t n = 0;

	while (line != NULL && strncmp(line, "oom_kill ", 9) != 0)
		if ((line = strchr(line, '\n')) != NULL)
			line++;
	if (line == NULL)
		return 0;
	for (line += 9; *line >= '0' && *line <= '9' && n < UINT32_MAX; line++)
		n = n * 10 + (uint64_t)(*line - '0');
	return n;
}

static uint64_t
file_kills(const char *path)
{
	char text[FILE_MAX + 1];
	ssize_t n;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return 0;
	n = read(fd, text, FILE_MAX);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return oom_parse(text);
}

uint64_t
oom_kills(void)
{
	static const char *const v1[] = {
		"/sys/fs/cgroup/memory/memory.oom_control",
		"/sys/fs/cgroup/memory/*/memory.oom_control",
		"/sys/fs/cgroup/memory/*/*/memory.oom_control",
	};
	uint64_t n;
	glob_t g;
	size_t i, k;

	if ((n = file_kills("/sys/fs/cgroup/memory.events")) > 0)
		return n;
	for (i = 0; i < sizeof(v1) / sizeof(v1[0]); i++) {
		if (glob(v1[i], GLOB_NOSORT, NULL, &g) != 0)
			continue;
		for (k = 0; k < g.gl_pathc && k < FILES_MAX; k++)
			n += file_kills(g.gl_pathv[k]);
		globfree(&g);
	}
	return n;
}

/*
 * Small helpers of agent-link: timers, back-off, sockets.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "util.h"

#define RETRY_FIRST_MS	50
#define RETRY_MAX_MS	2000

unsigned int
retry_next(unsigned int *step)
{
	unsigned int ms = RETRY_FIRST_MS;

	if (*step < 6)
		ms <<= *step;
	else
		ms = RETRY_MAX_MS;
	(*step)++;
	return ms - ms / 4 + arc4random_uniform(ms / 2 + 1);
}

void
timer_ms(struct event *ev, unsigned int ms)
{
	struct timeval tv;

	tv.tv_sec = ms / 1000;
	tv.tv_usec = (suseconds_t)(ms % 1000) * 1000;
	(void)evtimer_add(ev, &tv);
}

int
unix_connect(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, saved;

	if (strlcpy(sun.sun_path, path, sizeof(sun.sun_path)) >=
	    sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	/* On a Unix socket this never waits: a full backlog is EAGAIN. */
	while (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		if (errno == EINTR)
			continue;
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

size_t
utf8_prefix(const char *s, size_t len, size_t max)
{
	size_t n;

	if (len <= max)
		return len;
	for (n = max; n + 4 > max; n--) {
		if (((unsigned char)s[n] & 0xc0) != 0x80)
			return n;
		if (n == 0)
			break;
	}
	return max;	/* not UTF-8: the writer replaces it anyway */
}

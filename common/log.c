/*
 * Logging of every process: logfmt lines on standard error.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 *
 * The stream behind fd 2 is made by the supervisor: journald's, or a pipe
 * that it copies into the worker's file.  One line is one write(2), so lines
 * of several threads or processes never mix.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

/* A longer line is cut: no caller logs bodies. */
#define LINE_MAX_LEN	2048

static struct {
	const char	*name;
	enum log_level	 level;
	bool		 journal;
	uint64_t	 request;
} lg = { "agentd", LOG_L_INFO, false, 0 };

static const struct {
	const char	*name;
	int		 priority;	/* syslog's */
} levels[] = {
	[LOG_L_ERROR] = { "error", 3 },
	[LOG_L_WARN] = { "warn", 4 },
	[LOG_L_INFO] = { "info", 6 },
	[LOG_L_DEBUG] = { "debug", 7 },
};

void
log_init(const char *name, enum log_level level, int journal)
{
	lg.name = name;
	lg.level = level;
	lg.journal = journal;
}

void
log_set_level(enum log_level level)
{
	lg.level = level;
}

enum log_level
log_level(void)
{
	return lg.level;
}

int
log_level_by_name(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
		if (strcmp(levels[i].name, name) == 0)
			return (int)i;
	return -1;
}

const char *
log_level_name(enum log_level level)
{
	return levels[level].name;
}

void
log_set_request(uint64_t id)
{
	lg.request = id;
}

/* Appends text as a quoted logfmt value; control bytes become \xNN. */
static size_t
quote(char *out, size_t cap, size_t len, const char *text)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p;

	if (len + 1 < cap)
		out[len++] = '"';
	for (p = (const unsigned char *)text; *p != '\0' && len + 6 < cap;
	    p++) {
		if (*p == '"' || *p == '\\') {
			out[len++] = '\\';
			out[len++] = (char)*p;
		} else if (*p < 0x20 || *p == 0x7f) {
			out[len++] = '\\';
			out[len++] = 'x';
			out[len++] = hex[*p >> 4];
			out[len++] = hex[*p & 15];
		} else {
			out[len++] = (char)*p;
		}
	}
	if (len + 1 < cap)
		out[len++] = '"';
	return len;
}

static size_t
prefix(char *out, size_t cap, enum log_level level)
{
	struct timespec ts;
	struct tm tm;
	char when[32];
	int n;

	if (lg.journal) {
		n = snprintf(out, cap, "<%d>level=%s worker=%s ",
		    levels[level].priority, levels[level].name, lg.name);
		return n > 0 ? (size_t)n : 0;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
	n = snprintf(out, cap, "time=%s.%03ldZ level=%s worker=%s pid=%d ",
	    when, ts.tv_nsec / 1000000, levels[level].name, lg.name,
	    (int)getpid());
	return n > 0 ? (size_t)n : 0;
}

static void __attribute__((format(printf, 3, 0)))
emit(enum log_level level, int err, const char *fmt, va_list ap)
{
	char text[LINE_MAX_LEN / 2], line[LINE_MAX_LEN];
	size_t len;
	int n, saved = errno;

	if (level > lg.level)
		return;
	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		return;
	if (err != 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %s",
		    strerror(err));
	len = prefix(line, sizeof(line), level);
	if (lg.request != 0) {
		n = snprintf(line + len, sizeof(line) - len, "req=%016llx ",
		    (unsigned long long)lg.request);
		if (n > 0)
			len += (size_t)n;
	}
	memcpy(line + len, "msg=", 4);
	len = quote(line, sizeof(line) - 1, len + 4, text);
	line[len++] = '\n';
	/* Nobody is left to tell when the log itself cannot be written. */
	if (write(STDERR_FILENO, line, len) == -1)
		errno = saved;
	errno = saved;
}

#define EMIT(level, err) do {						\
	va_list ap;							\
	va_start(ap, fmt);						\
	emit(level, err, fmt, ap);					\
	va_end(ap);							\
} while (0)

void
log_warn(const char *fmt, ...)
{
	EMIT(LOG_L_WARN, errno);
}

void
log_warnx(const char *fmt, ...)
{
	EMIT(LOG_L_WARN, 0);
}

void
log_info(const char *fmt, ...)
{
	EMIT(LOG_L_INFO, 0);
}

void
log_debug(const char *fmt, ...)
{
	EMIT(LOG_L_DEBUG, 0);
}

void
fatal(const char *fmt, ...)
{
	EMIT(LOG_L_ERROR, errno);
	exit(1);
}

void
fatalx(const char *fmt, ...)
{
	EMIT(LOG_L_ERROR, 0);
	exit(1);
}

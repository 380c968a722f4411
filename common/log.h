/*
 * Logging of every process: logfmt lines on standard error.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 */
#ifndef LOG_H
#define LOG_H

#include <stdarg.h>
#include <stdint.h>

enum log_level { LOG_L_ERROR, LOG_L_WARN, LOG_L_INFO, LOG_L_DEBUG };

/*
 * Lines go to fd 2 as "<N>level=... worker=... msg=..." when journal is set
 * (N is the syslog priority that journald reads), else with a time in front.
 * The name is kept, not copied.
 */
void	 log_init(const char *name, enum log_level, int journal);
void	 log_set_level(enum log_level);
enum log_level	 log_level(void);
/* Level of that name (error, warn, info, debug), or -1. */
int	 log_level_by_name(const char *);
const char	*log_level_name(enum log_level);
/* The id of the request at hand; it is on every line until set to 0. */
void	 log_set_request(uint64_t);

/* log_warn and fatal add strerror(errno); the others with x do not. */
void	 log_warn(const char *, ...) __attribute__((format(printf, 1, 2)));
void	 log_warnx(const char *, ...) __attribute__((format(printf, 1, 2)));
void	 log_info(const char *, ...) __attribute__((format(printf, 1, 2)));
void	 log_debug(const char *, ...) __attribute__((format(printf, 1, 2)));
void	 fatal(const char *, ...)
	    __attribute__((noreturn, format(printf, 1, 2)));
void	 fatalx(const char *, ...)
	    __attribute__((noreturn, format(printf, 1, 2)));

#endif /* LOG_H */

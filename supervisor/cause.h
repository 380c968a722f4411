/*
 * Says in words how a worker ended.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef CAUSE_H
#define CAUSE_H

#include <sys/types.h>

#include <stddef.h>

/* Opens the kernel's log; without it a seccomp death has no call's name. */
void	cause_init(void);
/* killed is why we killed it, or "". */
void	cause_text(char *, size_t, pid_t, int status, const char *killed);
/*
 * The syscall of an audit record about a seccomp death of this pid, -1 if
 * the line is about something else.
 */
int	cause_parse_record(const char *line, pid_t, unsigned *arch);

#endif /* CAUSE_H */

/*
 * Clock, randomness and ids: the one way to them, so that tests can put
 * themselves in between.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 */
#ifndef SYS_H
#define SYS_H

#include <stddef.h>
#include <stdint.h>

#define ID_LEN	32	/* hex digits of an id that we mint: 128 bits */

/* Milliseconds of CLOCK_BOOTTIME: for time-outs and ages. */
uint64_t	sys_now_ms(void);
/* Seconds since the epoch. */
double		sys_time(void);
void		sys_random(void *, size_t);
/* Writes ID_LEN random hex digits and a NUL. */
void		sys_id(char [ID_LEN + 1]);
/* Hex of n bytes into out[2n + 1]. */
void		sys_hex(char *out, const void *, size_t n);
/* 0, or -1 if the text is not n bytes in lower-case hex. */
int		sys_unhex(void *out, size_t n, const char *);
/* An id as we mint them: ID_LEN lower-case hex digits. */
int		sys_is_id(const char *);
/* A slug: [a-z0-9]([a-z0-9-]*[a-z0-9])?, 1..52 bytes. */
int		sys_is_slug(const char *);

#endif /* SYS_H */

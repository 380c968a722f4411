/*
 * What the modules of mover share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: keeper.
 */
#ifndef MOVER_H
#define MOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "movefile.h"
#include "msg.h"
#include "peer.h"

struct bufferevent;

#define SPOOL_SUFFIX	".part"
#define HIGH_WATER	(1024U * 1024)	/* bytes that a reader may be behind */
#define AT_ONCE		4		/* exports, and as many imports */
#define LINE_MAX_LEN	(8U * 1024 * 1024)	/* of a message or an event */

/* ---- main.c ---- */

/* Answers keeper's request (0: none is open). */
void	 tell_done(uint64_t req, uint32_t status, const char *error);
/* The same by MOVE_PIPE; the fd (or -1) is consumed. */
void	 tell_pipe(uint64_t req, uint32_t status, const char *error, int fd);

/* ---- spool.c ---- */

/* Removes what an earlier mover has left: an import lives as long as we do. */
void	 spool_clear(const char *dir);
/* A new file without a name: its fd, or -1 and *why if size are not free. */
int	 spool_open(const char *dir, uint64_t size, const char **why);
/* A socket that does not block, and one for another process; -1. */
int	 pipe_make(int *ours, int *theirs);
/* A read callback for who only reads: what he says is not kept. */
void	 pipe_noise(struct bufferevent *, void *);

/* ---- out.c: a file that is written ---- */

int	 h_out(struct peer *, struct msg *);
int	 h_text(struct peer *, struct msg *);
int	 h_open(struct peer *, struct msg *);
int	 h_close(struct peer *, struct msg *);
int	 h_list(struct peer *, struct msg *);
int	 h_sign(struct peer *, struct msg *);
bool	 out_drop(const char *id);
void	 out_drop_all(void);

/* ---- in.c: a file that is read ---- */

int	 h_in(struct peer *, struct msg *);
int	 h_check(struct peer *, struct msg *);
int	 h_chat(struct peer *, struct msg *);
int	 h_trace(struct peer *, struct msg *);
int	 h_image(struct peer *, struct msg *);
bool	 in_drop(const char *id);
void	 in_drop_all(void);

#endif /* MOVER_H */

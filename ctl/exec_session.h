/*
 * A command in an agent's container: session and terminal.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#ifndef EXEC_SESSION_H
#define EXEC_SESSION_H

#include <signal.h>
#include <stdbool.h>

struct ctl;

#define EXEC_CUT	255	/* what is wrong on our side */

/* body: the JSON of the request.  The command's exit status, or EXEC_CUT. */
int	exec_session(struct ctl *, const char *agent, const char *body,
	    bool tty);

/* ---- exec_tty.c ---- */

extern volatile sig_atomic_t exec_resized, exec_stopped;

/* -1 after a complaint. However we end, the terminal is given back. */
int	exec_raw(void);
void	exec_restore(void);
/* Signals come in only while ppoll() waits with this mask. */
void	exec_watch(sigset_t *during);
void	exec_window(unsigned int *cols, unsigned int *rows);

#endif /* EXEC_SESSION_H */

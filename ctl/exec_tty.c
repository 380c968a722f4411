/*
 * Our terminal while a command in a container has it, and its signals.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: the terminal.
 */
#include <sys/ioctl.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "ctl.h"
#include "exec_session.h"

static struct termios	 cooked;
static bool		 is_raw;
volatile sig_atomic_t exec_resized, exec_stopped;

void
exec_restore(void)
{
	if (is_raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &cooked);
	is_raw = false;
}

static void
on_signal(int sig)
{
	if (sig == SIGWINCH)
		exec_resized = 1;
	else
		exec_stopped = sig;
}

/* Also our end by a signal gives the terminal back. */
int
exec_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &cooked) == -1) {
		complain("-t needs a terminal as standard input");
		return -1;
	}
	raw = cooked;
	cfmakeraw(&raw);
	if (atexit(exec_restore) != 0 ||
	    tcsetattr(STDIN_FILENO, TCSANOW, &raw) == -1) {
		complain("the terminal: %s", strerror(errno));
		return -1;
	}
	is_raw = true;
	return 0;
}

void
exec_watch(sigset_t *during)
{
	static const int sigs[] = { SIGWINCH, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction sa;
	sigset_t block;
	size_t i;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = on_signal;
	(void)sigemptyset(&sa.sa_mask);
	(void)sigemptyset(&block);
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		(void)sigaction(sigs[i], &sa, NULL);
		(void)sigaddset(&block, sigs[i]);
	}
	/* They come in only while we wait. */
	(void)sigprocmask(SIG_BLOCK, &block, during);
	for (i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++)
		(void)sigdelset(during, sigs[i]);
}

void
exec_window(unsigned int *cols, unsigned int *rows)
{
	struct winsize ws;

	*cols = 80;
	*rows = 24;
	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 &&
	    ws.ws_row > 0) {
		*cols = ws.ws_col;
		*rows = ws.ws_row;
	}
}

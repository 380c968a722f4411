/*
 * Drives a runtime that is a command: run once for each message.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: the runtime.
 *
 * idle -> running (until the process has ended) -> idle. An aborted one is
 * killed with its process group, and its end is waited for.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "child.h"
#include "conf.h"
#include "exec_line.h"
#include "log.h"
#include "report.h"
#include "turn.h"

#define ARGUMENT_MAX	(120UL << 10)	/* the kernel takes 128 KiB a word */

enum exec_state {
	E_IDLE,
	E_RUNNING,
	E_KILLED			/* by us: its end is all that counts */
};

struct kexec {
	const struct conf *conf;
	struct turn *turn;
	struct child *child;
	enum exec_state state;
	const struct message *msg;	/* it works on it, or waits for idle */
	struct report report;
	struct exec_end end;
	bool newline;			/* text: a line break is due */
	char *argv[CONF_MAXARGS + 5];
	char channel[MSG_ID_LEN + 1];
	char *text;			/* owned: the last word of argv */
};

static const struct child_cb child_cb;

static void *
kexec_create(struct event_base *base, const struct conf *conf,
    struct turn *turn)
{
	struct kexec *k;

	if ((k = calloc(1, sizeof(*k))) == NULL)
		return NULL;
	k->conf = conf;
	k->turn = turn;
	report_init(&k->report, turn);
	if ((k->child = child_new(base, false, &child_cb, k)) == NULL) {
		free(k);
		return NULL;
	}
	return k;
}

/* There is nothing to bring up. */
static void
kexec_start(void *arg)
{
	struct kexec *k = arg;

	turn_ready(k->turn);
}

static void
kexec_destroy(void *arg)
{
	struct kexec *k = arg;

	child_free(k->child);
	report_free(&k->report);
	free(k->text);
	free(k);
}

/* The command, the channel's conversation and the message. -1: too long. */
static int
make_argv(struct kexec *k)
{
	const struct conf *conf = k->conf;
	int i;

	free(k->text);
	k->text = NULL;
	for (i = 0; i < conf->argc; i++)
		k->argv[i] = conf->argv[i];
	if (conf->resume[0] != '\0') {
		(void)strlcpy(k->channel, k->msg->channel_id,
		    sizeof(k->channel));
		/* execv() does not write to them; its type is historic. */
		k->argv[i++] = (char *)(uintptr_t)conf->resume;
		k->argv[i++] = k->channel;
	}
	if (conf->input == INPUT_ARGUMENT) {
		if (k->msg->len > ARGUMENT_MAX ||
		    memchr(k->msg->text, '\0', k->msg->len) != NULL)
			return -1;
		k->text = strndup(k->msg->text, k->msg->len);
		if (k->text == NULL)
			fatal("argument");
		k->argv[i++] = (char *)(uintptr_t)"--";
		k->argv[i++] = k->text;
	}
	k->argv[i] = NULL;
	return 0;
}

static void
kexec_spawn(struct kexec *k)
{
	memset(&k->end, 0, sizeof(k->end));
	k->newline = false;
	report_start(&k->report);
	if (make_argv(k) == -1) {
		k->msg = NULL;
		turn_failed(k->turn, "the message is too long for this "
		    "agent's runtime, or holds a NUL");
		return;
	}
	k->state = E_RUNNING;
	child_start(k->child, k->argv);
}

static void
kexec_run(void *arg, const struct message *msg)
{
	struct kexec *k = arg;

	k->msg = msg;
	if (k->state == E_IDLE)
		kexec_spawn(k);
}

static void
kexec_abort(void *arg)
{
	struct kexec *k = arg;

	k->msg = NULL;
	if (k->state != E_RUNNING)
		return;
	k->state = E_KILLED;
	child_kill(k->child);
}

static void
child_started(void *arg)
{
	struct kexec *k = arg;

	if (k->state != E_RUNNING)
		return;
	turn_running(k->turn);
	if (k->conf->input == INPUT_STDIN &&
	    child_write(k->child, k->msg->text, k->msg->len) == -1)
		child_kill(k->child);
	child_close_stdin(k->child);
}

/* A line break is an answer's only if another line follows. */
static void
text_line(struct kexec *k, const char *line, size_t len)
{
	if (k->newline)
		report_plain(&k->report, "\n", 1);
	k->newline = true;
	report_plain(&k->report, line, len);
}

static void
child_line(void *arg, char *line, size_t len)
{
	struct kexec *k = arg;

	if (k->state != E_RUNNING)
		return;
	if (k->conf->format == FORMAT_TEXT)
		text_line(k, line, len);
	else
		exec_line(&k->report, &k->end, line, len);
}

static void
child_ended(void *arg, const char *why, bool clean)
{
	struct kexec *k = arg;

	if (k->state == E_KILLED) {
		k->state = E_IDLE;
		if (k->msg != NULL)
			kexec_spawn(k);
		return;
	}
	report_flush(&k->report);
	/* What was reported last may have ended the turn. */
	if (k->state == E_KILLED) {
		child_ended(k, why, clean);
		return;
	}
	k->state = E_IDLE;
	k->msg = NULL;
	if (k->end.failed)
		turn_failed(k->turn, "%s", k->end.why);
	else if (!clean)
		turn_failed(k->turn, "the agent's runtime %s", why);
	else if (k->conf->format == FORMAT_JSONL && !k->end.over)
		turn_failed(k->turn, "the agent's runtime ended before its "
		    "answer did");
	else
		turn_done(k->turn);
}

static const struct child_cb child_cb = {
	child_started, child_line, child_ended
};

const struct kind kind_exec = {
	kexec_create, kexec_start, kexec_run, kexec_abort, kexec_destroy
};

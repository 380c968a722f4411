/*
 * Drives pi in its rpc mode: JSON lines on the child's stdin and stdout.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: the runtime.
 *
 * down -> starting (get_state is sent) -> idle -> busy (a prompt runs until
 * agent_settled) -> idle. A prompt sent too early would make pi lose another
 * one without a word, so an aborted run is waited for, or the child killed.
 */
#include "config.h"

#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "child.h"
#include "conf.h"
#include "jbuf.h"
#include "jpath.h"
#include "log.h"
#include "sys.h"
#include "turn.h"
#include "util.h"

#define PROMPT_MAX	(2UL << 20)
#define ABORT_MS	5000
#define TOOLS_MAX	16	/* that run at one time, for their durations */
#define CALL_ID_MAX	128

enum rpc_state {
	R_DOWN,
	R_STARTING,
	R_IDLE,
	R_BUSY,
	R_ABORTING
};

struct tool_run {
	char id[CALL_ID_MAX];
	uint64_t since;
};

struct krpc {
	const struct conf *conf;
	struct turn *turn;
	struct child *child;
	enum rpc_state state;
	const struct message *msg;	/* waits for idle, or is the prompt */
	struct event *wait;		/* how long it may wait */
	struct event *guard;		/* on starting and aborting */
	unsigned int nr;		/* of the command at hand */
	bool accepted;			/* the prompt, by the child */
	bool settled, aborted;		/* what ends aborting has come */
	bool any_text;			/* in this run */
	bool said;			/* in this message of the assistant */
	bool failed;			/* the last message was an error */
	size_t mark;			/* where that message began */
	char error[400];
	char last[64];			/* how the child ended */
	struct tool_run tools[TOOLS_MAX];
	unsigned int ntools;
};

static void	krpc_wait_over(evutil_socket_t, short, void *);

static const struct child_cb child_cb;

static void
krpc_guard_over(evutil_socket_t fd, short what, void *arg)
{
	struct krpc *k = arg;

	(void)fd;
	(void)what;
	log_warnx("the runtime does not %s, killed",
	    k->state == R_STARTING ? "get ready" : "abort");
	child_kill(k->child);
}

static void *
krpc_create(struct event_base *base, const struct conf *conf,
    struct turn *turn)
{
	struct krpc *k;

	if ((k = calloc(1, sizeof(*k))) == NULL)
		return NULL;
	k->conf = conf;
	k->turn = turn;
	k->wait = evtimer_new(base, krpc_wait_over, k);
	k->guard = evtimer_new(base, krpc_guard_over, k);
	k->child = child_new(base, true, &child_cb, k);
	if (k->wait == NULL || k->guard == NULL || k->child == NULL)
		fatal("runtime");
	return k;
}

static void
krpc_destroy(void *arg)
{
	struct krpc *k = arg;

	child_free(k->child);
	event_free(k->wait);
	event_free(k->guard);
	free(k);
}

/* Sends {"id":..,"type":type,"message":..}; message may be NULL. */
static int
krpc_command(struct krpc *k, const char *type, const struct message *msg)
{
	struct jbuf b;
	const char *text;
	char id[16];
	size_t len;
	int ret = -1;

	(void)snprintf(id, sizeof(id), "%u", ++k->nr);
	jbuf_init(&b, PROMPT_MAX);
	jb_obj(&b);
	jb_kstr(&b, "id", id);
	jb_kstr(&b, "type", type);
	if (msg != NULL) {
		jb_key(&b, "message");
		jb_strn(&b, msg->text, msg->len);
	}
	jb_end(&b);
	if ((text = jbuf_text(&b, &len)) != NULL &&
	    child_write(k->child, text, len) == 0)
		ret = child_write(k->child, "\n", 1);
	jbuf_free(&b);
	return ret;
}

/* The child is idle: gives it the message that waits, if any. */
static void
krpc_prompt(struct krpc *k)
{
	if (k->state != R_IDLE || k->msg == NULL)
		return;
	k->accepted = false;
	k->any_text = k->said = k->failed = false;
	k->error[0] = '\0';
	k->ntools = 0;
	k->mark = 0;
	k->state = R_BUSY;
	if (krpc_command(k, "prompt", k->msg) == -1)
		child_kill(k->child);
}

static void
krpc_start(void *arg)
{
	struct krpc *k = arg;

	child_start(k->child, k->conf->argv);
}

static void
krpc_run(void *arg, const struct message *msg)
{
	struct krpc *k = arg;

	k->msg = msg;
	timer_ms(k->wait, (unsigned int)k->conf->ready_timeout * 1000);
	krpc_prompt(k);
}

static void
krpc_abort(void *arg)
{
	struct krpc *k = arg;

	k->msg = NULL;
	evtimer_del(k->wait);
	if (k->state != R_BUSY)
		return;
	k->state = R_ABORTING;
	k->settled = k->aborted = false;
	timer_ms(k->guard, ABORT_MS);
	if (krpc_command(k, "abort", NULL) == -1)
		child_kill(k->child);
}

static void
krpc_wait_over(evutil_socket_t fd, short what, void *arg)
{
	struct krpc *k = arg;

	(void)fd;
	(void)what;
	krpc_abort(k);
	turn_failed(k->turn, "the agent's runtime was not ready within %d "
	    "seconds%s%s", k->conf->ready_timeout,
	    k->last[0] != '\0' ? ": it " : "", k->last);
}

static void
krpc_idle(struct krpc *k)
{
	evtimer_del(k->guard);
	k->state = R_IDLE;
	krpc_prompt(k);
}

static void
child_started(void *arg)
{
	struct krpc *k = arg;

	k->state = R_STARTING;
	timer_ms(k->guard, (unsigned int)k->conf->ready_timeout * 1000);
	if (krpc_command(k, "get_state", NULL) == -1)
		child_kill(k->child);
}

static void
child_ended(void *arg, const char *why, bool clean)
{
	struct krpc *k = arg;
	bool busy = k->state == R_BUSY;

	(void)clean;
	k->state = R_DOWN;
	evtimer_del(k->guard);
	(void)strlcpy(k->last, why, sizeof(k->last));
	/* What it never accepted is safe to give to the next one. */
	if (!busy || !k->accepted)
		return;
	k->msg = NULL;
	turn_failed(k->turn, "the agent's runtime %s in the middle of its "
	    "turn", why);
}

/* Ends the prompt at hand. */
static void
krpc_over(struct krpc *k)
{
	k->msg = NULL;
	k->state = R_IDLE;
	evtimer_del(k->wait);
	if (k->failed)
		turn_failed(k->turn, "%s", k->error);
	else
		turn_done(k->turn);
}

static void
ev_response(struct krpc *k, const char *p, size_t len)
{
	struct jspan v;
	bool ok;

	ok = jpath(p, len, "success", &v) && v.type == JT_TRUE;
	if (k->state == R_STARTING && jpath_is(p, len, "command",
	    "get_state")) {
		child_is_well(k->child);
		turn_ready(k->turn);
		krpc_idle(k);
	} else if (k->state == R_ABORTING && jpath_is(p, len, "command",
	    "abort")) {
		k->aborted = true;
		if (k->settled || !ok)
			krpc_idle(k);
	} else if (k->state == R_BUSY && ok && jpath_is(p, len, "command",
	    "prompt")) {
		k->accepted = true;
		evtimer_del(k->wait);
		turn_running(k->turn);
	} else if (k->state == R_BUSY && !ok) {
		if (!jpath_copy(p, len, "error", k->error, sizeof(k->error)))
			(void)strlcpy(k->error, "the agent's runtime refused "
			    "the message", sizeof(k->error));
		k->failed = true;
		krpc_over(k);
	}
}

static void
ev_settled(struct krpc *k, const char *p, size_t len)
{
	(void)p;
	(void)len;
	if (k->state == R_ABORTING) {
		k->settled = true;
		if (k->aborted)
			krpc_idle(k);
	} else if (k->state == R_BUSY)
		krpc_over(k);
}

/* Text of several messages of one run is set apart by an empty line. */
static void
say(struct krpc *k, const struct jspan *v)
{
	char *text;
	size_t len;

	if (v->type != JT_STRING || v->len <= 2)
		return;
	if (!k->said && k->any_text)
		turn_delta(k->turn, "\n\n", 2);
	k->said = k->any_text = true;
	text = jpath_text(v, &len);
	turn_delta(k->turn, text, len);
	free(text);
}

static void
ev_update(struct krpc *k, const char *p, size_t len)
{
	struct jspan v;

	if (k->state == R_BUSY && jpath_is(p, len,
	    "assistantMessageEvent.type", "text_delta") &&
	    jpath(p, len, "assistantMessageEvent.delta", &v))
		say(k, &v);
}

static void
ev_message_start(struct krpc *k, const char *p, size_t len)
{
	if (!jpath_is(p, len, "message.role", "assistant"))
		return;
	k->said = false;
	k->mark = turn_mark(k->turn);
}

static void
ev_message_end(struct krpc *k, const char *p, size_t len)
{
	struct jspan v;
	char *text;
	size_t n;

	if (k->state != R_BUSY ||
	    !jpath_is(p, len, "message.role", "assistant"))
		return;
	k->failed = jpath_is(p, len, "message.stopReason", "error") ||
	    jpath_is(p, len, "message.stopReason", "aborted");
	if (k->failed) {
		if (!jpath_copy(p, len, "message.errorMessage", k->error,
		    sizeof(k->error)))
			(void)strlcpy(k->error, "the agent's runtime gave up "
			    "without a reason", sizeof(k->error));
		turn_rollback(k->turn, k->mark);
		return;
	}
	/* A provider that does not stream has sent no deltas. */
	if (k->said || !jpath(p, len, "message.content", &v) ||
	    (text = jpath_texts(&v, "type", "text", SIZE_MAX, &n)) == NULL)
		return;
	if (k->any_text && n > 0)
		turn_delta(k->turn, "\n\n", 2);
	k->any_text = k->said = n > 0 || k->any_text;
	turn_delta(k->turn, text, n);
	free(text);
}

static void
ev_tool_start(struct krpc *k, const char *p, size_t len)
{
	struct tool_event ev = { .duration_ms = -1 };
	char id[CALL_ID_MAX], tool[128];
	struct jspan v;

	if (k->state != R_BUSY || !jpath(p, len, "args", &v))
		return;
	(void)jpath_copy(p, len, "toolCallId", id, sizeof(id));
	(void)jpath_copy(p, len, "toolName", tool, sizeof(tool));
	if (k->ntools < TOOLS_MAX) {
		(void)strlcpy(k->tools[k->ntools].id, id, sizeof(id));
		k->tools[k->ntools++].since = sys_now_ms();
	}
	ev.id = id;
	ev.tool = tool;
	ev.json = v.p;
	ev.len = v.len;
	turn_tool_call(k->turn, &ev);
}

/* How long the tool of this call ran, in ms; -1 when it is not known. */
static int64_t
tool_duration(struct krpc *k, const char *id)
{
	int64_t ms;
	unsigned int i;

	for (i = 0; i < k->ntools; i++) {
		if (strcmp(k->tools[i].id, id) != 0)
			continue;
		ms = (int64_t)(sys_now_ms() - k->tools[i].since);
		k->tools[i] = k->tools[--k->ntools];
		return ms;
	}
	return -1;
}

static void
ev_tool_end(struct krpc *k, const char *p, size_t len)
{
	struct tool_event ev;
	char id[CALL_ID_MAX], tool[128], *text = NULL;
	struct jspan v;

	if (k->state != R_BUSY)
		return;
	(void)jpath_copy(p, len, "toolCallId", id, sizeof(id));
	(void)jpath_copy(p, len, "toolName", tool, sizeof(tool));
	memset(&ev, 0, sizeof(ev));
	ev.id = id;
	ev.tool = tool;
	ev.success = jpath(p, len, "isError", &v) && v.type == JT_FALSE;
	ev.duration_ms = tool_duration(k, id);
	if (jpath(p, len, "result.content", &v))
		text = jpath_texts(&v, "type", "text", SIZE_MAX,
		    &ev.len);
	ev.text = text != NULL ? text : "";
	turn_tool_result(k->turn, &ev);
	free(text);
}

/* A dialog of an extension would wait for ever: nobody sits here. */
static void
ev_ui(struct krpc *k, const char *p, size_t len)
{
	char id[64], buf[160];
	const char *c;
	int n;

	if (!jpath_copy(p, len, "id", id, sizeof(id)))
		return;
	for (c = id; *c != '\0'; c++)
		if (*c <= ' ' || *c > '~' || *c == '"' || *c == '\\')
			return;
	n = snprintf(buf, sizeof(buf), "{\"type\":\"extension_ui_response\","
	    "\"id\":\"%s\",\"cancelled\":true}\n", id);
	(void)child_write(k->child, buf, (size_t)n);
}

static const struct {
	const char *type;
	void (*handle)(struct krpc *, const char *, size_t);
} events[] = {
	{ "message_update",		ev_update },
	{ "message_start",		ev_message_start },
	{ "message_end",		ev_message_end },
	{ "tool_execution_start",	ev_tool_start },
	{ "tool_execution_end",		ev_tool_end },
	{ "agent_settled",		ev_settled },
	{ "response",			ev_response },
	{ "extension_ui_request",	ev_ui },
};

static void
child_line(void *arg, char *line, size_t len)
{
	struct krpc *k = arg;
	struct jspan v;
	const char *why;
	size_t i;

	if (jscan_buf(line, len, JSCAN_MAX_DEPTH, 0, NULL, NULL, &why) == -1) {
		log_debug("a line of the runtime is no record: %s", why);
		return;
	}
	if (!jpath(line, len, "type", &v) || v.type != JT_STRING)
		return;
	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
		if (jscan_string_eq(&v, events[i].type)) {
			events[i].handle(k, line, len);
			return;
		}
	}
}

static const struct child_cb child_cb = {
	child_started, child_line, child_ended
};

const struct kind kind_rpc = {
	krpc_create, krpc_start, krpc_run, krpc_abort, krpc_destroy
};

/*
 * Drives a runtime over the Agent Client Protocol: JSON-RPC 2.0, one record a
 * line, on the child's stdin and stdout.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: the runtime.
 *
 * down -> starting (initialize is sent) -> idle -> opening (session/new or
 * session/load, for a channel that has none) -> busy (session/prompt until its
 * response) -> idle. One request of ours is under way at a time. An aborted
 * prompt is waited for, or the child killed.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "acp_record.h"
#include "acp_update.h"
#include "child.h"
#include "conf.h"
#include "jbuf.h"
#include "jpath.h"
#include "log.h"
#include "report.h"
#include "turn.h"
#include "util.h"

#define ABORT_MS	5000
#define SESSIONS_MAX	32
#define SESSION_ID_MAX	256

enum acp_state {
	A_DOWN,
	A_STARTING,
	A_IDLE,
	A_OPENING,
	A_BUSY,
	A_ABORTING
};

struct session {
	char channel[MSG_ID_LEN + 1];
	char id[SESSION_ID_MAX];
	unsigned long used;		/* when: higher is later */
	bool stale;			/* of a child that is gone */
};

struct kacp {
	const struct conf *conf;
	struct turn *turn;
	struct child *child;
	enum acp_state state;
	const struct message *msg;	/* waits for idle, or is the prompt */
	struct event *wait;		/* how long it may wait */
	struct event *guard;		/* on all that is not the prompt */
	unsigned int nr;		/* id of the request under way */
	bool can_load;
	bool heard;			/* a word of it since the prompt */
	bool again;			/* this message was given twice */
	unsigned long clock;
	struct session *opening;	/* what session/load is for, or NULL */
	char channel[MSG_ID_LEN + 1];	/* what session/new is for */
	char session[SESSION_ID_MAX];	/* of the prompt */
	struct session sessions[SESSIONS_MAX];
	struct report report;
	char cwd[512];
	char last[64];			/* how the child ended */
};

static void	kacp_prompt(struct kacp *);
static void	kacp_wait_over(evutil_socket_t, short, void *);

static const struct child_cb child_cb;

static void
kacp_guard_over(evutil_socket_t fd, short what, void *arg)
{
	struct kacp *k = arg;

	(void)fd;
	(void)what;
	log_warnx("the runtime does not %s, killed",
	    k->state == A_STARTING ? "get ready" :
	    k->state == A_OPENING ? "open a session" : "abort");
	child_kill(k->child);
}

static void *
kacp_create(struct event_base *base, const struct conf *conf,
    struct turn *turn)
{
	struct kacp *k;

	if ((k = calloc(1, sizeof(*k))) == NULL)
		return NULL;
	k->conf = conf;
	k->turn = turn;
	report_init(&k->report, turn);
	k->wait = evtimer_new(base, kacp_wait_over, k);
	k->guard = evtimer_new(base, kacp_guard_over, k);
	k->child = child_new(base, true, &child_cb, k);
	if (k->wait == NULL || k->guard == NULL || k->child == NULL ||
	    getcwd(k->cwd, sizeof(k->cwd)) == NULL)
		fatal("runtime");
	return k;
}

static void
kacp_start(void *arg)
{
	struct kacp *k = arg;

	child_start(k->child, k->conf->argv);
}

static void
kacp_destroy(void *arg)
{
	struct kacp *k = arg;

	child_free(k->child);
	event_free(k->wait);
	event_free(k->guard);
	report_free(&k->report);
	free(k);
}

/* Sends a record as a line, and frees it. */
static void
send_record(struct kacp *k, struct jbuf *b)
{
	const char *text;
	size_t len;

	text = jbuf_text(b, &len);
	if (text == NULL || child_write(k->child, text, len) == -1 ||
	    child_write(k->child, "\n", 1) == -1)
		child_kill(k->child);
	jbuf_free(b);
}

/* ---- sessions ---- */

static struct session *
session_of(struct kacp *k, const char *channel)
{
	size_t i;

	for (i = 0; i < SESSIONS_MAX; i++)
		if (k->sessions[i].id[0] != '\0' &&
		    strcmp(k->sessions[i].channel, channel) == 0)
			return &k->sessions[i];
	return NULL;
}

/* Remembers it, in the place of the one that was not used for longest. */
static struct session *
session_add(struct kacp *k, const char *channel, const char *id)
{
	struct session *s = &k->sessions[0];
	size_t i;

	for (i = 0; i < SESSIONS_MAX && s->id[0] != '\0'; i++)
		if (k->sessions[i].id[0] == '\0' ||
		    k->sessions[i].used < s->used)
			s = &k->sessions[i];
	memset(s, 0, sizeof(*s));
	(void)strlcpy(s->channel, channel, sizeof(s->channel));
	(void)strlcpy(s->id, id, sizeof(s->id));
	return s;
}

static void
sessions_are_stale(struct kacp *k)
{
	size_t i;

	for (i = 0; i < SESSIONS_MAX; i++) {
		if (k->can_load)
			k->sessions[i].stale = true;
		else
			k->sessions[i].id[0] = '\0';
	}
}

/* ---- a turn ---- */

/* Gives the waiting message to the session. */
static void
kacp_send(struct kacp *k, struct session *s)
{
	struct jbuf b;

	s->used = ++k->clock;
	(void)strlcpy(k->session, s->id, sizeof(k->session));
	report_start(&k->report);
	evtimer_del(k->wait);
	k->state = A_BUSY;
	k->heard = false;
	turn_running(k->turn);
	acp_prompt(&b, ++k->nr, k->session, k->msg->text, k->msg->len);
	send_record(k, &b);
}

/* The child is idle: gives it the message that waits, if any. */
static void
kacp_prompt(struct kacp *k)
{
	struct session *s;
	struct jbuf b;

	if (k->state != A_IDLE || k->msg == NULL)
		return;
	s = session_of(k, k->msg->channel_id);
	if (s != NULL && !s->stale) {
		kacp_send(k, s);
		return;
	}
	k->opening = s;
	(void)strlcpy(k->channel, k->msg->channel_id, sizeof(k->channel));
	k->state = A_OPENING;
	timer_ms(k->guard, (unsigned int)k->conf->ready_timeout * 1000);
	acp_open(&b, ++k->nr, k->cwd, s != NULL ? s->id : NULL);
	send_record(k, &b);
}

static void
kacp_run(void *arg, const struct message *msg)
{
	struct kacp *k = arg;

	k->msg = msg;
	k->again = false;
	timer_ms(k->wait, (unsigned int)k->conf->ready_timeout * 1000);
	kacp_prompt(k);
}

static void
kacp_abort(void *arg)
{
	struct kacp *k = arg;
	struct jbuf b;

	k->msg = NULL;
	evtimer_del(k->wait);
	if (k->state != A_BUSY)
		return;
	k->state = A_ABORTING;
	timer_ms(k->guard, ABORT_MS);
	acp_cancel(&b, k->session);
	send_record(k, &b);
}

static void
kacp_wait_over(evutil_socket_t fd, short what, void *arg)
{
	struct kacp *k = arg;

	(void)fd;
	(void)what;
	k->msg = NULL;
	turn_failed(k->turn, "the agent's runtime was not ready within %d "
	    "seconds%s%s", k->conf->ready_timeout,
	    k->last[0] != '\0' ? ": it " : "", k->last);
}

static void
kacp_idle(struct kacp *k)
{
	evtimer_del(k->guard);
	k->state = A_IDLE;
	kacp_prompt(k);
}

/* The turn at hand has failed; the child is idle. */
static void
kacp_failed(struct kacp *k, const char *why)
{
	evtimer_del(k->guard);
	evtimer_del(k->wait);
	k->state = A_IDLE;
	if (k->msg == NULL)
		return;
	k->msg = NULL;
	turn_failed(k->turn, "%s", why);
}

static void
child_started(void *arg)
{
	struct kacp *k = arg;
	struct jbuf b;

	k->state = A_STARTING;
	timer_ms(k->guard, (unsigned int)k->conf->ready_timeout * 1000);
	acp_initialize(&b, ++k->nr);
	send_record(k, &b);
}

static void
child_ended(void *arg, const char *why, bool clean)
{
	struct kacp *k = arg;
	bool busy = k->state == A_BUSY;

	(void)clean;
	k->state = A_DOWN;
	evtimer_del(k->guard);
	sessions_are_stale(k);
	(void)strlcpy(k->last, why, sizeof(k->last));
	if (!busy)
		return;
	/* It was dead already, or took no notice: the next one gets it. */
	if (!k->heard && !k->again) {
		k->again = true;
		timer_ms(k->wait,
		    (unsigned int)k->conf->ready_timeout * 1000);
		return;
	}
	k->msg = NULL;
	report_flush(&k->report);
	turn_failed(k->turn, "the agent's runtime %s in the middle of its "
	    "turn", why);
}

/* ---- responses ---- */

static void
on_initialize(struct kacp *k, const struct jspan *result)
{
	struct jspan v;
	int64_t version;

	if (result == NULL ||
	    !jpath(result->p, result->len, "protocolVersion", &v) ||
	    jscan_int(&v, 0, INT32_MAX, &version) == -1 ||
	    version != ACP_PROTOCOL) {
		log_warnx("the runtime does not speak version %d of the "
		    "protocol", ACP_PROTOCOL);
		child_kill(k->child);
		return;
	}
	k->can_load = jpath(result->p, result->len,
	    "agentCapabilities.loadSession", &v) && v.type == JT_TRUE;
	child_is_well(k->child);
	turn_ready(k->turn);
	kacp_idle(k);
}

/* A session that is gone is made anew: the conversation is lost, not more. */
static void
on_opened(struct kacp *k, const struct jspan *result, const char *why)
{
	struct session *s = k->opening;
	char id[SESSION_ID_MAX];

	k->opening = NULL;
	if (s != NULL) {
		if (result != NULL)
			s->stale = false;
		else {
			log_warnx("a session could not be loaded: %s", why);
			s->id[0] = '\0';
		}
		kacp_idle(k);
		return;
	}
	if (result == NULL)
		kacp_failed(k, why);
	else if (!jpath_copy(result->p, result->len, "sessionId", id,
	    sizeof(id)) || id[0] == '\0')
		kacp_failed(k, "the agent's runtime opened no session");
	else {
		(void)session_add(k, k->channel, id);
		kacp_idle(k);
	}
}

static void
on_prompted(struct kacp *k, const struct jspan *result, const char *why)
{
	char reason[64], text[128];

	report_flush(&k->report);
	/* The turn may have been ended by what was reported just now. */
	if (k->state == A_ABORTING) {
		kacp_idle(k);
		return;
	}
	if (result == NULL) {
		kacp_failed(k, why);
		return;
	}
	(void)jpath_copy(result->p, result->len, "stopReason", reason,
	    sizeof(reason));
	if (strcmp(reason, "refusal") == 0 ||
	    strcmp(reason, "cancelled") == 0 || reason[0] == '\0') {
		(void)snprintf(text, sizeof(text), "the agent's runtime "
		    "stopped its turn: %s", reason[0] != '\0' ? reason :
		    "without a reason");
		kacp_failed(k, text);
		return;
	}
	k->msg = NULL;
	k->state = A_IDLE;
	turn_done(k->turn);
}

static void
ev_response(struct kacp *k, const char *p, size_t len, const struct jspan *id)
{
	struct jspan v, *result = NULL;
	char why[400] = "the agent's runtime answered without a result";
	int64_t nr;

	if (jscan_int(id, 0, INT32_MAX, &nr) == -1 || nr != k->nr)
		return;		/* of a request that is over */
	if (jpath(p, len, "result", &v))
		result = &v;
	else if (jpath(p, len, "error", &v))
		acp_error(&v, why, sizeof(why));
	switch (k->state) {
	case A_STARTING:
		on_initialize(k, result);
		break;
	case A_OPENING:
		on_opened(k, result, why);
		break;
	case A_BUSY:
	case A_ABORTING:
		on_prompted(k, result, why);
		break;
	case A_DOWN:
	case A_IDLE:
		break;
	}
}

/* ---- requests and notifications of the runtime ---- */

static void
ev_request(struct kacp *k, const char *p, size_t len, const struct jspan *id)
{
	struct jbuf b;

	if (acp_answer(&b, p, len, id) == 0)
		send_record(k, &b);
}

static void
ev_notification(struct kacp *k, const char *p, size_t len)
{
	struct jspan u;

	if (k->state == A_BUSY && jpath_is(p, len, "method",
	    "session/update") && jpath_is(p, len, "params.sessionId",
	    k->session) && jpath(p, len, "params.update", &u))
		acp_update(&k->report, &u);
}

static void
child_line(void *arg, char *line, size_t len)
{
	struct kacp *k = arg;
	struct jspan id, v;
	const char *why;

	k->heard = true;
	if (jscan_buf(line, len, JSCAN_MAX_DEPTH, 0, NULL, NULL, &why) == -1) {
		log_debug("a line of the runtime is no record: %s", why);
		return;
	}
	if (!jpath(line, len, "id", &id))
		ev_notification(k, line, len);
	else if (jpath(line, len, "method", &v))
		ev_request(k, line, len, &id);
	else
		ev_response(k, line, len, &id);
}

static const struct child_cb child_cb = {
	child_started, child_line, child_ended
};

const struct kind kind_acp = {
	kacp_create, kacp_start, kacp_run, kacp_abort, kacp_destroy
};

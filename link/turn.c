/*
 * One turn at a time: from a message to its final or error reply.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 *
 * idle -> run (an attempt is with the runtime) -> end (the last reply is on
 * its way) -> idle. When the LLM path broke under an attempt: run -> pause ->
 * run. Every way out of run and pause queues a final or an error, so a message
 * is never left without an answer.
 */
#include "config.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "ack.h"
#include "conf.h"
#include "log.h"
#include "oom.h"
#include "turn_int.h"
#include "util.h"

#define ATTEMPTS	3

/* Before attempt 2 and 3: a worker that was killed is back within a second. */
static const unsigned int pause_ms[ATTEMPTS + 1] = { 0, 0, 500, 2000 };

static void	turn_attempt(struct turn *);
static void	turn_timer(evutil_socket_t, short, void *);
static void	turn_start_due(evutil_socket_t, short, void *);
static void	turn_check_done(void *);

struct turn *
turn_new(struct event_base *base, const struct conf *conf, struct gw *gw,
    struct inbox *inbox, const struct kind *kind)
{
	struct turn *t;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	t->conf = conf;
	t->gw = gw;
	t->inbox = inbox;
	t->kind = kind;
	outq_init(&t->out);
	t->timer = evtimer_new(base, turn_timer, t);
	t->again = evtimer_new(base, turn_again, t);
	t->start = evtimer_new(base, turn_start_due, t);
	t->ack = ack_new(base, gw, inbox);
	if (t->timer == NULL || t->again == NULL || t->start == NULL ||
	    t->ack == NULL ||
	    (t->kstate = kind->create(base, conf, t)) == NULL) {
		turn_free(t);
		return NULL;
	}
	ack_on_idle(t->ack, turn_check_done, t);
	return t;
}

void
turn_free(struct turn *t)
{
	if (t == NULL)
		return;
	if (t->kstate != NULL)
		t->kind->destroy(t->kstate);
	if (t->req != NULL)
		gw_cancel(t->gw, t->req);
	ack_free(t->ack);
	if (t->timer != NULL)
		event_free(t->timer);
	if (t->again != NULL)
		event_free(t->again);
	if (t->start != NULL)
		event_free(t->start);
	outq_clear(&t->out);
	free(t);
}

void
turn_ack(struct turn *t)
{
	ack_send(t->ack);
}

void
turn_on_room(struct turn *t, void (*cb)(void *), void *arg)
{
	t->on_room = cb;
	t->on_room_arg = arg;
}

void
turn_start(struct turn *t)
{
	evtimer_del(t->start);
	if (t->started)
		return;
	t->started = true;
	t->kind->start(t->kstate);
}

void
turn_start_in(struct turn *t, unsigned int ms)
{
	if (ms == 0)
		turn_start(t);
	else if (!t->started)
		timer_ms(t->start, ms);
}

static void
turn_start_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	turn_start(arg);
}

void
turn_on_ready(struct turn *t, void (*cb)(void *), void *arg)
{
	t->on_ready = cb;
	t->on_ready_arg = arg;
}

void
turn_ready(struct turn *t)
{
	if (!t->ready)
		log_info("the runtime is ready");
	t->ready = true;
	gw_ready(t->gw);
	if (t->on_ready != NULL)
		t->on_ready(t->on_ready_arg);
}

/* Opens the turn of the next message, if there is one and none is open. */
void
turn_wake(struct turn *t)
{
	uint64_t seq0;

	if (t->state != T_IDLE || t->stopping || t->on_held != NULL ||
	    (t->msg = inbox_take(t->inbox)) == NULL)
		return;
	/* Numbers by the clock: a restarted link must not reuse any. */
	seq0 = (uint64_t)time(NULL) * 1000;
	outq_open(&t->out, t->msg->id, t->msg->trace_id, t->msg->channel_id,
	    seq0);
	t->attempt = 0;
	t->step = 0;
	if (t->msg->aborted)
		turn_end_error(t, "aborted");
	else if (t->msg->text == NULL)
		turn_end_error(t, "the message's text could not be read");
	else
		turn_attempt(t);
}

static void
turn_attempt(struct turn *t)
{
	t->state = T_RUN;
	t->attempt++;
	t->ticket++;
	t->llm_broke = t->llm_broken = false;
	t->kills = oom_kills();
	if (t->attempt > 1)
		outq_attempt(&t->out, t->attempt);
	log_debug("turn %s attempt %u", t->msg->trace_id, t->attempt);
	turn_start(t);
	t->kind->run(t->kstate, t->msg);
}

/* Ends the attempt at hand, whichever state it is in, without a word. */
static void
turn_halt(struct turn *t)
{
	evtimer_del(t->timer);
	if (t->state == T_RUN)
		t->kind->abort(t->kstate);
	t->state = T_END;
}

/*
 * Has memory run out, in this attempt?  The host hears of each kill once,
 * with the end of a turn, also if it was between two turns.
 */
static bool
turn_oom(struct turn *t)
{
	uint64_t kills = oom_kills();
	bool now = t->attempt > 0 && kills > t->kills;

	t->out.oom = kills > t->kills_told;
	t->kills_told = kills;
	return now;
}

void
turn_end_error(struct turn *t, const char *why)
{
	char text[640];

	if (t->state == T_RUN || t->state == T_PAUSE)
		turn_halt(t);
	t->state = T_END;
	if (turn_oom(t)) {
		(void)snprintf(text, sizeof(text), "out of memory: the kernel "
		    "killed a process of the agent (%s)", why);
		why = text;
	}
	log_info("turn %s ends with an error: %s", t->msg->trace_id, why);
	outq_error(&t->out, why);
	turn_pump(t);
}

/* True when the attempt is to be repeated; then the pause has begun. */
static bool
turn_repeat(struct turn *t)
{
	if (t->attempt >= ATTEMPTS || t->stopping)
		return false;
	log_info("turn %s: the LLM path broke under attempt %u",
	    t->msg->trace_id, t->attempt);
	t->state = T_PAUSE;
	timer_ms(t->timer, pause_ms[t->attempt + 1]);
	return true;
}

void
turn_running(struct turn *t)
{
	if (t->state == T_RUN && !t->stopping)
		timer_ms(t->timer, (unsigned int)t->conf->turn_timeout * 1000);
}

/* Too much in one turn: the runtime is stopped, the user is told. */
static void
turn_bound(struct turn *t, int ret)
{
	if (ret == -1)
		turn_end_error(t, "the answer is longer than a turn may be");
	else
		turn_pump(t);
}

void
turn_delta(struct turn *t, const char *s, size_t len)
{
	if (t->state == T_RUN)
		turn_bound(t, outq_delta(&t->out, s, len));
}

void
turn_reasoning(struct turn *t, const char *s, size_t len)
{
	if (t->state == T_RUN)
		turn_bound(t, outq_reasoning(&t->out, s, len));
}

size_t
turn_mark(const struct turn *t)
{
	return t->out.text_bytes;
}

void
turn_rollback(struct turn *t, size_t mark)
{
	if (t->state == T_RUN)
		outq_rollback(&t->out, mark);
}

void
turn_tool_call(struct turn *t, const struct tool_event *ev)
{
	if (t->state == T_RUN)
		turn_bound(t, outq_tool_call(&t->out, ev));
}

void
turn_tool_result(struct turn *t, const struct tool_event *ev)
{
	if (t->state == T_RUN)
		turn_bound(t, outq_tool_result(&t->out, ev));
}

void
turn_done(struct turn *t)
{
	if (t->state != T_RUN)
		return;
	evtimer_del(t->timer);
	t->state = T_END;
	/* Some runtimes take a stream that was cut for a short answer. */
	if (t->llm_broken) {
		if (!turn_repeat(t))
			turn_end_error(t, "the connection to the model broke");
		return;
	}
	if (t->out.text_bytes == 0) {
		turn_end_error(t, "the agent ended its turn without a word");
		return;
	}
	(void)turn_oom(t);
	outq_final(&t->out);
	turn_pump(t);
}

void
turn_failed(struct turn *t, const char *fmt, ...)
{
	char why[512];
	va_list ap;

	if (t->state != T_RUN)
		return;
	evtimer_del(t->timer);
	t->state = T_END;
	if (t->llm_broke && turn_repeat(t))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	turn_end_error(t, why);
}

void
turn_abort(struct turn *t, const char *trace_id)
{
	if (t->msg != NULL && strcmp(t->msg->trace_id, trace_id) == 0) {
		if (t->state == T_RUN || t->state == T_PAUSE)
			turn_end_error(t, "aborted");
	} else
		(void)inbox_abort(t->inbox, trace_id);
}

static void
turn_timer(evutil_socket_t fd, short what, void *arg)
{
	struct turn *t = arg;
	char why[80];

	(void)fd;
	(void)what;
	if (t->stopping)
		turn_end_error(t, "the agent was stopped");
	else if (t->state == T_PAUSE)
		turn_attempt(t);
	else if (t->state == T_RUN) {
		(void)snprintf(why, sizeof(why),
		    "no answer within %d seconds", t->conf->turn_timeout);
		turn_end_error(t, why);
	}
}

const char *
turn_open_id(const struct turn *t, unsigned int *attempt,
    unsigned int *ticket)
{
	if (t->msg == NULL || t->attempt == 0)
		return NULL;
	*attempt = t->attempt;
	*ticket = t->ticket;
	return t->msg->trace_id;
}

void
turn_llm_ended(struct turn *t, unsigned int ticket, bool ok)
{
	if (t->state != T_RUN || ticket != t->ticket)
		return;
	t->llm_broken = !ok;
	if (!ok)
		t->llm_broke = true;
}

/* The host has the last reply, or wants none: on to the next message. */
void
turn_over(struct turn *t)
{
	turn_halt(t);
	evtimer_del(t->again);
	outq_clear(&t->out);
	outq_init(&t->out);
	inbox_over(t->inbox, t->msg);
	t->msg = NULL;
	t->state = T_IDLE;
	ack_send(t->ack);
	if (t->on_room != NULL && inbox_wants_redelivery(t->inbox))
		t->on_room(t->on_room_arg);
	if (t->on_held != NULL)
		t->on_held(t->on_held_arg);
	turn_wake(t);
}

void
turn_hold(struct turn *t, void (*cb)(void *), void *arg)
{
	t->on_held = cb;
	t->on_held_arg = arg;
	if (t->state == T_IDLE)
		cb(arg);
}

void
turn_release(struct turn *t)
{
	t->on_held = NULL;
	turn_wake(t);
}

/* Nothing runs, nothing is to be sent: the process may end. */
static void
turn_check_done(void *arg)
{
	struct turn *t = arg;

	if (t->stopping && t->state == T_IDLE && ack_idle(t->ack))
		t->on_done(t->on_done_arg);
}

void
turn_shutdown(struct turn *t, unsigned int grace_ms, void (*done)(void *),
    void *arg)
{
	t->stopping = true;
	t->on_done = done;
	t->on_done_arg = arg;
	if (t->state == T_PAUSE)
		turn_end_error(t, "the agent was stopped");
	else if (t->state == T_RUN)
		timer_ms(t->timer, grace_ms);
	turn_check_done(t);
}

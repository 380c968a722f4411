/*
 * A command in an instance: its streams between Incus and who asked.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus, and who holds the other end of fd.
 *
 * Bytes are copied from frames to WebSockets and back, and not looked at.
 * Each side is read only as fast as the other one takes it.  The command ends
 * with its client: it is killed.  So it is if this worker dies, by Incus, when
 * the control socket is cut and not closed.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <json-c/json.h>

#include "exec.h"
#include "log.h"
#include "peer.h"
#include "worker.h"
#include "xframe.h"

#define SESSIONS_MAX	32
#define HIGH_WATER	(256 * 1024)	/* a way, before its source waits */
#define IDLE_S		3600		/* without a byte either way */
#define GRACE_S		3	/* between its end and that of its output */
#define LONGEST_S	(7 * 24 * 3600)
#define KILL_S		5		/* for Incus to do it */

static struct {
	TAILQ_HEAD(, exec)	 list;
	unsigned int		 n;
	bool			 ready;
} sessions;

/* ---- the end ---- */

static void
tell_keeper(struct exec *x, unsigned int status, const char *error)
{
	struct m_ct_done d;

	if (x->id == 0)
		return;
	memset(&d, 0, sizeof(d));
	d.status = status;
	d.error = error;
	(void)peer_reply_id(worker_peer(PROC_KEEPER), x->id, MSG_CT_DONE,
	    false, &d, -1);
	x->id = 0;
}

static void
drop(struct exec *x)
{
	int i;

	for (i = 0; i < WS_N; i++)
		wsc_free(x->ws[i].ws);
	event_free(x->timer);
	free(x->body);
	x->body = NULL;
	TAILQ_REMOVE(&sessions.list, x, entry);
	sessions.n--;
	x->dead = true;
	if (x->calls == 0)
		free(x);
}

static void
deadline(struct exec *x, unsigned int seconds)
{
	struct timeval tv = { seconds, 0 };

	(void)evtimer_add(x->timer, &tv);
}

/* Nobody waits for it any more; what still runs is killed. */
static void
finish(struct exec *x, unsigned int status, const char *error)
{
	static const char kill[] = "{\"command\":\"signal\",\"signal\":9}";
	struct wsc *ws = x->ws[WS_CONTROL].ws;
	int i;

	if (x->dying) {
		drop(x);
		return;
	}
	log_info("exec in %s: ends: %u %s", x->instance, status, error);
	if (x->hup != NULL)
		event_free(x->hup);
	if (x->bev != NULL)
		bufferevent_free(x->bev);
	x->hup = NULL;
	x->bev = NULL;
	tell_keeper(x, status, error);
	if (!x->running || x->exited || ws == NULL) {
		drop(x);
		return;
	}
	x->dying = true;
	wsc_send(ws, true, kill, sizeof(kill) - 1);
	wsc_finish(ws);
	for (i = 0; i < WS_CONTROL; i++) {
		wsc_free(x->ws[i].ws);
		x->ws[i].ws = NULL;
	}
	deadline(x, KILL_S);
}

static void
to_client(struct exec *x, enum xf_stream stream, const void *data, size_t len)
{
	struct evbuffer *out;
	const uint8_t *p = data;
	uint8_t head[XF_HEAD];
	size_t n;

	if (x->bev == NULL || x->done)
		return;
	out = bufferevent_get_output(x->bev);
	do {
		n = len > XF_MAX ? XF_MAX : len;
		xf_head(head, stream, n);
		if (evbuffer_add(out, head, sizeof(head)) == -1 ||
		    evbuffer_add(out, p, n) == -1)
			fatal("exec");
		p += n;
		len -= n;
	} while (len > 0);
}

void
exec_fail(struct exec *x, unsigned int status, const char *fmt, ...)
{
	char error[INCUS_ERR_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(error, sizeof(error), fmt, ap);
	va_end(ap);
	if (x->running && x->bev != NULL && !x->done) {
		to_client(x, XF_ERROR, error, strlen(error));
		/* Best effort: what the socket takes at once. */
		(void)evbuffer_unfreeze(bufferevent_get_output(x->bev), 1);
		(void)evbuffer_write(bufferevent_get_output(x->bev),
		    bufferevent_getfd(x->bev));
	}
	finish(x, status, error);
}

/* It has ended and its output is all there: one more frame. */
static void
maybe_done(struct exec *x, bool late)
{
	uint8_t frame[XF_HEAD + 4];
	size_t n;

	if (!x->exited || x->done || (!late && (x->ws[WS_OUT].ws != NULL ||
	    x->ws[WS_ERR].ws != NULL || (x->tty && x->ws[WS_IN].ws != NULL))))
		return;
	n = xf_exit(frame, x->code);
	(void)evbuffer_add(bufferevent_get_output(x->bev), frame, n);
	bufferevent_setwatermark(x->bev, EV_WRITE, 0, 0);
	x->done = true;
	deadline(x, IDLE_S);
}

static void
on_exit_status(const struct incus_reply *r, void *arg)
{
	struct exec *x = arg;
	struct json_object *meta = meta_obj(r->meta, "metadata");
	const char *err = meta_str(r->meta, "err");

	x->calls--;
	if (x->dead) {
		if (x->calls == 0)
			free(x);
		return;
	}
	if (x->dying) {
		drop(x);
		return;
	}
	/* An operation that failed is told in either way. */
	if (r->status != 200)
		err = r->error;
	if (meta != NULL && json_object_object_get_ex(meta, "return", NULL))
		x->code = (uint32_t)meta_int(meta, "return") & 0xff;
	else if (err != NULL && strcmp(err, "Command not found") == 0)
		x->code = 127;		/* as a shell says it */
	else if (err != NULL && strcmp(err, "Command not executable") == 0)
		x->code = 126;
	else {
		exec_fail(x, r->status == 200 ? 500 : r->status, "%s",
		    err != NULL && *err != '\0' ? err :
		    "Incus does not say how the command ended");
		return;
	}
	if (err != NULL && *err != '\0') {
		to_client(x, XF_STDERR, err, strlen(err));
		to_client(x, XF_STDERR, "\n", 1);
	}
	/* Output may still be under way: the status goes last. */
	x->exited = true;
	deadline(x, GRACE_S);
	maybe_done(x, false);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct exec *x = arg;

	(void)fd;
	(void)what;
	if (x->dying)
		drop(x);
	else if (x->done)
		finish(x, 504, "the client took nothing for too long");
	else if (x->exited && evbuffer_get_length(bufferevent_get_output(
	    x->bev)) > 0 && ++x->waits < IDLE_S / GRACE_S)
		deadline(x, GRACE_S);	/* a slow reader */
	else if (x->exited)
		maybe_done(x, true);
	else if (x->running)
		exec_fail(x, 504, "nothing was typed or said for %d minutes",
		    IDLE_S / 60);
	else
		exec_fail(x, 504, "the command did not start in time");
}

/* ---- from Incus ---- */

static void
ws_opened(void *arg)
{
	struct exec_ws *w = arg;
	struct exec *x = w->x;

	if (++x->nopen == (x->tty ? 2 : WS_N))
		exec_run(x);
}

static void
ws_data(const void *data, size_t len, bool end, void *arg)
{
	struct exec_ws *w = arg;
	struct exec *x = w->x;

	/* An empty message: no more comes; on a terminal it waits for us. */
	if (len == 0 && end && w->n == WS_IN)
		wsc_finish(w->ws);
	if (len == 0 || w->n == WS_CONTROL)
		return;
	to_client(x, w->n == WS_ERR ? XF_STDERR : XF_STDOUT, data, len);
	if (!x->exited)
		deadline(x, IDLE_S);
	if (x->bev != NULL && evbuffer_get_length(
	    bufferevent_get_output(x->bev)) > HIGH_WATER)
		wsc_read(w->ws, false);
}

static void
ws_drained(void *arg)
{
	struct exec_ws *w = arg;

	if (w->n == WS_IN && w->x->bev != NULL && w->x->running)
		(void)bufferevent_enable(w->x->bev, EV_READ);
	if (w->n == WS_IN && w->x->bev != NULL && evbuffer_get_length(
	    bufferevent_get_input(w->x->bev)) > 0)
		bufferevent_trigger(w->x->bev, EV_READ,
		    BEV_TRIG_DEFER_CALLBACKS);
}

static void
ws_closed(const char *why, void *arg)
{
	struct exec_ws *w = arg;
	struct exec *x = w->x;

	w->ws = NULL;
	if (x->dying) {
		drop(x);
		return;
	}
	if (!x->running) {
		exec_fail(x, 502, "the command did not start: %s",
		    why != NULL ? why : "Incus closed its WebSocket");
		return;
	}
	maybe_done(x, false);
}

const struct wsc_ops exec_ws_ops = {
	ws_opened, ws_data, ws_drained, ws_closed
};

/* ---- from the client ---- */

static void
client_read(struct bufferevent *bev, void *arg)
{
	struct exec *x = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	struct wsc *ws;
	struct xf f;
	uint8_t *p;
	ssize_t n;

	if (!x->running)
		return;
	if (!x->exited)
		deadline(x, IDLE_S);
	while (evbuffer_get_length(in) > 0) {
		ws = x->ws[WS_IN].ws;
		if (ws != NULL && wsc_queued(ws) > HIGH_WATER) {
			(void)bufferevent_disable(bev, EV_READ);
			return;
		}
		if ((p = evbuffer_pullup(in, -1)) == NULL)
			fatal("exec");
		n = xf_read(p, evbuffer_get_length(in), &f);
		if (n == 0)
			return;
		if (n == -1 || exec_take(x, &f) == -1) {
			exec_fail(x, 400, "the client sends no frames of "
			    XF_PROTO);
			return;
		}
		evbuffer_drain(in, (size_t)n);
	}
}

static void
client_written(struct bufferevent *bev, void *arg)
{
	struct exec *x = arg;
	int i;

	if (x->done && evbuffer_get_length(bufferevent_get_output(bev)) ==
	    0) {
		finish(x, 200, "");
		return;
	}
	if (!x->exited)
		deadline(x, IDLE_S);
	x->waits = 0;
	for (i = 0; i < WS_CONTROL; i++)
		if (x->ws[i].ws != NULL && (x->tty || i != WS_IN))
			wsc_read(x->ws[i].ws, true);
}

static void
client_gone(struct bufferevent *bev, short what, void *arg)
{
	struct exec *x = arg;

	(void)what;
	(void)bev;
	finish(x, 499, "the client has left");
}

static void
client_hup(evutil_socket_t fd, short what, void *arg)
{
	struct exec *x = arg;

	(void)fd;
	(void)what;
	/* What it sent last is not worth keeping: it waits for no answer. */
	finish(x, 499, "the client has left");
}

/* ---- the beginning ---- */

void
exec_run(struct exec *x)
{
	char path[CT_PATH_LEN];
	struct m_none none;

	x->running = true;
	if (x->id != 0 && peer_reply_id(worker_peer(PROC_KEEPER), x->id,
	    MSG_CT_EXEC_OPEN, true, &none, -1) == -1)
		log_warn("answer to keeper");
	deadline(x, IDLE_S);
	(void)snprintf(path, sizeof(path), "/1.0/operations/%s/wait?timeout=%d",
	    x->op_id, LONGEST_S);
	x->calls++;
	incus_call("GET", path, NULL, LONGEST_S, INCUS_REPLY_MAX,
	    on_exit_status, x);
	if (x->bev != NULL)
		bufferevent_trigger(x->bev, EV_READ,
		    BEV_TRIG_DEFER_CALLBACKS);
}

void
exec_end_all(void)
{
	struct exec *x, *next;

	for (x = sessions.ready ? TAILQ_FIRST(&sessions.list) : NULL;
	    x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		x->id = 0;
		if (!x->dying)
			exec_fail(x, 503, "agentd was restarted");
	}
}

static struct exec *
session_new(uint64_t id, int fd)
{
	struct exec *x;

	if (!sessions.ready)
		TAILQ_INIT(&sessions.list);
	sessions.ready = true;
	if ((x = calloc(1, sizeof(*x))) == NULL ||
	    (x->timer = evtimer_new(worker_base(), on_timer, x)) == NULL)
		fatal("exec");
	(void)evutil_make_socket_nonblocking(fd);
	if ((x->bev = bufferevent_socket_new(worker_base(), fd,
	    BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("exec");
	if ((x->hup = event_new(worker_base(), fd, EV_CLOSED, client_hup,
	    x)) == NULL || event_add(x->hup, NULL) == -1)
		fatal("exec");
	bufferevent_setcb(x->bev, client_read, client_written, client_gone,
	    x);
	bufferevent_setwatermark(x->bev, EV_READ, 0, XF_MAX * 2);
	bufferevent_setwatermark(x->bev, EV_WRITE, HIGH_WATER / 4, 0);
	x->id = id;
	TAILQ_INSERT_TAIL(&sessions.list, x, entry);
	sessions.n++;
	return x;
}

void
exec_start(uint64_t id, const struct m_ct_exec *m, int fd)
{
	struct exec *x;
	const char *why;

	if (fd == -1 || sessions.n >= SESSIONS_MAX) {
		op_refuse(id, 503, "too many commands run at one time (%d): "
		    "try again", SESSIONS_MAX);
		if (fd != -1)
			(void)close(fd);
		return;
	}
	x = session_new(id, fd);
	if ((why = execreq_check(x, m)) != NULL) {
		exec_fail(x, 400, "%s", why);
		return;
	}
	log_info("exec in %s: %u bytes of argv%s", x->instance,
	    (unsigned int)m->argv.len, x->tty ? ", tty" : "");
	deadline(x, CT_TIMEOUT);
	(void)bufferevent_enable(x->bev, EV_READ | EV_WRITE);
	execreq_start(x);
}

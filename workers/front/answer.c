/*
 * Turns the frames of an answer into a reply: document, list or events.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients, keeper, proxy, trace.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "front.h"
#include "log.h"

/*
 * What a stream may queue. The beginning may bring a whole replay at once;
 * when that has been taken, a client must keep up.
 */
#define CAP_REPLAY	(4 * 1024 * 1024)
#define CAP_LIVE	(256 * 1024)
#define CAP_TRACE	(2 * 1024 * 1024)	/* one event may have 1 MiB */

static struct {
	size_t	 held;		/* bytes of all unfinished lists */
} ans;

/* Ask all over again, with a new pass. */
static void
again(struct call *c)
{
	/* The secret is not in the body any more. */
	if (c->retried || c->route->msg == MSG_PROVIDER_ADD ||
	    c->upload != NULL || c->download != NULL) {
		call_unavailable(c, proc_name(c->route->to));
		return;
	}
	c->retried = true;
	auth_drop(c);
	call_send(c);
}

static void
reply(struct call *c, unsigned status, const char *json)
{
	size_t len = strlen(json);

	if (len == 0 && status >= 400) {
		call_error(c, (int)status, "%s", http_reason((int)status));
		return;
	}
	if (status == 429 || status == 503)
		httpd_add_header(c->req, "Retry-After", "1");
	if (len == 0)
		httpd_reply(c->req, (int)status, "application/json", "{}", 2);
	else
		httpd_reply(c->req, (int)status, "application/json", json,
		    len);
	call_end(c);
}

static void
caught_up(struct httpd_req *req, void *arg)
{
	const struct call *c = arg;

	httpd_stream_set_cap(req, c->route->to == PROC_TRACE ? CAP_TRACE :
	    CAP_LIVE);
}

static void
open_stream(struct call *c)
{
	if (c->sse)
		return;
	c->sse = true;
	httpd_sse_start(c->req, CAP_REPLAY, true);
	httpd_stream_on_writable(c->req, 0, caught_up, c);
}

/*
 * A client that does not keep up is cut off by the server: on_close follows
 * and ends the call.
 */
static void
event(struct call *c, const struct m_result *r, const char *json)
{
	char id[24];

	open_stream(c);
	if (r->event[0] == '\0')
		return;		/* only says that the stream is open */
	(void)snprintf(id, sizeof(id), "%" PRIu64, r->event_id);
	(void)httpd_sse_event(c->req, r->event_id != 0 ? id : NULL, r->event,
	    json, strlen(json));
}

static int
add_row(struct call *c, const char *json)
{
	size_t len = strlen(json);

	if (c->rows == NULL && (c->rows = evbuffer_new()) == NULL)
		return (-1);
	len += 2;
	if (c->held + len > FRONT_LIST_MAX || ans.held + len > FRONT_HELD_MAX)
		return (-1);
	c->held += len;
	ans.held += len;
	if (c->nrows++ > 0 && evbuffer_add(c->rows, ",\n", 2) == -1)
		return (-1);
	return (evbuffer_add(c->rows, json, len - 2));
}

void
answer_free(struct call *c)
{
	ans.held -= c->held;
	if (c->rows != NULL)
		evbuffer_free(c->rows);
	if (c->part != NULL)
		evbuffer_free(c->part);
}

/* {"agent_name": ..., "events": [ ... ]}, or the array alone. */
static void
list_done(struct call *c)
{
	const char *key = c->route->key;
	struct evbuffer *out = evbuffer_new();
	bool ok = out != NULL;

	if (ok && key != NULL) {
		ok = evbuffer_add(out, "{", 1) == 0;
		/* A slug needs no escapes. */
		if (ok && c->route->msg == MSG_TRACE_QUERY)
			ok = evbuffer_add_printf(out, "\"agent_name\":\"%s\","
			    "\"schema_version\":1,",
			    httpd_req_param(c->req, "slug")) != -1;
		ok = ok && evbuffer_add_printf(out, "\"%s\":", key) != -1;
	}
	ok = ok && evbuffer_add(out, "[", 1) == 0 && (c->rows == NULL ||
	    evbuffer_add_buffer(out, c->rows) == 0) &&
	    evbuffer_add(out, key != NULL ? "]}" : "]", key != NULL ? 2 : 1)
	    == 0;
	if (ok)
		httpd_reply_evbuffer(c->req, 200, "application/json", out);
	else
		httpd_error(c->req, 503, "out of memory");
	if (out != NULL)
		evbuffer_free(out);
	call_end(c);
}

/* The last frame. */
static void
last(struct call *c, const struct m_result *r, const char *json)
{
	bool list = c->route->answer == ANS_LIST ||
	    c->route->answer == ANS_LIST_SSE;

	c->id = 0;
	if (c->exec != NULL && r->status < 400)
		exec_begin(c);
	else if (c->sse || (c->follow && r->status < 400)) {
		event(c, r, json);
		httpd_stream_end(c->req);
		call_end(c);
	} else if (r->status == 401)
		again(c);
	else if (r->status >= 400 || !list || json[0] != '\0')
		reply(c, r->status, json);
	else
		list_done(c);
}

static void
row(struct call *c, const struct m_result *r, const char *json)
{
	if (c->follow) {
		event(c, r, json);
		return;
	}
	if (add_row(c, json) == 0)
		return;
	peer_forget(c->peer, c->id, true);
	c->id = 0;
	call_error(c, 507, "the answer is too long: ask for less");
}

static int
keep_part(struct call *c, const struct msg_bytes *b)
{
	if (c->part == NULL && (c->part = evbuffer_new()) == NULL)
		return (-1);
	if (evbuffer_get_length(c->part) + b->len > FRONT_ROW_MAX)
		return (-1);
	return (evbuffer_add(c->part, b->ptr, b->len));
}

static void
broken(struct call *c)
{
	log_warnx("answer to %s: wrong or too long",
	    c->route->http.pattern);
	if (c->id != 0)
		peer_forget(c->peer, c->id, true);
	c->id = 0;
	if (c->sse)
		call_lost(c, ECONNRESET);
	else
		call_error(c, 502, "%s gave a wrong answer",
		    proc_name(c->route->to));
}

void
answer_frame(struct msg *m, void *arg)
{
	struct call *c = arg;
	const struct m_result *r;
	const char *json;
	char *whole = NULL;
	int saved = errno;

	if (m == NULL) {
		call_lost(c, saved);
		return;
	}
	if (!m->more)
		c->id = 0;
	if (m->type == MSG_RESULT_PART && m->more) {
		if (keep_part(c, &m->u.trace_more.data) == -1)
			broken(c);
		return;
	}
	r = &m->u.result;
	if (m->type != MSG_RESULT || r->status < 200 || r->status > 599) {
		broken(c);
		return;
	}
	json = r->json;
	if (c->part != NULL && evbuffer_get_length(c->part) > 0) {
		if (evbuffer_add(c->part, json, strlen(json) + 1) == -1 ||
		    (whole = malloc(evbuffer_get_length(c->part))) == NULL) {
			broken(c);
			return;
		}
		(void)evbuffer_remove(c->part, whole,
		    evbuffer_get_length(c->part));
		json = whole;
	}
	if (m->more)
		row(c, r, json);
	else
		last(c, r, json);
	free(whole);
}

/*
 * The answer of a chat completions endpoint, streamed or whole.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chatreply.h"
#include "jpath.h"
#include "jscan.h"
#include "log.h"
#include "turn.h"

static sse_cb	stream_event;

void
chatreply_init(struct chatreply *r, struct turn *turn)
{
	memset(r, 0, sizeof(*r));
	r->turn = turn;
	sse_init(&r->sse, CHATREPLY_MAX, stream_event, r);
}

void
chatreply_free(struct chatreply *r)
{
	sse_free(&r->sse);
	free(r->body);
	r->body = NULL;
}

void
chatreply_head(struct chatreply *r, int code, const char *type)
{
	static const char sse_type[] = "text/event-stream";

	r->stream = code == 200 && type != NULL &&
	    strncasecmp(type, sse_type, sizeof(sse_type) - 1) == 0;
}

bool
chatreply_over(const struct chatreply *r)
{
	return r->over;
}

int
chatreply_feed(struct chatreply *r, const void *p, size_t len)
{
	char *body;

	if (r->stream)
		return sse_feed(&r->sse, p, len);
	if (len > CHATREPLY_MAX - r->len)
		return -1;
	if ((body = realloc(r->body, r->len + len + 1)) == NULL)
		fatal("answer");
	memcpy(body + r->len, p, len);
	r->body = body;
	r->len += len;
	body[r->len] = '\0';
	return 0;
}

/* Gives a string to the turn. */
static void
give_text(struct turn *turn, const struct jspan *v)
{
	size_t len;
	char *text;

	if (v->type != JT_STRING || v->len <= 2)
		return;
	text = jpath_text(v, &len);
	turn_delta(turn, text, len);
	free(text);
}

/* Notes the text of {"error":{"message":..}}, or of {"error":".."}. */
static bool
error_text(struct chatreply *r, const char *p, size_t len)
{
	struct jspan v;

	if (!jpath(p, len, "error", &v) || v.type == JT_NULL)
		return false;
	if (v.type == JT_OBJECT && !jpath(p, len, "error.message", &v))
		v.type = JT_NONE;
	if (v.type != JT_STRING ||
	    jscan_unescape(&v, r->why, sizeof(r->why)) < 1)
		(void)strlcpy(r->why, "an error without a short text",
		    sizeof(r->why));
	r->failed = true;
	return true;
}

static int
stream_event(void *arg, const struct sse_event *ev)
{
	struct chatreply *r = arg;
	struct jspan v;

	if (r->over)
		return 0;
	if (strcmp(ev->data, "[DONE]") == 0) {
		r->over = true;
		return 0;
	}
	if (jscan_buf(ev->data, ev->len, JSCAN_DEPTH, 0, NULL, NULL,
	    NULL) == -1)
		return -1;
	if (error_text(r, ev->data, ev->len)) {
		r->over = true;
		return 0;
	}
	if (jpath(ev->data, ev->len, "choices.0.finish_reason", &v) &&
	    v.type == JT_STRING)
		r->finished = true;
	if (jpath(ev->data, ev->len, "choices.0.delta.content", &v))
		give_text(r->turn, &v);
	return 0;
}

int
chatreply_end(struct chatreply *r, int code, char *why, size_t size)
{
	struct jspan v;
	bool json;

	if (r->stream && !r->failed && (r->over || r->finished))
		return 0;
	json = !r->stream && r->body != NULL && jscan_buf(r->body, r->len,
	    JSCAN_DEPTH, 0, NULL, NULL, NULL) == 0;
	if (json && code == 200 && !error_text(r, r->body, r->len) &&
	    jpath(r->body, r->len, "choices.0.message.content", &v)) {
		give_text(r->turn, &v);
		return 0;
	}
	if (json)
		(void)error_text(r, r->body, r->len);
	if (r->failed && code == 200)
		(void)snprintf(why, size, "%s", r->why);
	else if (r->failed)
		(void)snprintf(why, size, "status %d, %s", code, r->why);
	else if (r->stream)
		(void)snprintf(why, size, "its answer was cut off");
	else
		(void)snprintf(why, size, "status %d", code);
	return -1;
}

/*
 * Reads along with a reply of a model: text, reasoning, tool calls, usage.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 */
#include <sys/types.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "jbuf.h"
#include "jscan.h"
#include "tap.h"

static sse_cb	tap_event;

void
tap_init(struct tap *t, const char *content_type)
{
	memset(t, 0, sizeof(*t));
	t->tokens_in = t->tokens_out = -1;
	t->tokens_cached = t->tokens_reasoning = -1;
	t->is_sse = strncasecmp(content_type, "text/event-stream", 17) == 0;
	t->is_json = strncasecmp(content_type, "application/json", 16) == 0;
	if (t->is_sse)
		sse_init(&t->sse, TAP_DOC_MAX, tap_event, t);
}

void
tap_free(struct tap *t)
{
	unsigned int i;

	if (t->is_sse)
		sse_free(&t->sse);
	for (i = 0; i < t->ntools; i++)
		free(t->tools[i].args.p);
	free(t->tools);
	free(t->doc.p);
	free(t->content.p);
	free(t->reasoning.p);
	free(t->refusal.p);
	memset(t, 0, sizeof(*t));
}

/* Appends; false if there is no room. */
static bool
text_add(struct tap_text *x, const char *p, size_t len, size_t max)
{
	size_t size = x->size == 0 ? 256 : x->size;
	char *n;

	if (len > max || x->len > max - len)
		return false;
	while (size < x->len + len + 1)
		size *= 2;
	if (size != x->size) {
		if ((n = realloc(x->p, size)) == NULL)
			return false;
		x->p = n;
		x->size = size;
	}
	memcpy(x->p + x->len, p, len);
	x->len += len;
	x->p[x->len] = '\0';
	return true;
}

/* Keeps the inside of a string. */
static void
keep(struct tap *t, struct tap_text *x, const struct jspan *v)
{
	if (v->type != JT_STRING || v->len <= 2 || t->cut)
		return;
	if (t->kept + v->len > TAP_TEXT_MAX ||
	    !text_add(x, v->p + 1, v->len - 2, TAP_TEXT_MAX)) {
		t->cut = true;
		return;
	}
	t->kept += v->len - 2;
}

/* A short string; one that is longer or broken is left out. */
static void
label(const struct jspan *v, char *dst, size_t size)
{
	if (v->type != JT_STRING || dst[0] != '\0')
		return;
	if (jscan_unescape(v, dst, size) == -1)
		dst[0] = '\0';
}

/* ---- tool calls ---- */

static struct tap_tool *
tool_at(struct tap *t, int64_t index)
{
	struct tap_tool *n;
	unsigned int i;

	for (i = 0; i < t->ntools; i++)
		if (t->tools[i].index == index)
			return &t->tools[i];
	if (t->ntools == TAP_TOOLS_MAX) {
		t->cut = true;
		return NULL;
	}
	n = reallocarray(t->tools, t->ntools + 1, sizeof(*n));
	if (n == NULL) {
		t->cut = true;
		return NULL;
	}
	t->tools = n;
	n += t->ntools++;
	memset(n, 0, sizeof(*n));
	n->index = index;
	return n;
}

static void
tool_function(struct tap *t, struct tap_tool *tool, const struct jspan *f)
{
	struct jiter it;
	struct jspan key, v;

	if (jscan_object(&it, f->p, f->len) == -1)
		return;
	while (jscan_next(&it, &key, &v) == 1) {
		if (jscan_string_eq(&key, "name"))
			label(&v, tool->name, sizeof(tool->name));
		else if (jscan_string_eq(&key, "arguments"))
			keep(t, &tool->args, &v);
	}
}

/* nth: the place in the array, for documents and for who gives no index. */
static void
tool_piece(struct tap *t, const struct jspan *piece, int64_t nth)
{
	struct tap_tool *tool;
	struct jspan v;

	if (piece->type != JT_OBJECT)
		return;
	if (jscan_get(piece->p, piece->len, "index", &v) == 1)
		(void)jscan_int(&v, 0, INT32_MAX, &nth);
	if ((tool = tool_at(t, nth)) == NULL)
		return;
	if (jscan_get(piece->p, piece->len, "id", &v) == 1)
		label(&v, tool->id, sizeof(tool->id));
	if (jscan_get(piece->p, piece->len, "function", &v) == 1)
		tool_function(t, tool, &v);
}

static void
tool_pieces(struct tap *t, const struct jspan *list)
{
	struct jiter it;
	struct jspan v;
	int64_t nth = 0;

	if (list->type != JT_ARRAY ||
	    jscan_array(&it, list->p, list->len) == -1)
		return;
	while (jscan_next(&it, NULL, &v) == 1)
		tool_piece(t, &v, nth++);
}

/* ---- chunks and documents ---- */

/* A delta of a chunk, or the message of a document. */
static void
message(struct tap *t, const struct jspan *m)
{
	struct jiter it;
	struct jspan key, v;

	if (m->type != JT_OBJECT || jscan_object(&it, m->p, m->len) == -1)
		return;
	while (jscan_next(&it, &key, &v) == 1) {
		if (jscan_string_eq(&key, "content"))
			keep(t, &t->content, &v);
		else if (jscan_string_eq(&key, "reasoning_content") ||
		    (jscan_string_eq(&key, "reasoning") && !t->by_content)) {
			/* Some send it under both names. */
			t->by_content = key.len > sizeof("\"reasoning\"");
			keep(t, &t->reasoning, &v);
		}
		else if (jscan_string_eq(&key, "refusal"))
			keep(t, &t->refusal, &v);
		else if (jscan_string_eq(&key, "tool_calls"))
			tool_pieces(t, &v);
	}
}

/* Only the first of several choices is recorded: agents ask for one. */
static void
choices(struct tap *t, const struct jspan *list)
{
	struct jiter it;
	struct jspan c, v;
	int64_t index;

	if (list->type != JT_ARRAY ||
	    jscan_array(&it, list->p, list->len) == -1)
		return;
	while (jscan_next(&it, NULL, &c) == 1) {
		if (c.type != JT_OBJECT)
			continue;
		index = 0;
		if (jscan_get(c.p, c.len, "index", &v) == 1)
			(void)jscan_int(&v, 0, INT32_MAX, &index);
		if (index != 0)
			continue;
		if (jscan_get(c.p, c.len, "delta", &v) == 1 ||
		    jscan_get(c.p, c.len, "message", &v) == 1)
			message(t, &v);
		if (jscan_get(c.p, c.len, "finish_reason", &v) == 1)
			label(&v, t->finish, sizeof(t->finish));
	}
}

static void
count(const struct jspan *o, const char *name, int64_t *out)
{
	struct jspan v;
	int64_t n;

	if (o->type == JT_OBJECT && jscan_get(o->p, o->len, name, &v) == 1 &&
	    jscan_int(&v, 0, INT64_MAX, &n) == 0)
		*out = n;
}

static void
usage(struct tap *t, const struct jspan *u)
{
	struct jspan v;

	if (u->type != JT_OBJECT)
		return;
	count(u, "prompt_tokens", &t->tokens_in);
	count(u, "completion_tokens", &t->tokens_out);
	if (jscan_get(u->p, u->len, "prompt_tokens_details", &v) == 1)
		count(&v, "cached_tokens", &t->tokens_cached);
	if (jscan_get(u->p, u->len, "completion_tokens_details", &v) == 1)
		count(&v, "reasoning_tokens", &t->tokens_reasoning);
}

static void
failure(struct tap *t, const struct jspan *e)
{
	struct jspan v;

	if (e->type == JT_STRING)
		label(e, t->error, sizeof(t->error));
	else if (e->type == JT_OBJECT &&
	    jscan_get(e->p, e->len, "message", &v) == 1)
		label(&v, t->error, sizeof(t->error));
	else
		return;
	/* It says that something failed, even if it is too long to keep. */
	if (t->error[0] == '\0')
		(void)strlcpy(t->error, "the provider reported an error",
		    sizeof(t->error));
}

static void
document(struct tap *t, const char *p, size_t len)
{
	struct jiter it;
	struct jspan key, v;

	if (jscan_buf(p, len, JSCAN_MAX_DEPTH, 0, NULL, NULL, NULL) == -1 ||
	    jscan_object(&it, p, len) == -1)
		return;
	while (jscan_next(&it, &key, &v) == 1) {
		if (jscan_string_eq(&key, "choices"))
			choices(t, &v);
		else if (jscan_string_eq(&key, "usage"))
			usage(t, &v);
		else if (jscan_string_eq(&key, "model"))
			label(&v, t->model, sizeof(t->model));
		else if (jscan_string_eq(&key, "error"))
			failure(t, &v);
	}
}

static int
tap_event(void *arg, const struct sse_event *e)
{
	struct tap *t = arg;

	if (e->len == 6 && memcmp(e->data, "[DONE]", 6) == 0)
		t->done = true;
	else
		document(t, e->data, e->len);
	return 0;
}

void
tap_feed(struct tap *t, const void *p, size_t len)
{
	if (t->broken)
		return;
	if (t->is_sse && sse_feed(&t->sse, p, len) == -1)
		t->broken = true;
	if (t->is_json && !text_add(&t->doc, p, len, TAP_DOC_MAX))
		t->broken = true;
}

void
tap_end(struct tap *t)
{
	if (t->is_json && !t->broken && t->doc.p != NULL) {
		document(t, t->doc.p, t->doc.len);
		t->done = true;
	}
	free(t->doc.p);
	memset(&t->doc, 0, sizeof(t->doc));
}

/* ---- what was kept ---- */

size_t
json_cut(const char *p, size_t len, size_t max)
{
	size_t i = 0, n;

	if (len <= max)
		return len;
	while (i < max) {
		if (p[i] != '\\')
			n = 1;
		else if (i + 1 < len && p[i + 1] == 'u')
			n = 6;
		else
			n = 2;
		if (i + n > max)
			break;
		i += n;
	}
	/* Not in the middle of a character either. */
	while (i > 0 && ((unsigned char)p[i] & 0xc0) == 0x80)
		i--;
	return i;
}

void
json_put_cut(struct jbuf *j, const char *p, size_t len, size_t max)
{
	size_t n = len == 0 ? 0 : json_cut(p, len, max);
	char *s;

	if ((s = malloc(n + 2)) == NULL) {
		jb_null(j);
		return;
	}
	s[0] = '"';
	if (n > 0)
		memcpy(s + 1, p, n);
	s[n + 1] = '"';
	jb_raw(j, s, n + 2);
	free(s);
}

void
tap_put(struct jbuf *j, const struct tap_text *x, size_t max)
{
	json_put_cut(j, x->p, x->len, max);
}

void
tap_put_args(struct jbuf *j, const struct tap_text *x, size_t max)
{
	struct jspan v;
	char *quoted, *plain;
	ssize_t n = -1;

	if (x->len == 0 || x->len > max) {
		tap_put(j, x, max);
		return;
	}
	quoted = malloc(x->len + 2);
	plain = malloc(x->len + 1);
	if (quoted != NULL && plain != NULL) {
		quoted[0] = '"';
		memcpy(quoted + 1, x->p, x->len);
		quoted[x->len + 1] = '"';
		v.p = quoted;
		v.len = x->len + 2;
		v.type = JT_STRING;
		n = jscan_unescape(&v, plain, x->len + 1);
	}
	if (n > 0 && jscan_buf(plain, (size_t)n, JBUF_MAX_DEPTH, 0, NULL,
	    NULL, NULL) == 0)
		jb_raw(j, plain, (size_t)n);
	else
		tap_put(j, x, max);
	free(quoted);
	free(plain);
}

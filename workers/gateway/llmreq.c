/*
 * The body of a chat completion: scanned as it comes, spliced on its way.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jbuf.h"
#include "llmreq.h"

#define USAGE	"\"include_usage\":true"

/* One place of the body where other bytes go. */
struct edit {
	uint64_t	 off;
	uint64_t	 len;	/* bytes that are left out */
	char		*text;	/* owned until it is in the splice */
};

static int
member(void *arg, const struct jscan_member *m)
{
	struct llmreq *q = arg;
	const struct {
		const char		*name;
		struct llmreq_member	*at;
	} known[] = {
		{ "model", &q->model },
		{ "stream", &q->stream },
		{ "stream_options", &q->options },
		{ "messages", &q->messages },
		{ "tools", &q->tools },
	};
	size_t i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strlen(known[i].name) == m->keylen &&
		    memcmp(known[i].name, m->key, m->keylen) == 0) {
			known[i].at->off = m->val_off;
			known[i].at->len = m->val_len;
			known[i].at->type = m->type;
		}
	return 0;
}

void
llmreq_init(struct llmreq *q)
{
	memset(q, 0, sizeof(*q));
	jscan_init(&q->scan, JSCAN_MAX_DEPTH, 0, member, q);
}

void
llmreq_free(struct llmreq *q)
{
	jscan_free(&q->scan);
}

int
llmreq_feed(struct llmreq *q, const void *p, size_t len)
{
	return jscan_feed(&q->scan, p, len);
}

struct jspan
llmreq_span(const struct llmreq_member *m, const char *body)
{
	struct jspan v = { body + m->off, m->len, m->type };

	return v;
}

static int
wrong(const char **why, const char **param, const char *name,
    const char *text)
{
	*why = text;
	*param = name;
	return -1;
}

int
llmreq_end(struct llmreq *q, const char *body, const char **why,
    const char **param)
{
	struct jspan v;

	if (jscan_end(&q->scan) == -1)
		return wrong(why, param, NULL, q->scan.why);
	if (q->model.type != JT_STRING)
		return wrong(why, param, "model",
		    q->model.type == JT_NONE ? "model is missing" :
		    "model must be a string");
	v = llmreq_span(&q->model, body);
	if (jscan_unescape(&v, q->name, sizeof(q->name)) < 1)
		return wrong(why, param, "model",
		    "model must be a name of 1 to 256 bytes");
	if (q->messages.type != JT_ARRAY)
		return wrong(why, param, "messages",
		    q->messages.type == JT_NONE ? "messages is missing" :
		    "messages must be an array");
	if (q->stream.type != JT_NONE && q->stream.type != JT_NULL &&
	    q->stream.type != JT_TRUE && q->stream.type != JT_FALSE)
		return wrong(why, param, "stream",
		    "stream must be true or false");
	if (q->options.type != JT_NONE && q->options.type != JT_NULL &&
	    q->options.type != JT_OBJECT)
		return wrong(why, param, "stream_options",
		    "stream_options must be an object");
	q->streams = q->stream.type == JT_TRUE;
	return 0;
}

/* ---- splicing ---- */

static char *
quoted_model(const char *model, bool options)
{
	struct jbuf j;
	const char *text;
	char *out = NULL;

	/* Each byte may take six; nothing here is longer. */
	jbuf_init(&j, 8 * LLMREQ_MODEL);
	jb_str(&j, model);
	if ((text = jbuf_text(&j, NULL)) != NULL &&
	    asprintf(&out, "%s%s", text, options ?
	    ",\"stream_options\":{" USAGE "}" : "") == -1)
		out = NULL;
	jbuf_free(&j);
	return out;
}

/* The edit that makes a stream end with its usage.  0: none is needed. */
static int
usage_edit(const struct llmreq *q, const char *body, struct edit *e)
{
	struct jspan options = llmreq_span(&q->options, body), v;
	struct jiter it;
	struct jspan key;
	int r;

	if (options.type == JT_NULL) {
		e->off = q->options.off;
		e->len = q->options.len;
		e->text = strdup("{" USAGE "}");
		return e->text == NULL ? -1 : 1;
	}
	r = jscan_get(options.p, options.len, "include_usage", &v);
	if (r == 1 && v.type == JT_TRUE)
		return 0;
	if (r == 1) {
		e->off = (uint64_t)(v.p - body);
		e->len = v.len;
		e->text = strdup("true");
		return e->text == NULL ? -1 : 1;
	}
	/* Right behind the brace; a comma if something follows. */
	e->off = q->options.off + 1;
	e->len = 0;
	r = jscan_object(&it, options.p, options.len) == 0 &&
	    jscan_next(&it, &key, &v) == 1;
	e->text = strdup(r ? USAGE "," : USAGE);
	return e->text == NULL ? -1 : 1;
}

static void
add_seg(struct splice *s, const void *p, size_t len)
{
	if (len == 0)
		return;
	s->seg[s->nseg].ptr = p;
	s->seg[s->nseg++].len = len;
	s->total += len;
}

/* Joins the body with at most two edits, sorted by place. */
static int
apply(struct splice *s, const char *body, size_t len, struct edit *e,
    unsigned int n)
{
	uint64_t at = 0;
	unsigned int i;
	size_t l0 = strlen(e[0].text), l1 = n > 1 ? strlen(e[1].text) : 0;
	char *text;

	if ((s->text = malloc(l0 + l1 + 1)) == NULL)
		return -1;
	text = s->text;
	for (i = 0; i < n; i++) {
		size_t l = i == 0 ? l0 : l1;

		add_seg(s, body + at, e[i].off - at);
		memcpy(text, e[i].text, l);
		add_seg(s, text, l);
		text += l;
		at = e[i].off + e[i].len;
	}
	add_seg(s, body + at, len - at);
	s->left = s->total;
	return 0;
}

int
llmreq_splice(const struct llmreq *q, const char *body, size_t len,
    const char *model, struct splice *s)
{
	struct edit e[2], tmp;
	unsigned int n = 1;
	int r = 0, ret = -1;

	memset(s, 0, sizeof(*s));
	memset(e, 0, sizeof(e));
	e[0].off = q->model.off;
	e[0].len = q->model.len;
	e[0].text = quoted_model(model,
	    q->streams && q->options.type == JT_NONE);
	if (q->streams && q->options.type != JT_NONE)
		r = usage_edit(q, body, &e[1]);
	if (e[0].text == NULL || r == -1)
		goto out;
	if (r == 1) {
		n = 2;
		if (e[1].off < e[0].off) {
			tmp = e[0];
			e[0] = e[1];
			e[1] = tmp;
		}
	}
	ret = apply(s, body, len, e, n);
out:
	free(e[0].text);
	free(e[1].text);
	return ret;
}

void
splice_free(struct splice *s)
{
	free(s->text);
	memset(s, 0, sizeof(*s));
}

size_t
splice_peek(const struct splice *s, size_t max, const void **p)
{
	const struct msg_bytes *b;

	if (s->at == s->nseg)
		return 0;
	b = &s->seg[s->at];
	*p = (const char *)b->ptr + s->off;
	return b->len - s->off < max ? b->len - s->off : max;
}

void
splice_skip(struct splice *s, size_t n)
{
	s->left -= n;
	s->off += n;
	if (s->at < s->nseg && s->off == s->seg[s->at].len) {
		s->at++;
		s->off = 0;
	}
}

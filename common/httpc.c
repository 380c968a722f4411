/*
 * Push-style HTTP/1.1 response parser without IO, and a request head builder.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream, agent-link. Talks to: nobody.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "httpc.h"

static ssize_t
fail(struct httpc *c, const char *why)
{
	c->state = HTTPC_FAILED;
	c->why = why;
	return (-1);
}

void
httpc_init(struct httpc *c, bool head_only, const struct httpc_cb *cb,
    void *arg)
{
	memset(c, 0, sizeof(*c));
	c->cb = cb;
	c->arg = arg;
	c->head_only = head_only;
	c->state = HTTPC_HEAD;
	http_head_init(&c->head);
}

static void
drop_buf(struct httpc *c)
{
	freezero(c->buf, c->size);
	c->buf = NULL;
	c->len = c->size = 0;
}

void
httpc_free(struct httpc *c)
{
	drop_buf(c);
}

static int
finish(struct httpc *c)
{
	c->state = HTTPC_DONE;
	if (c->cb->on_end != NULL && c->cb->on_end(c->arg) != 0)
		return ((int)fail(c, "stopped by the caller"));
	return (0);
}

/* The head is complete: how does the body end? */
static int
start_body(struct httpc *c)
{
	struct http_head *h = &c->head;

	c->code = h->code;
	c->keepalive = !h->close;
	if (c->cb->on_head != NULL && c->cb->on_head(c->arg, h) != 0)
		return ((int)fail(c, "stopped by the caller"));
	drop_buf(c);
	if (c->head_only || c->code == 204 || c->code == 304)
		return (finish(c));
	if (h->chunked) {
		http_chunk_init(&c->chunk, true);
		c->state = HTTPC_CHUNKED;
	} else if (h->content_length >= 0) {
		c->left = (uint64_t)h->content_length;
		c->state = HTTPC_LENGTH;
		if (c->left == 0)
			return (finish(c));
	} else {
		c->keepalive = false;
		c->state = HTTPC_TO_CLOSE;
	}
	return (0);
}

static int
grow(struct httpc *c, size_t want)
{
	char *p;
	size_t size = c->size == 0 ? 1024 : c->size;

	while (size < want)
		size *= 2;
	if (size == c->size)
		return (0);
	if ((p = recallocarray(c->buf, c->size, size, 1)) == NULL)
		return (-1);
	c->buf = p;
	c->size = size;
	return (0);
}

/* Returns the bytes used of this feed, which may end within it. */
static ssize_t
feed_head(struct httpc *c, const char *data, size_t len)
{
	size_t before = c->len, take = len;

	/* The parser refuses a head that fills HTTP_MAX_HEAD. */
	if (take > HTTP_MAX_HEAD - before)
		take = HTTP_MAX_HEAD - before;
	if (grow(c, before + take) == -1)
		return (fail(c, "out of memory"));
	memcpy(c->buf + before, data, take);
	c->len += take;
	switch (http_rhead_parse(&c->head, c->buf, c->len)) {
	case HTTP_BAD:
		return (fail(c, c->head.why));
	case HTTP_MORE:
		return ((ssize_t)take);
	case HTTP_DONE:
		break;
	}
	take = c->head.len - before;
	if (c->head.code == 101)
		return (fail(c, "unexpected upgrade"));
	if (c->head.code < 200) {
		drop_buf(c);
		http_head_init(&c->head);
		return ((ssize_t)take);
	}
	return (start_body(c) == -1 ? -1 : (ssize_t)take);
}

static int
deliver(struct httpc *c, const char *data, size_t len)
{
	if (len > 0 && c->cb->on_body != NULL &&
	    c->cb->on_body(c->arg, data, len) != 0)
		return ((int)fail(c, "stopped by the caller"));
	return (0);
}

static ssize_t
feed_chunked(struct httpc *c, const char *data, size_t len)
{
	const char *body;
	size_t bodylen;
	ssize_t n;

	n = http_chunk_next(&c->chunk, data, len, &body, &bodylen);
	if (n == -1)
		return (fail(c, "broken chunk"));
	if (deliver(c, body, bodylen) == -1)
		return (-1);
	if (http_chunk_done(&c->chunk) && finish(c) == -1)
		return (-1);
	return (n);
}

static ssize_t
feed_length(struct httpc *c, const char *data, size_t len)
{
	if (len > c->left)
		len = (size_t)c->left;
	c->left -= len;
	if (deliver(c, data, len) == -1)
		return (-1);
	if (c->left == 0 && finish(c) == -1)
		return (-1);
	return ((ssize_t)len);
}

ssize_t
httpc_feed(struct httpc *c, const void *vdata, size_t len)
{
	const char *data = vdata;
	size_t used = 0;
	ssize_t n = 0;

	while (used < len && c->state != HTTPC_DONE) {
		switch (c->state) {
		case HTTPC_HEAD:
			n = feed_head(c, data + used, len - used);
			break;
		case HTTPC_LENGTH:
			n = feed_length(c, data + used, len - used);
			break;
		case HTTPC_CHUNKED:
			n = feed_chunked(c, data + used, len - used);
			break;
		case HTTPC_TO_CLOSE:
			n = deliver(c, data + used, len - used) == -1 ? -1 :
			    (ssize_t)(len - used);
			break;
		default:
			n = -1;
		}
		if (n == -1)
			return (-1);
		used += (size_t)n;
	}
	return ((ssize_t)used);
}

int
httpc_eof(struct httpc *c)
{
	if (c->state == HTTPC_TO_CLOSE)
		return (finish(c));
	if (c->state == HTTPC_DONE)
		return (0);
	if (c->state != HTTPC_FAILED)
		(void)fail(c, "response cut short");
	return (-1);
}

static void
put(struct httpc_req *r, const char *s)
{
	size_t len = strlen(s);

	if (r->bad || len >= r->size - r->len) {
		r->bad = true;
		return;
	}
	memcpy(r->buf + r->len, s, len + 1);
	r->len += len;
}

void
httpc_req_start(struct httpc_req *r, char *buf, size_t size,
    const char *method, const char *target, const char *host)
{
	r->buf = buf;
	r->len = 0;
	r->size = size;
	r->bad = size == 0 || !http_is_token(method, strlen(method)) ||
	    !http_is_value(target) || strchr(target, ' ') != NULL;
	put(r, method);
	put(r, " ");
	put(r, target);
	put(r, " HTTP/1.1\r\n");
	httpc_req_field(r, "Host", host);
}

void
httpc_req_field(struct httpc_req *r, const char *name, const char *value)
{
	if (!http_is_token(name, strlen(name)) || !http_is_value(value))
		r->bad = true;
	put(r, name);
	put(r, ": ");
	put(r, value);
	put(r, "\r\n");
}

void
httpc_req_length(struct httpc_req *r, uint64_t len)
{
	char num[24];

	(void)snprintf(num, sizeof(num), "%llu", (unsigned long long)len);
	httpc_req_field(r, "Content-Length", num);
}

ssize_t
httpc_req_end(struct httpc_req *r)
{
	put(r, "\r\n");
	return (r->bad ? -1 : (ssize_t)r->len);
}

/*
 * HTTP server: what the application may ask of a request.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway. Talks to: clients and agents.
 */
#include <stdlib.h>
#include <string.h>

#include "httpd_int.h"

void
httpd_req_free(struct httpd_req *r)
{
	unsigned i;

	if (r == NULL)
		return;
	freezero(r->buf, r->size);
	freezero(r->collect, r->collect_size);
	free(r->path);
	for (i = 0; i < r->params.n; i++)
		free(r->param[i]);
	if (r->fields != NULL)
		evbuffer_free(r->fields);
	free(r);
}

const char *
httpd_req_method(const struct httpd_req *r)
{
	return (r->head.method);
}

const char *
httpd_req_path(const struct httpd_req *r)
{
	return (r->path);
}

const char *
httpd_req_target(const struct httpd_req *r)
{
	return (r->head.target);
}

const char *
httpd_req_header(const struct httpd_req *r, const char *name)
{
	return (http_head_field(&r->head, name));
}

const struct http_head *
httpd_req_head(const struct httpd_req *r)
{
	return (&r->head);
}

int
httpd_req_query(const struct httpd_req *r, const char *name, char *buf,
    size_t size)
{
	return (http_query_get(r->head.query, name, buf, size));
}

int64_t
httpd_req_length(const struct httpd_req *r)
{
	if (r->head.chunked)
		return (-1);
	return (r->head.content_length > 0 ? r->head.content_length : 0);
}

uint64_t
httpd_req_conn_id(const struct httpd_req *r)
{
	return (r->conn->id);
}

uint64_t
httpd_req_age(const struct httpd_req *r)
{
	return (httpd_now_ms() - r->started);
}

int
httpd_req_fd(const struct httpd_req *r)
{
	return (r->conn->fd);
}

void *
httpd_req_listener(const struct httpd_req *r)
{
	return (r->conn->l->arg);
}

const char *
httpd_req_peer(const struct httpd_req *r)
{
	return (r->conn->peer);
}

void
httpd_req_set(struct httpd_req *r, void *data)
{
	r->data = data;
}

void *
httpd_req_get(const struct httpd_req *r)
{
	return (r->data);
}

void
httpd_conn_set(struct httpd_req *r, void *data, void (*freefn)(void *))
{
	struct httpd_conn *c = r->conn;

	if (c->data_free != NULL && c->data != data)
		c->data_free(c->data);
	c->data = data;
	c->data_free = freefn;
}

void *
httpd_conn_get(const struct httpd_req *r)
{
	return (r->conn->data);
}

void
httpd_req_on_close(struct httpd_req *r,
    void (*cb)(struct httpd_req *, void *), void *arg)
{
	r->on_close = cb;
	r->close_arg = arg;
}

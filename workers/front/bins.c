/*
 * The recycle bins of all agents that the client may see, newest first.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: keeper; by a socket pair, container.
 *
 * keeper says which agents there are; then they are asked one by one, as for
 * one of them. Each may be hostile, or may not answer: it has a time and a
 * share, and who gives nothing is named with the reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <json-c/json.h>

#include "exec.h"
#include "jbuf.h"
#include "worker.h"

#define AGENTS_MAX	1000
#define ALL_MAX		20000		/* items */
#define TEXT_MAX	(4 * 1024 * 1024)	/* bytes of their lists */
#define AGENT_S		10

struct bin {
	char		 slug[53];
	char		 why[256];	/* not asked, or without an answer */
	struct evbuffer	*out;		/* owned: what it said; NULL */
};

struct bins {
	struct call	*call;
	struct bin	*bin;		/* owned */
	size_t		 n, now;
	size_t		 bytes;
	struct event	*late;
};

static void	 next(struct call *);

void
bins_free(struct bins *b)
{
	size_t i;

	if (b == NULL)
		return;
	for (i = 0; i < b->n; i++)
		if (b->bin[i].out != NULL)
			evbuffer_free(b->bin[i].out);
	if (b->late != NULL)
		event_free(b->late);
	free(b->bin);
	free(b);
}

/* ---- the answer ---- */

struct found {
	const char	*slug;
	struct item	 it;
};

static int
newest_first(const void *x, const void *y)
{
	const struct found *a = x, *b = y;
	long long l = strtoll(a->it.deleted, NULL, 10);
	long long r = strtoll(b->it.deleted, NULL, 10);

	return (l == r ? strcmp(a->slug, b->slug) : l < r ? 1 : -1);
}

/* The items of one agent behind those there are; the new number. */
static size_t
collect(struct bin *b, struct found *all, size_t n)
{
	size_t len, used, first = n;
	struct item it;
	const char *p;

	if (b->out == NULL)
		return (n);
	p = exec_text(b->out, &len);
	for (; len > 0; p += used, len -= used, n++) {
		used = exec_item(p, len, &it);
		if (used == 0 || n == ALL_MAX) {
			(void)strlcpy(b->why, used == 0 ? "it gives a list "
			    "that makes no sense" : "there are too many "
			    "items in all", sizeof(b->why));
			return (first);
		}
		all[n].slug = b->slug;
		all[n].it = it;
	}
	return (n);
}

static void
finish(struct call *c)
{
	struct bins *b = c->bins;
	struct found *all;
	const char *json;
	struct jbuf j;
	size_t i, n = 0, len;

	if ((all = calloc(ALL_MAX, sizeof(*all))) == NULL) {
		call_unavailable(c, "memory");
		return;
	}
	for (i = 0; i < b->n; i++)
		n = collect(&b->bin[i], all, n);
	qsort(all, n, sizeof(*all), newest_first);
	jbuf_init(&j, FRONT_ROW_MAX);
	jb_obj(&j);
	jb_key(&j, "items");
	jb_arr(&j);
	for (i = 0; i < n; i++)
		exec_item_json(&j, all[i].slug, &all[i].it);
	jb_end(&j);
	jb_key(&j, "without");
	jb_arr(&j);
	for (i = 0; i < b->n; i++) {
		if (b->bin[i].why[0] == '\0')
			continue;
		jb_obj(&j);
		jb_kstr(&j, "agent_name", b->bin[i].slug);
		jb_kstr(&j, "reason", b->bin[i].why);
		jb_end(&j);
	}
	jb_end(&j);
	jb_end(&j);
	if ((json = jbuf_text(&j, &len)) == NULL)
		httpd_error(c->req, 507, "the answer is too long");
	else
		httpd_reply(c->req, 200, "application/json", json, len);
	jbuf_free(&j);
	free(all);
	call_end(c);
}

/* ---- one agent ---- */

void
bins_took(struct exec *x, const char *why)
{
	struct call *c = x->call;
	struct bins *b = c->bins;
	struct bin *one = &b->bin[b->now++];
	size_t len = x->out != NULL ? evbuffer_get_length(x->out) : 0;

	(void)evtimer_del(b->late);
	if (why == NULL && (x->failed || x->status != 0))
		why = x->status == 126 || x->status == 127 ? "its image has "
		    "no recycle bin" : "its recycle bin fails";
	if (why == NULL && b->bytes + len > TEXT_MAX)
		why = "there are too many items in all";
	if (why != NULL)
		(void)strlcpy(one->why, why, sizeof(one->why));
	else {
		b->bytes += len;
		one->out = x->out;
		x->out = NULL;
	}
	next(c);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	struct bins *b = arg;
	struct call *c = b->call;

	(void)fd;
	(void)what;
	if (c->id != 0)
		peer_forget(c->peer, c->id, true);
	c->id = 0;
	bins_took(c->exec, "it does not answer in time");
}

static void
on_open(struct msg *m, void *arg)
{
	struct call *c = arg;
	struct json_object *doc, *text;

	c->id = 0;
	if (m == NULL) {
		call_unavailable(c, "keeper");
		return;
	}
	if (m->type == MSG_RESULT && m->u.result.status < 400) {
		exec_begin(c);
		return;
	}
	doc = m->type == MSG_RESULT ? json_tokener_parse(m->u.result.json) :
	    NULL;
	bins_took(c->exec, json_object_object_get_ex(doc, "error", &text) ?
	    json_object_get_string(text) : "no answer");
	json_object_put(doc);
}

/* With a pass that is still good. */
static void
ask(struct call *c)
{
	const struct timeval tv = { AGENT_S, 0 };
	struct bins *b = c->bins;
	struct m_recycle m;
	int fd;

	memset(&m, 0, sizeof(m));
	m.pass = call_pass(c, PROC_KEEPER);
	m.slug = b->bin[b->now].slug;
	m.action = "list";
	m.id = m.path = "";
	if ((fd = exec_socket(c)) == -1) {
		call_unavailable(c, "a socket");
		return;
	}
	(void)evtimer_add(b->late, &tv);
	c->peer = worker_peer(PROC_KEEPER);
	c->id = peer_request_hold(c->peer, MSG_RECYCLE, &m, fd,
	    (int)c->route->timeout_ms, on_open, c);
	if (c->id == 0)
		call_unavailable(c, "keeper");
}

static void
next(struct call *c)
{
	struct bins *b = c->bins;

	while (b->now < b->n && b->bin[b->now].why[0] != '\0')
		b->now++;
	if (b->now == b->n)
		finish(c);
	else if (auth_fresh(&c->ident))
		ask(c);
	else
		auth_start(c, ask);
}

/* ---- which agents? ---- */

static void
add(struct bins *b, const char *row)
{
	struct json_object *doc = json_tokener_parse(row), *o;
	struct bin *one = &b->bin[b->n];

	if (b->n < AGENTS_MAX &&
	    json_object_object_get_ex(doc, "agent_name", &o)) {
		(void)strlcpy(one->slug, json_object_get_string(o),
		    sizeof(one->slug));
		if (json_object_object_get_ex(doc, "reason", &o) && o != NULL)
			(void)strlcpy(one->why, json_object_get_string(o),
			    sizeof(one->why));
		b->n++;
	}
	json_object_put(doc);
}

static void
on_agents(struct msg *m, void *arg)
{
	struct call *c = arg;

	if (m == NULL || m->type != MSG_RESULT) {
		c->id = 0;
		call_unavailable(c, "keeper");
	} else if (m->more) {
		add(c->bins, m->u.result.json);
	} else {
		c->id = 0;
		if (m->u.result.status >= 400)
			call_unavailable(c, "keeper");
		else
			next(c);
	}
}

void
bins_start(struct call *c)
{
	struct m_api m;
	struct bins *b;

	if ((b = calloc(1, sizeof(*b))) == NULL ||
	    (b->bin = calloc(AGENTS_MAX, sizeof(*b->bin))) == NULL ||
	    (b->late = evtimer_new(worker_base(), on_late, b)) == NULL) {
		bins_free(b);
		call_unavailable(c, "memory");
		return;
	}
	b->call = c;
	c->bins = b;
	m.pass = call_pass(c, PROC_KEEPER);
	c->peer = worker_peer(PROC_KEEPER);
	c->id = peer_request_hold(c->peer, MSG_RECYCLE_AGENTS, &m, -1,
	    (int)c->route->timeout_ms, on_agents, c);
	if (c->id == 0)
		call_unavailable(c, "keeper");
}

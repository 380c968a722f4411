/*
 * What commands of ours in a container said, made into JSON: logs and the
 * recycle bin.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients.
 *
 * The agent is root there and can put any program in the place of ours: each
 * byte is checked, and what is not as it should be is an error, not a guess.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "exec.h"
#include "jbuf.h"
#include "sys.h"

#define LINE_MAX_LEN	16384
#define ITEMS_MAX	20000
#define PATH_MAX_LEN	4096

/* Exit statuses of the recycle program. */
#define BIN_USAGE	2
#define BIN_NONE	3
#define BIN_EXISTS	4

const char *
exec_text(struct evbuffer *b, size_t *len)
{
	unsigned char *p = NULL;

	*len = b == NULL ? 0 : evbuffer_get_length(b);
	if (*len > 0)
		p = evbuffer_pullup(b, -1);
	if (p == NULL)
		*len = 0;
	return (p == NULL ? "" : (const char *)p);
}

static void
send_doc(struct exec *x, struct jbuf *j)
{
	const char *json;
	size_t len;

	jb_end(j);
	if ((json = jbuf_text(j, &len)) == NULL)
		httpd_error(x->call->req, 507, "the answer is too long");
	else
		httpd_reply(x->call->req, 200, "application/json", json, len);
	jbuf_free(j);
	call_end(x->call);
}

/* Its own words, for people; control bytes become blanks. */
static void
complaint(struct exec *x, int status)
{
	char line[300];
	size_t len, i;
	const char *p = exec_text(x->err, &len);

	while (len > 0 && p[len - 1] == '\n')
		len--;
	if (len >= sizeof(line))
		len = sizeof(line) - 1;
	for (i = 0; i < len; i++)
		line[i] = (unsigned char)p[i] < 0x20 || p[i] == 0x7f ? ' ' :
		    p[i];
	line[len] = '\0';
	call_error(x->call, status, "%s", len > 0 ? line :
	    "the command in the container failed without a word");
}

/* ---- logs ---- */

void
exec_logs_done(struct exec *x)
{
	struct jbuf j;
	size_t len;
	const char *p;

	if (x->failed || x->status != 0) {
		complaint(x, 502);
		return;
	}
	p = exec_text(x->out, &len);
	/* Each byte may become six. */
	jbuf_init(&j, FRONT_ROW_MAX);
	jb_obj(&j);
	jb_kstr(&j, "name", httpd_req_param(x->call->req, "slug"));
	jb_key(&j, "logs");
	jb_strn(&j, p, len);
	send_doc(x, &j);
}

static void
one_line(struct exec *x, const char *p, size_t len)
{
	struct jbuf j;
	const char *json;
	size_t n;

	jbuf_init(&j, LINE_MAX_LEN * 8);
	jb_obj(&j);
	jb_key(&j, "line");
	jb_strn(&j, p, len);
	jb_end(&j);
	if ((json = jbuf_text(&j, &n)) != NULL)
		(void)httpd_sse_event(x->call->req, NULL, "log", json, n);
	jbuf_free(&j);
}

/* Sends the whole lines; what is longer than a line may be, in pieces. */
void
exec_logs_lines(struct exec *x, bool last)
{
	size_t len, n;
	const char *p = exec_text(x->out, &len), *nl;

	while (len > 0) {
		nl = memchr(p, '\n', len);
		n = nl != NULL ? (size_t)(nl - p) : len;
		if (nl == NULL && n <= LINE_MAX_LEN && !last)
			break;
		if (n > LINE_MAX_LEN) {
			n = LINE_MAX_LEN;
			nl = NULL;
		}
		one_line(x, p, n);
		n += nl != NULL;
		p += n;
		len -= n;
	}
	if (x->out != NULL)
		(void)evbuffer_drain(x->out, evbuffer_get_length(x->out) -
		    len);
}

/* ---- the recycle bin ---- */

/* Four texts, each ended by NUL: the bytes they take, or 0. */
static size_t
read_item(const char *p, size_t len, struct item *it)
{
	const char **field[4] = { &it->id, &it->deleted, &it->size,
	    &it->path };
	const char *end, *start = p;
	size_t i;

	for (i = 0; i < 4; i++) {
		if ((end = memchr(p, '\0', len)) == NULL)
			return (0);
		*field[i] = p;
		len -= (size_t)(end - p) + 1;
		p = end + 1;
	}
	return ((size_t)(p - start));
}

static bool
digits(const char *s)
{
	size_t n = strlen(s);

	return (n > 0 && n <= 15 && strspn(s, "0123456789") == n);
}

static bool
item_ok(const struct item *it)
{
	return (sys_is_id(it->id) && digits(it->deleted) &&
	    (strcmp(it->size, "-") == 0 || digits(it->size)) &&
	    it->path[0] == '/' && strlen(it->path) < PATH_MAX_LEN);
}

size_t
exec_item(const char *p, size_t len, struct item *it)
{
	size_t n = read_item(p, len, it);

	return (n > 0 && item_ok(it) ? n : 0);
}

void
exec_item_json(struct jbuf *j, const char *agent, const struct item *it)
{
	jb_obj(j);
	if (agent != NULL)
		jb_kstr(j, "agent_name", agent);
	jb_kstr(j, "id", it->id);
	jb_kstr(j, "original_path", it->path);
	jb_kint(j, "deleted_at", strtoll(it->deleted, NULL, 10));
	jb_key(j, "size_bytes");
	if (it->size[0] == '-')
		jb_null(j);
	else
		jb_int(j, strtoll(it->size, NULL, 10));
	jb_end(j);
}

static void
list_done(struct exec *x)
{
	struct item it;
	struct jbuf j;
	size_t len, n, count = 0;
	const char *p = exec_text(x->out, &len);

	jbuf_init(&j, FRONT_ROW_MAX);
	jb_obj(&j);
	jb_kstr(&j, "agent_name", httpd_req_param(x->call->req, "slug"));
	jb_kstr(&j, "status", "ok");
	jb_key(&j, "items");
	jb_arr(&j);
	for (; len > 0; p += n, len -= n, count++) {
		if ((n = exec_item(p, len, &it)) == 0 || count == ITEMS_MAX) {
			jbuf_free(&j);
			call_error(x->call, 502, "the recycle bin of the "
			    "agent gives a list that makes no sense");
			return;
		}
		exec_item_json(&j, NULL, &it);
	}
	jb_end(&j);
	send_doc(x, &j);
}

/* Of restore and purge: id and path of what it was. */
static void
one_done(struct exec *x)
{
	bool purge = strcmp(httpd_req_method(x->call->req), "DELETE") == 0;
	struct item it;
	struct jbuf j;
	size_t len;
	const char *p = exec_text(x->out, &len);

	if (len == 0 || exec_item(p, len, &it) != len) {
		call_error(x->call, 502, "the recycle bin of the agent gives "
		    "an answer that makes no sense");
		return;
	}
	jbuf_init(&j, 65536);
	jb_obj(&j);
	jb_kstr(&j, "status", purge ? "purged" : "restored");
	jb_kstr(&j, "id", it.id);
	jb_kstr(&j, "original_path", it.path);
	send_doc(x, &j);
}

void
exec_recycle_done(struct exec *x)
{
	if (x->failed)
		complaint(x, 502);
	else if (x->status == 126 || x->status == 127)
		call_error(x->call, 409, "this agent's image has no recycle "
		    "bin: build the image anew");
	else if (x->status == BIN_USAGE)
		complaint(x, 400);
	else if (x->status == BIN_NONE)
		complaint(x, 404);
	else if (x->status == BIN_EXISTS)
		complaint(x, 409);
	else if (x->status != 0)
		complaint(x, 500);
	else if (strcmp(httpd_req_method(x->call->req), "GET") == 0)
		list_done(x);
	else
		one_done(x);
}

/*
 * CT_EXEC: from the request to a command whose WebSockets are open.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 */
#include <sys/types.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "exec.h"
#include "jbuf.h"
#include "log.h"
#include "sys.h"

#define ARGS_MAX	512
#define BODY_MAX	(512 * 1024)	/* argv of control bytes is \u00XX */
#define ID_MAX		65533
#define START_S		30

static bool
args_ok(const struct msg_bytes *argv)
{
	const char *p = argv->ptr;
	size_t i, n = 0;

	if (argv->len < 2 || p[argv->len - 1] != '\0' || p[0] == '\0')
		return false;
	for (i = 0; i < argv->len; i++)
		n += p[i] == '\0';
	return n <= ARGS_MAX;
}

static bool
term_ok(const char *s)
{
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && strchr("+-._", *s) == NULL)
			return false;
	return true;
}

static bool
dir_ok(const char *s)
{
	if (*s != '\0' && *s != '/')
		return false;
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

/* Only what is said here is in the command's environment. */
static void
environment(struct jbuf *b, const struct m_ct_exec *m)
{
	jb_key(b, "environment");
	jb_obj(b);
	jb_kstr(b, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:"
	    "/usr/bin:/sbin:/bin");
	if (m->uid == 0) {
		jb_kstr(b, "HOME", "/root");
		jb_kstr(b, "USER", "root");
	}
	jb_kstr(b, "LANG", "C.UTF-8");
	if (m->tty)
		jb_kstr(b, "TERM", m->term[0] != '\0' ? m->term : "xterm");
	jb_end(b);
}

static char *
make_body(const struct m_ct_exec *m)
{
	const char *p = m->argv.ptr, *end = p + m->argv.len;
	const char *text;
	char *copy = NULL;
	struct jbuf b;

	jbuf_init(&b, BODY_MAX);
	jb_obj(&b);
	jb_key(&b, "command");
	jb_arr(&b);
	for (; p < end; p += strlen(p) + 1)
		jb_str(&b, p);
	jb_end(&b);
	jb_kbool(&b, "wait-for-websocket", true);
	jb_kbool(&b, "record-output", false);
	jb_kbool(&b, "interactive", m->tty != 0);
	if (m->tty) {
		jb_kint(&b, "width", m->cols != 0 ? m->cols : 80);
		jb_kint(&b, "height", m->rows != 0 ? m->rows : 24);
	}
	jb_kint(&b, "user", m->uid);
	jb_kint(&b, "group", m->gid);
	if (m->cwd[0] != '\0')
		jb_kstr(&b, "cwd", m->cwd);
	environment(&b, m);
	jb_end(&b);
	if ((text = jbuf_text(&b, NULL)) != NULL)
		copy = strdup(text);
	jbuf_free(&b);
	return copy;
}

const char *
execreq_check(struct exec *x, const struct m_ct_exec *m)
{
	if (!sys_is_id(m->agent_id))
		return "agent_id is not valid";
	if (!valid_instance(m->instance))
		return "instance is not valid";
	if (!args_ok(&m->argv))
		return "argv is empty or has over 512 words";
	if (!dir_ok(m->cwd))
		return "cwd is not an absolute path";
	if (!term_ok(m->term))
		return "term is not the name of a terminal";
	if (m->uid > ID_MAX || m->gid > ID_MAX)
		return "uid and gid must be 0 to 65533";
	if (m->cols > 10000 || m->rows > 10000)
		return "cols and rows must be 0 to 10000";
	if ((x->body = make_body(m)) == NULL)
		return "argv is too long";
	x->tty = m->tty != 0;
	(void)strlcpy(x->agent_id, m->agent_id, sizeof(x->agent_id));
	(void)strlcpy(x->instance, m->instance, sizeof(x->instance));
	return NULL;
}

/* ---- the steps ---- */

/* A call of Incus is over: false if nobody needs its answer any more. */
static bool
back(struct exec *x)
{
	x->calls--;
	if (!x->dead)
		return true;
	if (x->calls == 0)
		free(x);
	return false;
}

static void
open_ws(struct exec *x)
{
	char path[CT_PATH_LEN];
	int i;

	for (i = 0; i < WS_N; i++) {
		x->ws[i].x = x;
		x->ws[i].n = i;
		if (x->ws[i].secret[0] == '\0')
			continue;
		(void)snprintf(path, sizeof(path),
		    "/1.0/operations/%s/websocket?secret=%s", x->op_id,
		    x->ws[i].secret);
		x->ws[i].ws = wsc_open(path, SIZE_MAX / 2, &exec_ws_ops,
		    &x->ws[i]);
	}
}

static bool
take_secret(struct exec *x, int n, struct json_object *fds, const char *key)
{
	const char *s = meta_str(fds, key);
	size_t i;

	if (s == NULL || *s == '\0' || strlen(s) > EXEC_SECRET)
		return false;
	for (i = 0; s[i] != '\0'; i++)
		if (!isalnum((unsigned char)s[i]))
			return false;
	(void)strlcpy(x->ws[n].secret, s, sizeof(x->ws[n].secret));
	return true;
}

static void
on_begun(const struct incus_reply *r, void *arg)
{
	struct exec *x = arg;
	struct json_object *fds;
	const char *id;

	if (!back(x))
		return;
	free(x->body);
	x->body = NULL;
	if (r->status != 200) {
		if (r->down)
			env_lost();
		exec_fail(x, r->status, "%s", r->error);
		return;
	}
	fds = meta_obj(meta_obj(r->meta, "metadata"), "fds");
	id = meta_str(r->meta, "id");
	if (id == NULL || strlen(id) >= sizeof(x->op_id) ||
	    strspn(id, "0123456789abcdefABCDEF-") != strlen(id) ||
	    !take_secret(x, WS_IN, fds, "0") ||
	    !take_secret(x, WS_CONTROL, fds, "control") ||
	    (!x->tty && (!take_secret(x, WS_OUT, fds, "1") ||
	    !take_secret(x, WS_ERR, fds, "2")))) {
		exec_fail(x, 502, "Incus names no WebSockets of the command");
		return;
	}
	(void)strlcpy(x->op_id, id, sizeof(x->op_id));
	open_ws(x);
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct exec *x = arg;
	struct instance i;
	char path[CT_PATH_LEN];

	if (!back(x))
		return;
	if (r->status != 200) {
		if (r->down)
			env_lost();
		exec_fail(x, r->status, r->status == 404 ?
		    "the instance is not there" : "%s", r->error);
		return;
	}
	instance_read(r->meta, &i);
	if (!instance_is(&i, x->agent_id)) {
		exec_fail(x, 409, "the instance %s belongs to somebody else: "
		    "left alone", x->instance);
		return;
	}
	if (strcmp(i.status, "Running") != 0) {
		exec_fail(x, 409, "its container does not run: it is %s",
		    i.status);
		return;
	}
	(void)snprintf(path, sizeof(path), "/1.0/instances/%s/exec?project=%s",
	    x->instance, env_project());
	x->calls++;
	incus_begin(path, x->body, START_S, on_begun, x);
}

static void
on_env(const char *why, void *arg)
{
	struct exec *x = arg;

	if (!back(x))
		return;
	if (why != NULL) {
		exec_fail(x, 503, "%s", why);
		return;
	}
	x->calls++;
	instance_get(x->instance, on_found, x);
}

void
execreq_start(struct exec *x)
{
	x->calls++;
	env_ensure(on_env, x);
}

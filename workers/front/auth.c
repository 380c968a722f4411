/*
 * Who sends this request: asks keeper, which answers with passes.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: keeper.
 *
 * The identity of a local user's connection is cached on it until its passes
 * are nearly over. Tokens are not kept: each request with one is asked for.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "front.h"
#include "log.h"
#include "sys.h"
#include "worker.h"

#define AUTH_TIMEOUT_MS	5000
/* A pass must last until its audience has looked at it. */
#define MARGIN_MS	3000

static struct {
	uint32_t	 keeper_gen;
} au;

void
auth_keeper_gone(void)
{
	au.keeper_gen++;
}

bool
auth_fresh(const struct ident *i)
{
	return (i->role != ROLE_NONE && i->keeper_gen == au.keeper_gen &&
	    i->expires_ms > sys_now_ms() + MARGIN_MS);
}

const char *
auth_bearer(const struct httpd_req *req)
{
	const char *v = httpd_req_header(req, "authorization");

	if (v == NULL || strncasecmp(v, "Bearer ", 7) != 0)
		return (NULL);
	v += 7;
	return (v + strspn(v, " "));
}

static void
ident_free(void *arg)
{
	freezero(arg, sizeof(struct ident));
}

void
auth_drop(struct call *c)
{
	explicit_bzero(&c->ident, sizeof(c->ident));
	httpd_conn_set(c->req, NULL, NULL);
}

static int
keep_pass(struct ident *i, int n, const struct msg_bytes *b)
{
	if (b->len > sizeof(i->pass[n]))
		return (-1);
	memcpy(i->pass[n], b->ptr, b->len);
	i->passlen[n] = b->len;
	return (0);
}

static int
keep_ident(struct call *c, const struct m_auth_res *r)
{
	struct ident *i = &c->ident, *copy;

	memset(i, 0, sizeof(*i));
	i->keeper_gen = au.keeper_gen;
	i->role = r->role;
	i->expires_ms = r->expires_ms;
	(void)strlcpy(i->principal, r->principal, sizeof(i->principal));
	if (keep_pass(i, 0, &r->pass_keeper) == -1 ||
	    keep_pass(i, 1, &r->pass_trace) == -1 ||
	    keep_pass(i, 2, &r->pass_proxy) == -1)
		return (-1);
	if (auth_bearer(c->req) != NULL)
		return (0);
	if ((copy = malloc(sizeof(*copy))) != NULL) {
		*copy = *i;
		httpd_conn_set(c->req, copy, ident_free);
	}
	return (0);
}

/* Both say the same to whoever has no or a wrong token. */
void
auth_refuse(struct call *c, int status)
{
	if (status == 401) {
		httpd_add_header(c->req, "WWW-Authenticate", "Bearer");
		call_error(c, 401, "authentication required");
	} else
		call_error(c, 403, "this user may not use agentd");
}

static void
auth_cb(struct msg *m, void *arg)
{
	struct call *c = arg;
	const struct m_auth_res *r;
	int saved = errno;

	if (m == NULL || !m->more)
		c->id = 0;
	if (m == NULL) {
		call_lost(c, saved);
		return;
	}
	r = &m->u.auth_res;
	if (m->type != MSG_AUTH_RES)
		call_error(c, 502, "keeper gave a wrong answer");
	else if (r->status != 200 || r->role == ROLE_NONE)
		auth_refuse(c, r->status == 403 ? 403 : 401);
	else if (keep_ident(c, r) == -1)
		call_error(c, 502, "keeper gave a wrong answer");
	else
		c->authed(c);
}

static uint64_t
ask_token(struct call *c, const char *token)
{
	struct m_auth_token m;

	m.conn = httpd_req_conn_id(c->req);
	m.token = token;
	return (peer_request_hold(c->peer, MSG_AUTH_TOKEN, &m, -1,
	    AUTH_TIMEOUT_MS, auth_cb, c));
}

static uint64_t
ask_peer(struct call *c)
{
	struct m_auth_peer m;
	int fd;

	m.conn = httpd_req_conn_id(c->req);
	if ((fd = fcntl(httpd_req_fd(c->req), F_DUPFD_CLOEXEC, 0)) == -1)
		return (0);
	return (peer_request_hold(c->peer, MSG_AUTH_PEER, &m, fd,
	    AUTH_TIMEOUT_MS, auth_cb, c));
}

void
auth_start(struct call *c, void (*done)(struct call *))
{
	const char *token = auth_bearer(c->req);
	const struct ident *cached = httpd_conn_get(c->req);

	if (token == NULL && cached != NULL && auth_fresh(cached)) {
		c->ident = *cached;
		done(c);
		return;
	}
	c->authed = done;
	c->peer = worker_peer(PROC_KEEPER);
	/* No token is that long: the message need not carry it. */
	if (token == NULL && !c->unix_peer)
		auth_refuse(c, 401);
	else if (token != NULL && (*token == '\0' || strlen(token) > 256))
		auth_refuse(c, 401);
	else if ((c->id = token != NULL ? ask_token(c, token) :
	    ask_peer(c)) == 0)
		call_lost(c, errno);
}

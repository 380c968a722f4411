/*
 * Says who a request comes from, and makes the passes that say so elsewhere.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, trace, proxy.
 *
 * front hands over the accepted socket itself, so that an owned front cannot
 * claim a uid: the kernel names the peer.
 */
#include <sys/socket.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "keeper.h"
#include "log.h"
#include "sys.h"
#include "worker.h"

#define ADMINS_MAX	256
#define GROUPS_MAX	1024
#define TOKEN_LEN	64		/* hex digits of the local token */

static struct {
	struct pass_ctx	 keeper, trace, proxy;
	uint32_t	 admin_gid;
	bool		 have_group;
	uint32_t	 admins[ADMINS_MAX];
	size_t		 nadmins;
	/* Only its digest stays in memory. */
	uint8_t		 token[crypto_generichash_BYTES];
	uint8_t		 token_key[crypto_generichash_KEYBYTES];
	bool		 have_token;
} au;

static void
make_ctx(struct pass_ctx *ctx, const uint8_t boot[PASS_BOOT_LEN])
{
	memcpy(ctx->boot, boot, PASS_BOOT_LEN);
	sys_random(ctx->key, sizeof(ctx->key));
	ctx->set = 1;
}

/*
 * The group's members by uid.  The sandbox closes the files of the user data
 * base, so it is read once; who joins later is known by the groups that the
 * kernel reports for the peer.
 */
static void
load_group(const char *name)
{
	const struct group	*gr;
	const struct passwd	*pw;
	size_t			 i;

	au.nadmins = 0;
	au.have_group = false;
	if (name[0] == '\0' || (gr = getgrnam(name)) == NULL) {
		log_info("there is no group %s: only root and the local token "
		    "are admins", name);
		return;
	}
	au.have_group = true;
	au.admin_gid = gr->gr_gid;
	for (i = 0; gr->gr_mem[i] != NULL; i++) {
		if (au.nadmins == ADMINS_MAX) {
			log_warnx("group %s has over %d members: the rest "
			    "counts only by the groups of their processes",
			    name, ADMINS_MAX);
			break;
		}
		if ((pw = getpwnam(gr->gr_mem[i])) != NULL)
			au.admins[au.nadmins++] = pw->pw_uid;
	}
	endpwent();
	endgrent();
}

void
auth_init(void)
{
	uint8_t	 boot[PASS_BOOT_LEN];

	sys_random(boot, sizeof(boot));
	make_ctx(&au.keeper, boot);
	make_ctx(&au.trace, boot);
	make_ctx(&au.proxy, boot);
	load_group(worker_conf()->admin_group);
}

void
auth_test_admins(uint32_t gid, const uint32_t *uids, size_t n)
{
	au.have_group = true;
	au.admin_gid = gid;
	au.nadmins = n < ADMINS_MAX ? n : ADMINS_MAX;
	memcpy(au.admins, uids, au.nadmins * sizeof(au.admins[0]));
}

static void
token_digest(uint8_t out[crypto_generichash_BYTES], const char *token,
    size_t len)
{
	(void)crypto_generichash(out, crypto_generichash_BYTES,
	    (const unsigned char *)token, len, au.token_key,
	    sizeof(au.token_key));
}

int
auth_set_token(int fd)
{
	char	 buf[TOKEN_LEN + 3];
	ssize_t	 n;
	int	 rc = -1;

	memset(buf, 0, sizeof(buf));
	n = pread(fd, buf, sizeof(buf) - 1, 0);
	(void)close(fd);
	if (n == TOKEN_LEN + 1 && buf[TOKEN_LEN] == '\n')
		n = TOKEN_LEN;
	if (n == TOKEN_LEN &&
	    strspn(buf, "0123456789abcdef") >= TOKEN_LEN) {
		sys_random(au.token_key, sizeof(au.token_key));
		token_digest(au.token, buf, TOKEN_LEN);
		au.have_token = true;
		rc = 0;
	}
	explicit_bzero(buf, sizeof(buf));
	return rc;
}

/* Digests of one key are compared: equal time, whatever the length. */
int
auth_token_ok(const char *token)
{
	uint8_t	 digest[crypto_generichash_BYTES];

	if (!au.have_token)
		return 0;
	token_digest(digest, token, strlen(token));
	return sodium_memcmp(digest, au.token, sizeof(digest)) == 0;
}

void
auth_push_key(struct peer *p)
{
	const struct pass_ctx	*ctx;
	struct m_pass_key	 m;

	ctx = peer_proc(p) == PROC_TRACE ? &au.trace : &au.proxy;
	m.key.ptr = ctx->key;
	m.key.len = sizeof(ctx->key);
	m.boot.ptr = ctx->boot;
	m.boot.len = sizeof(ctx->boot);
	if (peer_send(p, MSG_PASS_KEY, &m) == -1)
		log_warn("pass key to %s", proc_name(peer_proc(p)));
}

enum role
auth_role(uint32_t uid, const uint32_t *gids, size_t ngids)
{
	size_t	 i;

	if (uid == 0)
		return ROLE_ADMIN;
	if (!au.have_group)
		return ROLE_NONE;
	for (i = 0; i < au.nadmins; i++)
		if (au.admins[i] == uid)
			return ROLE_ADMIN;
	for (i = 0; i < ngids; i++)
		if (gids[i] == au.admin_gid)
			return ROLE_ADMIN;
	return ROLE_NONE;
}

static void
send_refusal(struct peer *p, uint64_t id, uint32_t status,
    const char *principal)
{
	struct m_auth_res	 r;

	memset(&r, 0, sizeof(r));
	r.status = status;
	r.role = ROLE_NONE;
	r.principal = principal;
	if (peer_reply_id(p, id, MSG_AUTH_RES, false, &r, -1) == -1)
		log_warn("answer to front");
}

static void
send_passes(struct peer *p, uint64_t id, uint64_t conn, enum role role,
    const char *principal)
{
	uint8_t			 out[3][PASS_LEN];
	struct m_auth_res	 r;
	struct pass		 pass;

	memset(&pass, 0, sizeof(pass));
	pass.role = role;
	pass.conn = conn;
	pass.expires_ms = sys_now_ms() + PASS_TTL_MS;
	(void)strlcpy(pass.principal, principal, sizeof(pass.principal));
	pass.audience = PROC_KEEPER;
	pass_make(&au.keeper, &pass, out[0]);
	pass.audience = PROC_TRACE;
	pass_make(&au.trace, &pass, out[1]);
	pass.audience = PROC_PROXY;
	pass_make(&au.proxy, &pass, out[2]);
	r.status = 200;
	r.role = role;
	r.principal = principal;
	r.expires_ms = pass.expires_ms;
	r.pass_keeper = (struct msg_bytes){ out[0], PASS_LEN };
	r.pass_trace = (struct msg_bytes){ out[1], PASS_LEN };
	r.pass_proxy = (struct msg_bytes){ out[2], PASS_LEN };
	if (peer_reply_id(p, id, MSG_AUTH_RES, false, &r, -1) == -1)
		log_warn("answer to front");
	explicit_bzero(out, sizeof(out));
}

/* Groups of the process at the other end, its main one first. */
static size_t
peer_groups(int fd, const struct ucred *cred, uint32_t gids[GROUPS_MAX])
{
	socklen_t	 len = (GROUPS_MAX - 1) * sizeof(gids[0]);

	gids[0] = cred->gid;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, gids + 1, &len) == -1)
		return 1;
	return 1 + len / sizeof(gids[0]);
}

int
h_auth_peer(struct peer *p, struct msg *m)
{
	static uint32_t	 gids[GROUPS_MAX];
	struct ucred	 cred;
	socklen_t	 len = sizeof(cred);
	char		 who[32];
	enum role	 role;
	int		 domain = -1;
	socklen_t	 dlen = sizeof(domain);

	/* A TCP socket has no peer that the kernel could name. */
	if (getsockopt(m->fd, SOL_SOCKET, SO_DOMAIN, &domain, &dlen) == -1 ||
	    domain != AF_UNIX ||
	    getsockopt(m->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1 ||
	    cred.uid == (uid_t)-1) {
		send_refusal(p, m->id, 401, "");
		return 0;
	}
	role = auth_role(cred.uid, gids, peer_groups(m->fd, &cred, gids));
	if (cred.uid == 0)
		(void)snprintf(who, sizeof(who), "root");
	else
		(void)snprintf(who, sizeof(who), "uid:%u", cred.uid);
	if (role == ROLE_NONE) {
		audit_denied(who, m->u.auth_peer.conn, "connect", "", 403);
		send_refusal(p, m->id, 403, who);
		return 0;
	}
	send_passes(p, m->id, m->u.auth_peer.conn, role, who);
	return 0;
}

int
h_auth_token(struct peer *p, struct msg *m)
{
	if (!auth_token_ok(m->u.auth_token.token)) {
		audit_denied("?", m->u.auth_token.conn, "token", "", 401);
		send_refusal(p, m->id, 401, "");
		return 0;
	}
	send_passes(p, m->id, m->u.auth_token.conn, ROLE_ADMIN, "token");
	return 0;
}

int
auth_request(const struct msg *m, const struct msg_bytes *bytes,
    enum role least, struct pass *who)
{
	if (pass_check(&au.keeper, PROC_KEEPER, bytes, who) == -1) {
		/* An expired one is front's to renew, a forged one is news. */
		if (errno != ETIMEDOUT)
			audit_denied("?", 0, msg_name(m->type), "pass", 401);
		reply_error(client_of(m), 401, "%s", errno == ETIMEDOUT ?
		    "the pass is over: authenticate again" :
		    "not authenticated");
		return -1;
	}
	if (who->role < least) {
		audit_denied(who->principal, who->conn, msg_name(m->type), "",
		    403);
		reply_error(client_of(m), 403, "%s may not do this",
		    who->principal);
		return -1;
	}
	return 0;
}

/*
 * Providers of models: their rows and their keys.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, proxy, upstream.
 *
 * The row is keeper's; proxy learns all but the key, upstream the key.  Both
 * are told again when they come up.  A deleted one stays as a row without a
 * secret until both have forgotten it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"
#include "log.h"
#include "provider.h"
#include "secret.h"
#include "sys.h"
#include "worker.h"

#define ASK_MS		20000
#define PROVIDERS_MAX	200
#define KEY_MAX		4096

static struct secret_key	 key;

/* An add or a delete that proxy and upstream have to hear of. */
struct change {
	char		 id[ID_LEN + 1];
	char		 name[65];
	struct client	 client;
	unsigned	 waiting;
	unsigned	 good;		/* answers that say it is done */
	bool		 drop;
	uint32_t	 refused;	/* by proxy, with this status */
	char		 error[512];
};

int
provider_set_key(int fd)
{
	uint8_t	 buf[SECRET_KEY_LEN + 1];
	ssize_t	 n;

	n = pread(fd, buf, sizeof(buf), 0);
	(void)close(fd);
	if (n == SECRET_KEY_LEN)
		secret_key_set(&key, buf);
	explicit_bzero(buf, sizeof(buf));
	return n == SECRET_KEY_LEN ? 0 : -1;
}

const struct secret_key *
provider_key(void)
{
	return &key;
}

/* ---- telling proxy and upstream ---- */

#define PROVIDER_COLS \
	"id, name, owner_id, type, url, models, allow_private, ca_pem, " \
	"key_id, nonce, secret"

static void	change_step(struct change *);

static uint64_t
put_row(struct db_stmt *s, peer_reply_fn fn, void *arg)
{
	struct m_provider_put	 m;

	m.provider_id = db_text(s, 0);
	m.name = db_text(s, 1);
	m.owner = db_text(s, 2);
	m.type = db_text(s, 3);
	m.url = db_text(s, 4);
	m.models = db_text(s, 5);
	m.allow_private = (uint32_t)db_int(s, 6);
	m.ca_pem = db_text(s, 7);
	return peer_request(worker_peer(PROC_PROXY), MSG_PROVIDER_PUT, &m,
	    ASK_MS, fn, arg);
}

/* The clear text lives in this function only. */
static uint64_t
put_secret(struct db_stmt *s, peer_reply_fn fn, void *arg)
{
	const uint8_t	*nonce, *sealed;
	struct m_secret	 m;
	size_t		 nlen, len;
	uint64_t	 id = 0;
	char		 text[KEY_MAX + 1];

	nonce = db_blob(s, 9, &nlen);
	sealed = db_blob(s, 10, &len);
	errno = EINVAL;
	/* Told, too: upstream waits after a start for keys it misses. */
	if (db_is_null(s, 10))
		text[0] = '\0';
	else if (nlen != SECRET_NONCE_LEN || len > KEY_MAX + SECRET_OVERHEAD ||
	    secret_open(&key, db_text(s, 0), nonce, sealed, len,
	    text) == -1) {
		log_warnx("provider %s: its key was sealed with another state "
		    "key (%s) and cannot be opened", db_text(s, 1),
		    db_text(s, 8));
		return 0;
	}
	m.provider_id = db_text(s, 0);
	m.api_key = text;
	id = peer_request(worker_peer(PROC_UPSTREAM), MSG_SECRET_PUT, &m,
	    ASK_MS, fn, arg);
	explicit_bzero(text, sizeof(text));
	return id;
}

static void
on_pushed(struct msg *m, void *arg)
{
	(void)arg;
	if (m != NULL && m->u.done.status >= 300)
		log_warnx("a provider is not taken: %s", m->u.done.error);
}

static void
on_changed(struct msg *m, void *arg)
{
	struct change	*c = arg;
	uint32_t	 status;

	c->waiting--;
	status = m != NULL && m->type == MSG_DONE ? m->u.done.status : 503;
	if (status < 300 || (c->drop && status == 404)) {
		c->good++;
	} else if (status < 500) {
		c->refused = status;
		(void)strlcpy(c->error, m->u.done.error, sizeof(c->error));
	}
	change_step(c);
}

static void
push_drop(const char *id, enum proc to, struct change *c)
{
	struct m_provider_id	 m = { id };

	if (peer_request(worker_peer(to), to == PROC_PROXY ?
	    MSG_PROVIDER_DROP : MSG_SECRET_DROP, &m, ASK_MS,
	    c != NULL ? on_changed : on_pushed, c) != 0 && c != NULL)
		c->waiting++;
}

static void
delete_row(const char *id)
{
	(void)db_exec(keeper_db(), "DELETE FROM provider WHERE id = ?1", "s",
	    id);
}

static void
change_step(struct change *c)
{
	struct jbuf	 jb;

	if (c->waiting > 0)
		return;
	if (c->drop ? c->good == 2 : c->refused != 0)
		delete_row(c->id);
	if (!c->drop && c->refused != 0) {
		push_drop(c->id, PROC_PROXY, NULL);
		push_drop(c->id, PROC_UPSTREAM, NULL);
		reply_error(c->client, c->refused, "provider %s: %s", c->name,
		    c->error);
	} else {
		jbuf_init(&jb, 1024);
		jb_obj(&jb);
		jb_kstr(&jb, "status", c->drop ? "deleted" : "added");
		jb_kstr(&jb, "name", c->name);
		jb_end(&jb);
		reply_doc(c->client, c->drop ? 200 : 201, &jb);
	}
	free(c);
}

static struct change *
change_new(const char *id, const char *name, struct client client, bool drop)
{
	struct change	*c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		fatal("provider");
	(void)strlcpy(c->id, id, sizeof(c->id));
	(void)strlcpy(c->name, name, sizeof(c->name));
	c->client = client;
	c->drop = drop;
	return c;
}

/* Of a deleted one: both must say that they have forgotten it. */
static void
drop_both(struct change *c)
{
	/* One is held back until both are asked: none may end it early. */
	c->waiting = 1;
	push_drop(c->id, PROC_PROXY, c);
	push_drop(c->id, PROC_UPSTREAM, c);
	c->waiting--;
	change_step(c);
}

static void
push_all(bool proxy)
{
	struct client	 nobody = { 0, 0 };
	struct db_stmt	*s;

	s = db_query(keeper_db(), "SELECT " PROVIDER_COLS ", deleted FROM "
	    "provider ORDER BY created_at", "");
	while (s != NULL && db_step(s) == 1) {
		if (db_int(s, 11) != 0)
			drop_both(change_new(db_text(s, 0), db_text(s, 1),
			    nobody, true));
		else if (proxy)
			(void)put_row(s, on_pushed, NULL);
		else
			(void)put_secret(s, on_pushed, NULL);
	}
	db_end(s);
}

void
provider_proxy_up(void)
{
	push_all(true);
}

void
provider_upstream_up(void)
{
	push_all(false);
}

/* ---- requests ---- */

static void
push_new(struct change *c)
{
	struct db_stmt	*s;

	/* One is held back until all are asked: none may end it early. */
	c->waiting = 1;
	s = db_query(keeper_db(), "SELECT " PROVIDER_COLS " FROM provider "
	    "WHERE id = ?1", "s", c->id);
	if (s != NULL && db_step(s) == 1) {
		c->waiting += put_row(s, on_changed, c) != 0;
		c->waiting += put_secret(s, on_changed, c) != 0;
	}
	db_end(s);
	c->waiting--;
	change_step(c);
}

static int
store(const char *id, const struct pass *who, const struct m_provider_add *in)
{
	uint8_t		 nonce[SECRET_NONCE_LEN];
	uint8_t		 sealed[KEY_MAX + SECRET_OVERHEAD];
	size_t		 len = strlen(in->api_key);
	struct db	*db = keeper_db();

	if (db_begin(db) == -1)
		return -1;
	(void)db_exec(db, "INSERT INTO provider (id, owner_id, name, type, "
	    "url, models, allow_private, ca_pem, key_id, created_at) VALUES "
	    "(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)", "ssssssussd", id,
	    who->principal, in->name, in->type, in->url, in->models,
	    in->allow_private != 0, in->ca_pem, len > 0 ? key.id : "",
	    sys_time());
	if (len > 0) {
		secret_seal(&key, id, in->api_key, len, nonce, sealed);
		(void)db_exec(db, "UPDATE provider SET nonce = ?2, "
		    "secret = ?3 WHERE id = ?1", "sbb", id, nonce,
		    sizeof(nonce), sealed, len + SECRET_OVERHEAD);
	}
	audit_add(who, "PROVIDER_ADD", in->name, 201, in->url);
	return db_commit(db);
}

static bool
may_add(struct client c, const struct m_provider_add *in)
{
	const char	*why;
	int64_t		 n = 0, same = 0;

	(void)db_get_int(keeper_db(), &n, "SELECT count(*) FROM provider", "");
	(void)db_get_int(keeper_db(), &same, "SELECT count(*) FROM provider "
	    "WHERE name = ?1 AND deleted = 0", "s", in->name);
	if ((why = provider_wrong(in)) != NULL)
		reply_error(c, 422, "%s", why);
	else if (same > 0 || strcmp(in->name, "demo") == 0)
		reply_error(c, 409, "a provider %s exists already", in->name);
	else if (n >= PROVIDERS_MAX)
		reply_error(c, 429, "there are %d providers: no more are "
		    "taken", PROVIDERS_MAX);
	else if (!key.set && in->api_key[0] != '\0')
		reply_error(c, 503, "the state key is missing: keys cannot be "
		    "stored");
	else
		return true;
	return false;
}

int
h_provider_add(struct peer *p, struct msg *m)
{
	const struct m_provider_add	*in = &m->u.provider_add;
	struct client			 c = client_of(m);
	char				 id[ID_LEN + 1];
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_ADMIN, &who) == -1 ||
	    !may_add(c, in))
		return 0;
	sys_id(id);
	if (store(id, &who, in) == -1) {
		reply_db_error(c);
		return 0;
	}
	push_new(change_new(id, in->name, c, false));
	return 0;
}

static int
mark_deleted(const struct pass *who, const char *id, const char *name)
{
	struct db	*db = keeper_db();

	if (db_begin(db) == -1)
		return -1;
	(void)db_exec(db, "UPDATE provider SET deleted = 1, nonce = NULL, "
	    "secret = NULL WHERE id = ?1", "s", id);
	audit_add(who, "PROVIDER_DELETE", name, 200, id);
	return db_commit(db);
}

int
h_provider_delete(struct peer *p, struct msg *m)
{
	const struct m_provider_ref	*in = &m->u.provider_ref;
	struct client			 c = client_of(m);
	char				 id[ID_LEN + 1] = "";
	struct db_stmt			*s;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_ADMIN, &who) == -1)
		return 0;
	s = db_query(keeper_db(), "SELECT id FROM provider WHERE name = ?1 "
	    "AND deleted = 0", "s", in->name);
	if (s != NULL && db_step(s) == 1)
		(void)strlcpy(id, db_text(s, 0), sizeof(id));
	db_end(s);
	if (id[0] == '\0') {
		reply_error(c, 404, "there is no provider %s", in->name);
		return 0;
	}
	if (mark_deleted(&who, id, in->name) == -1) {
		reply_db_error(c);
		return 0;
	}
	drop_both(change_new(id, in->name, c, true));
	return 0;
}

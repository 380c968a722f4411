/*
 * The server's signing key: made at the first start, sealed in the state
 * database, used for what leaves this server.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 */
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "move.h"
#include "provider.h"
#include "secret.h"
#include "worker.h"

#define ROW	"server-key"		/* what the ciphertext is bound to */

_Static_assert(crypto_sign_PUBLICKEYBYTES == SERVER_KEY_LEN, "key");
_Static_assert(crypto_sign_BYTES == SIGNATURE_LEN, "signature");

static struct {
	bool		 set;
	uint8_t		 public[crypto_sign_PUBLICKEYBYTES];
	uint8_t		 secret[crypto_sign_SECRETKEYBYTES];
} sk;

static int
store_new(const struct secret_key *state)
{
	uint8_t	 seed[crypto_sign_SEEDBYTES], nonce[SECRET_NONCE_LEN];
	uint8_t	 sealed[crypto_sign_SEEDBYTES + SECRET_OVERHEAD];
	int	 r;

	sys_random(seed, sizeof(seed));
	(void)crypto_sign_seed_keypair(sk.public, sk.secret, seed);
	secret_seal(state, ROW, seed, sizeof(seed), nonce, sealed);
	explicit_bzero(seed, sizeof(seed));
	r = db_exec(keeper_db(), "INSERT INTO server_key (id, owner_id, "
	    "public, key_id, nonce, secret, created_at) VALUES ('current', "
	    "'', ?1, ?2, ?3, ?4, ?5)", "bsbbd", sk.public, sizeof(sk.public),
	    state->id, nonce, sizeof(nonce), sealed, sizeof(sealed),
	    sys_time());
	return r == 1 ? 0 : -1;
}

static int
read_old(const struct secret_key *state, struct db_stmt *s)
{
	uint8_t		 seed[crypto_sign_SEEDBYTES + 1];
	const void	*nonce, *sealed;
	size_t		 nn, ns;

	nonce = db_blob(s, 0, &nn);
	sealed = db_blob(s, 1, &ns);
	if (nn != SECRET_NONCE_LEN ||
	    ns != crypto_sign_SEEDBYTES + SECRET_OVERHEAD ||
	    secret_open(state, ROW, nonce, sealed, ns, (char *)seed) == -1)
		return -1;
	(void)crypto_sign_seed_keypair(sk.public, sk.secret, seed);
	explicit_bzero(seed, sizeof(seed));
	return 0;
}

void
serverkey_init(void)
{
	const struct secret_key	*state = provider_key();
	struct db_stmt		*s;
	int			 rc;

	s = db_query(keeper_db(), "SELECT nonce, secret FROM server_key "
	    "WHERE id = 'current'", "");
	if (s == NULL || (rc = db_step(s)) == -1)
		fatalx("cannot read the server's key");
	if (!state->set)
		log_warnx("without the state key nothing can be signed");
	else if (rc == 1 && read_old(state, s) == -1)
		log_warnx("the server's signing key was sealed with another "
		    "state key: agents cannot be exported");
	else if (rc == 0 && store_new(state) == -1)
		fatalx("cannot store the server's key");
	else
		sk.set = true;
	db_end(s);
}

const uint8_t *
serverkey_public(void)
{
	return sk.set ? sk.public : NULL;
}

const char *
serverkey_hex(char out[2 * SERVER_KEY_LEN + 1])
{
	if (!sk.set)
		return NULL;
	sys_hex(out, sk.public, sizeof(sk.public));
	return out;
}

static uint8_t *
joined(const char *prefix, const void *data, size_t len, size_t *out)
{
	size_t	 n = strlen(prefix);
	uint8_t	*p;

	if ((p = malloc(n + len)) == NULL)
		fatal("signature");
	memcpy(p, prefix, n);
	memcpy(p + n, data, len);
	*out = n + len;
	return p;
}

int
serverkey_sign(const char *prefix, const void *data, size_t len,
    uint8_t sig[SIGNATURE_LEN])
{
	uint8_t	*p;
	size_t	 n;

	if (!sk.set)
		return -1;
	p = joined(prefix, data, len, &n);
	(void)crypto_sign_detached(sig, NULL, p, n, sk.secret);
	free(p);
	return 0;
}

int
serverkey_verify(const char *prefix, const void *data, size_t len,
    const uint8_t key[SERVER_KEY_LEN], const uint8_t sig[SIGNATURE_LEN])
{
	uint8_t	*p;
	size_t	 n;
	int	 r;

	p = joined(prefix, data, len, &n);
	r = crypto_sign_verify_detached(sig, p, n, key);
	free(p);
	return r == 0 ? 0 : -1;
}

bool
serverkey_listed(const char *list, const char *key)
{
	const char	*p = list == NULL ? "" : list;
	size_t		 n;

	for (; *p != '\0'; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		if (n == strlen(key) && memcmp(p, key, n) == 0)
			return true;
	}
	return false;
}

int
h_server_key(struct peer *p, struct msg *m)
{
	char		 hex[2 * SERVER_KEY_LEN + 1];
	struct pass	 who;
	struct jbuf	 jb;

	(void)p;
	if (auth_request(m, &m->u.api.pass, ROLE_USER, &who) == -1)
		return 0;
	if (!sk.set) {
		reply_error(client_of(m), 503, "this server has no signing "
		    "key: see keeper's log");
		return 0;
	}
	jbuf_init(&jb, 1024);
	jb_obj(&jb);
	jb_kstr(&jb, "node", worker_conf()->node_id);
	jb_kstr(&jb, "algorithm", "ed25519");
	jb_kstr(&jb, "server_key", serverkey_hex(hex));
	jb_end(&jb);
	reply_doc(client_of(m), 200, &jb);
	return 0;
}

/*
 * Images: whose are taken, and what becomes of them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container.
 *
 * An image runs as root in a container, so it must bear the signature of a
 * key that the configuration trusts, made for the very alias it asks for; or
 * an admin says, for this one image, that it was built here or need not be
 * signed.  What can be checked without the bytes is checked here; container
 * sees the bytes and checks the rest before the alias moves.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "log.h"
#include "minisig.h"
#include "worker.h"

#define ASK_MS		30000
#define IMAGE_MS	1800000		/* an import may take its time */
#define IMAGE_MAX	(16ULL * 1024 * 1024 * 1024)
#define AT_ONCE		2
#define GONE		"the container worker does not answer: try again"

/* A question under way. */
struct asked {
	struct client	 client;
	struct jbuf	 jb;
	uint32_t	 good;		/* the status of success */
	bool		 heavy;		/* reads a whole image */
};

static unsigned	 nheavy;

static struct asked *
asked_new(struct client c, bool heavy)
{
	struct asked	*q;

	if ((q = calloc(1, sizeof(*q))) == NULL)
		fatal("request");
	q->client = c;
	q->good = 200;
	q->heavy = heavy;
	nheavy += heavy;
	jbuf_init(&q->jb, 16384);
	return q;
}

static void
asked_free(struct asked *q)
{
	nheavy -= q->heavy;
	jbuf_free(&q->jb);
	free(q);
}

static bool
may_be_heavy(struct client c)
{
	if (nheavy < AT_ONCE)
		return true;
	reply_error(c, 429, "other images are being read: try again");
	return false;
}

static bool
alias_ok(struct client c, const char *s)
{
	size_t	 len = strlen(s);

	if (len > 0 && len <= 128 && strchr("._-", s[0]) == NULL &&
	    strstr(s, "..") == NULL &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "0123456789._-") == len)
		return true;
	reply_error(c, 422, "alias: must be of letters, digits and . _ -, the "
	    "first a letter or a digit, without ..");
	return false;
}

/* ---- trust ---- */

typedef bool (*key_fn)(const struct minisig_key *, const void *);

/* The first trusted key that fits; false if there is none. */
static bool
trusted(key_fn fits, const void *arg, struct minisig_key *key)
{
	const char	*line = worker_conf()->image_keys;
	char		 text[64];
	size_t		 len;

	for (; *line != '\0'; line += len + (line[len] == '\n')) {
		len = strcspn(line, "\n");
		if (len >= sizeof(text))
			continue;
		memcpy(text, line, len);
		text[len] = '\0';
		if (minisig_key(text, key) == -1)
			log_warnx("images.trusted_keys: %s is no key", text);
		else if (fits(key, arg))
			return true;
	}
	return false;
}

static bool
has_id(const struct minisig_key *k, const void *id)
{
	return memcmp(k->id, id, sizeof(k->id)) == 0;
}

static bool
is_key(const struct minisig_key *k, const void *key)
{
	return memcmp(k->key, key, sizeof(k->key)) == 0;
}

/* As minisign prints it. */
static const char *
id_text(const uint8_t id[MINISIG_ID], char out[2 * MINISIG_ID + 1])
{
	size_t	 i;

	for (i = 0; i < MINISIG_ID; i++)
		(void)snprintf(out + 2 * i, 3, "%02X",
		    id[MINISIG_ID - 1 - i]);
	return out;
}

/* Is the word alias:ALIAS in the comment? */
static bool
made_for(const char *comment, const char *alias)
{
	const char	*p;
	size_t		 len = strlen(alias);

	for (p = comment; (p = strstr(p, "alias:")) != NULL; p++) {
		if ((p == comment || p[-1] == ' ' || p[-1] == '\t') &&
		    strncmp(p + 6, alias, len) == 0 &&
		    (p[6 + len] == '\0' || p[6 + len] == ' ' ||
		    p[6 + len] == '\t'))
			return true;
	}
	return false;
}

/* Who vouches for it: fills in trust, key and signature, or refuses. */
static bool
vouched(struct client c, const struct m_image_put *in, struct m_ct_image *out,
    struct minisig_key *key, uint8_t sig[MINISIG_SIG])
{
	char	 id[2 * MINISIG_ID + 1];
	uint8_t	 raw[MINISIG_ID];

	if (in->signature[0] == '\0' && in->trust[0] == '\0') {
		reply_error(c, 403, "image %s has no signature: an admin may "
		    "take it all the same, with trust=unsigned (agentctl image "
		    "import --unsigned)", in->alias);
	} else if (in->signature[0] == '\0') {
		out->trust = in->trust;
		if (strcmp(in->trust, "built") == 0 ||
		    strcmp(in->trust, "unsigned") == 0)
			return true;
		reply_error(c, 422, "trust: must be built or unsigned");
	} else if (minisig_id(in->signature, raw) == -1) {
		reply_error(c, 422, "signature: not one of minisign(1)");
	} else if (!trusted(has_id, raw, key)) {
		reply_error(c, 403, "image %s is signed with the key %s, which "
		    "is not in images.trusted_keys", in->alias,
		    id_text(raw, id));
	} else if (minisig_check(key, in->signature, in->comment, in->global,
	    sig) == -1) {
		reply_error(c, 403, "image %s: the signature is not of the key "
		    "%s that it names", in->alias, id_text(raw, id));
	} else if (!made_for(in->comment, in->alias)) {
		reply_error(c, 403, "the signature was not made for image %s: "
		    "its trusted comment has no alias:%s", in->alias,
		    in->alias);
	} else {
		out->trust = "signed";
		out->key.ptr = key->key;
		out->key.len = sizeof(key->key);
		out->signature.ptr = sig;
		out->signature.len = MINISIG_SIG;
		return true;
	}
	return false;
}

/* ---- answers that are a status and a sentence ---- */

static void
on_done(struct msg *m, void *arg)
{
	struct asked	*q = arg;
	const char	*error;
	uint32_t	 status = answer_status(m, GONE, &error);

	if (status >= 300)
		reply_error(q->client, status, "%s", error);
	else
		reply_doc(q->client, q->good, &q->jb);
	asked_free(q);
	/* A warm instance is thrown away with the image that it is of. */
	pool_images_changed();
}

static void
put_status(struct jbuf *jb, const char *status, const char *alias)
{
	jb_obj(jb);
	jb_kstr(jb, "status", status);
	jb_kstr(jb, "alias", alias);
	jb_end(jb);
}

int
h_image_put(struct peer *p, struct msg *m)
{
	const struct m_image_put	*in = &m->u.image_put;
	struct client			 c = client_of(m);
	struct m_ct_image		 out = { .alias = in->alias };
	struct minisig_key		 key;
	uint8_t				 sig[MINISIG_SIG];
	struct asked			*q;
	struct pass			 who;
	uint64_t			 id;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_ADMIN, &who) == -1 ||
	    !alias_ok(c, in->alias))
		return 0;
	if (in->size == 0 || in->size > IMAGE_MAX) {
		reply_error(c, 422, "size: must be 1 byte to 16 GiB");
		return 0;
	}
	if (!vouched(c, in, &out, &key, sig)) {
		audit_add(&who, "IMAGE_PUT", in->alias, 403, "not vouched for");
		return 0;
	}
	if (!may_be_heavy(c))
		return 0;
	audit_add(&who, "IMAGE_PUT", in->alias, 201, out.trust);
	q = asked_new(c, true);
	q->good = 201;
	put_status(&q->jb, "imported", in->alias);
	out.size = in->size;
	id = peer_request_hold(worker_peer(PROC_CONTAINER),
	    MSG_CT_IMAGE_PUT, &out, m->fd, IMAGE_MS, on_done, q);
	m->fd = -1;
	if (id == 0)
		on_done(NULL, q);
	return 0;
}

int
h_image_delete(struct peer *p, struct msg *m)
{
	const struct m_image_ref	*in = &m->u.image_ref;
	struct client			 c = client_of(m);
	struct m_ct_image_ref		 out = { in->alias };
	struct asked			*q;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_ADMIN, &who) == -1 ||
	    !alias_ok(c, in->alias))
		return 0;
	audit_add(&who, "IMAGE_DELETE", in->alias, 200, "");
	q = asked_new(c, false);
	put_status(&q->jb, "deleted", in->alias);
	if (peer_request_hold(worker_peer(PROC_CONTAINER),
	    MSG_CT_IMAGE_DELETE, &out, -1, ASK_MS * 3, on_done, q) == 0)
		on_done(NULL, q);
	return 0;
}

/* ---- lists ---- */

static void
image_json(struct jbuf *jb, const struct m_ct_image_row *i)
{
	struct minisig_key	 key;
	char			 id[2 * MINISIG_ID + 1];
	bool			 known = false;

	if (i->key.len == MINISIG_KEY)
		known = trusted(is_key, i->key.ptr, &key);
	jb_obj(jb);
	jb_kstr(jb, "alias", i->alias);
	jb_kstr(jb, "fingerprint", i->fingerprint);
	jb_kstr(jb, "description", i->description);
	jb_kstr(jb, "version", i->version);
	jb_kint(jb, "size", (int64_t)i->size);
	jb_key(jb, "created_at");
	jb_double(jb, i->created_at);
	/* A key that was taken out of the configuration vouches no more. */
	jb_kstr(jb, "trust", i->key.len == MINISIG_KEY && !known ?
	    "untrusted key" : i->trust);
	jb_kstr(jb, "key_id", known ? id_text(key.id, id) : NULL);
	jb_end(jb);
}

static void
on_row(struct msg *m, void *arg)
{
	struct asked	*q = arg;
	const char	*error;
	uint32_t	 status;

	if (m != NULL && m->type == MSG_CT_IMAGE_ROW) {
		jbuf_reset(&q->jb);
		image_json(&q->jb, &m->u.ct_image_row);
		(void)reply_row(q->client, "", 0, &q->jb);
	}
	if (m != NULL && m->more)
		return;
	if ((status = answer_status(m, GONE, &error)) >= 300)
		reply_error(q->client, status, "%s", error);
	else
		(void)reply_end(q->client);
	asked_free(q);
}

static void
ask_rows(struct client c, uint32_t type, const void *payload, bool heavy)
{
	struct asked	*q = asked_new(c, heavy);

	if (peer_request_hold(worker_peer(PROC_CONTAINER), type, payload, -1,
	    heavy ? IMAGE_MS : ASK_MS, on_row, q) == 0)
		on_row(NULL, q);
}

int
h_image_list(struct peer *p, struct msg *m)
{
	struct m_none	 none;
	struct pass	 who;

	(void)p;
	if (auth_request(m, &m->u.api.pass, ROLE_USER, &who) == 0)
		ask_rows(client_of(m), MSG_CT_IMAGES, &none, false);
	return 0;
}

int
h_image_verify(struct peer *p, struct msg *m)
{
	const struct m_image_ref	*in = &m->u.image_ref;
	struct client			 c = client_of(m);
	struct m_ct_image_ref		 out = { in->alias };
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_ADMIN, &who) == 0 &&
	    alias_ok(c, in->alias) && may_be_heavy(c))
		ask_rows(c, MSG_CT_IMAGE_VERIFY, &out, true);
	return 0;
}

int
h_image_prune(struct peer *p, struct msg *m)
{
	const struct m_image_prune	*in = &m->u.image_prune;
	struct m_ct_image_prune		 out = { in->age };
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_ADMIN, &who) == -1)
		return 0;
	audit_add(&who, "IMAGE_PRUNE", "", 200, "");
	ask_rows(client_of(m), MSG_CT_IMAGE_PRUNE, &out, false);
	return 0;
}

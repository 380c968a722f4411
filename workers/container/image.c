/*
 * CT_IMAGE_PUT: a finished image comes in and takes over its alias.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * The bytes go from the descriptor to Incus without being kept; their
 * SHA-256 on the way is the fingerprint that Incus must come to as well, and
 * their BLAKE2b is what a signature must be of before the alias moves.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>
#include <sodium.h>

#include "container.h"
#include "image.h"
#include "jbuf.h"
#include "log.h"
#include "sys.h"

#define IMAGE_MAX	(16ULL * 1024 * 1024 * 1024)
#define UPLOAD_TIMEOUT	3600	/* seconds; 60 without a byte end it too */

struct put {
	struct op	 op;
	crypto_generichash_state blake;	/* what minisign signs */
	crypto_hash_sha256_state sha;
	uint64_t	 size;
	uint64_t	 seen;
	int		 fd;
	char		 alias[129];
	char		 trust[65];
	uint8_t		 key[crypto_sign_PUBLICKEYBYTES];
	uint8_t		 sig[crypto_sign_BYTES];
	bool		 is_signed;
	char		 fingerprint[65];	/* of the new one */
	char		 old[65];		/* what the alias was; "" */
};

static void
put_free(struct op *op)
{
	struct put *p = (struct put *)op;

	if (p->fd != -1)
		close(p->fd);
}

static void
sink(const void *data, size_t len, void *arg)
{
	struct put *p = arg;

	crypto_hash_sha256_update(&p->sha, data, len);
	if (p->is_signed)
		crypto_generichash_update(&p->blake, data, len);
	p->seen += len;
}

/* ---- last: the image that lost its alias ---- */

static void
on_old_gone(enum imgdrop what, const struct incus_reply *r, void *arg)
{
	struct put *p = arg;

	if (what == IMGDROP_USED)
		log_info("image %.12s, replaced, is kept: it is in use",
		    p->old);
	else if (what == IMGDROP_FAILED)
		log_warnx("image %.12s, replaced, cannot be deleted: %s",
		    p->old, r->error);
	op_done(&p->op, 200, NULL, "%s", "");
}

/* ---- the alias ---- */

static void
on_alias_moved(const struct incus_reply *r, void *arg)
{
	struct put *p = arg;

	if (r->status != 200) {
		op_fail(&p->op, r, "the image is there, its alias is not");
		return;
	}
	log_info("image %s is %.12s", p->alias, p->fingerprint);
	if (p->old[0] == '\0') {
		op_done(&p->op, 200, NULL, "%s", "");
		return;
	}
	imgdrop_run(p->old, on_old_gone, p);
}

static void
on_alias(const struct incus_reply *r, void *arg)
{
	struct put *p = arg;
	const char *target;
	char path[CT_PATH_LEN];
	struct jbuf b;

	if (r->status != 200 && r->status != 404) {
		op_fail(&p->op, r, NULL);
		return;
	}
	target = r->status == 200 ? meta_str(r->meta, "target") : NULL;
	if (target != NULL && strcmp(target, p->fingerprint) == 0) {
		op_done(&p->op, 200, NULL, "%s", "");
		return;
	}
	if (target != NULL && valid_fingerprint(target))
		strlcpy(p->old, target, sizeof(p->old));
	jbuf_init(&b, 4096);
	jb_obj(&b);
	if (target == NULL)
		jb_kstr(&b, "name", p->alias);
	jb_kstr(&b, "description", "");
	jb_kstr(&b, "target", p->fingerprint);
	jb_end(&b);
	if (target == NULL)
		snprintf(path, sizeof(path), "/1.0/images/aliases?project=%s",
		    env_project());
	else
		imgpath_alias(path, sizeof(path), p->alias);
	incus_call(target == NULL ? "POST" : "PUT", path, jbuf_text(&b, NULL),
	    CT_TIMEOUT, INCUS_REPLY_MAX, on_alias_moved, p);
	jbuf_free(&b);
}

/* ---- who vouches for it, on the image itself ---- */

static void
on_noted(const struct incus_reply *r, void *arg)
{
	struct put *p = arg;

	if (r->status != 200)
		op_fail(&p->op, r, "who vouches for the image was not noted");
	else
		imgget_alias(p->alias, on_alias, p);
}

/* All three each time: the image may say such things of itself. */
static void
note_trust(struct put *p)
{
	char path[CT_PATH_LEN], hex[2 * sizeof(p->sig) + 1] = "";
	struct jbuf b;

	jbuf_init(&b, 4096);
	jb_obj(&b);
	jb_key(&b, "properties");
	jb_obj(&b);
	jb_kstr(&b, IMG_TRUST, p->trust);
	if (p->is_signed)
		sys_hex(hex, p->key, sizeof(p->key));
	jb_kstr(&b, IMG_KEY, hex);
	if (p->is_signed)
		sys_hex(hex, p->sig, sizeof(p->sig));
	jb_kstr(&b, IMG_SIGNATURE, hex);
	jb_end(&b);
	jb_end(&b);
	imgpath(path, sizeof(path), p->fingerprint);
	incus_call("PATCH", path, jbuf_text(&b, NULL), CT_TIMEOUT,
	    INCUS_REPLY_MAX, on_noted, p);
	jbuf_free(&b);
}

static void
on_refused(enum imgdrop what, const struct incus_reply *r, void *arg)
{
	struct put *p = arg;

	if (what == IMGDROP_FAILED)
		log_warnx("image %.12s, refused, cannot be deleted: %s",
		    p->fingerprint, r->error);
	op_done(&p->op, 403, NULL, "image %s is not what was signed",
	    p->alias);
}

/* ---- the upload ---- */

static void
on_uploaded(const struct incus_reply *r, void *arg)
{
	struct put *p = arg;
	unsigned char sum[crypto_hash_sha256_BYTES];
	unsigned char hash[crypto_generichash_BYTES_MAX];
	const char *fp = meta_str(meta_obj(r->meta, "metadata"),
	    "fingerprint");

	/* The very same image may be there: then only the alias is new. */
	if (r->status != 200 && (p->seen != p->size ||
	    strstr(r->error, "already exists") == NULL)) {
		op_fail(&p->op, r, "the image was not taken");
		return;
	}
	crypto_hash_sha256_final(&p->sha, sum);
	sys_hex(p->fingerprint, sum, sizeof(sum));
	if (r->status == 200 &&
	    (fp == NULL || strcmp(fp, p->fingerprint) != 0)) {
		op_done(&p->op, 502, NULL, "Incus has another fingerprint for "
		    "the image than the one computed here");
		return;
	}
	if (p->is_signed) {
		crypto_generichash_final(&p->blake, hash, sizeof(hash));
		if (crypto_sign_verify_detached(p->sig, hash, sizeof(hash),
		    p->key) != 0) {
			imgdrop_run(p->fingerprint, on_refused, p);
			return;
		}
	}
	note_trust(p);
}

static void
run(struct op *op)
{
	struct put *p = (struct put *)op;
	char path[CT_PATH_LEN];

	crypto_hash_sha256_init(&p->sha);
	crypto_generichash_init(&p->blake, NULL, 0,
	    crypto_generichash_BYTES_MAX);
	snprintf(path, sizeof(path), "/1.0/images?project=%s", env_project());
	incus_upload(path, p->fd, p->size, UPLOAD_TIMEOUT, sink, on_uploaded,
	    p);
}

void
image_put_start(uint64_t id, const struct m_ct_image *m, int fd)
{
	struct put *p = NULL;

	if (!valid_alias(m->alias))
		op_refuse(id, 400, "the alias of an image is made of letters, "
		    "digits, dots, dashes and underscores");
	else if (m->key.len != 0 && (m->key.len != sizeof(p->key) ||
	    m->signature.len != sizeof(p->sig)))
		op_refuse(id, 400, "the signature of an image has %zu bytes",
		    sizeof(p->sig));
	else if (m->size == 0 || m->size > IMAGE_MAX)
		op_refuse(id, 413, "an image has 1 to %llu bytes",
		    (unsigned long long)IMAGE_MAX);
	else
		p = op_new(sizeof(*p), id, "image", "", run, put_free);
	if (p == NULL) {
		close(fd);
		return;
	}
	strlcpy(p->alias, m->alias, sizeof(p->alias));
	strlcpy(p->trust, m->trust, sizeof(p->trust));
	p->is_signed = m->key.len != 0;
	if (p->is_signed) {
		memcpy(p->key, m->key.ptr, sizeof(p->key));
		memcpy(p->sig, m->signature.ptr, sizeof(p->sig));
	}
	p->size = m->size;
	p->fd = fd;
	op_start(&p->op);
}

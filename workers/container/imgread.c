/*
 * CT_IMAGES, CT_IMAGE_VERIFY: which images there are, and whether they are
 * still what came in.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>
#include <sodium.h>

#include "container.h"
#include "image.h"
#include "log.h"
#include "sys.h"

#define IMAGE_MAX	(64ULL * 1024 * 1024 * 1024)
#define READ_TIMEOUT	1700	/* seconds */

/* A text of the image's builder, cut to what a row can hold. */
static void
property(struct json_object *image, const char *key, char *out, size_t size)
{
	const char *s = meta_str(meta_obj(image, "properties"), key);
	size_t i;

	strlcpy(out, s == NULL ? "" : s, size);
	for (i = 0; out[i] != '\0'; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = ' ';
}

/* The bytes of a property in hex: their number, 0 if it is not as it must be. */
static size_t
from_hex(struct json_object *image, const char *key, uint8_t *out, size_t size)
{
	const char *s = meta_str(meta_obj(image, "properties"), key);
	size_t len;

	if (s == NULL || sodium_hex2bin(out, size, s, strlen(s), NULL, &len,
	    NULL) != 0 || len != size)
		return 0;
	return size;
}

void
imgread_rows(struct op *op, struct json_object *image, bool bare)
{
	uint8_t key[crypto_sign_PUBLICKEYBYTES];
	struct json_object *aliases = meta_arr(image, "aliases");
	struct m_ct_image_row row;
	char description[257], version[65], trust[65];
	const char *s;
	int64_t size = meta_int(image, "size");
	size_t i, n = aliases == NULL ? 0 : json_object_array_length(aliases);

	row.fingerprint = meta_str(image, "fingerprint");
	if (row.fingerprint == NULL || !valid_fingerprint(row.fingerprint))
		return;
	property(image, "description", description, sizeof(description));
	property(image, "version", version, sizeof(version));
	row.description = description;
	row.version = version;
	property(image, IMG_TRUST, trust, sizeof(trust));
	row.trust = trust;
	row.key.ptr = key;
	row.key.len = from_hex(image, IMG_KEY, key, sizeof(key));
	row.alias = "";
	row.size = size < 0 ? 0 : (uint64_t)size;
	s = meta_str(image, "created_at");
	row.created_at = s == NULL ? 0 : time_parse(s);
	if (row.created_at == 0 &&
	    (s = meta_str(image, "uploaded_at")) != NULL)
		row.created_at = time_parse(s);
	if (bare)
		op_row(op, MSG_CT_IMAGE_ROW, &row);
	for (i = 0; i < n && !bare; i++) {
		row.alias = meta_str(json_object_array_get_idx(aliases, i),
		    "name");
		if (row.alias != NULL && valid_alias(row.alias))
			op_row(op, MSG_CT_IMAGE_ROW, &row);
	}
}

static void
on_images(const struct incus_reply *r, void *arg)
{
	struct op *op = arg;
	size_t i, n;

	if (r->status != 200) {
		op_fail(op, r, NULL);
		return;
	}
	n = meta_len(r->meta);
	for (i = 0; i < n; i++)
		imgread_rows(op, json_object_array_get_idx(r->meta, i), false);
	op_done(op, 200, NULL, "%s", "");
}

static void
run_images(struct op *op)
{
	imgget_all(on_images, op);
}

void
images_start(uint64_t id)
{
	struct op *op;

	if ((op = op_new(sizeof(*op), id, "images", "", run_images, NULL)) !=
	    NULL)
		op_start(op);
}

/* ---- CT_IMAGE_VERIFY ---- */

struct verify {
	struct op		 op;
	char			 alias[129];
	char			 fingerprint[65];
	struct json_object	*image;		/* ours */
	crypto_hash_sha256_state sha;
	crypto_generichash_state blake;
};

static void
verify_free(struct op *op)
{
	struct verify *v = (struct verify *)op;

	if (v->image != NULL)
		json_object_put(v->image);
}

static void
sink(const void *data, size_t len, void *arg)
{
	struct verify *v = arg;

	crypto_hash_sha256_update(&v->sha, data, len);
	crypto_generichash_update(&v->blake, data, len);
}

static void
on_read(const struct incus_reply *r, void *arg)
{
	struct verify *v = arg;
	uint8_t sum[crypto_hash_sha256_BYTES];
	uint8_t hash[crypto_generichash_BYTES_MAX];
	uint8_t key[crypto_sign_PUBLICKEYBYTES], sig[crypto_sign_BYTES];
	char hex[2 * sizeof(sum) + 1];

	if (r->status != 200) {
		op_fail(&v->op, r, "the image cannot be read");
		return;
	}
	crypto_hash_sha256_final(&v->sha, sum);
	crypto_generichash_final(&v->blake, hash, sizeof(hash));
	sys_hex(hex, sum, sizeof(sum));
	if (strcmp(hex, v->fingerprint) != 0) {
		op_done(&v->op, 409, NULL, "image %s was changed: its SHA-256 "
		    "is %.12s, it came in as %.12s", v->alias, hex,
		    v->fingerprint);
		return;
	}
	if (from_hex(v->image, IMG_KEY, key, sizeof(key)) != 0 &&
	    (from_hex(v->image, IMG_SIGNATURE, sig, sizeof(sig)) == 0 ||
	    crypto_sign_verify_detached(sig, hash, sizeof(hash), key) != 0)) {
		op_done(&v->op, 409, NULL, "image %s: the signature noted "
		    "with it is not of it", v->alias);
		return;
	}
	imgread_rows(&v->op, v->image, false);
	op_done(&v->op, 200, NULL, "%s", "");
}

static void
on_image(const struct incus_reply *r, void *arg)
{
	struct verify *v = arg;
	char path[CT_PATH_LEN];

	if (r->status != 200) {
		op_fail(&v->op, r, NULL);
		return;
	}
	v->image = json_object_get(r->meta);
	snprintf(path, sizeof(path), "/1.0/images/%s/export?project=%s",
	    v->fingerprint, env_project());
	incus_download(path, -1, IMAGE_MAX, READ_TIMEOUT, sink, on_read, v);
}

static void
on_alias(const struct incus_reply *r, void *arg)
{
	struct verify *v = arg;

	if (imgget_target(&v->op, v->alias, r, v->fingerprint))
		imgget(v->fingerprint, on_image, v);
}

static void
run_verify(struct op *op)
{
	struct verify *v = (struct verify *)op;

	crypto_hash_sha256_init(&v->sha);
	crypto_generichash_init(&v->blake, NULL, 0,
	    crypto_generichash_BYTES_MAX);
	imgget_alias(v->alias, on_alias, v);
}

void
image_verify_start(uint64_t id, const struct m_ct_image_ref *m)
{
	struct verify *v;

	if (!valid_alias(m->alias)) {
		op_refuse(id, 400, "not an alias of an image");
		return;
	}
	if ((v = op_new(sizeof(*v), id, "image verify", "", run_verify,
	    verify_free)) == NULL)
		return;
	strlcpy(v->alias, m->alias, sizeof(v->alias));
	op_start(&v->op);
}

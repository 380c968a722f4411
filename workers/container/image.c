/*
 * CT_IMAGE_PUT: a finished image comes in and takes over its alias.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * The bytes go from the descriptor to Incus without being kept; their
 * SHA-256 on the way is the fingerprint that Incus must come to as well.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>
#include <sodium.h>

#include "container.h"
#include "jbuf.h"
#include "log.h"
#include "sys.h"

#define IMAGE_MAX	(16ULL * 1024 * 1024 * 1024)
#define UPLOAD_TIMEOUT	3600	/* seconds; 60 without a byte end it too */

struct put {
	struct op	 op;
	char		 alias[129];
	uint64_t	 size;
	int		 fd;
	uint64_t	 seen;
	crypto_hash_sha256_state sha;
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
	p->seen += len;
}

static void
image_path(char *out, size_t size, const char *fingerprint)
{
	snprintf(out, size, "/1.0/images/%s?project=%s", fingerprint,
	    env_project());
}

static void
alias_path(char *out, size_t size, const char *alias)
{
	snprintf(out, size, "/1.0/images/aliases/%s?project=%s", alias,
	    env_project());
}

/* ---- last: the image that lost its alias ---- */

static void
on_old_deleted(const struct incus_reply *r, void *arg)
{
	struct put *p = arg;

	if (r->status != 200)
		log_warnx("image %.12s, replaced, cannot be deleted: %s",
		    p->old, r->error);
	op_done(&p->op, 200, NULL, "%s", "");
}

static void
on_old_image(const struct incus_reply *r, void *arg)
{
	struct put *p = arg;
	struct json_object *aliases = meta_arr(r->meta, "aliases");
	char path[CT_PATH_LEN];

	if (r->status != 200 || (aliases != NULL &&
	    json_object_array_length(aliases) > 0)) {
		op_done(&p->op, 200, NULL, "%s", "");
		return;
	}
	image_path(path, sizeof(path), p->old);
	incus_call("DELETE", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX,
	    on_old_deleted, p);
}

static void
on_users(const struct incus_reply *r, void *arg)
{
	struct put *p = arg;
	char path[CT_PATH_LEN];
	const char *base;
	size_t i, n = 0;

	if (r->status == 200 && json_object_is_type(r->meta, json_type_array))
		n = json_object_array_length(r->meta);
	for (i = 0; i < n; i++) {
		base = meta_str(meta_obj(json_object_array_get_idx(r->meta, i),
		    "config"), "volatile.base_image");
		if (base != NULL && strcmp(base, p->old) == 0)
			break;
	}
	if (r->status != 200 || i < n) {
		log_info("image %.12s, replaced, is kept: it is in use",
		    p->old);
		op_done(&p->op, 200, NULL, "%s", "");
		return;
	}
	image_path(path, sizeof(path), p->old);
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX,
	    on_old_image, p);
}

/* ---- the alias ---- */

static void
on_alias_moved(const struct incus_reply *r, void *arg)
{
	struct put *p = arg;
	char path[CT_PATH_LEN];

	if (r->status != 200) {
		op_fail(&p->op, r, "the image is there, its alias is not");
		return;
	}
	log_info("image %s is %.12s", p->alias, p->fingerprint);
	if (p->old[0] == '\0') {
		op_done(&p->op, 200, NULL, "%s", "");
		return;
	}
	snprintf(path, sizeof(path), "/1.0/instances?recursion=1&project=%s",
	    env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_LIST_MAX, on_users, p);
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
		alias_path(path, sizeof(path), p->alias);
	incus_call(target == NULL ? "POST" : "PUT", path, jbuf_text(&b, NULL),
	    CT_TIMEOUT, INCUS_REPLY_MAX, on_alias_moved, p);
	jbuf_free(&b);
}

/* ---- the upload ---- */

static void
on_uploaded(const struct incus_reply *r, void *arg)
{
	struct put *p = arg;
	unsigned char sum[crypto_hash_sha256_BYTES];
	const char *fp = meta_str(meta_obj(r->meta, "metadata"),
	    "fingerprint");
	char path[CT_PATH_LEN];

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
	alias_path(path, sizeof(path), p->alias);
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX, on_alias,
	    p);
}

static void
run(struct op *op)
{
	struct put *p = (struct put *)op;
	char path[CT_PATH_LEN];

	crypto_hash_sha256_init(&p->sha);
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
	p->size = m->size;
	p->fd = fd;
	op_start(&p->op);
}

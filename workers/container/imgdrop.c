/*
 * CT_IMAGE_DELETE, CT_IMAGE_PRUNE: images that nobody needs.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"
#include "image.h"
#include "log.h"
#include "sys.h"

#define PRUNE_MAX	1024		/* images in one go */

/* ---- one image ---- */

struct drop {
	char		 fingerprint[65];
	imgdrop_fn	 fn;
	void		*arg;
};

static void
drop_over(struct drop *d, enum imgdrop what, const struct incus_reply *r)
{
	d->fn(what, r, d->arg);
	free(d);
}

static void
on_deleted(const struct incus_reply *r, void *arg)
{
	drop_over(arg, r->status == 200 || r->status == 404 ? IMGDROP_GONE :
	    IMGDROP_FAILED, r);
}

static void
on_image(const struct incus_reply *r, void *arg)
{
	struct drop *d = arg;
	struct json_object *aliases = meta_arr(r->meta, "aliases");
	char path[CT_PATH_LEN];

	if (r->status != 200) {
		on_deleted(r, d);
	} else if (aliases != NULL && json_object_array_length(aliases) > 0) {
		drop_over(d, IMGDROP_USED, r);
	} else {
		imgpath(path, sizeof(path), d->fingerprint);
		incus_call("DELETE", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX,
		    on_deleted, d);
	}
}

static void
on_instances(const struct incus_reply *r, void *arg)
{
	struct drop *d = arg;
	const char *base;
	size_t i, n;

	if (r->status != 200) {
		drop_over(d, IMGDROP_FAILED, r);
		return;
	}
	n = meta_len(r->meta);
	for (i = 0; i < n; i++) {
		base = meta_str(meta_obj(json_object_array_get_idx(r->meta, i),
		    "config"), "volatile.base_image");
		if (base != NULL && strcmp(base, d->fingerprint) == 0) {
			drop_over(d, IMGDROP_USED, r);
			return;
		}
	}
	imgget(d->fingerprint, on_image, d);
}

void
imgdrop_run(const char *fingerprint, imgdrop_fn fn, void *arg)
{
	struct drop *d;

	if ((d = calloc(1, sizeof(*d))) == NULL)
		fatal("image");
	strlcpy(d->fingerprint, fingerprint, sizeof(d->fingerprint));
	d->fn = fn;
	d->arg = arg;
	instances_get(on_instances, d);
}

/* ---- CT_IMAGE_DELETE ---- */

struct unalias {
	struct op	 op;
	char		 alias[129];
	char		 fingerprint[65];
};

static void
on_unaliased_gone(enum imgdrop what, const struct incus_reply *r, void *arg)
{
	struct unalias *u = arg;

	if (what == IMGDROP_FAILED) {
		op_fail(&u->op, r, "the alias is gone, the image is not");
		return;
	}
	if (what == IMGDROP_USED)
		log_info("image %.12s keeps its data: it is in use",
		    u->fingerprint);
	op_done(&u->op, 200, NULL, "%s", "");
}

static void
on_unaliased(const struct incus_reply *r, void *arg)
{
	struct unalias *u = arg;

	if (r->status == 200)
		imgdrop_run(u->fingerprint, on_unaliased_gone, u);
	else
		op_fail(&u->op, r, NULL);
}

static void
on_target(const struct incus_reply *r, void *arg)
{
	struct unalias *u = arg;
	char path[CT_PATH_LEN];

	if (!imgget_target(&u->op, u->alias, r, u->fingerprint))
		return;
	imgpath_alias(path, sizeof(path), u->alias);
	incus_call("DELETE", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX,
	    on_unaliased, u);
}

static void
run_delete(struct op *op)
{
	struct unalias *u = (struct unalias *)op;

	imgget_alias(u->alias, on_target, u);
}

void
image_delete_start(uint64_t id, const struct m_ct_image_ref *m)
{
	struct unalias *u;

	if (!valid_alias(m->alias)) {
		op_refuse(id, 400, "not an alias of an image");
		return;
	}
	if ((u = op_new(sizeof(*u), id, "image delete", "", run_delete,
	    NULL)) == NULL)
		return;
	strlcpy(u->alias, m->alias, sizeof(u->alias));
	op_start(&u->op);
}

/* ---- CT_IMAGE_PRUNE ---- */

struct prune {
	struct op		 op;
	uint32_t		 age;
	struct json_object	*list;	/* ours; of those without an alias */
	size_t			 next;
};

static void
prune_free(struct op *op)
{
	struct prune *p = (struct prune *)op;

	if (p->list != NULL)
		json_object_put(p->list);
}

static void	prune_next(struct prune *);

static void
on_pruned(enum imgdrop what, const struct incus_reply *r, void *arg)
{
	struct prune *p = arg;

	if (what == IMGDROP_FAILED) {
		op_fail(&p->op, r, NULL);
		return;
	}
	if (what == IMGDROP_GONE)
		imgread_rows(&p->op, json_object_array_get_idx(p->list,
		    p->next - 1), true);
	prune_next(p);
}

static void
prune_next(struct prune *p)
{
	struct json_object *image;

	if (p->next == json_object_array_length(p->list)) {
		op_done(&p->op, 200, NULL, "%s", "");
		return;
	}
	image = json_object_array_get_idx(p->list, p->next++);
	imgdrop_run(meta_str(image, "fingerprint"), on_pruned, p);
}

/* An image that has just come in has no alias yet. */
static bool
is_old(struct json_object *image, uint32_t age)
{
	const char *s = meta_str(image, "uploaded_at");
	double at = s == NULL ? 0 : time_parse(s);

	return at > 0 && sys_time() - at >= age;
}

static void
on_images(const struct incus_reply *r, void *arg)
{
	struct prune *p = arg;
	struct json_object *o, *aliases;
	const char *fp;
	size_t i, n;

	if (r->status != 200) {
		op_fail(&p->op, r, NULL);
		return;
	}
	if ((p->list = json_object_new_array()) == NULL)
		fatal("image");
	n = meta_len(r->meta);
	for (i = 0; i < n && json_object_array_length(p->list) < PRUNE_MAX;
	    i++) {
		o = json_object_array_get_idx(r->meta, i);
		aliases = meta_arr(o, "aliases");
		fp = meta_str(o, "fingerprint");
		if (fp != NULL && valid_fingerprint(fp) && is_old(o, p->age) &&
		    (aliases == NULL || json_object_array_length(aliases) == 0))
			json_object_array_add(p->list, json_object_get(o));
	}
	prune_next(p);
}

static void
run_prune(struct op *op)
{
	imgget_all(on_images, op);
}

void
image_prune_start(uint64_t id, const struct m_ct_image_prune *m)
{
	struct prune *p;

	if ((p = op_new(sizeof(*p), id, "image prune", "", run_prune,
	    prune_free)) == NULL)
		return;
	p->age = m->age;
	op_start(&p->op);
}

/*
 * CT_IMAGE_TEMP: an image from which one instance is made; CT_TEMP_DROP: what
 * exports and imports have made is removed.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus; mover, through a pipe.
 *
 * Such images have no alias and a property with our node and the id of what
 * they are for; such snapshots have a name that nobody else may use.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "container.h"
#include "image.h"
#include "jbuf.h"
#include "log.h"
#include "sys.h"

#define PROPERTY	"agentd.temp"
#define IMAGE_MAX	(1ULL << 42)
#define UPLOAD_TIMEOUT	14400	/* seconds */
#define DELETE_TIMEOUT	600

struct temp {
	struct op	 op;
	char		 id[33];	/* "": of all */
	uint64_t	 size;
	int		 fd;
	char		 fingerprint[65];
	bool		 all;		/* snapshots were looked at */
	char		 error[INCUS_ERR_MAX];
	STAILQ_HEAD(, victim) victims;
};

/* The path of something to be deleted. */
struct victim {
	STAILQ_ENTRY(victim) entry;
	char		 path[CT_PATH_LEN];
};

static void	next_victim(struct temp *);

static void
temp_free(struct op *op)
{
	struct temp *t = (struct temp *)op;
	struct victim *v;

	if (t->fd != -1)
		close(t->fd);
	while ((v = STAILQ_FIRST(&t->victims)) != NULL) {
		STAILQ_REMOVE_HEAD(&t->victims, entry);
		free(v);
	}
}

static void
value(char *out, size_t size, const char *id)
{
	snprintf(out, size, "%s.%s", env_node(), id);
}

void
temp_property(struct jbuf *b, const char *id)
{
	char text[128];

	value(text, sizeof(text), id);
	jb_kstr(b, PROPERTY, text);
}

static void
condemn(struct temp *t, const char *path)
{
	struct victim *v;

	if ((v = calloc(1, sizeof(*v))) == NULL)
		fatal("image");
	strlcpy(v->path, path, sizeof(v->path));
	STAILQ_INSERT_TAIL(&t->victims, v, entry);
}

/* ---- removal ---- */

static void
on_deleted(const struct incus_reply *r, void *arg)
{
	struct temp *t = arg;

	if (r->status != 200 && r->status != 404) {
		log_warnx("left behind: %s", r->error);
		strlcpy(t->error, r->error, sizeof(t->error));
	}
	next_victim(t);
}

static void
next_victim(struct temp *t)
{
	struct victim *v = STAILQ_FIRST(&t->victims);
	char path[CT_PATH_LEN];

	if (v == NULL) {
		op_done(&t->op, t->error[0] == '\0' ? 200 : 502, NULL, "%s",
		    t->error);
		return;
	}
	strlcpy(path, v->path, sizeof(path));
	STAILQ_REMOVE_HEAD(&t->victims, entry);
	free(v);
	incus_call("DELETE", path, NULL, DELETE_TIMEOUT, INCUS_REPLY_MAX,
	    on_deleted, t);
}

/* Snapshots of one instance of ours. */
static void
look_at(struct temp *t, struct json_object *o)
{
	struct json_object *snaps = meta_arr(o, "snapshots");
	const char *instance = meta_str(o, "name"), *name;
	size_t i, n = snaps == NULL ? 0 : json_object_array_length(snaps);
	char path[CT_PATH_LEN];
	struct instance in;

	instance_read(o, &in);
	if (!in.ours || instance == NULL || !valid_instance(instance))
		return;
	for (i = 0; i < n; i++) {
		name = meta_str(json_object_array_get_idx(snaps, i), "name");
		if (name == NULL || !temp_snapshot(name) ||
		    !valid_instance(name) || backup_snapshot(name))
			continue;
		snprintf(path, sizeof(path),
		    "/1.0/instances/%s/snapshots/%s?project=%s", instance,
		    name, env_project());
		condemn(t, path);
	}
}

static void
on_instances(const struct incus_reply *r, void *arg)
{
	struct temp *t = arg;
	size_t i, n;

	if (r->status != 200) {
		op_fail(&t->op, r, NULL);
		return;
	}
	n = meta_len(r->meta);
	for (i = 0; i < n; i++)
		look_at(t, json_object_array_get_idx(r->meta, i));
	next_victim(t);
}

/* Is it one of ours for this id, or for any that nobody is at work on? */
static bool
is_temp(const struct temp *t, struct json_object *image)
{
	const char *p = meta_str(meta_obj(image, "properties"), PROPERTY);
	char want[128];

	value(want, sizeof(want), t->id);
	if (p == NULL || t->id[0] != '\0')
		return p != NULL && strcmp(p, want) == 0;
	return strncmp(p, want, strlen(want)) == 0 &&
	    !backup_id(p + strlen(want));
}

static void
on_images(const struct incus_reply *r, void *arg)
{
	struct temp *t = arg;
	struct json_object *image;
	char path[CT_PATH_LEN];
	const char *fp;
	size_t i, n;

	if (r->status != 200) {
		op_fail(&t->op, r, NULL);
		return;
	}
	n = meta_len(r->meta);
	for (i = 0; i < n; i++) {
		image = json_object_array_get_idx(r->meta, i);
		fp = meta_str(image, "fingerprint");
		if (!is_temp(t, image) || fp == NULL ||
		    !valid_fingerprint(fp))
			continue;
		imgpath(path, sizeof(path), fp);
		condemn(t, path);
	}
	if (t->id[0] != '\0') {
		next_victim(t);
		return;
	}
	snprintf(path, sizeof(path), "/1.0/instances?recursion=2&project=%s",
	    env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_LIST_MAX, on_instances,
	    t);
}

static void
on_quiet(const struct incus_reply *r, void *arg)
{
	struct temp *t = arg;

	if (r->status != 200)
		op_fail(&t->op, r, NULL);
	else
		imgget_all(on_images, t);
}

/*
 * A worker before us may have left Incus packing an image.  Of a snapshot that
 * goes meanwhile a mount stays behind, and its instance can never be removed.
 */
static void
run_drop(struct op *op)
{
	struct temp *t = (struct temp *)op;

	if (t->id[0] != '\0')
		imgget_all(on_images, t);
	else
		busy_wait(BUSY_IMAGE, "", on_quiet, t);
}

/* ---- an image comes in ---- */

static void
on_image(const struct incus_reply *r, void *arg)
{
	struct m_ct_image_row row;
	struct temp *t = arg;
	char path[CT_PATH_LEN];

	if (r->status != 200) {
		op_fail(&t->op, r, NULL);
		return;
	}
	if (!is_temp(t, r->meta)) {
		/* mover has not written what it must. */
		strlcpy(t->error, "the image of the files is not marked as "
		    "ours", sizeof(t->error));
		imgpath(path, sizeof(path), t->fingerprint);
		condemn(t, path);
		next_victim(t);
		return;
	}
	memset(&row, 0, sizeof(row));
	row.fingerprint = t->fingerprint;
	row.size = t->size;
	op_row(&t->op, MSG_CT_IMAGE_ROW, &row);
	op_done(&t->op, 200, NULL, "%s", "");
}

static void
on_uploaded(const struct incus_reply *r, void *arg)
{
	struct temp *t = arg;
	const char *fp = meta_str(meta_obj(r->meta, "metadata"),
	    "fingerprint");

	if (r->status != 200) {
		op_fail(&t->op, r, "the files were not taken");
		return;
	}
	if (fp == NULL || !valid_fingerprint(fp)) {
		op_done(&t->op, 502, NULL, "Incus names no fingerprint for "
		    "the image of the files");
		return;
	}
	strlcpy(t->fingerprint, fp, sizeof(t->fingerprint));
	imgget(fp, on_image, t);
}

static void
run_upload(struct op *op)
{
	struct temp *t = (struct temp *)op;
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/images?project=%s", env_project());
	incus_upload(path, t->fd, t->size, UPLOAD_TIMEOUT, NULL, on_uploaded,
	    t);
}

static struct temp *
temp_new(uint64_t id, const char *verb, void (*fn)(struct op *))
{
	struct temp *t = op_new(sizeof(*t), id, verb, "", fn, temp_free);

	if (t == NULL)
		return NULL;
	t->fd = -1;
	STAILQ_INIT(&t->victims);
	return t;
}

void
temp_image_start(uint64_t id, const struct m_ct_temp *m, int fd)
{
	struct temp *t = NULL;

	if (!sys_is_id(m->id))
		op_refuse(id, 400, "image: id is not valid");
	else if (m->size == 0 || m->size > IMAGE_MAX)
		op_refuse(id, 413, "an image has 1 to %llu bytes",
		    (unsigned long long)IMAGE_MAX);
	else
		t = temp_new(id, "image of files", run_upload);
	if (t == NULL) {
		close(fd);
		return;
	}
	strlcpy(t->id, m->id, sizeof(t->id));
	t->size = m->size;
	t->fd = fd;
	op_start(&t->op);
}

void
temp_drop_start(uint64_t id, const struct m_ct_temp *m)
{
	struct temp *t;

	if (m->id[0] != '\0' && !sys_is_id(m->id)) {
		op_refuse(id, 400, "drop: id is not valid");
		return;
	}
	if ((t = temp_new(id, "drop of files", run_drop)) == NULL)
		return;
	strlcpy(t->id, m->id, sizeof(t->id));
	op_start(&t->op);
}

bool
temp_snapshot(const char *name)
{
	return strncmp(name, CT_TEMP_SNAPSHOT, strlen(CT_TEMP_SNAPSHOT)) == 0;
}

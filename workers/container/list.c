/*
 * CT_LIST and CT_IMAGES: what of ours is in Incus.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"

static void
on_instances(const struct incus_reply *r, void *arg)
{
	struct op *op = arg;
	struct json_object *o;
	struct instance i;
	struct m_ct_row row;
	size_t k, n;

	if (r->status != 200) {
		op_fail(op, r, NULL);
		return;
	}
	n = json_object_is_type(r->meta, json_type_array) ?
	    json_object_array_length(r->meta) : 0;
	for (k = 0; k < n; k++) {
		o = json_object_array_get_idx(r->meta, k);
		instance_read(o, &i);
		row.instance = meta_str(o, "name");
		if (!i.ours || i.agent_id[0] == '\0' || row.instance == NULL ||
		    !valid_instance(row.instance))
			continue;
		row.agent_id = i.agent_id;
		row.status = i.status;
		row.uid_base = i.map.base;
		row.uid_count = i.map.count;
		op_row(op, MSG_CT_ROW, &row);
	}
	op_done(op, 200, NULL, "%s", "");
}

static void
run_list(struct op *op)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/instances?recursion=1&project=%s",
	    env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_LIST_MAX,
	    on_instances, op);
}

void
list_start(uint64_t id)
{
	struct op *op;

	if ((op = op_new(sizeof(*op), id, "list", "", run_list, NULL)) !=
	    NULL)
		op_start(op);
}

/* ---- images ---- */

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

static void
image_rows(struct op *op, struct json_object *image)
{
	struct json_object *aliases = meta_arr(image, "aliases");
	struct m_ct_image_row row;
	char description[257], version[65];
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
	row.size = size < 0 ? 0 : (uint64_t)size;
	s = meta_str(image, "created_at");
	row.created_at = s == NULL ? 0 : time_parse(s);
	if (row.created_at == 0 &&
	    (s = meta_str(image, "uploaded_at")) != NULL)
		row.created_at = time_parse(s);
	for (i = 0; i < n; i++) {
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
	n = json_object_is_type(r->meta, json_type_array) ?
	    json_object_array_length(r->meta) : 0;
	for (i = 0; i < n; i++)
		image_rows(op, json_object_array_get_idx(r->meta, i));
	op_done(op, 200, NULL, "%s", "");
}

static void
run_images(struct op *op)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/images?recursion=1&project=%s",
	    env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_LIST_MAX, on_images,
	    op);
}

void
images_start(uint64_t id)
{
	struct op *op;

	if ((op = op_new(sizeof(*op), id, "images", "", run_images, NULL)) !=
	    NULL)
		op_start(op);
}

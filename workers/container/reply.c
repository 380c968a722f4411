/*
 * Reads what Incus answers: results, errors, operations.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: nobody.
 */
#include <sys/types.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "incus.h"

#define OP_ID_LEN	36	/* a UUID */

/*
 * "Failed to run: tar --a --b ... -xf -: exit status 2 (why)": the options
 * and paths are longer than what is kept of an error further on.
 */
static void
drop_arguments(char *s)
{
	static const char failed[] = "Failed to run: ";
	char *p, *end;

	if ((p = strstr(s, failed)) == NULL)
		return;
	for (p += sizeof(failed) - 1; *p != '\0'; p++)
		if (p[0] == ' ' && (p[1] == '-' || p[1] == '/'))
			break;
	if ((end = strstr(p, ": exit status")) != NULL)
		memmove(p, end, strlen(end) + 1);
}

void
reply_fail(struct incus_reply *r, unsigned int status, const char *fmt, ...)
{
	va_list ap;
	size_t i;

	r->status = status;
	va_start(ap, fmt);
	vsnprintf(r->error, sizeof(r->error), fmt, ap);
	va_end(ap);
	/* Incus may quote what came out of a container. */
	for (i = 0; r->error[i] != '\0'; i++)
		if (!isprint((unsigned char)r->error[i]))
			r->error[i] = ' ';
	drop_arguments(r->error);
}

/* The end of an operation: its own status code, and why it failed. */
static void
operation_end(struct incus_reply *r)
{
	int64_t code = meta_int(r->meta, "status_code");
	const char *err = meta_str(r->meta, "err");

	if (code == 200)
		r->status = 200;
	else if (code >= 100 && code < 200)
		reply_fail(r, 504, "Incus did not finish in time");
	else
		reply_fail(r, 400, "%s", err != NULL && *err != '\0' ? err :
		    "Incus says only that the operation failed");
}

static const char *
operation_id(struct json_object *meta)
{
	const char *id = meta_str(meta, "id");
	size_t i;

	if (id == NULL || strlen(id) != OP_ID_LEN)
		return NULL;
	for (i = 0; i < OP_ID_LEN; i++)
		if (!isxdigit((unsigned char)id[i]) && id[i] != '-')
			return NULL;
	return id;
}

const char *
reply_read(struct incus_reply *r, struct json_object *doc, long http,
    bool waiting)
{
	const char *type = meta_str(doc, "type"), *text;

	r->meta = meta_obj(doc, "metadata");
	if (r->meta == NULL)
		r->meta = meta_arr(doc, "metadata");
	if (type != NULL && strcmp(type, "async") == 0 && !waiting) {
		if ((text = operation_id(r->meta)) != NULL)
			return text;
		reply_fail(r, 502, "Incus names no operation to wait for");
	} else if (waiting && http == 404) {
		/* The operation, not what it was at work on. */
		reply_fail(r, 503, "Incus does not know how it ended: was "
		    "it restarted?");
	} else if (type != NULL && strcmp(type, "error") == 0) {
		text = meta_str(doc, "error");
		reply_fail(r, http >= 400 && http <= 599 ?
		    (unsigned int)http : 500, "%s", text != NULL ? text :
		    "Incus gives no reason");
	} else if (http < 200 || http > 299) {
		reply_fail(r, 502, "Incus gave an answer that makes no sense");
	} else if (waiting) {
		operation_end(r);
	} else {
		r->status = 200;
	}
	return NULL;
}

static struct json_object *
member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v;

	if (o == NULL || !json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, key, &v) ||
	    !json_object_is_type(v, type))
		return NULL;
	return v;
}

const char *
meta_str(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_string);

	return v == NULL ? NULL : json_object_get_string(v);
}

struct json_object *
meta_obj(struct json_object *o, const char *key)
{
	return member(o, key, json_type_object);
}

struct json_object *
meta_arr(struct json_object *o, const char *key)
{
	return member(o, key, json_type_array);
}

size_t
meta_len(struct json_object *a)
{
	return json_object_is_type(a, json_type_array) ?
	    json_object_array_length(a) : 0;
}

int64_t
meta_int(struct json_object *o, const char *key)
{
	struct json_object *v = member(o, key, json_type_int);

	return v == NULL ? 0 : json_object_get_int64(v);
}

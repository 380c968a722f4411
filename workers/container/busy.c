/*
 * Operations of Incus that are at work on something.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 *
 * A worker that died leaves its operation behind.  What is looked at before
 * that has ended may not be true a moment later.
 *
 * Operations are known by their descriptions, and most by what they name.
 * One that packs an image from a snapshot names nothing (Incus 6.0.4, seen),
 * and is called "Downloading image" as those are that take one in.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"
#include "log.h"

#define TRIES	5

struct busy {
	enum busy_with	 with;
	char		 instance[64];
	unsigned int	 tries;
	incus_fn	 fn;
	void		*arg;
};

static void	ask(struct busy *);

static bool
names(struct json_object *op, const char *instance)
{
	struct json_object *list;
	const char *url, *name;
	size_t i, n, len = strlen(instance);

	list = meta_arr(meta_obj(op, "resources"), "instances");
	n = list == NULL ? 0 : json_object_array_length(list);
	for (i = 0; i < n; i++) {
		url = json_object_get_string(json_object_array_get_idx(list,
		    i));
		if (url == NULL ||
		    strncmp(url, "/1.0/instances/", 15) != 0)
			continue;
		name = url + 15;
		if (strncmp(name, instance, len) == 0 &&
		    (name[len] == '\0' || name[len] == '?'))
			return true;
	}
	return false;
}

static bool
is_called(struct json_object *op, const char *what)
{
	const char *d = meta_str(op, "description");

	return d != NULL && strcmp(d, what) == 0;
}

const char *
busy_find(struct json_object *meta, enum busy_with with, const char *instance)
{
	struct json_object *op, *list = meta_arr(meta, "running");
	const char *id;
	size_t i, n = list == NULL ? 0 : json_object_array_length(list);
	bool found;

	for (i = 0; i < n; i++) {
		op = json_object_array_get_idx(list, i);
		found = with == BUSY_CREATION ?
		    is_called(op, "Creating instance") :
		    with == BUSY_IMAGE ? is_called(op, "Downloading image") :
		    names(op, instance);
		id = meta_str(op, "id");
		if (found && id != NULL && strlen(id) == 36 &&
		    strspn(id, "0123456789abcdef-") == 36)
			return id;
	}
	return NULL;
}

void
busy_list(incus_fn fn, void *arg)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/operations?recursion=1&project=%s",
	    env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_LIST_MAX, fn, arg);
}

void
busy_end(const char *id, incus_fn fn, void *arg)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/operations/%s/wait?timeout=%d", id,
	    CT_TIMEOUT);
	incus_call("GET", path, NULL, CT_TIMEOUT + 5, INCUS_REPLY_MAX, fn,
	    arg);
}

static void
on_waited(const struct incus_reply *r, void *arg)
{
	struct busy *b = arg;

	if (!r->down) {
		ask(b);
		return;
	}
	b->fn(r, b->arg);
	free(b);
}

static void
on_operations(const struct incus_reply *r, void *arg)
{
	struct busy *b = arg;
	struct incus_reply late;
	const char *id;

	id = r->status == 200 ? busy_find(r->meta, b->with, b->instance) : NULL;
	if (id != NULL && b->tries < TRIES) {
		busy_end(id, on_waited, b);
		return;
	}
	if (id != NULL) {
		memset(&late, 0, sizeof(late));
		reply_fail(&late, 504, "Incus is still at work on %s %s",
		    b->with == BUSY_IMAGE ? "an image" : "the instance",
		    b->with == BUSY_INSTANCE ? b->instance :
		    "of a worker before");
		b->fn(&late, b->arg);
	} else {
		b->fn(r, b->arg);
	}
	free(b);
}

static void
ask(struct busy *b)
{
	b->tries++;
	busy_list(on_operations, b);
}

void
busy_wait(enum busy_with with, const char *instance, incus_fn fn, void *arg)
{
	struct busy *b;

	if ((b = calloc(1, sizeof(*b))) == NULL)
		fatal("operation");
	b->with = with;
	strlcpy(b->instance, instance, sizeof(b->instance));
	b->fn = fn;
	b->arg = arg;
	ask(b);
}

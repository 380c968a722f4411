/*
 * Removes an instance, whatever state it is in.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 *
 * A worker that died while Incus was making an instance leaves an operation
 * behind, and an instance that appears after somebody looked for it.  So
 * "there is none" is believed only when no operation is at work on it.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"
#include "log.h"

#define TRIES	5

struct destroy {
	char		 instance[64];
	char		 agent_id[33];
	unsigned int	 timeout;	/* seconds to stop in peace */
	unsigned int	 tries;
	bool		 absent;	/* the last look found none */
	struct incus_reply why;		/* the last failure; meta is unused */
	destroy_fn	 fn;
	void		*arg;
};

static void	look(struct destroy *);

static void
over(struct destroy *d, unsigned int status)
{
	struct incus_reply r = d->why;

	r.meta = NULL;
	r.status = status;
	if (status == 200) {
		r.error[0] = '\0';
		bridge_sweep();
	}
	d->fn(&r, d->arg);
	free(d);
}

static void
on_waited(const struct incus_reply *r, void *arg)
{
	struct destroy *d = arg;

	if (r->down) {
		d->why = *r;
		over(d, r->status);
		return;
	}
	look(d);
}

static void
on_operations(const struct incus_reply *r, void *arg)
{
	struct destroy *d = arg;
	const char *id;

	if (r->status != 200) {
		d->why = *r;
		over(d, r->status);
		return;
	}
	id = busy_find(r->meta, BUSY_INSTANCE, d->instance);
	if (id != NULL && d->tries < TRIES) {
		busy_end(id, on_waited, d);
	} else if (id == NULL && d->absent) {
		over(d, 200);
	} else if (d->tries < TRIES && !d->absent) {
		look(d);
	} else {
		if (d->why.status < 400)
			reply_fail(&d->why, 504, "Incus is still at work on "
			    "the instance %s", d->instance);
		over(d, d->why.status);
	}
}

/* Something is in the way: wait for what is at work, then look again. */
static void
wait_others(struct destroy *d)
{
	busy_list(on_operations, d);
}

static void
on_deleted(const struct incus_reply *r, void *arg)
{
	struct destroy *d = arg;

	if (r->status == 200 || r->status == 404) {
		over(d, 200);
		return;
	}
	d->why = *r;
	if (r->down)
		over(d, r->status);
	else
		wait_others(d);
}

static void
delete(struct destroy *d)
{
	instance_call("DELETE", d->instance, NULL, 2 * CT_TIMEOUT, on_deleted,
	    d);
}

static void
on_unpacked(const struct incus_reply *r, void *arg)
{
	struct destroy *d = arg;

	if (r->status == 200) {
		delete(d);
	} else {
		d->why = *r;
		over(d, r->status);
	}
}

static bool
has_temp(struct json_object *urls)
{
	const char *name;
	size_t i, n = json_object_is_type(urls, json_type_array) ?
	    json_object_array_length(urls) : 0;

	for (i = 0; i < n; i++) {
		name = json_object_get_string(json_object_array_get_idx(urls,
		    i));
		if (name != NULL && (name = strrchr(name, '/')) != NULL &&
		    temp_snapshot(name + 1))
			return true;
	}
	return false;
}

static void
on_snapshots(const struct incus_reply *r, void *arg)
{
	struct destroy *d = arg;

	if (r->down)
		on_unpacked(r, d);
	else if (r->status == 200 && has_temp(r->meta))
		busy_wait(BUSY_IMAGE, "", on_unpacked, d);
	else
		delete(d);
}

/* See temp.c: no snapshot may go while an image is made of it. */
static void
look_inside(struct destroy *d)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/instances/%s/snapshots?project=%s",
	    d->instance, env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_LIST_MAX,
	    on_snapshots, d);
}

static void
on_stopped(const struct incus_reply *r, void *arg)
{
	struct destroy *d = arg;

	if (r->down) {
		d->why = *r;
		over(d, r->status);
	} else if (r->status != 200 && d->timeout > 0) {
		d->timeout = 0;
		instance_state(d->instance, "stop", 0, true, on_stopped, d);
	} else {
		/* If it still runs, the deletion says so. */
		look_inside(d);
	}
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct destroy *d = arg;
	struct instance i;

	if (r->status == 404) {
		d->absent = true;
		wait_others(d);
		return;
	}
	d->absent = false;
	if (r->status != 200) {
		d->why = *r;
		over(d, r->status);
		return;
	}
	instance_read(r->meta, &i);
	if (!instance_is(&i, d->agent_id)) {
		reply_fail(&d->why, 409, "the instance %s belongs to somebody "
		    "else: left alone", d->instance);
		over(d, 409);
		return;
	}
	if (strcmp(i.status, "Stopped") == 0)
		look_inside(d);
	else
		instance_state(d->instance, "stop", d->timeout,
		    d->timeout == 0, on_stopped, d);
}

static void
look(struct destroy *d)
{
	d->tries++;
	instance_get(d->instance, on_found, d);
}

void
destroy_run(const char *instance, const char *agent_id, unsigned int timeout,
    destroy_fn fn, void *arg)
{
	struct destroy *d;

	if ((d = calloc(1, sizeof(*d))) == NULL)
		fatal("operation");
	strlcpy(d->instance, instance, sizeof(d->instance));
	strlcpy(d->agent_id, agent_id, sizeof(d->agent_id));
	d->timeout = timeout;
	d->fn = fn;
	d->arg = arg;
	look(d);
}

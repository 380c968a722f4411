/*
 * CT_BACKUP: the files of an instance, running or not, as an image that goes
 * to a descriptor.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus; mover, through a pipe.
 *
 * Snapshot, image of the snapshot, the image's bytes, and both are removed
 * again, however it ends.  Should all of us be killed in between, temp.c
 * finds them by their names.  The bytes are passed on, never looked at.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "container.h"
#include "image.h"
#include "jbuf.h"
#include "log.h"
#include "sys.h"

#define SNAP_TIMEOUT	600	/* seconds */
#define IMAGE_TIMEOUT	3600
#define COPY_TIMEOUT	14400	/* the client may be far away */
#define BYTES_MAX	(1ULL << 42)
#define SNAP_LIFE	86400	/* Incus removes it itself after that */

struct backup {
	struct op	 op;
	char		 agent_id[33];
	char		 id[33];
	char		 snapshot[64];
	char		 fingerprint[65];	/* "": no image yet */
	int		 fd;
	bool		 snapped;
	LIST_ENTRY(backup) entry;
	struct incus_reply why;		/* of the failure; meta is unused */
};

static LIST_HEAD(, backup) backups = LIST_HEAD_INITIALIZER(backups);

bool
backup_snapshot(const char *name)
{
	const struct backup *b;

	LIST_FOREACH(b, &backups, entry)
		if (strcmp(b->snapshot, name) == 0)
			return true;
	return false;
}

bool
backup_id(const char *id)
{
	const struct backup *b;

	LIST_FOREACH(b, &backups, entry)
		if (strcmp(b->id, id) == 0)
			return true;
	return false;
}

static void
backup_free(struct op *op)
{
	struct backup *b = (struct backup *)op;

	LIST_REMOVE(b, entry);
	if (b->fd != -1)
		close(b->fd);
}

static void
end(struct backup *b)
{
	if (b->why.status == 200)
		op_done(&b->op, 200, NULL, "%s", "");
	else
		op_fail(&b->op, &b->why, NULL);
}

/* ---- removal: image, then snapshot ---- */

static void
on_snapshot_gone(const struct incus_reply *r, void *arg)
{
	struct backup *b = arg;

	if (r->status != 200 && r->status != 404)
		log_warnx("%s: snapshot %s is left behind: %s",
		    b->op.instance, b->snapshot, r->error);
	end(b);
}

static void
remove_snapshot(struct backup *b)
{
	char path[CT_PATH_LEN];

	if (!b->snapped) {
		end(b);
		return;
	}
	snprintf(path, sizeof(path),
	    "/1.0/instances/%s/snapshots/%s?project=%s", b->op.instance,
	    b->snapshot, env_project());
	incus_call("DELETE", path, NULL, SNAP_TIMEOUT, INCUS_REPLY_MAX,
	    on_snapshot_gone, b);
}

static void
on_image_gone(const struct incus_reply *r, void *arg)
{
	struct backup *b = arg;

	if (r->status != 200 && r->status != 404)
		log_warnx("image %.12s of an export is left behind: %s",
		    b->fingerprint, r->error);
	remove_snapshot(b);
}

static void
clean(struct backup *b, const struct incus_reply *r)
{
	char path[CT_PATH_LEN];

	b->why = *r;
	b->why.meta = NULL;
	/* Who reads sees the end; that all was well comes with CT_DONE. */
	close(b->fd);
	b->fd = -1;
	if (b->fingerprint[0] == '\0') {
		remove_snapshot(b);
		return;
	}
	imgpath(path, sizeof(path), b->fingerprint);
	incus_call("DELETE", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX,
	    on_image_gone, b);
}

/* ---- the way there ---- */

static void
on_copied(const struct incus_reply *r, void *arg)
{
	clean(arg, r);
}

static void
on_image(const struct incus_reply *r, void *arg)
{
	struct backup *b = arg;
	struct incus_reply why = *r;
	const char *fp = meta_str(meta_obj(r->meta, "metadata"),
	    "fingerprint");
	char path[CT_PATH_LEN];

	if (r->status == 200 && (fp == NULL || !valid_fingerprint(fp)))
		reply_fail(&why, 502, "Incus names no fingerprint for the "
		    "image of the files");
	else if (r->status == 200 && b->op.orphan)
		reply_fail(&why, 503, "nobody waits for it");
	if (r->status == 200 && fp != NULL && valid_fingerprint(fp))
		strlcpy(b->fingerprint, fp, sizeof(b->fingerprint));
	if (why.status != 200) {
		clean(b, &why);
		return;
	}
	snprintf(path, sizeof(path), "/1.0/images/%s/export?project=%s",
	    b->fingerprint, env_project());
	incus_download(path, b->fd, BYTES_MAX, COPY_TIMEOUT, NULL, on_copied,
	    b);
}

static void
on_snapshot(const struct incus_reply *r, void *arg)
{
	struct backup *b = arg;
	char path[CT_PATH_LEN], source[160];
	struct jbuf body;

	if (r->status != 200) {
		clean(b, r);
		return;
	}
	b->snapped = true;
	snprintf(source, sizeof(source), "%s/%s", b->op.instance,
	    b->snapshot);
	jbuf_init(&body, 4096);
	jb_obj(&body);
	jb_kstr(&body, "compression_algorithm", "none");
	jb_kbool(&body, "public", false);
	jb_key(&body, "properties");
	jb_obj(&body);
	temp_property(&body, b->id);
	jb_end(&body);
	jb_key(&body, "source");
	jb_obj(&body);
	jb_kstr(&body, "type", "snapshot");
	jb_kstr(&body, "name", source);
	jb_end(&body);
	jb_end(&body);
	snprintf(path, sizeof(path), "/1.0/images?project=%s", env_project());
	incus_call("POST", path, jbuf_text(&body, NULL), IMAGE_TIMEOUT,
	    INCUS_REPLY_MAX, on_image, b);
	jbuf_free(&body);
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct backup *b = arg;
	struct incus_reply why = *r;
	char path[CT_PATH_LEN], when[32];
	struct instance i;
	struct jbuf body;
	time_t t = (time_t)sys_time() + SNAP_LIFE;
	struct tm tm;

	if (r->status == 200) {
		instance_read(r->meta, &i);
		if (!instance_is(&i, b->agent_id))
			reply_fail(&why, 409, "the instance %s belongs to "
			    "somebody else: left alone", b->op.instance);
	}
	if (why.status != 200) {
		clean(b, &why);
		return;
	}
	memset(&tm, 0, sizeof(tm));
	gmtime_r(&t, &tm);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	jbuf_init(&body, 1024);
	jb_obj(&body);
	jb_kstr(&body, "name", b->snapshot);
	jb_kbool(&body, "stateful", false);
	jb_kstr(&body, "expires_at", when);
	jb_end(&body);
	snprintf(path, sizeof(path), "/1.0/instances/%s/snapshots?project=%s",
	    b->op.instance, env_project());
	incus_call("POST", path, jbuf_text(&body, NULL), SNAP_TIMEOUT,
	    INCUS_REPLY_MAX, on_snapshot, b);
	jbuf_free(&body);
}

static void
run(struct op *op)
{
	instance_get(op->instance, on_found, (struct backup *)op);
}

void
backup_start(uint64_t id, const struct m_ct_backup *m, int fd)
{
	struct backup *b = NULL;

	if (!sys_is_id(m->agent_id) || !valid_instance(m->instance) ||
	    !sys_is_id(m->id))
		op_refuse(id, 400, "backup: %s is not valid",
		    !sys_is_id(m->agent_id) ? "agent_id" :
		    !valid_instance(m->instance) ? "instance" : "id");
	else
		b = op_new(sizeof(*b), id, "backup", m->instance, run,
		    backup_free);
	if (b == NULL) {
		close(fd);
		return;
	}
	strlcpy(b->agent_id, m->agent_id, sizeof(b->agent_id));
	strlcpy(b->id, m->id, sizeof(b->id));
	snprintf(b->snapshot, sizeof(b->snapshot), CT_TEMP_SNAPSHOT "%.12s",
	    m->id);
	b->fd = fd;
	LIST_INSERT_HEAD(&backups, b, entry);
	op_start(&b->op);
}

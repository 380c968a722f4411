/*
 * Asks Incus for images of our project: one, that of an alias, all.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include "container.h"
#include "image.h"

void
imgpath(char *out, size_t size, const char *fingerprint)
{
	snprintf(out, size, "/1.0/images/%s?project=%s", fingerprint,
	    env_project());
}

void
imgpath_alias(char *out, size_t size, const char *alias)
{
	snprintf(out, size, "/1.0/images/aliases/%s?project=%s", alias,
	    env_project());
}

void
imgget(const char *fingerprint, incus_fn fn, void *arg)
{
	char path[CT_PATH_LEN];

	imgpath(path, sizeof(path), fingerprint);
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX, fn, arg);
}

void
imgget_alias(const char *alias, incus_fn fn, void *arg)
{
	char path[CT_PATH_LEN];

	imgpath_alias(path, sizeof(path), alias);
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX, fn, arg);
}

void
imgget_all(incus_fn fn, void *arg)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/images?recursion=1&project=%s",
	    env_project());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_LIST_MAX, fn, arg);
}

bool
imgget_target(struct op *op, const char *alias, const struct incus_reply *r,
    char fingerprint[65])
{
	const char *target = meta_str(r->meta, "target");

	if (r->status == 404)
		op_done(op, 404, NULL, "there is no image %s", alias);
	else if (r->status != 200)
		op_fail(op, r, NULL);
	else if (target == NULL || !valid_fingerprint(target))
		op_done(op, 502, NULL, "Incus names no fingerprint for "
		    "image %s", alias);
	else {
		strlcpy(fingerprint, target, 65);
		return true;
	}
	return false;
}

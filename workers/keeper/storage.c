/*
 * The storage pool below the agents, and what it costs.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container.
 */
#include <stdio.h>
#include <string.h>

#include "limits.h"
#include "log.h"

static struct {
	char	 name[65];
	char	 driver[33];
	bool	 known, clones, quotas;
} pool;

/* A sentence about what is missing, or NULL. */
static const char *
note(char *buf, size_t size)
{
	if (!pool.known || (pool.clones && pool.quotas))
		return NULL;
	(void)snprintf(buf, size, "the storage pool %s (%s) %s%s%s: a btrfs or "
	    "zfs pool does", pool.name, pool.driver,
	    pool.clones ? "" : "copies the whole image for each agent",
	    pool.clones || pool.quotas ? "" : " and ",
	    pool.quotas ? "" : "enforces no disk quota");
	return buf;
}

int
h_ct_pool(struct peer *p, struct msg *m)
{
	const struct m_ct_pool	*in = &m->u.ct_pool;
	char			 text[256];

	(void)p;
	(void)strlcpy(pool.name, in->name, sizeof(pool.name));
	(void)strlcpy(pool.driver, in->driver, sizeof(pool.driver));
	pool.clones = in->clones != 0;
	pool.quotas = in->quotas != 0;
	pool.known = true;
	if (note(text, sizeof(text)) != NULL)
		log_warnx("%s", text);
	return 0;
}

bool
storage_quotas(void)
{
	return !pool.known || pool.quotas;
}

void
storage_note(struct jbuf *jb)
{
	char	 text[256];

	if (note(text, sizeof(text)) != NULL)
		jb_kstr(jb, "storage_note", text);
}

void
storage_json(struct jbuf *jb)
{
	jb_key(jb, "storage");
	jb_obj(jb);
	jb_kstr(jb, "pool", pool.known ? pool.name : NULL);
	jb_kstr(jb, "driver", pool.known ? pool.driver : NULL);
	jb_kbool(jb, "copy_on_write", pool.clones);
	jb_kbool(jb, "quotas", pool.quotas);
	storage_note(jb);
	jb_end(jb);
}

/*
 * The frameworks that the catalog offers, as the supervisor has read it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: supervisor, front.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keeper.h"
#include "log.h"

#define FRAMEWORKS_MAX	64

struct table {
	struct framework	 rows[FRAMEWORKS_MAX];
	size_t			 n;
};

/* A reload fills the next table; it counts when it is complete. */
static struct table	*now, *next;

static char *
copy(const char *s)
{
	char	*d;

	if ((d = strdup(s)) == NULL)
		fatal("framework");
	return d;
}

void
frameworks_add(const struct m_framework *m)
{
	struct framework	*f;

	if (next == NULL && (next = calloc(1, sizeof(*next))) == NULL)
		fatal("framework");
	if (next->n == FRAMEWORKS_MAX) {
		log_warnx("framework %s is over the limit of %d", m->id,
		    FRAMEWORKS_MAX);
		return;
	}
	f = &next->rows[next->n++];
	f->id = copy(m->id);
	f->name = copy(m->name);
	f->description = copy(m->description);
	f->image = copy(m->image);
	f->runtime = copy(m->runtime);
	f->status = copy(m->status);
	f->reason = copy(m->reason);
	f->verification = copy(m->verification);
	f->version = copy(m->version);
	f->homepage = copy(m->homepage);
	f->license = copy(m->license);
	f->memory = m->memory;
	f->disk = m->disk;
	f->cpus = m->cpus;
	f->processes = m->processes;
	f->ready_timeout = m->ready_timeout;
	f->turn_timeout = m->turn_timeout;
	f->max_calls_per_turn = m->max_calls_per_turn;
	f->refusal_status = m->refusal_status;
}

void
frameworks_done(void)
{
	struct framework	*f;
	size_t			 i;

	for (i = 0; now != NULL && i < now->n; i++) {
		f = &now->rows[i];
		free(f->id);
		free(f->name);
		free(f->description);
		free(f->image);
		free(f->runtime);
		free(f->status);
		free(f->reason);
		free(f->verification);
		free(f->version);
		free(f->homepage);
		free(f->license);
	}
	free(now);
	now = next;
	next = NULL;
}

bool
framework_unavailable(const struct framework *f)
{
	return strcmp(f->status, "unavailable") == 0;
}

const struct framework *
framework_get(const char *id)
{
	const struct framework	*f = framework_any(id);

	return f == NULL || framework_unavailable(f) ? NULL : f;
}

const struct framework *
framework_any(const char *id)
{
	size_t	 i;

	for (i = 0; now != NULL && i < now->n; i++)
		if (strcmp(now->rows[i].id, id) == 0)
			return &now->rows[i];
	return NULL;
}

const char *
framework_names(char *buf, size_t size)
{
	size_t	 i;

	(void)strlcpy(buf, "", size);
	for (i = 0; now != NULL && i < now->n; i++) {
		if (framework_unavailable(&now->rows[i]))
			continue;
		if (buf[0] != '\0')
			(void)strlcat(buf, ", ", size);
		(void)strlcat(buf, now->rows[i].id, size);
	}
	if (buf[0] == '\0')
		(void)strlcpy(buf, "none", size);
	return buf;
}

/* What only one that works has. */
static void
framework_how(struct jbuf *jb, const struct framework *f)
{
	jb_kstr(jb, "image", f->image);
	jb_kstr(jb, "runtime", f->runtime);
	jb_kint(jb, "memory", (int64_t)f->memory);
	jb_kint(jb, "cpus", f->cpus);
	jb_kint(jb, "disk", (int64_t)f->disk);
	jb_kint(jb, "processes", f->processes);
	jb_kint(jb, "ready_timeout", f->ready_timeout);
	jb_kint(jb, "turn_timeout", f->turn_timeout);
	jb_kint(jb, "max_calls_per_turn", f->max_calls_per_turn);
	jb_kint(jb, "refusal_status", f->refusal_status);
}

int
h_api_frameworks(struct peer *p, struct msg *m)
{
	const struct framework	*f;
	struct client		 c = client_of(m);
	struct pass		 who;
	struct jbuf		 jb;
	size_t			 i;

	(void)p;
	if (auth_request(m, &m->u.api.pass, ROLE_USER, &who) == -1)
		return 0;
	jbuf_init(&jb, 65536);
	for (i = 0; now != NULL && i < now->n; i++) {
		f = &now->rows[i];
		jbuf_reset(&jb);
		jb_obj(&jb);
		jb_kstr(&jb, "id", f->id);
		jb_kstr(&jb, "name", f->name);
		jb_kstr(&jb, "description", f->description);
		jb_kstr(&jb, "verification_status", f->verification);
		jb_kstr(&jb, "status", f->status);
		jb_kstr(&jb, "version", f->version);
		jb_kstr(&jb, "homepage", f->homepage);
		jb_kstr(&jb, "license", f->license);
		if (framework_unavailable(f))
			jb_kstr(&jb, "reason", f->reason);
		else
			framework_how(&jb, f);
		jb_end(&jb);
		if (reply_row(c, "", 0, &jb) == -1)
			break;
	}
	jbuf_free(&jb);
	reply_list_end(c, now == NULL || i == now->n);
	return 0;
}

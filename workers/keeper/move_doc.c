/*
 * An agent as documents of an export, and made of them again.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#include <sys/utsname.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "limits.h"
#include "log.h"
#include "move.h"
#include "movefile.h"
#include "network.h"
#include "snapshot.h"
#include "worker.h"

#define PAGE_ROWS	64		/* messages at one time */

void
movedoc_record(struct jbuf *jb, const struct agent *a)
{
	jb_obj(jb);
	jb_kstr(jb, "agent_id", a->id);
	jb_kstr(jb, "owner", a->owner);
	jb_kstr(jb, "slug", a->slug);
	jb_kstr(jb, "display_name", a->display_name);
	jb_kstr(jb, "framework", a->framework);
	jb_kstr(jb, "emoji", a->emoji);
	jb_kstr(jb, "color", a->color);
	jb_kstr(jb, "channel_id", a->channel_id);
	jb_kint(jb, "memory", (int64_t)a->memory);
	jb_kint(jb, "cpus", a->cpus);
	jb_kint(jb, "disk", (int64_t)a->disk);
	jb_kint(jb, "processes", a->processes);
	jb_kint(jb, "idle", a->idle);
	jb_kstr(jb, "snapshots", a->snapshots);
	jb_key(jb, "created_at");
	jb_double(jb, a->created_at);
	jb_end(jb);
}

void
movedoc_policy(struct jbuf *jb, const struct agent *a)
{
	const char	*p = a->fallbacks;
	size_t		 n;

	jb_obj(jb);
	jb_kstr(jb, "model", a->model);
	jb_key(jb, "fallbacks");
	jb_arr(jb);
	for (; *p != '\0'; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		if (n > 0)
			jb_strn(jb, p, n);
	}
	jb_end(jb);
	network_json(jb, a);
	jb_end(jb);
}

void
movedoc_message(struct jbuf *jb, const struct message *m)
{
	jb_obj(jb);
	jb_kstr(jb, "id", m->id);
	jb_kstr(jb, "author_id", m->author_id);
	jb_kstr(jb, "author_type", m->author_type);
	jb_kstr(jb, "content", m->content);
	jb_kstr(jb, "state", m->state);
	jb_kstr(jb, "trace_id", m->trace_id);
	jb_kstr(jb, "error", m->error);
	jb_key(jb, "created_at");
	jb_double(jb, m->created_at);
	if (m->edited_at > 0) {
		jb_key(jb, "edited_at");
		jb_double(jb, m->edited_at);
	}
	jb_end(jb);
}

static void
set_limits(struct agent *a, const struct m_move_record *r)
{
	uint64_t	 memory, disk;
	uint32_t	 cpus, processes;

	deploy_limits(framework_get(a->framework), &memory, &cpus, &disk,
	    &processes);
	a->memory = r->memory != 0 ? r->memory : memory;
	a->cpus = r->cpus != 0 ? r->cpus : cpus;
	a->disk = r->disk != 0 ? r->disk : disk;
	a->processes = r->processes != 0 ? r->processes : processes;
	limits_clip(a);
}

struct agent *
movedoc_agent(const struct pass *who, const struct m_move_record *r,
    const char *slug, const char *name, const char *network, bool keep_id)
{
	struct agent	*a = deploy_agent(who, slug);
	struct schedule	 schedule;

	if (keep_id) {
		(void)strlcpy(a->id, r->agent_id, sizeof(a->id));
		(void)snprintf(a->instance, sizeof(a->instance),
		    "agentd-%.12s", a->id);
	}
	(void)strlcpy(a->display_name, name[0] != '\0' ? name :
	    r->display_name, sizeof(a->display_name));
	(void)strlcpy(a->framework, r->framework, sizeof(a->framework));
	(void)strlcpy(a->emoji, r->emoji, sizeof(a->emoji));
	(void)strlcpy(a->color, agent_color_ok(r->color) ? r->color :
	    "#888888", sizeof(a->color));
	if (network[0] != '\0')
		(void)strlcpy(a->network, network, sizeof(a->network));
	if (strcmp(a->network, "allow") == 0)
		network_take(a, r->domains);
	set_limits(a, r);
	a->idle = idle_ok(r->idle) ? r->idle : worker_conf()->idle_suspend;
	if (schedule_parse(r->snapshots, &schedule) == 0 &&
	    schedule.every != 0)
		(void)strlcpy(a->snapshots, r->snapshots,
		    sizeof(a->snapshots));
	return a;
}

void
movedoc_manifest(struct jbuf *jb, const struct agent *a,
    const struct move_section *list, size_t n)
{
	struct utsname	 host;
	size_t		 i;

	memset(&host, 0, sizeof(host));
	(void)uname(&host);
	jb_obj(jb);
	jb_kstr(jb, "format", "agentd-export");
	jb_kint(jb, "version", MF_VERSION);
	jb_kstr(jb, "server", worker_conf()->node_id);
	jb_kstr(jb, "arch", host.machine);
	jb_kstr(jb, "agent_id", a->id);
	jb_kstr(jb, "slug", a->slug);
	jb_kstr(jb, "framework", a->framework);
	jb_kstr(jb, "image", a->image);
	jb_key(jb, "created_at");
	jb_double(jb, sys_time());
	jb_key(jb, "sections");
	jb_arr(jb);
	for (i = 0; i < n; i++) {
		jb_obj(jb);
		jb_kstr(jb, "name", list[i].name);
		jb_kint(jb, "size", (int64_t)list[i].size);
		jb_kint(jb, "rows", (int64_t)list[i].rows);
		jb_kstr(jb, "sha256", list[i].sha256);
		jb_end(jb);
	}
	jb_end(jb);
	jb_end(jb);
}

/* ---- text of a section ---- */

int
move_text_add(struct move_text *t, struct jbuf *jb, bool line)
{
	const char	*p;
	size_t		 len, size = t->size == 0 ? 65536 : t->size;
	char		*buf;

	if ((p = jbuf_text(jb, &len)) == NULL)
		return -1;
	while (size < t->len + len + 1)
		size *= 2;
	if ((buf = realloc(t->p, size)) == NULL)
		fatal("export");
	memcpy(buf + t->len, p, len);
	t->p = buf;
	t->size = size;
	t->len += len;
	if (line)
		t->p[t->len++] = '\n';
	jbuf_reset(jb);
	return 0;
}

int
move_text_page(struct move_text *t, const char *channel_id, int64_t *seq,
    bool *last)
{
	struct db_stmt	*s;
	struct message	 m;
	struct jbuf	 jb;
	int		 rc, n = 0;

	s = db_query(keeper_db(), "SELECT " MESSAGE_COLS " FROM message "
	    "WHERE channel_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3", "sqi",
	    channel_id, *seq, PAGE_ROWS);
	if (s == NULL)
		return -1;
	jbuf_init(&jb, JSON_MAX);
	while ((rc = db_step(s)) == 1) {
		message_from_row(s, &m);
		movedoc_message(&jb, &m);
		if (move_text_add(t, &jb, true) == -1) {
			rc = -1;
			break;
		}
		*seq = (int64_t)m.seq;
		n++;
	}
	db_end(s);
	jbuf_free(&jb);
	*last = n < PAGE_ROWS;
	return rc == -1 ? -1 : n;
}

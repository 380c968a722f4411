/*
 * An agent as documents of an export, and made of them again.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "limits.h"
#include "move.h"

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
	jb_kstr(jb, "network", a->network);
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
	set_limits(a, r);
	a->idle = r->idle;
	return a;
}

/*
 * The beginning of a deploy: checks the request and makes its rows.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "limits.h"
#include "log.h"
#include "network.h"
#include "text.h"
#include "worker.h"

#define AGENTS_MAX	1000
#define MIB		(1024ULL * 1024)
#define MEMORY_DEFAULT	(512 * MIB)
#define PROCS_DEFAULT	512

/* The same key again is the same job. */
bool
deploy_known(struct client c, const struct pass *who, const char *key)
{
	const struct job *j;
	struct db_stmt	*s;
	struct jbuf	 jb;
	bool		 found;

	if (key[0] == '\0')
		return false;
	s = db_query(keeper_db(), "SELECT id, slug, display_name, agent_id, "
	    "status FROM job WHERE owner_id = ?1 AND idem_key = ?2", "ss",
	    who->principal, key);
	if (s == NULL)
		return false;
	found = db_step(s) == 1;
	j = found ? job_by_id(db_text(s, 0)) : NULL;
	if (j != NULL && !j->accepted) {
		/* It may yet be refused: two answers would differ. */
		reply_error(c, 503, "the first request with this key has no "
		    "answer yet: try again");
	} else if (found) {
		jbuf_init(&jb, 4096);
		jb_obj(&jb);
		jb_kstr(&jb, "job_id", db_text(s, 0));
		jb_kstr(&jb, "name", db_text(s, 1));
		jb_kstr(&jb, "display_name", db_text(s, 2));
		jb_kstr(&jb, "agent_id", db_text(s, 3));
		jb_kstr(&jb, "status", db_text(s, 4));
		jb_end(&jb);
		reply_doc(c, 202, &jb);
	}
	db_end(s);
	return found;
}

bool
deploy_room(struct client c, const char *name)
{
	uint32_t	 total, running, connected;

	agent_counts(&total, &running, &connected);
	if (!text_is_plain(name, false))
		reply_error(c, 422, "name: " TEXT_NOT_PLAIN);
	else if (total >= AGENTS_MAX)
		reply_error(c, 429, "there are %u agents: no more are made",
		    total);
	else
		return tracebox_room(c);
	return false;
}

static bool
framework_ok(struct client c, const char *id)
{
	const struct framework	*f = framework_any(id);
	char			 names[512];

	if (f == NULL)
		reply_error(c, 400, "framework: there is no %s; there are: %s",
		    id, framework_names(names, sizeof(names)));
	else if (framework_unavailable(f))
		reply_error(c, 409, "framework: %s is unavailable: %s", id,
		    f->reason);
	else
		return true;
	return false;
}

static bool
may_deploy(struct client c, const struct m_agent_deploy *in,
    char slug[SLUG_MAX + 1])
{
	const char	*bad = !text_is_plain(in->name, false) ? "name" :
	    !text_is_plain(in->model, false) ? "model" :
	    !text_is_plain(in->fallbacks, true) ? "fallback_models" :
	    !text_is_plain(in->emoji, false) ? "emoji" : NULL;
	int		 status;

	if (bad != NULL)
		reply_error(c, 422, "%s: " TEXT_NOT_PLAIN, bad);
	else if ((status = agent_free_slug(in->name, slug)) == 400)
		reply_error(c, 400, "name: needs at least one letter or "
		    "digit of ASCII");
	else if (!framework_ok(c, in->framework))
		return false;
	else if (!agent_color_ok(in->color))
		reply_error(c, 422, "color: must be like #888888");
	else if (!limits_ok(c, in->memory, in->cpus, in->processes, in->disk))
		return false;
	else if (status != 0)
		reply_error(c, 409, "name: there are too many agents of that "
		    "name, the last is %s", slug);
	else
		return deploy_room(c, in->name);
	return false;
}

/* Without the blanks around it. */
void
copy_trimmed(char *dst, const char *src, size_t size)
{
	size_t	 n;

	src += strspn(src, " \t\n");
	n = strlcpy(dst, src, size);
	if (n >= size)
		n = size - 1;
	while (n > 0 && strchr(" \t\n", dst[n - 1]) != NULL)
		dst[--n] = '\0';
}

void
deploy_id(struct agent *a)
{
	sys_id(a->id);
	(void)snprintf(a->instance, sizeof(a->instance), "agentd-%.12s",
	    a->id);
}

struct agent *
deploy_agent(const struct pass *who, const char *slug)
{
	struct agent	*a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		fatal("agent");
	deploy_id(a);
	(void)strlcpy(a->slug, slug, sizeof(a->slug));
	(void)strlcpy(a->owner, who->principal, sizeof(a->owner));
	(void)strlcpy(a->network, "none", sizeof(a->network));
	a->state = AGENT_DEPLOYING;
	a->created_at = sys_time();
	return a;
}

void
deploy_limits(const struct framework *f, uint64_t *memory, uint32_t *cpus,
    uint64_t *disk, uint32_t *processes)
{
	*memory = f->memory != 0 ? f->memory : MEMORY_DEFAULT;
	*cpus = f->cpus != 0 ? f->cpus : 1;
	*disk = f->disk;
	*processes = f->processes != 0 ? f->processes : PROCS_DEFAULT;
}

uint32_t
deploy_processes(const struct agent *a, const struct framework *f)
{
	if (a->processes != 0)
		return a->processes;
	return f != NULL && f->processes != 0 ? f->processes : PROCS_DEFAULT;
}

static struct agent *
make_agent(const struct m_agent_deploy *in, const struct pass *who,
    const char *slug)
{
	const struct framework	*f = framework_get(in->framework);
	struct agent		*a = deploy_agent(who, slug);
	uint32_t		 processes;

	copy_trimmed(a->display_name, in->name, sizeof(a->display_name));
	(void)strlcpy(a->framework, in->framework, sizeof(a->framework));
	copy_trimmed(a->model, in->model, sizeof(a->model));
	(void)strlcpy(a->fallbacks, in->fallbacks, sizeof(a->fallbacks));
	copy_trimmed(a->emoji, in->emoji, sizeof(a->emoji));
	(void)strlcpy(a->color, in->color[0] != '\0' ? in->color : "#888888",
	    sizeof(a->color));
	/* As it is made, a later change of the catalog changes nothing. */
	a->idle = worker_conf()->idle_suspend;
	deploy_limits(f, &a->memory, &a->cpus, &a->disk, &processes);
	if (in->memory != 0)
		a->memory = in->memory;
	if (in->cpus != 0)
		a->cpus = in->cpus;
	if (in->disk != 0)
		a->disk = in->disk;
	a->processes = in->processes;
	return a;
}

void
deploy_begin(struct client c, const struct pass *who, struct agent *a,
    enum job_source source, const char *ref, const char *idem_key)
{
	struct db	*db = keeper_db();
	char		 id[ID_LEN + 1];
	uint32_t	 actions;
	struct job	*j;

	sys_id(id);
	j = job_new(id, a->id, a->instance, a);
	j->asker = c;
	j->source = source;
	/* One made ahead is there before anything is asked. */
	j->sm.instance = source == JOB_POOL;
	j->due = job_due();
	(void)strlcpy(j->source_ref, ref, sizeof(j->source_ref));
	/* On disk before anything else hears of it. */
	actions = jobsm_event(&j->sm, JE_START);
	job_mark(j, JS_PLANNED);
	job_mark(j, JS_POLICY);
	if (db_begin(db) == -1) {
		pool_taken(a->id, false);
		job_abort(j);
		free(a);
		reply_db_error(c);
		return;
	}
	agent_add(a);
	jobrow_insert(j, idem_key);
	jobrow_write(j, "deploying");
	if (source == JOB_POOL)
		pool_take(a->id);
	audit_add(who, "AGENT_DEPLOY", a->slug, 202, a->id);
	if (db_commit(db) == -1) {
		pool_taken(a->id, false);
		job_abort(j);
		agent_forget(a);
		reply_db_error(c);
		return;
	}
	j->saved = j->nmarks;
	tracebox_agent(a);
	/* One made ahead stays nobody until its policy is there. */
	if (source == JOB_POOL)
		pool_taken(a->id, true);
	else
		keeper_tell_gateway(a);
	job_start(j, actions);
	tracebox_kick();
}

int
h_agent_deploy(struct peer *p, struct msg *m)
{
	const struct m_agent_deploy	*in = &m->u.agent_deploy;
	struct client			 c = client_of(m);
	char				 slug[SLUG_MAX + 1];
	struct pass			 who;
	struct agent			*a;
	bool				 warm;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1 ||
	    deploy_known(c, &who, in->idempotency_key) ||
	    !may_deploy(c, in, slug))
		return 0;
	a = make_agent(in, &who, slug);
	if (!network_fill(c, &who, a, in->network, in->domains)) {
		free(a);
		return 0;
	}
	warm = pool_claim(a);
	deploy_begin(c, &who, a, warm ? JOB_POOL : JOB_IMAGE, "",
	    in->idempotency_key);
	return 0;
}

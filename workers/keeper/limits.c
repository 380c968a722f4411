/*
 * Memory, CPUs, processes and disk of an agent, checked and changed live.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container.
 *
 * The row follows Incus: it is written once Incus has taken the limits.  When
 * that is cut in the middle, limits_assert() makes Incus agree with the row
 * at the next start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "limits.h"
#include "log.h"
#include "network.h"
#include "worker.h"

#define MIB		(1024ULL * 1024)
#define GIB		(1024ULL * MIB)
#define MEMORY_MIN	(64 * MIB)
#define MEMORY_MAX	(1024 * GIB)
#define DISK_MIN	(64 * MIB)
#define DISK_MAX	(65536 * GIB)
#define CPUS_MAX	64
#define PROCESSES_MIN	32
#define PROCESSES_MAX	100000
#define ASK_MS		120000		/* container has shorter ones itself */

/* A change under way. */
struct change {
	char		 agent_id[ID_LEN + 1];
	struct client	 client;
	struct pass	 who;
	bool		 ours;		/* limits_assert(): nobody asked */
	bool		 quota;		/* of the quota route */
	uint64_t	 memory, disk;
	uint32_t	 cpus, processes;
};

bool
limits_ok(struct client c, uint64_t memory, uint32_t cpus,
    uint32_t processes, uint64_t disk)
{
	if (memory != 0 && (memory < MEMORY_MIN || memory > MEMORY_MAX))
		reply_error(c, 422, "memory_limit: must be %llu MiB to %llu "
		    "GiB", MEMORY_MIN / MIB, MEMORY_MAX / GIB);
	else if (cpus > CPUS_MAX)
		reply_error(c, 422, "cpu_limit: must be 1 to %d", CPUS_MAX);
	else if (processes != 0 && (processes < PROCESSES_MIN ||
	    processes > PROCESSES_MAX))
		reply_error(c, 422, "process_limit: must be %d to %d",
		    PROCESSES_MIN, PROCESSES_MAX);
	else if (disk != 0 && (disk < DISK_MIN || disk > DISK_MAX))
		reply_error(c, 422, "disk_limit: must be %llu MiB to %llu "
		    "GiB", DISK_MIN / MIB, DISK_MAX / GIB);
	else
		return true;
	return false;
}

static uint64_t
clip(uint64_t v, uint64_t min, uint64_t max)
{
	return v < min ? min : v > max ? max : v;
}

void
limits_clip(struct agent *a)
{
	a->memory = clip(a->memory, MEMORY_MIN, MEMORY_MAX);
	a->cpus = (uint32_t)clip(a->cpus, 1, CPUS_MAX);
	if (a->disk != 0)
		a->disk = clip(a->disk, DISK_MIN, DISK_MAX);
	/* 0: those of the framework. */
	if (a->processes != 0)
		a->processes = (uint32_t)clip(a->processes, PROCESSES_MIN,
		    PROCESSES_MAX);
}

uint32_t
limits_processes(const struct agent *a)
{
	return deploy_processes(a, framework_get(a->framework));
}

/* ---- the end ---- */

static void
over(struct change *ch, struct agent *a)
{
	if (a != NULL)
		agent_unlock(a);
	free(ch);
}

static void
limits_json(struct jbuf *jb, const struct change *ch, const struct agent *a)
{
	char	 text[128];

	jb_obj(jb);
	if (ch->quota) {
		jb_kbool(jb, "ok", true);
		jb_kstr(jb, "agent_name", a->slug);
		jb_kint(jb, "new_quota_gib", (int64_t)(a->disk / GIB));
		(void)snprintf(text, sizeof(text), "the quota of %s is %llu "
		    "GiB", a->slug, (unsigned long long)(a->disk / GIB));
		jb_kstr(jb, "message", text);
	} else {
		jb_kstr(jb, "status", "updated");
		jb_kstr(jb, "name", a->slug);
		jb_kint(jb, "memory_limit", (int64_t)a->memory);
		jb_kint(jb, "cpu_limit", a->cpus);
		jb_kint(jb, "process_limit", limits_processes(a));
		jb_kint(jb, "disk_limit", (int64_t)a->disk);
	}
	disk_json(jb, a);
	jb_end(jb);
}

/* Its disk is judged by the new quota before the client hears of it. */
static void
on_looked(struct agent *a, void *arg)
{
	struct change	*ch = arg;
	struct jbuf	 jb;

	if (a == NULL) {
		reply_error(ch->client, 409, "the agent was deleted "
		    "meanwhile");
		free(ch);
		return;
	}
	jbuf_init(&jb, 4096);
	limits_json(&jb, ch, a);
	reply_doc(ch->client, 200, &jb);
	free(ch);
}

/* Incus has taken them: now the row. */
static void
store(struct change *ch, struct agent *a)
{
	struct agent	 old = *a;
	char		 text[160];

	(void)snprintf(text, sizeof(text), "memory %llu MiB, %u CPUs, %u "
	    "processes, disk %llu MiB", (unsigned long long)(ch->memory /
	    MIB), ch->cpus, ch->processes,
	    (unsigned long long)(ch->disk / MIB));
	a->memory = ch->memory;
	a->disk = ch->disk;
	a->cpus = ch->cpus;
	a->processes = ch->processes;
	if (agent_commit(a, &ch->who, "AGENT_LIMITS", "limits_changed",
	    text) == 0) {
		log_info("agent %s: %s", a->slug, text);
		agent_unlock(a);
		disk_look(a, on_looked, ch);
		return;
	}
	a->memory = old.memory;
	a->disk = old.disk;
	a->cpus = old.cpus;
	a->processes = old.processes;
	reply_db_error(ch->client);
	over(ch, a);
	/* Incus has what the row does not say. */
	limits_assert(a);
}

static void
on_set(struct msg *m, void *arg)
{
	struct change	*ch = arg;
	struct agent	*a = agent_by_id(ch->agent_id);
	const char	*error;
	uint32_t	 status = answer_status(m, LOST_CONTAINER, &error);
	bool		 ours;

	if (a == NULL) {
		over(ch, NULL);
		return;
	}
	if (status < 300 && !ch->ours) {
		store(ch, a);
		return;
	}
	if (status >= 300) {
		log_warnx("agent %s: limits: %s", a->slug, error);
		reply_error(ch->client, status == 404 ? 409 : status,
		    "agent %s: limits: %s", a->slug, error);
	}
	ours = ch->ours;
	over(ch, a);
	if (ours)
		network_assert(a);
}

static void
set(struct change *ch, struct agent *a)
{
	struct m_ct_limits	 m;

	m.agent_id = a->id;
	m.instance = a->instance;
	m.memory = ch->memory;
	m.cpus = ch->cpus;
	m.processes = ch->processes;
	m.disk = ch->disk;
	if (peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_LIMITS, &m,
	    -1, ASK_MS, on_set, ch) == 0)
		on_set(NULL, ch);
}

/* ---- smaller than what is in use? ---- */

static bool
fits(const struct change *ch, const struct agent *a)
{
	if (ch->memory < a->memory && ch->memory < a->mem_used) {
		reply_error(ch->client, 409, "memory_limit: agent %s uses "
		    "%llu MiB now; give it more, or restart it first",
		    a->slug, (unsigned long long)(a->mem_used / MIB) + 1);
		return false;
	}
	if (ch->disk != a->disk && ch->disk != 0 && a->dsk.known &&
	    ch->disk < a->dsk.used) {
		reply_error(ch->client, ch->quota ? 400 : 409, "disk_limit: "
		    "agent %s uses %llu MiB now; give it more, or delete "
		    "files first", a->slug,
		    (unsigned long long)(a->dsk.used / MIB) + 1);
		return false;
	}
	return true;
}

static void
on_usage(struct agent *a, void *arg)
{
	struct change	*ch = arg;

	if (a == NULL)
		over(ch, NULL);
	else if (!fits(ch, a))
		over(ch, a);
	else
		set(ch, a);
}

/* ---- the request ---- */

static void
fill(struct change *ch, const struct agent *a, const struct m_agent_limits *in)
{
	(void)strlcpy(ch->agent_id, a->id, sizeof(ch->agent_id));
	ch->memory = a->memory;
	ch->cpus = a->cpus;
	ch->processes = limits_processes(a);
	ch->disk = a->disk;
	if (in == NULL)
		return;
	if (in->memory != 0)
		ch->memory = in->memory;
	if (in->cpus != 0)
		ch->cpus = in->cpus;
	if (in->processes != 0)
		ch->processes = in->processes;
	if (in->disk != 0)
		ch->disk = in->disk;
	if (in->gib != 0) {
		ch->quota = true;
		ch->disk = in->gib * GIB;
	}
}

int
h_agent_limits(struct peer *p, struct msg *m)
{
	const struct m_agent_limits	*in = &m->u.agent_limits;
	struct client			 c = client_of(m);
	struct change			*ch;
	struct agent			*a;
	struct pass			 who;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL ||
	    !limits_ok(c, in->memory, in->cpus, in->processes,
	    in->gib != 0 ? in->gib * GIB : in->disk))
		return 0;
	if ((in->disk != 0 || in->gib != 0) && !storage_quotas())
		reply_error(c, 409, "disk_limit: the storage pool of agentd "
		    "cannot enforce one (driver dir)");
	else if (a->state == AGENT_DELETING || a->state == AGENT_FAILED)
		reply_error(c, 409, "agent %s has no instance whose limits "
		    "could be changed", a->slug);
	else if (agent_lock(a, "change of limits", c)) {
		if ((ch = calloc(1, sizeof(*ch))) == NULL)
			fatal("limits");
		ch->client = c;
		ch->who = who;
		fill(ch, a, in);
		disk_look(a, on_usage, ch);
	}
	return 0;
}

void
limits_assert(struct agent *a)
{
	struct change	*ch;

	if (a->job != NULL || a->doing != NULL ||
	    a->state == AGENT_DELETING || a->state == AGENT_FAILED)
		return;
	if ((ch = calloc(1, sizeof(*ch))) == NULL)
		fatal("limits");
	ch->ours = true;
	fill(ch, a, NULL);
	a->doing = "change of limits";
	set(ch, a);
}

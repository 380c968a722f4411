/*
 * What the disks of the agents hold, against their quotas.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container.
 *
 * One agent after the other is looked at; each change of state is told once:
 * log, trace and audit.
 */
#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "limits.h"
#include "log.h"
#include "verb.h"
#include "worker.h"

#define MIB		(1024ULL * 1024)
#define GIB		(1024.0 * 1024 * 1024)
#define WARN		0.875
#define ASK_MS		90000
#define SCAN_DEFAULT	300		/* seconds */
#define SOON		2		/* seconds after container has come */
#define WAITERS_MAX	16

struct look {
	char		 agent_id[ID_LEN + 1];
	void		(*fn)(struct agent *, void *);
	void		*arg;
};

static struct {
	struct event	*timer;
	bool		 running;
	bool		 check;		/* limits too: container is new */
	char		 next[SLUG_MAX + 1];	/* whose turn comes after */
	struct client	 waiters[WAITERS_MAX];
	struct pass	 who[WAITERS_MAX];
	unsigned	 nwaiters;
} scan;

static const char *const states[] = {
	[DISK_OK] = "ok", [DISK_WARN] = "warn", [DISK_HARD] = "hard",
};

double
disk_ratio(uint64_t used, uint64_t quota)
{
	return quota == 0 ? 0 : (double)used / (double)quota;
}

enum disk_state
disk_judge(uint64_t used, uint64_t quota)
{
	if (quota == 0)
		return DISK_OK;
	/* What is left below a megabyte holds no write any more. */
	if (used + MIB > quota)
		return DISK_HARD;
	return disk_ratio(used, quota) >= WARN ? DISK_WARN : DISK_OK;
}

uint64_t
disk_used(struct disk *d, uint64_t own, uint32_t snapshots)
{
	uint64_t	 moved;

	if (snapshots == 0 || !d->known) {
		d->base = 0;
	} else if (snapshots > d->snapshots && own < d->own) {
		d->base += d->own - own;
	} else if (snapshots < d->snapshots && own > d->own) {
		moved = own - d->own;
		d->base = d->base > moved ? d->base - moved : 0;
	}
	d->own = own;
	d->snapshots = snapshots;
	d->known = true;
	return d->used = d->base + own;
}

static void
members(struct jbuf *jb, const struct agent *a)
{
	const struct disk	*d = &a->dsk;

	jb_key(jb, "used");
	if (d->known)
		jb_int(jb, (int64_t)d->used);
	else
		jb_null(jb);
	jb_kint(jb, "quota", (int64_t)a->disk);
	jb_key(jb, "used_gib");
	if (d->known)
		jb_double(jb, (double)d->used / GIB);
	else
		jb_null(jb);
	jb_key(jb, "quota_gib");
	jb_double(jb, (double)a->disk / GIB);
	/* The contract's name; it is a ratio. */
	jb_key(jb, "percent");
	jb_double(jb, d->known ? disk_ratio(d->used, a->disk) : 0);
	jb_kstr(jb, "state", states[d->state]);
	jb_kbool(jb, "enforced", a->disk != 0 && storage_quotas());
	jb_key(jb, "checked_at");
	if (d->checked_at > 0)
		jb_double(jb, d->checked_at);
	else
		jb_null(jb);
	jb_key(jb, "last_checked_at");
	if (d->checked_at > 0)
		jb_double(jb, d->checked_at);
	else
		jb_null(jb);
}

void
disk_json(struct jbuf *jb, const struct agent *a)
{
	jb_key(jb, "disk");
	jb_obj(jb);
	members(jb, a);
	jb_end(jb);
}

/* ---- rows ---- */

static void
save(const struct agent *a)
{
	const struct disk	*d = &a->dsk;

	(void)db_exec(keeper_db(), "INSERT INTO disk (agent_id, owner_id, "
	    "own, base, snapshots, state, checked_at) VALUES (?1, ?2, ?3, ?4, "
	    "?5, ?6, ?7) ON CONFLICT (agent_id) DO UPDATE SET own = ?3, "
	    "base = ?4, snapshots = ?5, state = ?6, checked_at = ?7",
	    "ssqqusd", a->id, a->owner, (int64_t)d->own, (int64_t)d->base,
	    d->snapshots, states[d->state], d->checked_at);
}

void
disk_load(void)
{
	struct db_stmt	*s;
	struct agent	*a;
	struct disk	*d;

	s = db_query(keeper_db(), "SELECT agent_id, own, base, snapshots, "
	    "state, checked_at FROM disk", "");
	while (s != NULL && db_step(s) == 1) {
		if ((a = agent_by_id(db_text(s, 0))) == NULL)
			continue;
		d = &a->dsk;
		d->own = (uint64_t)db_int(s, 1);
		d->base = (uint64_t)db_int(s, 2);
		d->snapshots = (uint32_t)db_int(s, 3);
		d->state = strcmp(db_text(s, 4), "hard") == 0 ? DISK_HARD :
		    strcmp(db_text(s, 4), "warn") == 0 ? DISK_WARN : DISK_OK;
		d->checked_at = db_double(s, 5);
		d->used = d->own + d->base;
		d->known = true;
	}
	db_end(s);
}

/* ---- one agent ---- */

static void
tell(const struct agent *a)
{
	static const struct pass ours = { .principal = "agentd" };
	char			 text[160];

	(void)snprintf(text, sizeof(text), "%llu of %llu MiB are used (%.1f "
	    "%%)", (unsigned long long)(a->dsk.used / MIB),
	    (unsigned long long)(a->disk / MIB),
	    100 * disk_ratio(a->dsk.used, a->disk));
	if (a->dsk.state == DISK_OK)
		log_info("agent %s: disk: %s", a->slug, text);
	else
		log_warnx("agent %s: disk: %s", a->slug, text);
	audit_add(&ours, "DISK_STATE", a->slug, 200, text);
	tracebox_lifecycle(a->id, a->dsk.state == DISK_HARD ? "disk_hard" :
	    a->dsk.state == DISK_WARN ? "disk_warn" : "disk_ok", "", text);
}

static void
update(struct agent *a, const struct m_ct_usage *u)
{
	struct disk	 old = a->dsk;

	a->mem_used = u->memory;
	if (u->disk_known == 0)
		return;
	(void)disk_used(&a->dsk, u->disk, u->snapshots);
	a->dsk.checked_at = sys_time();
	a->dsk.state = disk_judge(a->dsk.used, a->disk);
	/* What does not change is not written every time. */
	if (old.known && old.state == a->dsk.state &&
	    old.base == a->dsk.base && old.snapshots == a->dsk.snapshots &&
	    a->dsk.checked_at < old.saved_at + SCAN_DEFAULT)
		return;
	if (db_begin(keeper_db()) == 0) {
		save(a);
		if (old.state != a->dsk.state)
			tell(a);
		if (db_commit(keeper_db()) == 0) {
			a->dsk.saved_at = a->dsk.checked_at;
			tracebox_kick();
			return;
		}
	}
	/* The change is told when it can be written. */
	a->dsk = old;
}

/* Hard pauses, and what is no longer hard goes on. */
static void
enforce(struct agent *a)
{
	char	 text[160];

	if (a->dsk.state == DISK_HARD && !agent_paused_by(a, "quota")) {
		(void)snprintf(text, sizeof(text), "its disk is full: %llu of "
		    "%llu MiB; raise the quota: agentctl agent limits %s "
		    "--disk SIZE", (unsigned long long)(a->dsk.used / MIB),
		    (unsigned long long)(a->disk / MIB), a->slug);
		(void)lifecycle_pause(a, "quota", text);
	} else if (a->dsk.state != DISK_HARD && agent_paused_by(a, "quota")) {
		(void)lifecycle_resume(a, "quota");
	}
}

static void
on_used(struct msg *m, void *arg)
{
	struct look	*l = arg;
	struct agent	*a = agent_by_id(l->agent_id);

	if (m != NULL && m->type == MSG_CT_USED && a != NULL) {
		update(a, &m->u.ct_usage);
		enforce(a);
	}
	if (m != NULL && m->more)
		return;
	l->fn(a, l->arg);
	free(l);
}

void
disk_look(struct agent *a, void (*fn)(struct agent *, void *), void *arg)
{
	struct m_ct_ref	 m = { a->id, a->instance };
	struct look		*l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		fatal("disk");
	(void)strlcpy(l->agent_id, a->id, sizeof(l->agent_id));
	l->fn = fn;
	l->arg = arg;
	if (peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_USAGE, &m,
	    -1, ASK_MS, on_used, l) == 0)
		on_used(NULL, l);
}

static void
on_disk(struct agent *a, void *arg)
{
	struct client	*c = arg;
	struct jbuf	 jb;

	jbuf_init(&jb, 2048);
	jb_obj(&jb);
	if (a == NULL) {
		reply_error(*c, 404, "the agent was deleted meanwhile");
		jbuf_free(&jb);
	} else {
		jb_kstr(&jb, "name", a->slug);
		members(&jb, a);
		jb_end(&jb);
		reply_doc(*c, 200, &jb);
	}
	free(c);
}

int
h_agent_disk(struct peer *p, struct msg *m)
{
	const struct m_agent_ref	*in = &m->u.agent_ref;
	struct client			*c;
	struct agent			*a;
	struct pass			 who;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		fatal("disk");
	*c = client_of(m);
	disk_look(a, on_disk, c);
	return 0;
}

/* ---- all of them ---- */

static void
answer(struct client c, const struct pass *who)
{
	struct agent	*a;
	struct jbuf	 jb;
	unsigned	 n = 0;

	jbuf_init(&jb, JSON_MAX);
	jb_obj(&jb);
	jb_key(&jb, "results");
	jb_arr(&jb);
	for (a = agent_first(); a != NULL; a = agent_next(a)) {
		if (!agent_may(who, a) || !a->dsk.known)
			continue;
		n++;
		jb_obj(&jb);
		jb_kstr(&jb, "name", a->slug);
		members(&jb, a);
		jb_end(&jb);
	}
	jb_end(&jb);
	jb_kint(&jb, "scanned", n);
	jb_end(&jb);
	reply_doc(c, 200, &jb);
}

static void
scan_end(void)
{
	uint32_t	 s = worker_conf()->disk_scan;
	struct timeval	 tv = { s != 0 ? (time_t)s : SCAN_DEFAULT, 0 };
	unsigned	 i;

	scan.running = false;
	for (i = 0; i < scan.nwaiters; i++)
		answer(scan.waiters[i], &scan.who[i]);
	scan.nwaiters = 0;
	(void)evtimer_add(scan.timer, &tv);
}

static void	scan_next(void);

static void
on_scanned(struct agent *a, void *arg)
{
	(void)a;
	(void)arg;
	scan_next();
}

/* The first agent behind the last one, whose disk can be looked at. */
static void
scan_next(void)
{
	struct agent	*a;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (strcmp(a->slug, scan.next) > 0 && a->job == NULL &&
		    a->state != AGENT_DELETING && a->state != AGENT_FAILED)
			break;
	if (a == NULL || !peer_is_up(worker_peer(PROC_CONTAINER))) {
		if (a == NULL)
			scan.check = false;
		scan_end();
		return;
	}
	(void)strlcpy(scan.next, a->slug, sizeof(scan.next));
	if (scan.check)
		limits_assert(a);
	disk_look(a, on_scanned, NULL);
}

static void
scan_begin(void)
{
	if (scan.running)
		return;
	scan.running = true;
	scan.next[0] = '\0';
	scan_next();
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	scan_begin();
}

void
disk_start(void)
{
	if (scan.timer == NULL && (scan.timer = evtimer_new(worker_base(),
	    on_timer, NULL)) == NULL)
		fatal("timer");
	if (!scan.running)
		scan_end();
}

void
disk_container_up(void)
{
	struct timeval	 tv = { SOON, 0 };

	scan.check = true;
	if (scan.timer != NULL && !scan.running)
		(void)evtimer_add(scan.timer, &tv);
}

int
h_disk_scan(struct peer *p, struct msg *m)
{
	struct pass	 who;

	(void)p;
	if (auth_request(m, &m->u.api.pass, ROLE_USER, &who) == -1)
		return 0;
	if (scan.nwaiters == WAITERS_MAX) {
		reply_error(client_of(m), 503, "too many wait for the disks "
		    "to be looked at: try again");
		return 0;
	}
	scan.waiters[scan.nwaiters] = client_of(m);
	scan.who[scan.nwaiters++] = who;
	scan_begin();
	return 0;
}

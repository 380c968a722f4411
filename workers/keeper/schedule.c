/*
 * Snapshots by schedule: "daily keep 7" makes one a day and deletes those of
 * the schedule beyond the newest seven.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container.
 *
 * One agent at a time.  When the last one was made is on disk; after a time
 * without agentd each agent gets one, not one for each day that was missed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "archive.h"
#include "log.h"
#include "snapshot.h"
#include "worker.h"

#define TICK_S		60
#define RETRY_S		600		/* after one that failed */
#define KEEP_MAX	100
#define ROWS_MAX	128		/* container makes no more */
#define ACT_MS		900000		/* container has shorter ones itself */

static struct {
	struct event	*timer;
	uint64_t	 not_before;	/* sys_now_ms(): the rows cannot be written */
	char		 agent_id[ID_LEN + 1];	/* "": nothing is at work */
	char		 made[SNAP_MAX + 1];
	/* The schedule's own, as the list told them. */
	char		 names[ROWS_MAX][SNAP_MAX + 1];
	size_t		 n;
} sc;

static void	 ask(struct agent *, const char *verb, const char *name,
		    peer_reply_fn);

int
schedule_parse(const char *text, struct schedule *s)
{
	static const struct {
		const char	*word;
		uint32_t	 every;
	} words[] = { { "hourly keep ", 3600 }, { "daily keep ", 86400 } };
	const char	*errstr;
	size_t		 i, n;

	s->every = s->keep = 0;
	if (text[0] == '\0' || strcmp(text, "off") == 0)
		return 0;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		n = strlen(words[i].word);
		if (strncmp(text, words[i].word, n) != 0)
			continue;
		if (text[n] < '0' || text[n] > '9')
			return -1;
		s->keep = (uint32_t)strtonum(text + n, 1, KEEP_MAX, &errstr);
		if (errstr != NULL)
			return -1;
		s->every = words[i].every;
		return 0;
	}
	return -1;
}

/* ---- one agent ---- */

/* What cannot be noted would be done again at once, and again. */
static void
made_at(const struct agent *a, double when)
{
	if (db_exec(keeper_db(), "INSERT INTO snapshot_made (agent_id, "
	    "owner_id, at) VALUES (?1, ?2, ?3) ON CONFLICT (agent_id) DO "
	    "UPDATE SET at = ?3", "ssd", a->id, a->owner, when) == -1)
		sc.not_before = sys_now_ms() + RETRY_S * 1000ULL;
}

static struct agent *
at_work(void)
{
	return agent_by_id(sc.agent_id);
}

/* The next one, as soon as this one's caller is through. */
static void
over(void)
{
	struct timeval	 now = { 0, 0 };
	struct agent	*a = at_work();

	if (a != NULL)
		agent_unlock(a);
	sc.agent_id[0] = '\0';
	(void)evtimer_add(sc.timer, &now);
}

/* made: it is only that older ones stay, until the next one is made. */
static void
failed(struct agent *a, struct msg *m, bool made)
{
	const char	*why;
	struct schedule	 s;

	(void)answer_status(m, LOST_CONTAINER, &why);
	log_warnx("agent %s: snapshot by schedule: %s", a->slug, why);
	(void)schedule_parse(a->snapshots, &s);
	if (!made)
		made_at(a, sys_time() - s.every + RETRY_S);
	tracebox_lifecycle(a->id, "snapshot_failed", sc.made, why);
	tracebox_kick();
	over();
}

/* Names hold the time, so their order is that of their making. */
static int
newest_first(const void *x, const void *y)
{
	return strcmp(y, x);
}

static void	 prune(struct agent *);

static void
on_pruned(struct msg *m, void *arg)
{
	struct agent	*a = at_work();

	(void)arg;
	if (a == NULL)
		over();
	else if (m == NULL || m->u.ct_done.status >= 300)
		failed(a, m, true);
	else
		prune(a);
}

static void
prune(struct agent *a)
{
	struct schedule	 s;

	(void)schedule_parse(a->snapshots, &s);
	if (s.every == 0 || sc.n <= s.keep) {
		over();
		return;
	}
	sc.n--;
	log_info("agent %s: snapshot %s is pruned", a->slug,
	    sc.names[sc.n]);
	ask(a, "delete", sc.names[sc.n], on_pruned);
}

static void
on_row(struct msg *m, void *arg)
{
	struct agent	*a = at_work();

	(void)arg;
	if (m != NULL && m->type == MSG_CT_SNAP_ROW) {
		if (strncmp(m->u.ct_snap_row.name, SNAP_AUTO,
		    strlen(SNAP_AUTO)) == 0 && sc.n < ROWS_MAX)
			(void)strlcpy(sc.names[sc.n++],
			    m->u.ct_snap_row.name, sizeof(sc.names[0]));
		return;
	}
	if (a == NULL) {
		over();
		return;
	}
	if (m == NULL || m->u.ct_done.status >= 300) {
		failed(a, m, true);
		return;
	}
	qsort(sc.names, sc.n, sizeof(sc.names[0]), newest_first);
	prune(a);
}

static void
on_made(struct msg *m, void *arg)
{
	struct agent	*a = at_work();

	(void)arg;
	if (a == NULL) {
		over();
		return;
	}
	if (m == NULL || m->u.ct_done.status >= 300) {
		failed(a, m, false);
		return;
	}
	made_at(a, sys_time());
	tracebox_lifecycle(a->id, "snapshot_made", sc.made, "");
	tracebox_kick();
	sc.n = 0;
	ask(a, "list", "", on_row);
}

static void
ask(struct agent *a, const char *verb, const char *name, peer_reply_fn fn)
{
	struct m_ct_snap	 m = { a->id, a->instance, verb, name };

	if (peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_SNAP, &m,
	    -1, ACT_MS, fn, NULL) == 0)
		fn(NULL, NULL);
}

/* ---- whose turn is it? ---- */

static bool
is_due(const struct agent *a)
{
	struct db_stmt	*r;
	struct schedule	 s;
	double		 at = 0, now = sys_time();

	if (schedule_parse(a->snapshots, &s) == -1 || s.every == 0 ||
	    a->job != NULL || a->doing != NULL ||
	    (a->state != AGENT_RUNNING && a->state != AGENT_STOPPED &&
	    a->state != AGENT_PAUSED))
		return false;
	r = db_query(keeper_db(), "SELECT at FROM snapshot_made WHERE "
	    "agent_id = ?1", "s", a->id);
	if (r != NULL && db_step(r) == 1)
		at = db_double(r, 0);
	db_end(r);
	/* A clock that was set back must not stop the schedule. */
	return now >= at + s.every || at > now + RETRY_S;
}

static void
look(void)
{
	struct client	 nobody = { 0, 0 };
	char		 stamp[STAMP_LEN + 1];
	struct agent	*a;

	if (sc.agent_id[0] != '\0' || sys_now_ms() < sc.not_before ||
	    !peer_is_up(worker_peer(PROC_CONTAINER)))
		return;
	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (is_due(a) && agent_lock(a, "snapshot", nobody))
			break;
	if (a == NULL)
		return;
	(void)strlcpy(sc.agent_id, a->id, sizeof(sc.agent_id));
	archive_stamp(stamp);
	(void)snprintf(sc.made, sizeof(sc.made), SNAP_AUTO "%s", stamp);
	ask(a, "make", sc.made, on_made);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct timeval	 tv = { TICK_S, 0 };

	(void)fd;
	(void)what;
	(void)arg;
	(void)evtimer_add(sc.timer, &tv);
	look();
}

void
schedule_start(void)
{
	struct timeval	 tv = { 5, 0 };

	if ((sc.timer = evtimer_new(worker_base(), on_tick, NULL)) == NULL)
		fatal("timer");
	(void)evtimer_add(sc.timer, &tv);
}

/* ---- the request ---- */

static int
store(struct agent *a, const struct pass *who, const char *text)
{
	char	 old[sizeof(a->snapshots)];

	(void)strlcpy(old, a->snapshots, sizeof(old));
	(void)strlcpy(a->snapshots, text, sizeof(a->snapshots));
	if (agent_commit(a, who, "SNAPSHOT_SCHEDULE", "snapshot_schedule",
	    text) == 0)
		return 0;
	(void)strlcpy(a->snapshots, old, sizeof(a->snapshots));
	return -1;
}

int
h_snap_schedule(struct peer *p, struct msg *m)
{
	const struct m_snap_schedule	*in = &m->u.snap_schedule;
	struct client			 c = client_of(m);
	struct timeval			 now = { 0, 0 };
	struct schedule			 s;
	struct agent			*a;
	struct pass			 who;
	struct jbuf			 jb;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	if (schedule_parse(in->schedule, &s) == -1) {
		reply_error(c, 422, "schedule: must be off, or hourly or "
		    "daily keep N, N from 1 to %d", KEEP_MAX);
	} else if (a->state == AGENT_DELETING) {
		reply_error(c, 409, "agent %s is being deleted", a->slug);
	} else if (store(a, &who, s.every == 0 ? "" : in->schedule) == -1) {
		reply_db_error(c);
	} else {
		(void)evtimer_add(sc.timer, &now);
		jbuf_init(&jb, 1024);
		jb_obj(&jb);
		jb_kstr(&jb, "status", "updated");
		jb_kstr(&jb, "name", a->slug);
		jb_kstr(&jb, "snapshots",
		    s.every == 0 ? "off" : a->snapshots);
		jb_end(&jb);
		reply_doc(c, 200, &jb);
	}
	return 0;
}

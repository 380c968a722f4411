/*
 * The journal of deploys: rows, their document, and who follows it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 */
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "log.h"

#define JOBS_KEPT	1000
#define FOLLOWERS_MAX	64

static const char *const sources[] = {
	[JOB_IMAGE] = "image",
	[JOB_POOL] = "pool",
	[JOB_COPY] = "copy",
	[JOB_BACKUP] = "backup",
};

void
job_mark(struct job *j, enum job_step step)
{
	struct job_mark	*k;

	if (j->nmarks == JOB_STEPS)
		return;
	k = &j->marks[j->nmarks++];
	k->step = step;
	k->at = sys_time();
	k->at_ms = sys_now_ms();
}

void
jobrow_insert(struct job *j, const char *idem_key)
{
	const struct agent	*a = j->agent;
	struct db		*db = keeper_db();

	(void)db_exec(db, "INSERT INTO job (id, owner_id, agent_id, slug, "
	    "display_name, instance, idem_key, status, step, started_at, "
	    "updated_at, source, source_ref, due) VALUES (?1, ?2, ?3, ?4, ?5, "
	    "?6, ?7, 'deploying', 'planned', ?8, ?8, ?9, ?10, ?11)",
	    "sssssssdssd", j->id, a->owner, a->id, a->slug, a->display_name,
	    a->instance, idem_key[0] != '\0' ? idem_key : NULL, sys_time(),
	    sources[j->source], j->source_ref, j->due);
	(void)db_exec(db, "DELETE FROM job WHERE status <> 'deploying' AND "
	    "started_at < (SELECT min(started_at) FROM (SELECT started_at "
	    "FROM job ORDER BY started_at DESC LIMIT ?1))", "i", JOBS_KEPT);
}

static enum job_source
source_by_name(const char *name)
{
	size_t	 i;

	for (i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		if (strcmp(sources[i], name) == 0)
			return (enum job_source)i;
	return JOB_IMAGE;
}

static void
write_mark(struct job *j, size_t n)
{
	const struct job_mark	*k = &j->marks[n];
	struct db		*db = keeper_db();

	if (n > 0)
		(void)db_exec(db, "UPDATE job_step SET ms = ?3 "
		    "WHERE job_id = ?1 AND n = ?2", "siq", j->id, (int)n - 1,
		    (int64_t)(k->at_ms - k[-1].at_ms));
	(void)db_exec(db, "INSERT INTO job_step (job_id, n, owner_id, step, "
	    "at) SELECT ?1, ?2, owner_id, ?3, ?4 FROM job WHERE id = ?1",
	    "sisd", j->id, (int)n, jobsm_step_name(k->step), k->at);
	tracebox_lifecycle(j->agent_id, "deploy", jobsm_step_name(k->step),
	    k->step == JS_ROLLBACK ? j->error : "");
}

void
jobrow_write(struct job *j, const char *status)
{
	enum job_step	 step;
	size_t		 n;

	for (n = j->saved; n < j->nmarks; n++)
		write_mark(j, n);
	/* A failed job is shown at the step that failed. */
	step = j->sm.step == JS_ROLLBACK || j->sm.step == JS_FAILED ?
	    j->sm.failed_at : j->sm.step;
	(void)db_exec(keeper_db(), "UPDATE job SET status = ?2, step = ?3, "
	    "error = ?4, updated_at = ?5, resumed = ?6 WHERE id = ?1",
	    "ssssdu", j->id, status, jobsm_step_name(step), j->error,
	    sys_time(), j->resumed);
}

void
jobrow_delete(const struct job *j)
{
	(void)db_exec(keeper_db(), "DELETE FROM job WHERE id = ?1", "s",
	    j->id);
}

static enum job_step
step_by_name(const char *name)
{
	int	 i;

	for (i = JS_PLANNED; i < JS_FAILED; i++)
		if (strcmp(jobsm_step_name((enum job_step)i), name) == 0)
			return (enum job_step)i;
	return JS_INSTANCE;
}

/* The steps that have begun; the time since the last one goes on. */
static void
read_marks(struct job *j)
{
	struct job_mark	*k;
	struct db_stmt	*s;
	uint64_t	 now = sys_now_ms();
	double		 ago;

	s = db_query(keeper_db(), "SELECT step, at FROM job_step WHERE "
	    "job_id = ?1 ORDER BY n", "s", j->id);
	while (s != NULL && j->nmarks < JOB_STEPS && db_step(s) == 1) {
		k = &j->marks[j->nmarks++];
		k->step = step_by_name(db_text(s, 0));
		k->at = db_double(s, 1);
		ago = (sys_time() - k->at) * 1000;
		k->at_ms = ago < 0 ? now : ago >= (double)now ? 0 :
		    now - (uint64_t)ago;
	}
	db_end(s);
	j->saved = j->nmarks;
}

/*
 * The row says what was being done; the marks how far it ever came, which
 * after a second crash may be farther.
 */
void
jobrow_resume(struct job *j)
{
	enum job_step	 reached = JS_PLANNED;
	bool		 rollback = false;
	struct db_stmt	*s;
	size_t		 n;

	s = db_query(keeper_db(), "SELECT step, error, source, source_ref, "
	    "due, resumed FROM job WHERE id = ?1", "s", j->id);
	if (s == NULL || db_step(s) != 1)
		fatalx("cannot read the job %s", j->id);
	j->sm.step = step_by_name(db_text(s, 0));
	/* A reason that was noted before stays the reason. */
	(void)strlcpy(j->error, db_text(s, 1), sizeof(j->error));
	j->source = source_by_name(db_text(s, 2));
	(void)strlcpy(j->source_ref, db_text(s, 3), sizeof(j->source_ref));
	j->due = db_double(s, 4);
	j->resumed = (uint32_t)db_int(s, 5) + 1;
	db_end(s);
	read_marks(j);
	for (n = 0; n < j->nmarks; n++)
		if (j->marks[n].step == JS_ROLLBACK)
			rollback = true;
		else if (j->marks[n].step > reached)
			reached = j->marks[n].step;
	j->sm.instance = reached >= JS_INSTANCE || j->source == JOB_POOL;
	j->sm.failed_at = j->sm.step;
	j->sm.step = rollback ? JS_ROLLBACK : reached;
}

static void
steps_json(struct jbuf *jb, const char *job_id)
{
	struct db_stmt	*s;

	jb_key(jb, "steps");
	jb_arr(jb);
	s = db_query(keeper_db(), "SELECT step, at, ms FROM job_step "
	    "WHERE job_id = ?1 ORDER BY n", "s", job_id);
	while (s != NULL && db_step(s) == 1) {
		jb_obj(jb);
		jb_kstr(jb, "step", db_text(s, 0));
		jb_key(jb, "at");
		jb_double(jb, db_double(s, 1));
		jb_key(jb, "ms");
		if (db_is_null(s, 2))
			jb_null(jb);
		else
			jb_int(jb, db_int(s, 2));
		jb_end(jb);
	}
	db_end(s);
	jb_end(jb);
}

int
jobrow_json(struct jbuf *jb, const char *job_id)
{
	struct db_stmt	*s;

	s = db_query(keeper_db(), "SELECT status, slug, display_name, "
	    "agent_id, step, error, started_at, updated_at, source, resumed, "
	    "due FROM job WHERE id = ?1", "s", job_id);
	if (s == NULL || db_step(s) != 1) {
		db_end(s);
		return -1;
	}
	jb_obj(jb);
	jb_kstr(jb, "status", db_text(s, 0));
	jb_kstr(jb, "name", db_text(s, 1));
	jb_kstr(jb, "display_name", db_text(s, 2));
	jb_kstr(jb, "job_id", job_id);
	jb_kstr(jb, "agent_id", db_text(s, 3));
	jb_kstr(jb, "step", db_text(s, 4));
	jb_kstr(jb, "source", db_text(s, 8));
	steps_json(jb, job_id);
	if (db_text(s, 5)[0] != '\0')
		jb_kstr(jb, "error", db_text(s, 5));
	jb_key(jb, "started_at");
	jb_double(jb, db_double(s, 6));
	jb_key(jb, "updated_at");
	jb_double(jb, db_double(s, 7));
	jb_kint(jb, "resumed", db_int(s, 9));
	jb_key(jb, "deadline");
	jb_double(jb, db_double(s, 10));
	jb_end(jb);
	db_end(s);
	return 0;
}

/* ---- who follows ---- */

static void
follower_free(struct job *j, struct follower *f)
{
	TAILQ_REMOVE(&j->followers, f, entry);
	free(f);
}

void
job_tell(struct job *j, bool end)
{
	struct follower	*f, *next;
	struct jbuf	 jb;
	bool		 fits;

	if (TAILQ_EMPTY(&j->followers))
		return;
	jbuf_init(&jb, 65536);
	fits = jobrow_json(&jb, j->id) == 0;
	for (f = TAILQ_FIRST(&j->followers); f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		if (fits)
			(void)reply_row(f->client, "step", 0, &jb);
		if (end) {
			(void)reply_end(f->client);
			follower_free(j, f);
		}
	}
	jbuf_free(&jb);
}

bool
job_unfollow(struct client c)
{
	struct follower	*f;
	struct job	*j;

	for (j = job_next(NULL); j != NULL; j = job_next(j))
		TAILQ_FOREACH(f, &j->followers, entry)
			if (f->client.id == c.id) {
				follower_free(j, f);
				return true;
			}
	return false;
}

void
job_unfollow_all(void)
{
	struct follower	*f, *next;
	struct job	*j;

	for (j = job_next(NULL); j != NULL; j = job_next(j))
		TAILQ_FOREACH_SAFE(f, &j->followers, entry, next)
			follower_free(j, f);
}

static int
find_job(const struct pass *who, const char *slug, char id[ID_LEN + 1])
{
	struct db_stmt	*s;
	int		 rc = -1;

	s = db_query(keeper_db(), "SELECT id FROM job WHERE slug = ?1 AND "
	    "(?2 = 1 OR owner_id = ?3) ORDER BY started_at DESC LIMIT 1",
	    "sis", slug, who->role == ROLE_ADMIN, who->principal);
	if (s != NULL && db_step(s) == 1) {
		(void)strlcpy(id, db_text(s, 0), ID_LEN + 1);
		rc = 0;
	}
	db_end(s);
	return rc;
}

static bool
follow(struct job *j, struct client c)
{
	struct follower	*f;
	unsigned	 n = 0;

	TAILQ_FOREACH(f, &j->followers, entry)
		n++;
	if (n >= FOLLOWERS_MAX) {
		reply_error(c, 429, "%u clients follow this deploy already",
		    n);
		return false;
	}
	if ((f = calloc(1, sizeof(*f))) == NULL)
		fatal("follower");
	f->client = c;
	TAILQ_INSERT_TAIL(&j->followers, f, entry);
	return true;
}

int
h_deploy_status(struct peer *p, struct msg *m)
{
	const struct m_agent_watch	*in = &m->u.agent_watch;
	struct client			 c = client_of(m);
	char				 id[ID_LEN + 1];
	struct pass			 who;
	struct jbuf			 jb;
	struct job			*j;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	if (find_job(&who, in->slug, id) == -1) {
		reply_error(c, 404, "no agent %s was ever deployed",
		    in->slug);
		return 0;
	}
	j = job_by_id(id);
	if (in->follow && j != NULL && !follow(j, c))
		return 0;
	jbuf_init(&jb, 65536);
	(void)jobrow_json(&jb, id);
	if (!in->follow) {
		reply_doc(c, 200, &jb);
		return 0;
	}
	/* Accepted; then as it is now; then, if it is over, the end. */
	(void)reply_row(c, "", 0, NULL);
	(void)reply_row(c, "step", 0, &jb);
	jbuf_free(&jb);
	if (j == NULL)
		(void)reply_end(c);
	return 0;
}

/*
 * Instances made ahead: the warm pool.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: gateway, supervisor, front.
 *
 * A member has what an agent has outside this program, an id, a socket and an
 * instance, but it is nobody: no row in agent, no policy, no key.  A deploy
 * that takes it makes the id an agent's and removes the member's row in one
 * transaction, so at every moment exactly one of the two answers for the
 * instance.  What was cut while it was made is thrown away at the next start.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "log.h"
#include "pool.h"
#include "worker.h"

#define ASK_MS	20000
#define REFUSAL	400

struct pool pool = { .members = TAILQ_HEAD_INITIALIZER(pool.members) };

static const char *const states[] = {
	[POOL_MAKING] = "making",
	[POOL_WARMING] = "warming",
	[POOL_READY] = "ready",
	[POOL_DROPPING] = "dropping",
};

const char *
pool_state_name(enum pool_state state)
{
	return states[state];
}

struct member *
pool_find(const char *id)
{
	struct member	*m;

	TAILQ_FOREACH(m, &pool.members, entry)
		if (strcmp(m->id, id) == 0)
			return m;
	return NULL;
}

bool
pool_knows(const char *id)
{
	return pool_find(id) != NULL;
}

struct want *
pool_want(const char *framework)
{
	size_t	 i;

	for (i = 0; i < pool.nwants; i++)
		if (strcmp(pool.wants[i].framework, framework) == 0)
			return &pool.wants[i];
	return NULL;
}

/* ---- rows ---- */

static struct member *
member_alloc(void)
{
	struct member	*m;

	if ((m = calloc(1, sizeof(*m))) == NULL)
		fatal("pool");
	TAILQ_INSERT_TAIL(&pool.members, m, entry);
	return m;
}

struct member *
pool_new(const struct framework *f, const char *image)
{
	struct member	*m = member_alloc();

	sys_id(m->id);
	(void)snprintf(m->instance, sizeof(m->instance), "agentd-%.12s",
	    m->id);
	(void)strlcpy(m->framework, f->id, sizeof(m->framework));
	(void)strlcpy(m->image, image, sizeof(m->image));
	deploy_limits(f, &m->memory, &m->cpus, &m->disk, &m->processes);
	m->created_at = sys_time();
	return m;
}

void
pool_free(struct member *m)
{
	TAILQ_REMOVE(&pool.members, m, entry);
	if (m->timer != NULL)
		event_free(m->timer);
	free(m);
}

int
pool_insert(const struct member *m)
{
	return db_exec(keeper_db(), "INSERT INTO pool (id, instance, "
	    "framework, image, state, memory, cpus, disk, processes, "
	    "created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	    "sssssququd", m->id, m->instance, m->framework, m->image,
	    states[m->state], (int64_t)m->memory, m->cpus, (int64_t)m->disk,
	    m->processes, m->created_at) == 1 ? 0 : -1;
}

int
pool_save(const struct member *m)
{
	return db_exec(keeper_db(), "UPDATE pool SET state = ?2, "
	    "uid_base = ?3, uid_count = ?4, ready_at = ?5 WHERE id = ?1",
	    "ssuud", m->id, states[m->state], m->uid_base, m->uid_count,
	    m->ready_at) == 1 ? 0 : -1;
}

static void
from_row(struct db_stmt *s)
{
	struct member	*m = member_alloc();
	int		 i;

	(void)strlcpy(m->id, db_text(s, 0), sizeof(m->id));
	(void)strlcpy(m->instance, db_text(s, 1), sizeof(m->instance));
	(void)strlcpy(m->framework, db_text(s, 2), sizeof(m->framework));
	(void)strlcpy(m->image, db_text(s, 3), sizeof(m->image));
	m->state = POOL_DROPPING;
	for (i = POOL_MAKING; i <= POOL_DROPPING; i++)
		if (strcmp(db_text(s, 4), states[i]) == 0)
			m->state = (enum pool_state)i;
	m->memory = (uint64_t)db_int(s, 5);
	m->cpus = (uint32_t)db_int(s, 6);
	m->disk = (uint64_t)db_int(s, 7);
	m->processes = (uint32_t)db_int(s, 8);
	m->uid_base = (uint32_t)db_int(s, 9);
	m->uid_count = (uint32_t)db_int(s, 10);
	m->created_at = db_double(s, 11);
	m->ready_at = db_double(s, 12);
}

void
pool_load(void)
{
	struct db_stmt	*s;
	int		 rc;

	poolfill_init();
	s = db_query(keeper_db(), "SELECT id, instance, framework, image, "
	    "state, memory, cpus, disk, processes, uid_base, uid_count, "
	    "created_at, ready_at FROM pool ORDER BY created_at", "");
	if (s == NULL)
		fatalx("cannot read the pool");
	while ((rc = db_step(s)) == 1)
		from_row(s);
	db_end(s);
	if (rc == -1)
		fatalx("cannot read the pool");
}

/* ---- what others know of them ---- */

void
pool_tell_gateway(const struct member *m)
{
	struct m_agent_conf	 c;
	char			 slug[SLUG_MAX + 1];

	(void)snprintf(slug, sizeof(slug), "warm-%.12s", m->id);
	c.agent_id = m->id;
	c.slug = slug;
	c.framework = m->framework;
	c.model = "";
	c.state = AGENT_WARM;
	c.uid_base = m->uid_base;
	c.uid_count = m->uid_count;
	c.max_calls_per_turn = 1;
	c.refusal_status = REFUSAL;
	if (peer_send(worker_peer(PROC_GATEWAY), MSG_AGENT_CONF, &c) == -1 &&
	    errno != ENOTCONN)
		log_warn("pool: state to gateway");
}

void
pool_gateway_up(void)
{
	struct member	*m;

	TAILQ_FOREACH(m, &pool.members, entry)
		if (m->state != POOL_DROPPING)
			pool_tell_gateway(m);
}

static void
on_socket(struct msg *msg, void *arg)
{
	(void)arg;
	if (msg == NULL || msg->u.done.status >= 300)
		log_warnx("pool: a socket is missing: %s", msg != NULL ?
		    msg->u.done.error : "no answer");
}

void
pool_start(void)
{
	struct member	*m, *next;
	struct m_agent_id who;

	pool.started = true;
	for (m = TAILQ_FIRST(&pool.members); m != NULL; m = next) {
		next = TAILQ_NEXT(m, entry);
		if (m->state != POOL_READY) {
			pool_drop(m, "agentd was stopped while it was made");
			continue;
		}
		who.agent_id = m->id;
		(void)peer_request(worker_super(), MSG_AGENT_LISTEN, &who,
		    ASK_MS, on_socket, NULL);
		pool_tell_gateway(m);
	}
	poolfill_kick();
}

/* ---- the end of one ---- */

static void
on_dropped(void *arg)
{
	struct member	*m = arg;

	(void)db_exec(keeper_db(), "DELETE FROM pool WHERE id = ?1", "s",
	    m->id);
	pool_free(m);
	poolfill_kick();
}

void
pool_drop(struct member *m, const char *why)
{
	log_info("pool: %s of %s is thrown away: %s", m->instance,
	    m->framework, why);
	m->state = POOL_DROPPING;
	if (m->timer != NULL)
		(void)evtimer_del(m->timer);
	/* If that fails the row still names what is to be removed. */
	(void)pool_save(m);
	teardown_start(m->id, m->instance, true, on_dropped, m);
}

/* ---- a deploy takes one ---- */

static bool
fits(const struct member *m, const struct agent *a)
{
	/* What runs cannot be given less than it may use already. */
	return m->state == POOL_READY && !m->claimed &&
	    strcmp(m->framework, a->framework) == 0 &&
	    strcmp(a->network, "none") == 0 && a->memory >= m->memory &&
	    (a->disk == m->disk || (m->disk != 0 && a->disk > m->disk));
}

bool
pool_claim(struct agent *a)
{
	const struct want	*w = pool_want(a->framework);
	struct member		*m;

	TAILQ_FOREACH(m, &pool.members, entry)
		/* What is not known yet container will look at. */
		if (fits(m, a) && w != NULL && (w->image[0] == '\0' ||
		    strcmp(w->image, m->image) == 0))
			break;
	if (m == NULL)
		return false;
	m->claimed = true;
	(void)strlcpy(a->id, m->id, sizeof(a->id));
	(void)strlcpy(a->instance, m->instance, sizeof(a->instance));
	(void)strlcpy(a->image, m->image, sizeof(a->image));
	a->uid_base = m->uid_base;
	a->uid_count = m->uid_count;
	return true;
}

void
pool_take(const char *id)
{
	(void)db_exec(keeper_db(), "DELETE FROM pool WHERE id = ?1", "s", id);
}

void
pool_taken(const char *id, bool committed)
{
	struct member	*m = pool_find(id);

	if (m == NULL)
		return;
	if (committed) {
		pool_free(m);
		poolfill_taken();
	} else {
		m->claimed = false;
	}
}

/* ---- what Incus says ---- */

void
pool_seen(const char *id, bool frozen)
{
	struct member	*m = pool_find(id);

	if (m != NULL)
		m->seen = frozen;
}

/* The list of instances, asked for at that time, is complete. */
void
pool_listed(double asked_at)
{
	struct member	*m, *next;

	for (m = TAILQ_FIRST(&pool.members); m != NULL; m = next) {
		next = TAILQ_NEXT(m, entry);
		if (m->state == POOL_READY && !m->claimed && !m->seen &&
		    m->ready_at < asked_at)
			pool_drop(m, "it is not there, or not frozen, any "
			    "more");
		m->seen = false;
	}
}

/* ---- the API ---- */

static void
member_json(struct jbuf *jb, const struct member *m)
{
	jb_obj(jb);
	jb_kstr(jb, "id", m->id);
	jb_kstr(jb, "container", m->instance);
	jb_kstr(jb, "framework", m->framework);
	jb_kstr(jb, "state", states[m->state]);
	jb_kstr(jb, "image", m->image);
	jb_kint(jb, "memory_limit", (int64_t)m->memory);
	jb_key(jb, "created_at");
	jb_double(jb, m->created_at);
	jb_key(jb, "ready_at");
	if (m->ready_at > 0)
		jb_double(jb, m->ready_at);
	else
		jb_null(jb);
	jb_end(jb);
}

int
h_pool_list(struct peer *p, struct msg *msg)
{
	struct pass	 who;
	struct member	*m;
	struct jbuf	 jb;
	size_t		 i;

	(void)p;
	if (auth_request(msg, &msg->u.api.pass, ROLE_ADMIN, &who) == -1)
		return 0;
	jbuf_init(&jb, 1U << 20);
	jb_obj(&jb);
	jb_key(&jb, "wanted");
	jb_obj(&jb);
	for (i = 0; i < pool.nwants; i++)
		jb_kint(&jb, pool.wants[i].framework, pool.wants[i].n);
	jb_end(&jb);
	jb_kstr(&jb, "held_back", pool.held[0] != '\0' ? pool.held : NULL);
	jb_key(&jb, "instances");
	jb_arr(&jb);
	TAILQ_FOREACH(m, &pool.members, entry)
		member_json(&jb, m);
	jb_end(&jb);
	jb_end(&jb);
	reply_doc(client_of(msg), 200, &jb);
	return 0;
}

/*
 * The deploy of an import: chat, instance, trace, network.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: mover, container, trace.
 *
 * In the place of the one request for an instance come several; the job hears
 * only how all of them ended.  Each may be repeated: messages are there or
 * not, an instance is known by the job's id, events by their own.  When the
 * job fails the channel goes with the agent's row, the instance with the
 * teardown.
 */
#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "move.h"
#include "worker.h"

#define ASK_MS		20000
#define PAGE_MAX	64		/* messages of one answer */

struct row {
	STAILQ_ENTRY(row) entry;
	char		*id, *author_id, *author_type, *state, *trace_id;
	char		*error, *content;
	double		 created_at, edited_at;
};

/* A page of messages on its way from mover. */
struct page {
	struct job	*job;
	STAILQ_HEAD(, row) rows;
	size_t		 n;
	bool		 over;		/* there were more than may be */
};

static void	 next_page(struct job *);

static void
fail(struct job *j, uint32_t status, const char *error)
{
	job_fail(j, JE_CREATE_FAILED, status, "%s", error);
}

/* Whoever has deleted it meanwhile need not wait for what is left to do. */
static bool
is_over(struct job *j)
{
	if (j->sm.step == JS_INSTANCE)
		return false;
	fail(j, 409, "it was deleted");
	return true;
}

/* ---- the instance, then its trace ---- */

static void
on_trace(struct msg *m, void *arg)
{
	struct job	*j = arg;

	if (m == NULL || m->type != MSG_TRACE_MOVED)
		fail(j, 503, "the trace worker ended in the middle of it");
	else if (m->u.moved.status >= 300)
		fail(j, m->u.moved.status, m->u.moved.error);
	else
		job_ask_card(j);
}

static void
on_pipe(struct msg *m, void *arg)
{
	struct import_use	*u;
	struct m_trace_move	 t;
	struct job		*j = arg;
	int			 fd = -1;

	if (m != NULL && m->type == MSG_MOVE_PIPE) {
		fd = m->fd;
		m->fd = -1;
	}
	u = import_use(j->source_ref);
	t.agent_id = j->agent_id;
	t.rows = u != NULL ? u->events : 0;
	if (fd == -1)
		fail(j, 503, m != NULL && m->type == MSG_DONE ?
		    m->u.done.error : "mover ended in the middle of it");
	else if (peer_request_fd(worker_peer(PROC_TRACE), MSG_TRACE_IMPORT,
	    &t, fd, 0, on_trace, j) == 0)
		fail(j, 503, "the trace worker is not there");
}

static void
on_made(struct msg *m, void *arg)
{
	struct job		*j = arg;
	struct m_move_id	 out = { j->source_ref };

	if (m == NULL || m->type != MSG_CT_DONE ||
	    m->u.ct_done.status >= 300 || j->sm.step != JS_INSTANCE) {
		job_on_created(m, j);
		return;
	}
	j->create_req = 0;
	j->agent->uid_base = m->u.ct_done.uid_base;
	j->agent->uid_count = m->u.ct_done.uid_count;
	if (peer_request(worker_peer(PROC_MOVER), MSG_MOVE_TRACE, &out,
	    ASK_MS, on_pipe, j) == 0)
		fail(j, 503, "mover is not there");
}

static void
make(struct job *j)
{
	const struct import_use	*u = import_use(j->source_ref);

	if (is_over(j))
		return;
	if (u == NULL)
		fail(j, 503, "the import was given up");
	else if (job_ask_image(j, u->fingerprint, on_made) == 0)
		job_on_created(NULL, j);
	else
		j->create_again = true;
}

/* ---- chat ---- */

static void
row_free(struct row *r)
{
	free(r->id);
	free(r->author_id);
	free(r->author_type);
	free(r->state);
	free(r->trace_id);
	free(r->error);
	free(r->content);
	free(r);
}

static void
page_free(struct page *p)
{
	struct row	*r;

	while ((r = STAILQ_FIRST(&p->rows)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->rows, entry);
		row_free(r);
	}
	free(p);
}

static char *
copy(const char *s)
{
	char	*p = strdup(s);

	if (p == NULL)
		fatal("message");
	return p;
}

static void
keep(struct page *p, const struct m_move_message *m)
{
	struct row	*r;

	if (p->n == PAGE_MAX) {
		p->over = true;
		return;
	}
	if ((r = calloc(1, sizeof(*r))) == NULL)
		fatal("message");
	r->id = copy(m->id);
	r->author_id = copy(m->author_id);
	r->author_type = copy(m->author_type);
	r->state = copy(m->state);
	r->trace_id = copy(m->trace_id);
	r->error = copy(m->error);
	r->content = copy(m->content);
	r->created_at = m->created_at;
	r->edited_at = m->edited_at;
	STAILQ_INSERT_TAIL(&p->rows, r, entry);
	p->n++;
}

/* An id that another channel has stays there; here it becomes a new one. */
static bool
is_taken(const char *table, const char *id)
{
	int64_t	 n = 0;
	int	 rc;

	if (strcmp(table, "channel") == 0)
		rc = db_get_int(keeper_db(), &n, "SELECT count(*) FROM "
		    "channel WHERE id = ?1", "s", id);
	else
		rc = db_get_int(keeper_db(), &n, "SELECT count(*) FROM "
		    "message WHERE id = ?1", "s", id);
	return rc != 1 || n > 0;
}

static void
insert(const struct agent *a, const struct row *r)
{
	bool		 open, agent = strcmp(r->author_type, "agent") == 0;
	char		 id[ID_LEN + 1];

	(void)strlcpy(id, r->id, sizeof(id));
	if (!sys_is_id(id) || is_taken("message", id))
		sys_id(id);
	/* Nobody here will answer it: its turn was on the other server. */
	open = strcmp(r->state, "queued") == 0 ||
	    strcmp(r->state, "delivered") == 0;
	(void)db_exec(keeper_db(), "INSERT INTO message (id, owner_id, "
	    "channel_id, author_id, author_type, content, state, trace_id, "
	    "error, created_at, edited_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
	    "?7, ?8, ?9, ?10, ?11)", "sssssssssdd", id, a->owner,
	    a->channel_id, agent ? a->slug : r->author_id, r->author_type,
	    r->content, open ? "failed" : r->state, r->trace_id,
	    open ? "the agent moved before it answered" : r->error,
	    r->created_at, r->edited_at);
	(void)db_exec(keeper_db(), "UPDATE channel SET last_message_at = ?2 "
	    "WHERE id = ?1", "sd", a->channel_id, r->created_at);
}

/* The agent's channel, with the id that the trace knows if it is free. */
static void
make_channel(struct agent *a, const struct import_use *u)
{
	if (sys_is_id(u->channel_id) && !is_taken("channel", u->channel_id))
		(void)strlcpy(a->channel_id, u->channel_id,
		    sizeof(a->channel_id));
	else
		sys_id(a->channel_id);
	chat_channel_add(a);
	(void)agent_save(a);
	tracebox_lifecycle(a->id, "imported", u->server, "");
}

static int
store(struct page *p, struct import_use *u)
{
	struct agent	*a = p->job->agent;
	struct row	*r;
	bool		 first = a->channel_id[0] == '\0';

	if (db_begin(keeper_db()) == -1)
		return -1;
	if (first)
		make_channel(a, u);
	STAILQ_FOREACH(r, &p->rows, entry)
		insert(a, r);
	if (db_commit(keeper_db()) == -1) {
		if (first)
			a->channel_id[0] = '\0';
		return -1;
	}
	u->stored += p->n;
	tracebox_kick();
	return 0;
}

static void
on_page(struct msg *m, void *arg)
{
	struct page		*p = arg;
	struct job		*j = p->job;
	struct import_use	*u = import_use(j->source_ref);
	size_t			 n;

	if (m != NULL && m->more) {
		if (m->type == MSG_MOVE_MESSAGE)
			keep(p, &m->u.move_message);
		return;
	}
	if (m == NULL || m->type != MSG_DONE || m->u.done.status >= 300) {
		page_free(p);
		fail(j, 503, m != NULL && m->type == MSG_DONE ?
		    m->u.done.error : "mover ended in the middle of it");
		return;
	}
	if (p->over) {
		page_free(p);
		fail(j, 502, "mover sends more messages than were asked for");
		return;
	}
	n = p->n;
	if (u == NULL || store(p, u) == -1) {
		page_free(p);
		fail(j, 507, "the messages cannot be stored");
		return;
	}
	page_free(p);
	if (n > 0) {
		next_page(j);
		return;
	}
	if (u->stored != u->messages) {
		fail(j, 502, "not all messages have come");
		return;
	}
	u->chat_done = true;
	make(j);
}

static void
next_page(struct job *j)
{
	struct m_move_id	 m = { j->source_ref };
	struct page		*p;

	if (is_over(j))
		return;
	if ((p = calloc(1, sizeof(*p))) == NULL)
		fatal("messages");
	p->job = j;
	STAILQ_INIT(&p->rows);
	if (peer_request(worker_peer(PROC_MOVER), MSG_MOVE_CHAT, &m, ASK_MS,
	    on_page, p) == 0)
		on_page(NULL, p);
}

void
job_ask_backup(struct job *j)
{
	const struct import_use	*u = import_use(j->source_ref);

	if (u == NULL)
		fail(j, 503, "agentd was restarted while the agent was being "
		    "imported: import it again");
	else if (u->chat_done)
		make(j);
	else
		next_page(j);
}

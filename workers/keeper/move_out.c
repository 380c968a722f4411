/*
 * Export: an agent as one signed file.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, mover, trace, container.
 *
 * keeper says who writes which section into mover's file, one after the other:
 * itself record, policy and chat, trace the events, container the files.  The
 * manifest is made here from what mover counted, and signed; mover has no
 * key.  The agent is locked meanwhile, but it goes on working.
 */
#include <sys/queue.h>

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "move.h"
#include "movefile.h"
#include "worker.h"

#define ASK_MS		20000
#define PIECE		61440		/* move_text.data in msg.def */
#define SECTIONS_MAX	8

enum stage { X_OPEN, X_RECORD, X_POLICY, X_CHAT, X_TRACE, X_ROOTFS, X_LIST,
    X_SIGN };

struct export {
	TAILQ_ENTRY(export) entry;
	char		 id[ID_LEN + 1];
	char		 agent_id[ID_LEN + 1];
	char		 slug[SLUG_MAX + 1];
	struct client	 client;
	struct pass	 who;
	enum stage	 stage;
	/* text that goes out in pieces */
	struct move_text text;
	size_t		 off;
	bool		 last;		/* the section ends with it */
	uint64_t	 rows;
	int64_t		 seq;		/* the last message that is in it */
	struct move_section	 list[SECTIONS_MAX];
	size_t		 nlist;
	bool		 given_up;	/* ends with the answer that is due */
};

static TAILQ_HEAD(, export) exports = TAILQ_HEAD_INITIALIZER(exports);

static void	 next_piece(struct export *);
static void	 run(struct export *);

/* ---- the end ---- */

static void
export_free(struct export *e)
{
	struct agent	*a = agent_by_id(e->agent_id);

	if (a != NULL)
		agent_unlock(a);
	TAILQ_REMOVE(&exports, e, entry);
	free(e->text.p);
	free(e);
}

static void
give_up(struct export *e, uint32_t status, const char *error)
{
	struct m_move_id	 m = { e->id };

	log_warnx("agent %s: export: %s", e->slug, error);
	(void)peer_send(worker_peer(PROC_MOVER), MSG_MOVE_DROP, &m);
	audit_add(&e->who, "AGENT_EXPORT", e->slug, status, error);
	reply_error(e->client, status, "agent %s: export: %s", e->slug,
	    error);
	export_free(e);
}

static void
whole(struct export *e)
{
	if (db_begin(keeper_db()) == 0) {
		audit_add(&e->who, "AGENT_EXPORT", e->slug, 200, e->id);
		tracebox_lifecycle(e->agent_id, "exported", "", "");
		(void)db_commit(keeper_db());
	}
	log_info("agent %s: exported", e->slug);
	(void)reply_end(e->client);
	export_free(e);
	tracebox_kick();
}

/* An answer that is good; else the export has ended. */
static bool
good(struct export *e, const struct msg *m, uint32_t type)
{
	const char	*error;
	uint32_t	 status = answer_status(m, LOST_MOVE, &error);

	if (m != NULL && (m->type == MSG_MOVE_PIPE ||
	    m->type == MSG_TRACE_MOVED)) {
		status = m->u.moved.status;
		error = m->u.moved.error;
	}
	if (e->given_up) {
		status = 499;
		error = "the client has left";
	}
	if (status < 300 && m != NULL && m->type == type)
		return true;
	give_up(e, status < 400 ? 502 : status > 599 ? 502 : status, error);
	return false;
}

/* ---- text sections ---- */

static const char *const names[] = {
	[X_RECORD] = "record", [X_POLICY] = "policy", [X_CHAT] = "chat",
	[X_TRACE] = "trace", [X_ROOTFS] = "rootfs",
};

static void
on_text(struct msg *m, void *arg)
{
	struct export	*e = arg;

	if (good(e, m, MSG_DONE))
		next_piece(e);
}

static void
send_piece(struct export *e)
{
	struct m_move_text	 m;

	m.id = e->id;
	m.section = names[e->stage];
	m.data.ptr = e->text.len > 0 ? e->text.p + e->off : "";
	m.data.len = e->text.len - e->off > PIECE ? PIECE : e->text.len - e->off;
	e->off += m.data.len;
	m.last = e->last && e->off == e->text.len;
	m.rows = e->rows;
	if (m.last)
		e->stage++;
	/* No time-out: the client reads as fast as he can. */
	if (peer_request(worker_peer(PROC_MOVER), MSG_MOVE_TEXT, &m, 0,
	    on_text, e) == 0)
		(void)good(e, NULL, MSG_DONE);
}

/* The text of this section, or the next of it: 0 or -1. */
static int
make_text(struct export *e, const struct agent *a)
{
	struct jbuf	 jb;
	int		 n, r;

	e->text.len = e->off = 0;
	e->last = true;
	if (e->stage == X_CHAT) {
		if (e->seq == 0)
			e->rows = 0;
		if (a->channel_id[0] == '\0')
			return 0;
		n = move_text_page(&e->text, a->channel_id, &e->seq,
		    &e->last);
		e->rows += n > 0 ? (uint64_t)n : 0;
		return n == -1 ? -1 : 0;
	}
	e->rows = 1;
	jbuf_init(&jb, JSON_MAX);
	if (e->stage == X_RECORD)
		movedoc_record(&jb, a);
	else
		movedoc_policy(&jb, a);
	r = move_text_add(&e->text, &jb, false);
	jbuf_free(&jb);
	return r;
}

/* What is left of the text at hand, else the next of this section. */
static void
next_piece(struct export *e)
{
	struct agent	*a = agent_by_id(e->agent_id);

	if (a == NULL)
		give_up(e, 410, "the agent is gone");
	else if (e->off < e->text.len)
		send_piece(e);
	else if (e->stage > X_CHAT)
		run(e);
	else if (make_text(e, a) == -1)
		give_up(e, 500, "a section cannot be read, or is too long");
	else
		send_piece(e);
}

/* ---- sections that others write ---- */

static void
on_closed(struct msg *m, void *arg)
{
	struct export	*e = arg;

	if (!good(e, m, MSG_DONE))
		return;
	e->stage++;
	run(e);
}

/* Its writer says that all is written: mover sees whether it is. */
static void
close_section(struct export *e, uint64_t rows)
{
	struct m_move_section	 m;

	memset(&m, 0, sizeof(m));
	m.id = e->id;
	m.section = names[e->stage];
	m.rows = rows;
	if (peer_request(worker_peer(PROC_MOVER), MSG_MOVE_CLOSE, &m, 0,
	    on_closed, e) == 0)
		(void)good(e, NULL, MSG_DONE);
}

static void
on_trace(struct msg *m, void *arg)
{
	struct export	*e = arg;

	if (good(e, m, MSG_TRACE_MOVED))
		close_section(e, m->u.moved.rows);
}

static void
on_files(struct msg *m, void *arg)
{
	struct export	*e = arg;

	if (good(e, m, MSG_CT_DONE))
		close_section(e, 0);
}

static void
on_pipe(struct msg *m, void *arg)
{
	struct export		*e = arg;
	struct agent		*a = agent_by_id(e->agent_id);
	struct m_trace_move	 t = { e->agent_id, 0 };
	struct m_ct_backup	 b;
	uint64_t		 req;
	int			 fd;

	if (!good(e, m, MSG_MOVE_PIPE))
		return;
	fd = m->fd;
	m->fd = -1;
	if (a == NULL || fd == -1) {
		give_up(e, 502, "mover gave no pipe");
		return;
	}
	if (e->stage == X_TRACE) {
		req = peer_request_fd(worker_peer(PROC_TRACE),
		    MSG_TRACE_EXPORT, &t, fd, 0, on_trace, e);
	} else {
		b.agent_id = a->id;
		b.instance = a->instance;
		b.id = e->id;
		req = peer_request_fd(worker_peer(PROC_CONTAINER),
		    MSG_CT_BACKUP, &b, fd, 0, on_files, e);
	}
	if (req == 0)
		(void)good(e, NULL, MSG_DONE);
}

static void
open_section(struct export *e)
{
	struct m_move_section	 m;

	memset(&m, 0, sizeof(m));
	m.id = e->id;
	m.section = names[e->stage];
	if (peer_request(worker_peer(PROC_MOVER), MSG_MOVE_OPEN, &m, ASK_MS,
	    on_pipe, e) == 0)
		(void)good(e, NULL, MSG_DONE);
}

/* ---- manifest ---- */

static void
on_signed(struct msg *m, void *arg)
{
	struct export	*e = arg;

	if (good(e, m, MSG_DONE))
		whole(e);
}

static void
sign(struct export *e)
{
	struct agent		*a = agent_by_id(e->agent_id);
	struct m_move_sign	 m = { .id = e->id };
	uint8_t			 sig[SIGNATURE_LEN];
	const char		*text;
	struct jbuf		 jb;
	size_t			 len;

	jbuf_init(&jb, JSON_MAX);
	if (a != NULL)
		movedoc_manifest(&jb, a, e->list, e->nlist);
	if ((text = jbuf_text(&jb, &len)) == NULL ||
	    len > MF_MANIFEST_MAX ||
	    serverkey_sign(MF_SIGNED, text, len, sig) == -1) {
		jbuf_free(&jb);
		give_up(e, 500, "the file cannot be signed");
		return;
	}
	m.manifest = (struct msg_bytes){ text, len };
	m.key = (struct msg_bytes){ serverkey_public(), SERVER_KEY_LEN };
	m.signature = (struct msg_bytes){ sig, sizeof(sig) };
	if (peer_request(worker_peer(PROC_MOVER), MSG_MOVE_SIGN, &m, 0,
	    on_signed, e) == 0)
		(void)good(e, NULL, MSG_DONE);
	jbuf_free(&jb);
}

static void
on_list(struct msg *m, void *arg)
{
	struct export	*e = arg;
	struct move_section	*s;

	/* It ends with the last frame, whatever comes before. */
	if (m != NULL && m->more) {
		if (m->type != MSG_MOVE_SECTION || e->nlist == SECTIONS_MAX)
			return;
		s = &e->list[e->nlist++];
		(void)strlcpy(s->name, m->u.move_section.section,
		    sizeof(s->name));
		(void)strlcpy(s->sha256, m->u.move_section.sha256,
		    sizeof(s->sha256));
		s->size = m->u.move_section.size;
		s->rows = m->u.move_section.rows;
		return;
	}
	if (!good(e, m, MSG_DONE))
		return;
	e->stage = X_SIGN;
	run(e);
}

static void
run(struct export *e)
{
	struct m_move_id	 m = { e->id };

	switch (e->stage) {
	case X_TRACE:
	case X_ROOTFS:
		open_section(e);
		break;
	case X_LIST:
		if (peer_request(worker_peer(PROC_MOVER), MSG_MOVE_LIST, &m,
		    ASK_MS, on_list, e) == 0)
			(void)good(e, NULL, MSG_DONE);
		break;
	case X_SIGN:
		sign(e);
		break;
	default:
		next_piece(e);
		break;
	}
}

/* ---- the request ---- */

static void
on_open(struct msg *m, void *arg)
{
	struct export	*e = arg;
	struct jbuf	 none;

	if (!good(e, m, MSG_DONE))
		return;
	/* Now the client may have the head of his answer. */
	jbuf_init(&none, 16);
	jb_obj(&none);
	jb_end(&none);
	(void)reply_row(e->client, "", 0, &none);
	jbuf_free(&none);
	e->stage = X_RECORD;
	run(e);
}

static bool
may_export(struct client c, const struct agent *a)
{
	if (a->state == AGENT_DELETING || a->state == AGENT_FAILED)
		reply_error(c, 409, "agent %s is %s", a->slug,
		    agent_status(a));
	else if (serverkey_public() == NULL)
		reply_error(c, 503, "this server has no signing key: see "
		    "keeper's log");
	else
		return true;
	return false;
}

int
h_agent_export(struct peer *p, struct msg *m)
{
	const struct m_agent_ref	*in = &m->u.agent_ref;
	struct client			 c = client_of(m);
	struct m_move_id		 out;
	struct export			*e;
	struct agent			*a;
	struct pass			 who;
	int				 fd = m->fd;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL ||
	    !may_export(c, a) || !agent_lock(a, "export", c))
		return 0;
	if ((e = calloc(1, sizeof(*e))) == NULL)
		fatal("export");
	m->fd = -1;
	sys_id(e->id);
	(void)strlcpy(e->agent_id, a->id, sizeof(e->agent_id));
	(void)strlcpy(e->slug, a->slug, sizeof(e->slug));
	e->client = c;
	e->who = who;
	TAILQ_INSERT_TAIL(&exports, e, entry);
	out.id = e->id;
	if (peer_request_hold(worker_peer(PROC_MOVER), MSG_MOVE_OUT, &out, fd,
	    ASK_MS, on_open, e) == 0)
		(void)good(e, NULL, MSG_DONE);
	return 0;
}

/* What is under way ends, and its answer ends the export. */
static void
abandon(struct export *e)
{
	struct m_move_id	 m = { e->id };

	e->given_up = true;
	e->client.id = 0;
	(void)peer_send(worker_peer(PROC_MOVER), MSG_MOVE_DROP, &m);
}

bool
export_cancel(struct client c)
{
	struct export	*e;

	TAILQ_FOREACH(e, &exports, entry)
		if (e->client.id == c.id && e->client.gen == c.gen) {
			abandon(e);
			return true;
		}
	return false;
}

void
export_front_down(void)
{
	struct export	*e;

	TAILQ_FOREACH(e, &exports, entry)
		abandon(e);
}

bool
export_active(void)
{
	return !TAILQ_EMPTY(&exports);
}

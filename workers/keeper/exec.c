/*
 * Commands in an agent's container: who may, how many, and what is kept of
 * it; logs and the recycle bin are commands of ours.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, container.
 *
 * The descriptor on which the session is spoken is handed on unread.
 */
#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "worker.h"

#define START_MS	60000
#define ALL_MAX		24
#define EACH_MAX	8	/* of one principal */
#define DETAIL_MAX	1024	/* of argv in the audit */
#define LINES_MAX	10000

struct session {
	TAILQ_ENTRY(session)	 entry;
	struct client		 client;	/* id 0: has its answer */
	char			 principal[65];
	char			 slug[SLUG_MAX + 1];
	char			 agent_id[ID_LEN + 1];
	bool			 work;	/* somebody's own command */
};

static struct {
	TAILQ_HEAD(, session)	 list;
	unsigned		 n;
} ex = { .list = TAILQ_HEAD_INITIALIZER(ex.list) };

static void
on_exec(struct msg *m, void *arg)
{
	struct session	*s = arg;
	struct jbuf	 jb;

	if (m != NULL && m->type == MSG_CT_EXEC_OPEN && m->more) {
		jbuf_init(&jb, 256);
		jb_obj(&jb);
		jb_kstr(&jb, "status", "open");
		jb_end(&jb);
		reply_doc(s->client, 200, &jb);
		jbuf_free(&jb);
		s->client.id = 0;
		return;
	}
	if (s->client.id != 0) {
		if (m == NULL || m->type != MSG_CT_DONE)
			reply_error(s->client, 503, "the container worker "
			    "does not answer: try again");
		else if (m->u.ct_done.status < 400 ||
		    m->u.ct_done.status > 599)
			reply_error(s->client, 502, "agent %s: the command "
			    "did not start", s->slug);
		else
			reply_error(s->client, m->u.ct_done.status,
			    "agent %s: %s", s->slug, m->u.ct_done.error);
	}
	TAILQ_REMOVE(&ex.list, s, entry);
	ex.n--;
	free(s);
}

/* The words with blanks between, as far as they fit; nothing to obey. */
static void
words(char *out, size_t size, const struct msg_bytes *argv)
{
	const unsigned char	*p = argv->ptr;
	size_t			 i, n = 0;

	for (i = 0; i + 1 < argv->len && n + 4 < size; i++)
		out[n++] = p[i] == '\0' ? ' ' : p[i] < 0x20 || p[i] == 0x7f ?
		    '?' : (char)p[i];
	/* Not in the middle of a character. */
	if (i + 1 < argv->len) {
		while (n > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0x80)
			n--;
		if (n > 0 && (unsigned char)out[n - 1] >= 0xc0)
			n--;
		memcpy(out + n, "...", 3);
		n += 3;
	}
	out[n] = '\0';
}

bool
exec_runs(const struct agent *a)
{
	struct session	*s;

	TAILQ_FOREACH(s, &ex.list, entry)
		if (s->work && strcmp(s->agent_id, a->id) == 0)
			return true;
	return false;
}

static bool
room_for(const struct pass *who, struct client c)
{
	struct session	*s;
	unsigned	 mine = 0;

	TAILQ_FOREACH(s, &ex.list, entry)
		mine += strcmp(s->principal, who->principal) == 0;
	if (mine < EACH_MAX && ex.n < ALL_MAX)
		return true;
	reply_error(c, 429, mine >= EACH_MAX ?
	    "you have %u commands running in containers: end one first" :
	    "%u commands run in containers: try again later",
	    mine >= EACH_MAX ? mine : ex.n);
	return false;
}

/* May a command run in it?  Else why not, in text. */
static bool
may_run(const struct agent *a, char *why, size_t size)
{
	if (a->job != NULL)
		(void)snprintf(why, size, "agent %s is still being deployed",
		    a->slug);
	else if (a->state == AGENT_PAUSED)
		(void)snprintf(why, size, "agent %s is paused: resume it "
		    "first", a->slug);
	else if (a->state != AGENT_RUNNING || a->asleep)
		(void)snprintf(why, size, "agent %s is %s: start it first",
		    a->slug, agent_status(a));
	else
		return true;
	return false;
}

/* The agent, if a command can run in it; else the client got its answer. */
static struct agent *
usable(const struct pass *who, const char *slug, struct client c)
{
	struct agent	*a;
	char		 why[160];

	if ((a = agent_visible(who, slug)) == NULL) {
		reply_error(c, 404, "there is no agent %s", slug);
		return NULL;
	}
	if (may_run(a, why, sizeof(why)))
		return a;
	reply_error(c, 409, "%s", why);
	return NULL;
}

static int
record(const struct pass *who, const struct agent *a, const char *action,
    const char *detail)
{
	if (db_begin(keeper_db()) == -1)
		return -1;
	audit_add(who, action, a->slug, 200, detail);
	tracebox_lifecycle(a->id, strcmp(action, "AGENT_EXEC") == 0 ?
	    "exec" : "recycle", detail, "");
	if (db_commit(keeper_db()) == -1)
		return -1;
	tracebox_kick();
	return 0;
}

/* Takes the fd out of m.  action NULL: it changes nothing. */
static void
start(struct msg *m, const struct pass *who, const char *slug,
    struct m_ct_exec *out, const char *action)
{
	char		 detail[DETAIL_MAX];
	struct client	 c = client_of(m);
	struct session	*s;
	struct agent	*a;
	uint64_t	 id;

	if ((a = usable(who, slug, c)) == NULL || !room_for(who, c))
		return;
	words(detail, sizeof(detail), &out->argv);
	if (action != NULL && record(who, a, action, detail) == -1) {
		reply_db_error(c);
		return;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL)
		fatal("exec");
	s->client = c;
	(void)strlcpy(s->principal, who->principal, sizeof(s->principal));
	(void)strlcpy(s->slug, a->slug, sizeof(s->slug));
	(void)strlcpy(s->agent_id, a->id, sizeof(s->agent_id));
	s->work = action != NULL;
	TAILQ_INSERT_TAIL(&ex.list, s, entry);
	ex.n++;
	out->agent_id = a->id;
	out->instance = a->instance;
	id = peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_EXEC, out,
	    m->fd, START_MS, on_exec, s);
	m->fd = -1;
	if (id == 0)
		on_exec(NULL, s);
}

int
h_agent_exec(struct peer *p, struct msg *m)
{
	const struct m_agent_exec	*in = &m->u.agent_exec;
	struct m_ct_exec		 out;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	memset(&out, 0, sizeof(out));
	out.argv = in->argv;
	out.cwd = in->cwd;
	out.uid = in->uid;
	out.gid = in->gid;
	out.tty = in->tty;
	out.cols = in->cols;
	out.rows = in->rows;
	out.term = in->term;
	start(m, &who, in->slug, &out, "AGENT_EXEC");
	return 0;
}

/* ---- commands of ours ---- */

/* A list of words that ends with NULL, as argv wants them. */
static void
pack(char *buf, size_t size, struct msg_bytes *argv, const char *const *w)
{
	size_t	 n, len = 0;

	for (; *w != NULL; w++) {
		n = strlen(*w) + 1;
		if (n > size - len)
			fatalx("exec: words of ours are too long");
		memcpy(buf + len, *w, n);
		len += n;
	}
	argv->ptr = buf;
	argv->len = len;
}

int
h_agent_logs(struct peer *p, struct msg *m)
{
	const struct m_agent_logs	*in = &m->u.agent_logs;
	struct m_ct_exec		 out;
	struct pass			 who;
	const char			*w[16];
	char				 buf[512], lines[16];
	size_t				 n = 0;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	if (in->lines < 1 || in->lines > LINES_MAX) {
		reply_error(client_of(m), 422, "lines must be 1 to %d",
		    LINES_MAX);
		return 0;
	}
	(void)snprintf(lines, sizeof(lines), "%u", in->lines);
	memset(&out, 0, sizeof(out));
	w[n++] = "journalctl";
	w[n++] = "--no-pager";
	w[n++] = "--quiet";
	w[n++] = "-o";
	w[n++] = "short-iso";
	w[n++] = "-n";
	w[n++] = lines;
	if (in->follow)
		w[n++] = "-f";
	if (in->link)
		w[n++] = "--unit=agentd-link.service";
	w[n] = NULL;
	pack(buf, sizeof(buf), &out.argv, w);
	start(m, &who, in->slug, &out, NULL);
	return 0;
}

int
h_recycle(struct peer *p, struct msg *m)
{
	const struct m_recycle	*in = &m->u.recycle;
	struct m_ct_exec	 out;
	struct pass		 who;
	const char		*w[8];
	char			 buf[5000];
	size_t			 n = 0;
	bool			 list = strcmp(in->action, "list") == 0;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	if (!list && (in->id[0] != '\0') == (in->path[0] != '\0')) {
		reply_error(client_of(m), 400, "either id or original_path "
		    "is needed");
		return 0;
	}
	memset(&out, 0, sizeof(out));
	w[n++] = "/usr/lib/agentd/recycle";
	w[n++] = list ? "list" : strcmp(in->action, "restore") == 0 ?
	    "restore" : "purge";
	if (!list && in->id[0] != '\0') {
		w[n++] = "--id";
		w[n++] = in->id;
	} else if (!list) {
		w[n++] = "--path";
		w[n++] = in->path;
	}
	w[n] = NULL;
	pack(buf, sizeof(buf), &out.argv, w);
	start(m, &who, in->slug, &out, list ? NULL : "RECYCLE");
	return 0;
}

/* Whose bins front is to look at for GET /api/recycle. */
int
h_recycle_agents(struct peer *p, struct msg *m)
{
	struct client	 c = client_of(m);
	struct agent	*a;
	struct pass	 who;
	struct jbuf	 jb;
	char		 why[160];

	(void)p;
	if (auth_request(m, &m->u.api.pass, ROLE_USER, &who) == -1)
		return 0;
	jbuf_init(&jb, 1024);
	for (a = agent_first(); a != NULL; a = agent_next(a)) {
		if (!agent_may(&who, a))
			continue;
		jbuf_reset(&jb);
		jb_obj(&jb);
		jb_kstr(&jb, "agent_name", a->slug);
		jb_kstr(&jb, "reason", may_run(a, why, sizeof(why)) ? NULL :
		    why);
		jb_end(&jb);
		if (reply_row(c, "", 0, &jb) == -1)
			break;
	}
	jbuf_free(&jb);
	reply_list_end(c, a == NULL);
	return 0;
}

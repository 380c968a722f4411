/*
 * What a request tells the trace: new tool results, and its messages.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: trace.
 *
 * A tool's result is seen only in the request after it, together with all
 * older ones.  It belongs to this turn if the model asked for it in this
 * turn; one that we know nothing of (this gateway has just started, or the
 * runtime made up the id) if it stands behind the user's last message.
 *
 * A body may have 32 MiB, and while it is looked at nobody is served: its
 * messages are walked over once, and only the last of them are kept in mind.
 */
#include <sys/types.h>

#include <stdlib.h>
#include <string.h>

#include "gateway.h"
#include "jbuf.h"
#include "llm.h"
#include "log.h"
#include "traceq.h"

#define MESSAGES_MAX	(256U * 1024)	/* bytes of messages in the event */
#define RESULT_MAX	(256U * 1024)	/* of a tool's result */
#define TOOL_NAMES	512
#define SEEN		4096		/* messages kept in mind */
#define RESULTS		128		/* new ones in one request */

/* A message of the request, by its place in the body. */
struct seen {
	uint32_t	 off;
	uint32_t	 len;
	bool		 tool;
};

/* A tool message that the trace does not have yet. */
struct found {
	char		 id[TOOL_ID_MAX + 1];
	struct jspan	 msg;
};

struct search {
	const struct llm_call *call;
	struct turn	*turn;		/* NULL: it was closed */
	struct seen	*seen;		/* owned; a ring of SEEN */
	unsigned int	 size;
	unsigned int	 nmsgs;
	unsigned int	 last_user;	/* its number, from 1; 0 = none */
	struct found	*found;		/* RESULTS of them */
	unsigned int	 nfound;
};

/* Number of the first message that is still in mind, from 1. */
static unsigned int
first_seen(const struct search *s)
{
	return s->nmsgs > s->size ? s->nmsgs - s->size + 1 : 1;
}

static struct jspan
message(const struct search *s, unsigned int nr)
{
	const struct seen *m = &s->seen[(nr - 1) % SEEN];
	struct jspan v = { s->call->body + m->off, m->len, JT_OBJECT };

	return v;
}

static int
see(struct search *s, const struct jspan *msg)
{
	struct jspan role = { NULL, 0, JT_NONE };
	struct seen *m;
	unsigned int size;

	if (s->nmsgs == s->size && s->size < SEEN) {
		size = s->size == 0 ? 32 : s->size * 2;
		m = reallocarray(s->seen, size, sizeof(*m));
		if (m == NULL)
			return -1;
		s->seen = m;
		s->size = size;
	}
	m = &s->seen[s->nmsgs++ % SEEN];
	m->off = (uint32_t)(msg->p - s->call->body);
	m->len = (uint32_t)msg->len;
	m->tool = false;
	if (msg->type != JT_OBJECT ||
	    jscan_get(msg->p, msg->len, "role", &role) != 1)
		return 0;
	if (jscan_string_eq(&role, "tool"))
		m->tool = true;
	else if (jscan_string_eq(&role, "user"))
		s->last_user = s->nmsgs;
	return 0;
}

static void
see_all(struct search *s, const struct jspan *list)
{
	struct jiter it;
	struct jspan m;

	if (jscan_array(&it, list->p, list->len) == -1)
		return;
	while (jscan_next(&it, NULL, &m) == 1)
		if (see(s, &m) == -1)
			return;
}

/* ---- tool results ---- */

/* Remembers a tool message; a later one of the same id is the one meant. */
static void
remember(struct search *s, const char *id, const struct jspan *msg)
{
	unsigned int i;

	for (i = 0; i < s->nfound; i++)
		if (*id != '\0' && strcmp(s->found[i].id, id) == 0)
			break;
	if (i == RESULTS)
		return;
	if (i == s->nfound)
		s->nfound++;
	(void)strlcpy(s->found[i].id, id, sizeof(s->found[i].id));
	s->found[i].msg = *msg;
}

static void
look_at(struct search *s, unsigned int nr)
{
	struct jspan msg = message(s, nr), v;
	struct tool_entry *e;
	char raw[257], id[TOOL_ID_MAX + 1] = "";
	ssize_t n;

	if (jscan_get(msg.p, msg.len, "tool_call_id", &v) == 1 &&
	    (n = jscan_unescape(&v, raw, sizeof(raw))) > 0)
		tool_norm(raw, (size_t)n, id);
	e = *id != '\0' ? toolmap_find(&s->turn->tools, id) : NULL;
	if (e != NULL) {
		if (e->answered == 0)
			remember(s, id, &msg);
		return;
	}
	/* Unknown: of an older turn, unless it follows the user's words. */
	if (nr > s->last_user && (*id != '\0' || nr > s->turn->nmsgs))
		remember(s, id, &msg);
}

/* The content of a message, cut if it is long. */
static void
put_content(struct jbuf *j, const struct jspan *msg)
{
	struct jspan v;

	if (jscan_get(msg->p, msg->len, "content", &v) != 1) {
		jb_null(j);
	} else if (v.len <= RESULT_MAX) {
		jb_raw(j, v.p, v.len);
	} else if (v.type == JT_STRING) {
		json_put_cut(j, v.p + 1, v.len - 2, RESULT_MAX);
	} else {
		jb_obj(j);
		jb_kint(j, "truncated", (int64_t)v.len);
		jb_end(j);
	}
}

static void
put_result(const struct search *s, const struct found *f)
{
	const struct llm_call *c = s->call;
	struct tool_entry *t = NULL;
	struct m_trace_event e;
	struct jspan v;
	struct jbuf j;
	const char *text;

	if (f->id[0] != '\0' && (t = toolmap_result(turn_tools(c->agent,
	    s->turn), f->id, TOOL_TRAFFIC, sys_now_ms())) == NULL)
		return;
	llm_event_init(&e, c, "tool_result");
	/* It was there before this call was made. */
	e.created_at = c->at;
	if (t != NULL && t->called != 0) {
		e.parent_id = t->event;
		e.duration_ms = (int64_t)(c->started > t->at ?
		    c->started - t->at : 0);
	}
	jbuf_init(&j, GW_TRACE_MAX);
	jb_obj(&j);
	jb_kstr(&j, "tool", t != NULL ? t->name : "");
	jb_key(&j, "result");
	put_content(&j, &f->msg);
	/* The traffic does not say whether the tool failed. */
	jb_key(&j, "success");
	jb_null(&j);
	if (jscan_get(f->msg.p, f->msg.len, "tool_call_id", &v) == 1 &&
	    v.type == JT_STRING && v.len <= 1024) {
		jb_key(&j, "tool_call_id");
		jb_raw(&j, v.p, v.len);
	}
	jb_end(&j);
	if ((text = jbuf_text(&j, NULL)) != NULL)
		traceq_add(&e, text);
	jbuf_free(&j);
}

static void
tool_results(struct search *s)
{
	struct found *found;
	unsigned int i, nr;

	if ((found = calloc(RESULTS, sizeof(*found))) == NULL)
		return;
	s->found = found;
	for (nr = first_seen(s); nr <= s->nmsgs; nr++)
		if (s->seen[(nr - 1) % SEEN].tool)
			look_at(s, nr);
	for (i = 0; i < s->nfound; i++)
		put_result(s, &found[i]);
	s->found = NULL;
	free(found);
}

/* ---- what the event says about the request ---- */

/*
 * All messages if they are not many; else those that this call adds to the
 * last one, and of them the newest that fit.
 */
static void
put_messages(struct jbuf *j, const struct search *s,
    const struct jspan *list)
{
	unsigned int nr, from = first_seen(s);
	struct jspan m;
	size_t sum = 0;

	jb_key(j, "messages");
	if (list->len <= MESSAGES_MAX) {
		jb_raw(j, list->p, list->len);
		return;
	}
	if (s->turn != NULL && s->turn->nmsgs < s->nmsgs &&
	    s->turn->nmsgs >= from)
		from = s->turn->nmsgs + 1;
	for (nr = s->nmsgs; nr >= from; nr--) {
		m = message(s, nr);
		if (sum + m.len + 1 > MESSAGES_MAX)
			break;
		sum += m.len + 1;
	}
	jb_arr(j);
	for (from = nr + 1; from <= s->nmsgs; from++) {
		m = message(s, from);
		jb_raw(j, m.p, m.len);
	}
	jb_end(j);
	jb_kint(j, "messages_omitted", nr);
}

static void
put_tools(struct jbuf *j, const struct jspan *list)
{
	struct jiter it;
	struct jspan tool, f, name;
	unsigned int n = 0;

	jb_key(j, "tools");
	jb_arr(j);
	if (list->type == JT_ARRAY &&
	    jscan_array(&it, list->p, list->len) == 0)
		while (n < TOOL_NAMES && jscan_next(&it, NULL, &tool) == 1) {
			if (tool.type != JT_OBJECT ||
			    jscan_get(tool.p, tool.len, "function",
			    &f) != 1 || f.type != JT_OBJECT ||
			    jscan_get(f.p, f.len, "name", &name) != 1 ||
			    name.type != JT_STRING || name.len > 256)
				continue;
			jb_raw(j, name.p, name.len);
			n++;
		}
	jb_end(j);
}

void
llm_trace_request(struct llm_call *c)
{
	struct jspan list = llmreq_span(&c->q.messages, c->body);
	struct jspan tools = llmreq_span(&c->q.tools, c->body);
	struct search s = { .call = c };
	struct jbuf *j = &c->request;

	s.turn = turn_find(c->agent, c->trace_id);
	see_all(&s, &list);
	if (s.turn != NULL)
		tool_results(&s);
	jb_obj(j);
	jb_kstr(j, "model", c->q.name);
	jb_kbool(j, "stream", c->q.streams);
	jb_kint(j, "messages_total", s.nmsgs);
	put_messages(j, &s, &list);
	put_tools(j, &tools);
	jb_end(j);
	if (s.turn != NULL)
		s.turn->nmsgs = s.nmsgs;
	free(s.seen);
	/* After the results that it brings. */
	c->at = sys_time();
}

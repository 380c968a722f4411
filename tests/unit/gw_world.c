/*
 * A gateway in this process, with neighbours that do what a test says.
 * SPDX-License-Identifier: ISC
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "gw_world.h"
#include "log.h"
#include "traceq.h"
#include "worker.h"

struct world w;

static struct {
	struct event_base	*base;
	struct worker_conf	 conf;
	struct peer		*ours[PROC_MAX];
	struct peer		*theirs[PROC_MAX];
	struct sockaddr_un	 addr;
	socklen_t		 addrlen;
	bool			 more;		/* of a trace event */
	uint64_t		 more_id;
} s;

/* ---- what worker.c would be ---- */

struct event_base *
worker_base(void)
{
	return s.base;
}

const struct worker_conf *
worker_conf(void)
{
	return &s.conf;
}

struct peer *
worker_peer(enum proc p)
{
	return s.ours[p];
}

void
worker_exit(void)
{
}

/* ---- the neighbours ---- */

static int
k_sub(struct peer *p, struct msg *m)
{
	(void)p;
	w.subs++;
	w.sub_id = m->id;
	w.sub_last = (uint32_t)m->u.bridge_sub.last_id;
	return 0;
}

static int
k_ack(struct peer *p, struct msg *m)
{
	w.acks++;
	return peer_done(p, m->id, 200, NULL);
}

static int
k_prepared(struct peer *p, struct msg *m)
{
	snprintf(w.content, sizeof(w.content), "%s",
	    m->u.bridge_prepared.id);
	return peer_done(p, m->id, 200, NULL);
}

static int
k_reply(struct peer *p, struct msg *m)
{
	w.replies++;
	snprintf(w.kind, sizeof(w.kind), "%s", m->u.bridge_reply.kind);
	snprintf(w.content, sizeof(w.content), "%.200s",
	    m->u.bridge_reply.content);
	return peer_done(p, m->id, w.reply_status, "so it is");
}

static int
x_cancel(struct peer *p, struct msg *m)
{
	(void)p;
	(void)m;
	w.cancels++;
	return 0;
}

static int
p_mint(struct peer *p, struct msg *m)
{
	struct m_key_minted r = { 200, "", KEY };

	w.mints++;
	return peer_reply(p, m, MSG_KEY_MINTED, false, &r);
}

static int
p_check(struct peer *p, struct msg *m)
{
	struct m_key_info r = { w.check_status, OTHER, "other" };

	w.checks++;
	return peer_reply(p, m, MSG_KEY_INFO, false, &r);
}

static int
p_route(struct peer *p, struct msg *m)
{
	struct m_llm_route_res r = { w.route_status, "no such model", "1",
	    "mock", "real-model" };

	w.routes++;
	snprintf(w.asked, sizeof(w.asked), "%s", m->u.llm_route.model);
	return peer_reply(p, m, MSG_LLM_ROUTE_RES, false, &r);
}

static int
p_models(struct peer *p, struct msg *m)
{
	struct m_model_row r = { "m1", "mock" };

	if (peer_reply(p, m, MSG_MODEL_ROW, true, &r) == -1)
		return -1;
	return peer_done(p, m->id, 200, NULL);
}

static int
u_open(struct peer *p, struct msg *m)
{
	(void)p;
	w.opens++;
	w.open_id = m->id;
	w.open = m->u.llm_open;
	w.bodylen = 0;
	w.bodytotal = 0;
	w.bodyend = false;
	return 0;
}

static int
u_body(struct peer *p, struct msg *m)
{
	struct m_llm_window back = { (uint32_t)m->u.llm_data.data.len };
	size_t n = m->u.llm_data.data.len;

	w.bodytotal += n;
	w.bodyend = !m->more;
	if (n < sizeof(w.body) - w.bodylen) {
		memcpy(w.body + w.bodylen, m->u.llm_data.data.ptr, n);
		w.bodylen += n;
		w.body[w.bodylen] = '\0';
	}
	if (w.greedy)
		return peer_send_id(p, MSG_LLM_WINDOW, m->id, false, &back);
	return 0;
}

static int
u_window(struct peer *p, struct msg *m)
{
	(void)p;
	(void)m;
	w.windows++;
	return 0;
}

static void
event_text(const char *text, size_t len)
{
	if (len < sizeof(w.events) - w.eventslen) {
		memcpy(w.events + w.eventslen, text, len);
		w.eventslen += len;
		w.events[w.eventslen] = '\0';
	}
}

static int
t_end(struct peer *p, struct msg *m)
{
	event_text("\n", 1);
	w.traces++;
	if (w.trace_status == 0)
		return 0;	/* dies without a word */
	return peer_done(p, m->id, w.trace_status, "trace says");
}

static int
t_event(struct peer *p, struct msg *m)
{
	const struct m_trace_event *e = &m->u.trace_event;
	char text[512];

	snprintf(w.ids[w.traces % 64], sizeof(w.ids[0]), "%s", e->id);
	snprintf(text, sizeof(text), "%s %s %s %s ",
	    strcmp(e->agent_id, AGENT) == 0 ? "agent" : "other", e->kind,
	    e->source, *e->trace_id != '\0' ? e->trace_id : "-");
	event_text(text, strlen(text));
	event_text(e->payload, strlen(e->payload));
	return m->more ? 0 : t_end(p, m);
}

static int
t_more(struct peer *p, struct msg *m)
{
	event_text(m->u.trace_more.data.ptr, m->u.trace_more.data.len);
	return m->more ? 0 : t_end(p, m);
}

static int
k_ready(struct peer *p, struct msg *m)
{
	(void)p;
	(void)m;
	w.readies++;
	return 0;
}

static const struct msg_handler keeper[] = {
	{ MSG_AGENT_READY, k_ready },
	{ MSG_BRIDGE_SUB, k_sub }, { MSG_BRIDGE_ACK, k_ack },
	{ MSG_BRIDGE_PREPARED, k_prepared },
	{ MSG_BRIDGE_REPLY, k_reply }, { MSG_CANCEL, x_cancel },
	{ MSG_NONE, NULL }
};
static const struct msg_handler proxy[] = {
	{ MSG_KEY_MINT, p_mint }, { MSG_KEY_CHECK, p_check },
	{ MSG_LLM_ROUTE, p_route }, { MSG_MODEL_LIST, p_models },
	{ MSG_CANCEL, x_cancel }, { MSG_NONE, NULL }
};
static const struct msg_handler upstream[] = {
	{ MSG_LLM_OPEN, u_open }, { MSG_LLM_BODY, u_body },
	{ MSG_LLM_WINDOW, u_window }, { MSG_CANCEL, x_cancel },
	{ MSG_NONE, NULL }
};
static const struct msg_handler tracer[] = {
	{ MSG_TRACE_EVENT, t_event }, { MSG_TRACE_MORE, t_more },
	{ MSG_CANCEL, x_cancel }, { MSG_NONE, NULL }
};

static void
was_bad(struct peer *p, uint32_t type, const char *why)
{
	fprintf(stderr, "%s broke the rules with %s: %s\n",
	    proc_name(peer_proc(p)), msg_name(type), why);
	abort();
}

static const struct peer_ops our_ops = { .handlers = gw_handlers,
    .up = gw_peer_up, .drained = gw_peer_drained, .bad = was_bad };
static struct peer_ops their_ops[PROC_MAX];
static const enum proc procs[] = { PROC_KEEPER, PROC_PROXY, PROC_UPSTREAM,
    PROC_TRACE, PROC_SUPER };
#define NPROCS	(sizeof(procs) / sizeof(procs[0]))

struct peer *
world_peer(enum proc p)
{
	return s.theirs[p];
}

void
world_step(void)
{
	struct pollfd none;

	if (event_base_loop(s.base, EVLOOP_NONBLOCK) == -1)
		abort();
	(void)poll(&none, 0, 1);
}

void
world_up(enum proc p)
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	    fd) == -1)
		abort();
	peer_attach(s.theirs[p], fd[1]);
	peer_attach(s.ours[p], fd[0]);
}

void
world_down(enum proc p)
{
	peer_detach(s.theirs[p]);
	(void)until(!peer_is_up(s.ours[p]));
}

void
world_agent(enum agent_state state, uint32_t base, uint32_t count)
{
	struct m_agent_conf c = { AGENT, "ann", "pi", "team-model",
	    (uint32_t)state, base, count, 3, 400 };

	if (peer_send(s.theirs[PROC_KEEPER], MSG_AGENT_CONF, &c) == -1)
		abort();
	(void)until(agent_find(AGENT) != NULL && agent_find(AGENT)->known &&
	    agent_find(AGENT)->state == state &&
	    agent_find(AGENT)->uid_count == count);
}

void
world_other(enum agent_state state)
{
	struct m_agent_conf c = { OTHER, "bob", "pi", "team-model",
	    (uint32_t)state, 0, 0, 3, 400 };

	if (peer_send(s.theirs[PROC_KEEPER], MSG_AGENT_CONF, &c) == -1)
		abort();
	(void)until(agent_find(OTHER) != NULL &&
	    agent_find(OTHER)->state == state);
}

void
world_turn(const char *id, bool open)
{
	struct m_turn t = { AGENT, id, "chan", open };

	if (peer_send(s.theirs[PROC_KEEPER], MSG_TURN, &t) == -1)
		abort();
	(void)until((turn_find(agent_find(AGENT), id) != NULL) == open);
}

static void
listen_agent(void)
{
	struct m_agent_id id = { AGENT };
	int fd;

	/* The kernel picks an abstract name: no file is left behind. */
	s.addr.sun_family = AF_UNIX;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)&s.addr,
	    sizeof(sa_family_t)) == -1 || listen(fd, 64) == -1)
		abort();
	s.addrlen = sizeof(s.addr);
	if (getsockname(fd, (struct sockaddr *)&s.addr, &s.addrlen) == -1)
		abort();
	if (peer_send_fd(s.theirs[PROC_SUPER], MSG_GW_LISTEN, &id, fd) == -1)
		abort();
	(void)until(agent_find(AGENT) != NULL);
}

static void
world_start(void)
{
	size_t i;

	memset(&w, 0, sizeof(w));
	w.check_status = w.route_status = 200;
	w.reply_status = w.trace_status = 202;
	w.greedy = true;
	their_ops[PROC_KEEPER].handlers = keeper;
	their_ops[PROC_PROXY].handlers = proxy;
	their_ops[PROC_UPSTREAM].handlers = upstream;
	their_ops[PROC_TRACE].handlers = tracer;
	log_init("test", LOG_L_ERROR, 0);
	memset(&s, 0, sizeof(s));
	if ((s.base = event_base_new()) == NULL)
		abort();
	for (i = 0; i < NPROCS; i++) {
		s.ours[procs[i]] = peer_new(s.base, PROC_GATEWAY, procs[i],
		    &our_ops);
		s.theirs[procs[i]] = peer_new(s.base, procs[i], PROC_GATEWAY,
		    &their_ops[procs[i]]);
	}
	gw_init();
	for (i = 0; i < NPROCS; i++)
		world_up(procs[i]);
	listen_agent();
}

static void
world_stop(void)
{
	struct m_agent_id id = { AGENT };
	size_t i;

	(void)peer_send(s.theirs[PROC_SUPER], MSG_GW_UNLISTEN, &id);
	if (!peer_is_up(s.theirs[PROC_KEEPER]))
		world_up(PROC_KEEPER);
	if (!peer_is_up(s.theirs[PROC_TRACE]))
		world_up(PROC_TRACE);
	w.trace_status = 202;
	(void)peer_send(s.theirs[PROC_KEEPER], MSG_AGENT_GONE, &id);
	if (!until(agent_find(AGENT) == NULL && traceq_empty()))
		fprintf(stderr, "the agent or its events did not go\n");
	for (i = 0; i < NPROCS; i++) {
		peer_free(s.theirs[procs[i]]);
		peer_free(s.ours[procs[i]]);
	}
	gw_free();
	event_base_free(s.base);
}

/* ---- clients ---- */

void
client_open(struct client *c)
{
	memset(c, 0, sizeof(*c));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
	    0);
	if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&s.addr,
	    s.addrlen) == -1)
		abort();
}

void
client_close(struct client *c)
{
	if (c->fd != -1)
		close(c->fd);
	free(c->in);
	memset(c, 0, sizeof(*c));
	c->fd = -1;
}

void
client_send(struct client *c, const char *p, size_t len)
{
	ssize_t n;
	int idle = 0;

	while (len > 0 && idle < 2000) {
		n = send(c->fd, p, len, MSG_NOSIGNAL);
		if (n == -1 && errno != EAGAIN)
			return;		/* the test sees it in the answer */
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			idle = 0;
		} else {
			idle++;
		}
		world_step();
	}
}

void
client_read(struct client *c)
{
	ssize_t n;

	for (;;) {
		if (c->size - c->len < 65537) {
			c->size += 1 << 20;
			if ((c->in = realloc(c->in, c->size)) == NULL)
				abort();
		}
		n = recv(c->fd, c->in + c->len, 65536, 0);
		if (n == 0 || (n == -1 && errno != EAGAIN))
			c->eof = true;
		if (n <= 0)
			break;
		c->len += (size_t)n;
	}
	c->in[c->len] = '\0';
}

bool
client_wait(struct client *c, const char *text)
{
	return until((client_read(c), strstr(c->in, text) != NULL));
}

bool
client_eof(struct client *c)
{
	return until((client_read(c), c->eof));
}

const char *
ask(const char *head, const char *body)
{
	static char out[1 << 16];
	struct client c;
	char *text;
	int n;

	if ((n = asprintf(&text, "%sHost: a\r\nConnection: close\r\n", head)) ==
	    -1)
		abort();
	client_open(&c);
	client_send(&c, text, (size_t)n);
	free(text);
	if (body == NULL) {
		client_send(&c, "\r\n", 2);
	} else {
		if ((n = asprintf(&text, "Content-Type: application/json\r\n"
		    "Content-Length: %zu\r\n\r\n", strlen(body))) == -1)
			abort();
		client_send(&c, text, (size_t)n);
		free(text);
		client_send(&c, body, strlen(body));
	}
	(void)client_eof(&c);
	snprintf(out, sizeof(out), "%s", c.in);
	client_close(&c);
	return out;
}

int
status_of(const char *answer)
{
	int status = 0;

	(void)sscanf(answer, "HTTP/1.1 %d", &status);
	return status;
}

int
world_setup(void **state)
{
	(void)state;
	world_start();
	world_agent(AGENT_RUNNING, 0, 0);
	world_turn("t1", true);
	return 0;
}

int
world_teardown(void **state)
{
	(void)state;
	world_stop();
	return 0;
}

/*
 * keeper between scripted peers: the program itself, in its sandbox, with
 * this test as supervisor and as every other worker.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "keeper_fake.h"
#include "log.h"
#include "peer.h"
#include "sys.h"
#include "workers/keeper/keeper.h"

#define NOBODY	65534
#define TOKEN	"00112233445566778899aabbccddeeff" \
		"00112233445566778899aabbccddeeff"

static struct {
	struct event_base	*base;
	struct peer		*other[PROC_MAX];
	pid_t			 pid;		/* of keeper, 0: none */
	char			 dir[64];
	char			 events[65536];
	bool			 sub_ended;
	uint64_t		 sub;
	char			 sub_agent[ID_LEN + 1];
	char			 prepare[ID_LEN + 1];	/* the last one asked */
	uint8_t			 pass[192], trace_pass[192];
	size_t			 pass_len;
	uint32_t		 auth_status;
} fk;

static void
bad(struct peer *p, uint32_t type, const char *why)
{
	fail_msg("%s broke a rule: %s: %s", proc_name(peer_proc(p)),
	    msg_name(type), why);
}

static void
super_down(struct peer *p)
{
	if (peer_proc(p) == PROC_KEEPER && fk.pid != 0)
		fail_msg("keeper has ended by itself");
}

static const struct peer_ops other_ops = { peers_handlers, NULL, NULL, bad,
	NULL };
static const struct peer_ops super_ops = { peers_handlers, NULL, super_down, bad,
	NULL };

/* ---- start and end ---- */

static void
make_pair(int sv[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0, sv), 0);
}

void
fake_up(enum proc p)
{
	struct m_peer	 m = { p };
	int		 sv[2];

	make_pair(sv);
	peer_attach(fk.other[p], sv[1]);
	assert_int_equal(peer_send_fd(fk.other[PROC_SUPER], MSG_PEER, &m,
	    sv[0]), 0);
}

enum proc
fake_proc(const struct peer *p)
{
	int	 i;

	for (i = 0; i < PROC_MAX; i++)
		if (fk.other[i] == p)
			return (enum proc)i;
	fail_msg("a channel of nobody");
	return PROC_MAX;
}

void
fake_down(enum proc p)
{
	peer_detach(fk.other[p]);
}

void
fake_run(int ms)
{
	struct timeval	 tv = { ms / 1000, ms % 1000 * 1000 };

	(void)event_base_loopexit(fk.base, &tv);
	(void)event_base_dispatch(fk.base);
}

bool
fake_until(const char *word)
{
	int	 i;

	for (i = 0; i < 600 && strstr(fake_log(), word) == NULL; i++)
		fake_run(5);
	return strstr(fake_log(), word) != NULL;
}

bool
fake_event(const char *id)
{
	int	 i;

	for (i = 0; i < 600 && strstr(fk.events, id) == NULL; i++)
		fake_run(5);
	return strstr(fk.events, id) != NULL;
}

bool
fake_done(const struct fake_answer *a)
{
	int	 i;

	for (i = 0; i < 600 && !a->done; i++)
		fake_run(5);
	return a->done;
}

bool
fake_watched(const struct fake_answer *a, const char *events)
{
	int	 i;

	for (i = 0; i < 600 && strcmp(a->events, events) != 0; i++)
		fake_run(5);
	return strcmp(a->events, events) == 0;
}

static void
send_fd(const char *role, const void *text, size_t len)
{
	char		 path[] = "/tmp/keeper_fake.XXXXXX";
	struct m_conf_fd m = { role };
	int		 fd;

	assert_int_not_equal(fd = mkstemp(path), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	assert_int_equal(peer_send_fd(fk.other[PROC_SUPER], MSG_CONF_FD, &m,
	    fd), 0);
}

static void
send_conf(void)
{
	struct peer		*super = fk.other[PROC_SUPER];
	struct m_generation	 g = { 1 };
	struct m_framework	 f;
	struct m_conf		 c;
	uint8_t			 key[32];

	memset(&c, 0, sizeof(c));
	c.generation = 1;
	c.log_level = getenv("KEEPER_DEBUG") != NULL ? LOG_L_DEBUG :
	    LOG_L_ERROR;
	c.node_id = "node";
	c.state_dir = fk.dir;
	c.agents_dir = "/agents";
	c.deploy_timeout = script.deploy_timeout;
	c.warm_pool = script.warm_pool;
	c.idle_suspend = script.idle;
	c.import_limit = 1U << 20;
	assert_int_equal(peer_send(super, MSG_CONF, &c), 0);
	send_fd("local-token", TOKEN, 64);
	memset(key, 7, sizeof(key));
	send_fd("state-key", key, sizeof(key));
	memset(&f, 0, sizeof(f));
	f.id = f.name = "pi";
	f.image = "agentd-pi";
	f.runtime = "rpc";
	f.memory = 512U << 20;
	f.cpus = 1;
	f.processes = 256;
	f.ready_timeout = 30;
	f.status = "works";
	assert_int_equal(peer_send(super, MSG_CONF_FRAMEWORK, &f), 0);
	memset(&f, 0, sizeof(f));
	f.id = f.name = "gone";
	f.status = "unavailable";
	f.reason = "it went";
	assert_int_equal(peer_send(super, MSG_CONF_FRAMEWORK, &f), 0);
	assert_int_equal(peer_send(super, MSG_CONF_END, &g), 0);
}

/* As the supervisor does it: the socket as fd 3, not as root. */
static void
spawn(int fd)
{
	static char	 name[] = "agentd-keeper";
	char		*argv[] = { name, NULL }, *env[] = { NULL };
	struct rlimit	 rl = { script.disk, script.disk };
	int		 bin;

	bin = open("agentd-keeper", O_RDONLY | O_CLOEXEC);
	assert_int_not_equal(bin, -1);
	fk.pid = fork();
	assert_int_not_equal(fk.pid, -1);
	if (fk.pid != 0) {
		(void)close(bin);
		return;
	}
	if (bin == 3)
		bin = fcntl(bin, F_DUPFD_CLOEXEC, 10);
	if (dup2(fd, 3) == -1 || fcntl(3, F_SETFD, 0) == -1)
		_exit(126);
	if (geteuid() == 0 && (setgroups(0, NULL) == -1 ||
	    setgid(NOBODY) == -1 || setuid(NOBODY) == -1))
		_exit(126);
	/* A disk that is full, as far as keeper can see. */
	if (script.disk != 0 && (signal(SIGXFSZ, SIG_IGN) == SIG_ERR ||
	    setrlimit(RLIMIT_FSIZE, &rl) == -1))
		_exit(126);
	(void)fexecve(bin, argv, env);
	_exit(127);
}

static void
on_auth(struct msg *m, void *arg)
{
	const struct m_auth_res	*r;

	(void)arg;
	assert_non_null(m);
	r = &m->u.auth_res;
	fk.auth_status = r->status;
	if (r->status != 200)
		return;
	assert_int_equal(r->role, ROLE_ADMIN);
	fk.pass_len = r->pass_keeper.len;
	memcpy(fk.pass, r->pass_keeper.ptr, fk.pass_len);
	memcpy(fk.trace_pass, r->pass_trace.ptr, r->pass_trace.len);
}

uint32_t
fake_token(const char *token)
{
	struct m_auth_token	 t = { 7, token };
	int			 i;

	fk.auth_status = 0;
	assert_int_not_equal(peer_request(fk.other[PROC_FRONT],
	    MSG_AUTH_TOKEN, &t, 1000, on_auth, NULL), 0);
	for (i = 0; i < 200 && fk.auth_status == 0; i++)
		fake_run(2);
	return fk.auth_status;
}

const uint8_t *
fake_pass(enum proc audience)
{
	return audience == PROC_TRACE ? fk.trace_pass : fk.pass;
}

void
fake_begin(void)
{
	int	 i, sv[2];

	fk.events[0] = '\0';
	peers_reset();
	make_pair(sv);
	spawn(sv[0]);
	(void)close(sv[0]);
	peer_attach(fk.other[PROC_SUPER], sv[1]);
	send_conf();
	for (i = 0; i < 1000 && !peers_ready(); i++)
		fake_run(5);
	assert_true(peers_ready());
	for (i = PROC_SUPER + 1; i < PROC_MAX; i++)
		if (fk.other[i] != NULL)
			fake_up((enum proc)i);
	assert_int_equal(fake_token(TOKEN), 200);
	fake_run(10);
}

void
fake_kill(void)
{
	pid_t	 pid = fk.pid;
	int	 i, status;

	fk.pid = 0;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (i = 0; i < PROC_MAX; i++)
		if (fk.other[i] != NULL)
			peer_detach(fk.other[i]);
}

void
fake_start(void)
{
	int	 i;

	memset(&fk, 0, sizeof(fk));
	memset(&script, 0, sizeof(script));
	script.policy = script.listen = script.unlisten = script.create = 200;
	script.destroy = script.drop = script.action = script.trace = 200;
	script.provider = script.secret = 200;
	script.adopt = 200;
	script.image = FINGERPRINT;
	script.deploy_timeout = 30;
	script.instance = script.instance_agent = "";
	script.instance_status = "Running";
	(void)snprintf(fk.dir, sizeof(fk.dir), "/tmp/keeper_fake.XXXXXX");
	assert_non_null(mkdtemp(fk.dir));
	if (geteuid() == 0)
		assert_int_equal(chown(fk.dir, NOBODY, NOBODY), 0);
	assert_non_null(fk.base = event_base_new());
	for (i = 0; i < PROC_MAX; i++)
		if (msg_edge((enum proc)i, PROC_KEEPER))
			fk.other[i] = peer_new(fk.base, (enum proc)i,
			    PROC_KEEPER, i == PROC_SUPER ? &super_ops :
			    &other_ops);
	fake_begin();
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

void
fake_stop(void)
{
	int	 i;

	if (fk.pid != 0)
		fake_kill();
	for (i = 0; i < PROC_MAX; i++)
		peer_free(fk.other[i]);
	event_base_free(fk.base);
	assert_int_equal(nftw(fk.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS),
	    0);
}

int64_t
fake_count(const char *sql)
{
	char		 path[128];
	struct db	*db;
	int64_t		 n = -1;

	(void)snprintf(path, sizeof(path), "%s/state.db", fk.dir);
	assert_non_null(db = db_open(path, &keeper_schema));
	assert_int_equal(db_get_int(db, &n, sql, ""), 1);
	db_close(db);
	return n;
}

/* ---- front ---- */

static void
on_answer(struct msg *m, void *arg)
{
	struct fake_answer	*a = arg;

	if (m == NULL) {
		a->done = true;
		return;
	}
	/* The beginning of a long row: its end follows. */
	if (m->type == MSG_RESULT_PART)
		return;
	assert_int_equal(m->type, MSG_RESULT);
	a->status = m->u.result.status;
	if (m->more)
		a->rows++;
	(void)strlcat(a->text, m->u.result.json, sizeof(a->text));
	(void)strlcat(a->text, "\n", sizeof(a->text));
	if (m->u.result.event[0] != '\0') {
		(void)strlcat(a->events, m->u.result.event,
		    sizeof(a->events));
		(void)strlcat(a->events, " ", sizeof(a->events));
	}
	a->done = !m->more;
}

/* All payloads of the API begin with the pass. */
uint64_t
fake_send_fd(uint32_t type, void *payload, int fd, struct fake_answer *a)
{
	struct msg_bytes	*pass = payload;
	uint64_t		 id;

	memset(a, 0, sizeof(*a));
	if (pass->ptr == NULL) {
		pass->ptr = fk.pass;
		pass->len = fk.pass_len;
	}
	id = peer_request_fd(fk.other[PROC_FRONT], type, payload, fd, 0,
	    on_answer, a);
	assert_int_not_equal(id, 0);
	return id;
}

uint64_t
fake_send(uint32_t type, void *payload, struct fake_answer *a)
{
	return fake_send_fd(type, payload, -1, a);
}

void
fake_tell(enum proc from, uint32_t type, const void *payload)
{
	assert_int_equal(peer_send(fk.other[from], type, payload), 0);
}

void
fake_ask(uint32_t type, void *payload, struct fake_answer *a)
{
	int	 i;

	(void)fake_send(type, payload, a);
	for (i = 0; i < 600 && !a->done; i++)
		fake_run(5);
	assert_true(a->done);
}

void
fake_cancel(uint64_t id)
{
	peer_forget(fk.other[PROC_FRONT], id, true);
	fake_run(5);
}

/* ---- gateway ---- */

static void
on_prepared(struct msg *m, void *arg)
{
	(void)m;
	(void)arg;
}

void
fake_warm(const char *agent_id)
{
	fake_tell(PROC_GATEWAY, MSG_AGENT_READY,
	    &(struct m_agent_id){ agent_id });
}

void
fake_prepared(void)
{
	struct m_bridge_prepared	 p = { fk.sub_agent, fk.prepare };

	assert_int_not_equal(peer_request(fk.other[PROC_GATEWAY],
	    MSG_BRIDGE_PREPARED, &p, 0, on_prepared, NULL), 0);
}

static void
on_event(struct msg *m, void *arg)
{
	const char	*id;

	(void)arg;
	if (m == NULL || !m->more) {
		fk.sub_ended = true;
		return;
	}
	/* Each new stream begins with it. */
	if (strcmp(m->u.result.event, "resume") == 0)
		return;
	id = strstr(m->u.result.json, "\"id\":\"");
	if (strcmp(m->u.result.event, "prepare") == 0) {
		assert_non_null(id);
		(void)strlcpy(fk.prepare, id + 6, sizeof(fk.prepare));
		if (!script.hold_prepare)
			fake_prepared();
		return;
	}
	(void)strlcat(fk.events, m->u.result.event, sizeof(fk.events));
	(void)strlcat(fk.events, ":", sizeof(fk.events));
	if (id != NULL)
		(void)strncat(fk.events, id + 6, ID_LEN);
	(void)strlcat(fk.events, " ", sizeof(fk.events));
}

void
fake_subscribe(const char *agent_id)
{
	fake_resubscribe(agent_id, 0);
}

void
fake_resubscribe(const char *agent_id, uint64_t last_id)
{
	struct m_bridge_sub	 s = { agent_id, last_id };

	fk.events[0] = '\0';
	fk.sub_ended = false;
	(void)strlcpy(fk.sub_agent, agent_id, sizeof(fk.sub_agent));
	fk.sub = peer_request(fk.other[PROC_GATEWAY], MSG_BRIDGE_SUB, &s, 0,
	    on_event, NULL);
	assert_int_not_equal(fk.sub, 0);
	fake_run(10);
}

void
fake_unsubscribe(void)
{
	peer_forget(fk.other[PROC_GATEWAY], fk.sub, true);
	fake_run(5);
}

static void
on_status(struct msg *m, void *arg)
{
	*(uint32_t *)arg = m != NULL ? m->u.done.status : 1;
}

static uint32_t
ask_gateway(uint32_t type, const void *payload)
{
	uint32_t	 status = 0;
	int		 i;

	assert_int_not_equal(peer_request(fk.other[PROC_GATEWAY], type,
	    payload, 0, on_status, &status), 0);
	for (i = 0; i < 400 && status == 0; i++)
		fake_run(2);
	return status;
}

uint32_t
fake_reply(const char *agent_id, const char *kind, const char *trace_id,
    uint64_t seq, uint32_t attempt, const char *content)
{
	struct m_bridge_reply	 r;

	memset(&r, 0, sizeof(r));
	r.agent_id = agent_id;
	r.kind = kind;
	r.trace_id = trace_id;
	r.seq = seq;
	r.attempt = attempt;
	if (strcmp(kind, "error") == 0)
		r.error = content;
	else
		r.content = content;
	return ask_gateway(MSG_BRIDGE_REPLY, &r);
}

uint32_t
fake_ack(const char *agent_id, uint64_t up_to)
{
	struct m_bridge_ack	 a = { agent_id, up_to };

	return ask_gateway(MSG_BRIDGE_ACK, &a);
}

const char *
fake_events(void)
{
	return fk.events;
}

bool
fake_sub_ended(void)
{
	return fk.sub_ended;
}

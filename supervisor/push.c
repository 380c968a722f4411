/*
 * What workers are told: configuration by need to know, and their edges.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.  Talks to: every worker.
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "catalog.h"
#include "conf.h"
#include "files.h"
#include "listen.h"
#include "log.h"
#include "spawn.h"
#include "super.h"

/* A worker that takes no message is of no use: it gets a fresh start. */
static void
sent(struct worker *w, int r, uint32_t type)
{
	if (r == -1)
		worker_kill(w, "cannot send it %s: %s", msg_name(type),
		    strerror(errno));
}

static void
give_fd(struct worker *w, const char *role, int fd)
{
	struct m_conf_fd m = { .name = role };

	sent(w, peer_send_fd(w->peer, MSG_CONF_FD, &m, fd), MSG_CONF_FD);
}

/* One a line, as every list in a message; its length was checked. */
static void
join(const struct strlist *l, char *out, size_t size)
{
	size_t i;

	out[0] = '\0';
	for (i = 0; i < l->n; i++) {
		if (i > 0)
			strlcat(out, "\n", size);
		strlcat(out, l->v[i], size);
	}
}

static const char *
unless(const char *value, const char *word)
{
	return strcmp(value, word) == 0 ? "" : value;
}

static void
send_conf(struct super *s, struct worker *w)
{
	char dir[1200], agents[1200], hosts[CONF_HOSTS_MAX + 1];
	char keys[CONF_KEYS_MAX + 1], minisign[4097];
	const struct conf *c = s->conf;
	struct m_conf m = { .generation = s->generation };

	m.log_level = w->level;
	m.node_id = c->node_id;
	snprintf(dir, sizeof(dir), "%s/%s", c->state_dir, proc_name(w->proc));
	snprintf(agents, sizeof(agents), "%s/agents", c->state_dir);
	switch (w->proc) {
	case PROC_FRONT:
		join(&c->allowed_hosts, hosts, sizeof(hosts));
		m.allowed_hosts = hosts;
		m.max_connections = c->max_connections;
		break;
	case PROC_KEEPER:
		m.state_dir = dir;
		m.agents_dir = agents;
		m.admin_group = c->admin_group;
		join(&c->image_keys, minisign, sizeof(minisign));
		m.image_keys = minisign;
		m.max_calls_per_turn = c->max_calls_per_turn;
		m.deploy_timeout = c->deploy_timeout;
		m.disk_scan = c->disk_scan;
		join(&c->trusted_exporters, keys, sizeof(keys));
		m.trusted_exporters = keys;
		m.import_limit = c->import_limit;
		m.warm_pool = c->warm_pool;
		m.idle_suspend = c->idle_suspend;
		m.idle_freeze = c->idle_mode;
		break;
	case PROC_GATEWAY:
		m.max_connections = c->max_connections;
		m.max_calls_per_turn = c->max_calls_per_turn;
		break;
	case PROC_UPSTREAM:
		m.ca_file = unless(c->ca_file, "none");
		break;
	case PROC_PROXY:
		m.state_dir = dir;
		m.max_calls_per_turn = c->max_calls_per_turn;
		break;
	case PROC_CONTAINER:
		m.agents_dir = agents;	/* it mounts from nowhere else */
		m.incus_socket = spawn_incus_socket(c);
		m.incus_project = c->incus_project;
		m.incus_pool = unless(c->incus_pool, "auto");
		break;
	case PROC_TRACE:
		m.state_dir = dir;
		m.trace_retention = c->retention_days;
		break;
	case PROC_MOVER:
		m.state_dir = dir;
		m.import_limit = c->import_limit;
		break;
	default:
		break;
	}
	sent(w, peer_send(w->peer, MSG_CONF, &m), MSG_CONF);
}

static void
send_secret(struct worker *w, const char *role, int fd)
{
	if (fd == -1) {
		worker_kill(w, "cannot open its %s: %s", role,
		    strerror(errno));
		return;
	}
	give_fd(w, role, fd);
}

static void
send_listener(struct worker *w, const char *role)
{
	int fd = listen_dup(role);

	if (fd != -1)
		give_fd(w, role, fd);
}

static void
send_ca(struct worker *w, const struct conf *c)
{
	int fd;

	if (strcmp(c->ca_file, "none") == 0)
		return;
	fd = open(c->ca_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd == -1)
		log_warn("ca_file %s: no provider can be verified by it",
		    c->ca_file);
	else
		give_fd(w, "ca", fd);
}

static void
send_frameworks(struct worker *w, const struct catalog *cat,
    uint32_t most_calls)
{
	const struct framework *f;
	struct m_framework m;
	size_t i;

	for (i = 0; i < cat->n; i++) {
		f = &cat->v[i];
		m.id = f->id;
		m.name = f->name;
		m.description = f->description;
		m.image = f->image;	/* NULL is sent as "" */
		m.runtime = f->runtime;
		m.memory = f->memory;
		m.cpus = f->cpus;
		m.disk = f->disk;
		m.processes = f->processes;
		m.ready_timeout = f->ready_timeout;
		m.turn_timeout = f->turn_timeout;
		m.max_calls_per_turn = f->max_calls_per_turn < most_calls ?
		    f->max_calls_per_turn : most_calls;
		m.refusal_status = f->refusal_status;
		m.status = catalog_status(f);
		m.reason = f->reason;
		m.verification = catalog_verification(f);
		m.version = f->version;
		m.homepage = f->homepage;
		m.license = f->license;
		sent(w, peer_send(w->peer, MSG_CONF_FRAMEWORK, &m),
		    MSG_CONF_FRAMEWORK);
	}
}

void
push_conf(struct super *s, struct worker *w, bool first)
{
	struct m_generation end = { .generation = s->generation };

	send_conf(s, w);
	if (w->proc == PROC_FRONT && first) {
		send_listener(w, "http");
		send_listener(w, "unix");
	}
	if (w->proc == PROC_KEEPER && first) {
		send_secret(w, "local-token", files_open_token(s->conf));
		send_secret(w, "state-key", files_open_key(s->conf));
	}
	if (w->proc == PROC_UPSTREAM)
		send_ca(w, s->conf);
	if (w->proc == PROC_KEEPER)
		send_frameworks(w, s->catalog, s->conf->max_calls_per_turn);
	sent(w, peer_send(w->peer, MSG_CONF_END, &end), MSG_CONF_END);
}

void
push_reload(struct super *s)
{
	struct worker *w;
	enum proc p;

	for (p = PROC_SUPER + 1; p < PROC_MAX; p++) {
		w = &s->worker[p];
		w->level = (enum log_level)s->conf->log_level;
		if (peer_is_up(w->peer))
			push_conf(s, w, false);
	}
}

void
push_listener(struct super *s, const char *role)
{
	struct worker *w = &s->worker[PROC_FRONT];

	if (peer_is_up(w->peer))
		send_listener(w, role);
}

static void
connect_pair(struct worker *a, struct worker *b)
{
	struct m_peer to_a = { .proc = b->proc }, to_b = { .proc = a->proc };
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	    fds) == -1) {
		worker_kill(a, "no channel to %s: %s", proc_name(b->proc),
		    strerror(errno));
		return;
	}
	sent(a, peer_send_fd(a->peer, MSG_PEER, &to_a, fds[0]), MSG_PEER);
	sent(b, peer_send_fd(b->peer, MSG_PEER, &to_b, fds[1]), MSG_PEER);
}

void
push_edges(struct super *s, struct worker *w)
{
	struct worker *o;
	enum proc p;

	for (p = PROC_SUPER + 1; p < PROC_MAX; p++) {
		o = &s->worker[p];
		if (o != w && worker_is_up(o) && msg_edge(w->proc, p))
			connect_pair(w, o);
	}
}

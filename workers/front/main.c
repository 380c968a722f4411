/*
 * The front: HTTP for people and programs. It knows nothing and may nothing:
 * it reads requests, asks the workers that know, and writes their answers.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: supervisor, clients, keeper, proxy, trace.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "front.h"
#include "log.h"
#include "sys.h"
#include "worker.h"

#define CONNS_DEFAULT	512

static struct {
	struct httpd		*srv;
	struct event		*deadline;
	int			 fds[2];	/* by enum listener */
	int			 early[2];	/* came before init() */
} self = { .fds = { -1, -1 }, .early = { -1, -1 } };

static enum listener kinds[] = { LISTEN_HTTP, LISTEN_UNIX };

static void
access_log(struct httpd_req *req, int status, uint64_t bytes, void *arg)
{
	/* The target is visible ASCII; a query may hold what it likes. */
	const char *target = httpd_req_target(req);
	const char *method = httpd_req_method(req);
	size_t len;

	(void)arg;
	if (target == NULL || method == NULL || httpd_req_path(req) == NULL)
		return;
	len = strcspn(target, "?");
	log_debug("conn %llu from %s: %s %.*s: %d, %llu bytes, %llu ms",
	    (unsigned long long)httpd_req_conn_id(req), httpd_req_peer(req),
	    method, (int)(len > 200 ? 200 : len), target, status,
	    (unsigned long long)bytes,
	    (unsigned long long)httpd_req_age(req));
}

static void
listen_on(enum listener kind, int fd)
{
	/* Connections of the old one, if there is one, live on. */
	if (self.fds[kind] != -1)
		(void)httpd_retire(self.srv, self.fds[kind]);
	self.fds[kind] = -1;
	if (httpd_listen(self.srv, fd, &kinds[kind]) == -1)
		log_warn("listener");
	else
		self.fds[kind] = fd;
}

static void
init(void)
{
	const struct worker_conf *wc = worker_conf();
	struct httpd_conf c;
	int i;

	routes_init();
	httpd_conf_init(&c);
	c.max_conns = wc->max_connections > 0 ? wc->max_connections :
	    CONNS_DEFAULT;
	/* Neither listener may take what the other one needs. */
	c.max_conns_each = c.max_conns - c.max_conns / 4;
	c.on_head = call_start;
	c.on_access = access_log;
	if ((self.srv = httpd_new(worker_base(), &c)) == NULL)
		fatal("http server");
	for (i = 0; i < 2; i++)
		if (self.early[i] != -1)
			listen_on((enum listener)i, self.early[i]);
}

static void
take_fd(const char *role, int fd)
{
	enum listener kind;

	if (strcmp(role, "http") == 0)
		kind = LISTEN_HTTP;
	else if (strcmp(role, "unix") == 0)
		kind = LISTEN_UNIX;
	else {
		log_warnx("descriptor of unknown role %s", role);
		(void)close(fd);
		return;
	}
	if (self.srv != NULL)
		listen_on(kind, fd);
	else {
		if (self.early[kind] != -1)
			(void)close(self.early[kind]);
		self.early[kind] = fd;
	}
}

static void
conf(const struct worker_conf *wc)
{
	guard_hosts(wc->allowed_hosts);
}

static void
peer_down(struct peer *p)
{
	/* Its passes were made under keys that are gone. */
	if (peer_proc(p) == PROC_KEEPER)
		auth_keeper_gone();
}

static void
drained(void *arg)
{
	(void)arg;
	worker_exit();
}

static void
deadline_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	log_info("stopping with %u connections open",
	    httpd_connections(self.srv));
	worker_exit();
}

static void
shutdown_front(uint32_t ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	self.deadline = evtimer_new(worker_base(), deadline_cb, NULL);
	if (self.deadline == NULL || evtimer_add(self.deadline, &tv) == -1) {
		worker_exit();
		return;
	}
	call_end_streams();
	httpd_drain(self.srv, drained, NULL);
}

static const struct worker_ops ops = {
	.proc = PROC_FRONT,
	.init = init,
	.fd = take_fd,
	.conf = conf,
	.peer_down = peer_down,
	.shutdown = shutdown_front,
};

int
main(int argc, char **argv)
{
	return (worker_main(argc, argv, &ops));
}

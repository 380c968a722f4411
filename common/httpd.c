/*
 * HTTP server: listeners, the accept loop, limits over all connections.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway. Talks to: clients and agents.
 */
#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "httpd_int.h"

/* One listener may not starve the other events of the worker. */
#define ACCEPT_BATCH	16
#define RETRY_MS	500

static void accept_cb(evutil_socket_t, short, void *);

uint64_t
httpd_now_ms(void)
{
	struct timespec ts;

	/* Cannot fail: the clock exists and ts is ours. */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000);
}

void
httpd_conf_init(struct httpd_conf *c)
{
	memset(c, 0, sizeof(*c));
	c->max_conns = 512;
	c->max_conns_each = 512;
	c->fd_reserve = 32;
	c->head_ms = 10 * 1000;
	c->body_ms = 5 * 1000;
	c->idle_ms = 60 * 1000;
	c->write_ms = 15 * 1000;
}

static void
resume_listeners(struct httpd *srv)
{
	struct httpd_listener *l;

	if (srv->draining || srv->nconns >= srv->conf.max_conns)
		return;
	TAILQ_FOREACH(l, &srv->listeners, entry)
		if (l->paused && l->nconns < srv->conf.max_conns_each &&
		    event_add(l->ev, NULL) == 0)
			l->paused = false;
}

static void
pause_listener(struct httpd_listener *l)
{
	(void)event_del(l->ev);
	l->paused = true;
}

static void
retry_cb(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	resume_listeners(arg);
}

struct httpd *
httpd_new(struct event_base *base, const struct httpd_conf *conf)
{
	struct httpd *srv;
	struct rlimit rl;

	if ((srv = calloc(1, sizeof(*srv))) == NULL)
		return (NULL);
	srv->base = base;
	srv->conf = *conf;
	srv->max_fd = 1024;
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < 1000000)
		srv->max_fd = (int)rl.rlim_cur;
	TAILQ_INIT(&srv->listeners);
	TAILQ_INIT(&srv->conns);
	TAILQ_INIT(&srv->idle);
	if (evtimer_assign(&srv->retry, base, retry_cb, srv) == -1) {
		free(srv);
		return (NULL);
	}
	return (srv);
}

static void
listener_free(struct httpd_listener *l)
{
	if (l->ev != NULL)
		event_free(l->ev);
	if (l->fd != -1)
		(void)close(l->fd);
	free(l);
}

void
httpd_free(struct httpd *srv)
{
	struct httpd_listener *l;
	struct httpd_conn *c;

	if (srv == NULL)
		return;
	srv->draining = true;
	srv->drained = NULL;
	while ((c = TAILQ_FIRST(&srv->conns)) != NULL)
		httpd_conn_free(c);
	while ((l = TAILQ_FIRST(&srv->listeners)) != NULL) {
		TAILQ_REMOVE(&srv->listeners, l, entry);
		listener_free(l);
	}
	(void)event_del(&srv->retry);
	free(srv);
}

int
httpd_listen(struct httpd *srv, int fd, void *arg)
{
	struct httpd_listener *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		goto fail;
	l->srv = srv;
	l->fd = fd;
	l->arg = arg;
	if (evutil_make_socket_nonblocking(fd) == -1)
		goto fail;
	l->ev = event_new(srv->base, fd, EV_READ | EV_PERSIST, accept_cb, l);
	if (l->ev == NULL || event_add(l->ev, NULL) == -1)
		goto fail;
	TAILQ_INSERT_TAIL(&srv->listeners, l, entry);
	return (0);
fail:
	if (l != NULL && l->ev != NULL)
		event_free(l->ev);
	free(l);
	(void)close(fd);
	return (-1);
}

/* The last connection, if not this, frees it. */
static void
retire(struct httpd_listener *l)
{
	TAILQ_REMOVE(&l->srv->listeners, l, entry);
	event_free(l->ev);
	(void)close(l->fd);
	l->ev = NULL;
	l->fd = -1;
	l->gone = true;
	if (l->nconns == 0)
		listener_free(l);
}

static struct httpd_listener *
find_listener(struct httpd *srv, int fd)
{
	struct httpd_listener *l;

	TAILQ_FOREACH(l, &srv->listeners, entry)
		if (l->fd == fd)
			return (l);
	errno = ENOENT;
	return (NULL);
}

int
httpd_retire(struct httpd *srv, int fd)
{
	struct httpd_listener *l;

	if ((l = find_listener(srv, fd)) == NULL)
		return (-1);
	retire(l);
	return (0);
}

int
httpd_unlisten(struct httpd *srv, int fd)
{
	struct httpd_listener *l;
	struct httpd_conn *c;

	if ((l = find_listener(srv, fd)) == NULL)
		return (-1);
	TAILQ_FOREACH(c, &srv->conns, entry)
		if (c->l == l)
			httpd_conn_kill(c);
	retire(l);
	return (0);
}

int
httpd_attach(struct httpd *srv, int fd, void *arg)
{
	struct httpd_listener *l;

	/* A listener of its own carries the argument. */
	if ((l = calloc(1, sizeof(*l))) == NULL) {
		(void)close(fd);
		return (-1);
	}
	l->srv = srv;
	l->fd = -1;
	l->arg = arg;
	l->gone = true;
	if (evutil_make_socket_nonblocking(fd) == -1 ||
	    httpd_conn_new(srv, l, fd) == -1) {
		(void)close(fd);
		free(l);
		return (-1);
	}
	return (0);
}

/* Make room by closing the keep-alive connection that idled longest. */
static bool
evict_idle(struct httpd *srv)
{
	struct httpd_conn *c = TAILQ_FIRST(&srv->idle);

	if (c == NULL)
		return (false);
	httpd_conn_free(c);
	return (true);
}

/* 0: go on; -1: no more now. */
static int
accept_one(struct httpd_listener *l)
{
	struct httpd *srv = l->srv;
	int fd;

	if (l->nconns >= srv->conf.max_conns_each ||
	    (srv->nconns >= srv->conf.max_conns && !evict_idle(srv))) {
		pause_listener(l);
		return (-1);
	}
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1) {
		if (errno == ECONNABORTED || errno == EINTR)
			return (0);
		if (errno != EAGAIN && errno != EWOULDBLOCK) {
			pause_listener(l);
			httpd_arm(&srv->retry, RETRY_MS);
		}
		return (-1);
	}
	/* The kernel hands out the lowest free number, so a high one means
	 * that few are left for what this worker must do besides. */
	if (fd >= srv->max_fd - (int)srv->conf.fd_reserve) {
		(void)close(fd);
		(void)evict_idle(srv);
		pause_listener(l);
		httpd_arm(&srv->retry, RETRY_MS);
		return (-1);
	}
	if (httpd_conn_new(srv, l, fd) == -1)
		(void)close(fd);
	return (0);
}

static void
accept_cb(evutil_socket_t fd, short what, void *arg)
{
	struct httpd_listener *l = arg;
	int i;

	(void)fd;
	(void)what;
	for (i = 0; i < ACCEPT_BATCH; i++)
		if (accept_one(l) == -1)
			break;
}

void
httpd_conn_gone(struct httpd_conn *c)
{
	struct httpd *srv = c->srv;
	struct httpd_listener *l = c->l;

	TAILQ_REMOVE(&srv->conns, c, entry);
	srv->nconns--;
	l->nconns--;
	if (l->gone && l->nconns == 0)
		listener_free(l);
	if (!srv->draining)
		resume_listeners(srv);
	else if (srv->nconns == 0 && srv->drained != NULL)
		srv->drained(srv->drained_arg);
}

void
httpd_drain(struct httpd *srv, void (*cb)(void *), void *arg)
{
	struct httpd_listener *l;
	struct httpd_conn *c, *next;

	srv->draining = true;
	TAILQ_FOREACH(l, &srv->listeners, entry)
		pause_listener(l);
	for (c = TAILQ_FIRST(&srv->conns); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		c->close = true;
		if (c->state == CONN_HEAD && c->req == NULL)
			httpd_conn_free(c);
	}
	srv->drained = cb;
	srv->drained_arg = arg;
	if (srv->nconns == 0 && cb != NULL)
		cb(arg);
}

unsigned
httpd_connections(const struct httpd *srv)
{
	return (srv->nconns);
}

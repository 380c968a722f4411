/*
 * One dialling: resolve, check, connect.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: dialer. Talks to: the network.
 */
#include <sys/types.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

#include "addr.h"
#include "dial.h"
#include "log.h"
#include "sys.h"

#define TRY_MIN_MS	2000	/* for one address, if time allows */

struct dial {
	TAILQ_ENTRY(dial)	 entry;
	dial_fn			 fn;
	void			*arg;
	bool			 allow_private;
	uint16_t		 port;
	char			 host[HOST_MAX + 1];
	uint64_t		 deadline;
	struct evdns_getaddrinfo_request *req;	/* while resolving */
	struct event		*timer;		/* the deadline or one try's */
	struct event		*ev;		/* while connecting */
	int			 fd;
	union addr		 addr[DIAL_ADDRS];
	unsigned		 naddrs, next;
	char			 why[200];	/* of the last failure */
	unsigned		 status;
};

static struct {
	struct event_base	*base;
	struct evdns_base	*dns;
	TAILQ_HEAD(, dial)	 all;
	unsigned		 count;
} self;

static void	resolved(int, struct evutil_addrinfo *, void *);
static void	add_addr(struct dial *, const struct sockaddr *);
static void	try_next(struct dial *);
static int	try_addr(struct dial *, const union addr *);
static void	connected(int, short, void *);
static void	timed_out(int, short, void *);
static void	set_timer(struct dial *);
static void	stop_try(struct dial *);
static void	finish(struct dial *, int);
static void	dial_free(struct dial *);
static void	fail(struct dial *, unsigned, const char *, ...)
		    __attribute__((format(printf, 3, 4)));
static void	dns_log(int, const char *);

void
dial_init(struct event_base *base)
{
	self.base = base;
	TAILQ_INIT(&self.all);
	evdns_set_log_fn(dns_log);
	self.dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (self.dns == NULL)
		fatalx("cannot start the resolver");
	/* Without the file this sets up the name server on 127.0.0.1. */
	if (evdns_base_resolv_conf_parse(self.dns, DNS_OPTIONS_ALL,
	    "/etc/resolv.conf") != 0)
		log_warnx("cannot read /etc/resolv.conf, using 127.0.0.1");
	/* A provider's name is complete: it must not depend on a suffix. */
	evdns_base_search_clear(self.dns);
	(void)evdns_base_set_option(self.dns, "timeout:", "2");
	(void)evdns_base_set_option(self.dns, "attempts:", "3");
}

void
dial_start(const char *host, uint16_t port, bool allow_private, dial_fn fn,
    void *arg)
{
	struct evutil_addrinfo hints;
	struct evdns_getaddrinfo_request *req;
	enum host_kind kind;
	struct dial *d;
	union addr a;

	kind = host_parse(host, port, &a);
	if (kind == HOST_BAD) {
		fn(arg, 403, "not a host name or a plain address", -1);
		return;
	}
	if (self.count >= DIAL_MAX) {
		fn(arg, 503, "too many connections are being made", -1);
		return;
	}
	if ((d = calloc(1, sizeof(*d))) == NULL)
		fatal("dial");
	d->fn = fn;
	d->arg = arg;
	d->allow_private = allow_private;
	d->port = port;
	d->fd = -1;
	d->status = 502;
	d->deadline = sys_now_ms() + DIAL_MS;
	(void)snprintf(d->host, sizeof(d->host), "%s", host);
	if ((d->timer = evtimer_new(self.base, timed_out, d)) == NULL)
		fatalx("cannot make a timer");
	TAILQ_INSERT_TAIL(&self.all, d, entry);
	self.count++;
	if (kind == HOST_ADDR) {
		add_addr(d, &a.sa);
		try_next(d);
		return;
	}
	set_timer(d);
	memset(&hints, 0, sizeof(hints));
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_protocol = IPPROTO_TCP;
	/* NULL if resolved() has run already; then d is gone. */
	req = evdns_getaddrinfo(self.dns, d->host, NULL, &hints, resolved, d);
	if (req != NULL)
		d->req = req;
}

void
dial_cancel(bool (*match)(const void *, const void *), const void *what,
    void (*free_arg)(void *))
{
	struct dial *d, *next;

	TAILQ_FOREACH_SAFE(d, &self.all, entry, next) {
		if (!match(d->arg, what))
			continue;
		free_arg(d->arg);
		dial_free(d);
	}
}

static void
resolved(int error, struct evutil_addrinfo *list, void *arg)
{
	struct evutil_addrinfo *ai;
	struct dial *d = arg;

	if (error == EVUTIL_EAI_CANCEL)
		return;		/* by dial_free(): d is gone */
	d->req = NULL;
	if (error != 0) {
		fail(d, 502, "cannot resolve %s: %s", d->host,
		    error == EVUTIL_EAI_NONAME || error == EVUTIL_EAI_NODATA ?
		    "no such name" : evutil_gai_strerror(error));
		finish(d, -1);
		return;
	}
	for (ai = list; ai != NULL; ai = ai->ai_next)
		add_addr(d, ai->ai_addr);
	evutil_freeaddrinfo(list);
	if (d->naddrs == 0 && d->why[0] == '\0')
		fail(d, 502, "%s has no address", d->host);
	try_next(d);
}

/* Keeps an address that may be connected to. */
static void
add_addr(struct dial *d, const struct sockaddr *sa)
{
	const char *what;
	union addr *a;

	if (!addr_allowed(sa, d->allow_private, &what)) {
		fail(d, 403, "%s is at a %s address, which is not allowed",
		    d->host, what);
		log_info("%s: address refused: %s", d->host, what);
		return;
	}
	if (d->naddrs == DIAL_ADDRS)
		return;
	a = &d->addr[d->naddrs++];
	if (sa->sa_family == AF_INET) {
		memcpy(&a->in, sa, sizeof(a->in));
		a->in.sin_port = htons(d->port);
	} else {
		memcpy(&a->in6, sa, sizeof(a->in6));
		a->in6.sin6_port = htons(d->port);
	}
}

static void
try_next(struct dial *d)
{
	while (d->next < d->naddrs) {
		if (sys_now_ms() >= d->deadline)
			break;
		if (try_addr(d, &d->addr[d->next++]) == 0)
			return;
	}
	if (d->why[0] == '\0')
		fail(d, 504, "%s: no time left to connect", d->host);
	finish(d, -1);
}

/* 0 if the connection is under way. */
static int
try_addr(struct dial *d, const union addr *a)
{
	socklen_t len;
	int on = 1;

	len = a->sa.sa_family == AF_INET ? sizeof(a->in) : sizeof(a->in6);
	d->fd = socket(a->sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (d->fd == -1) {
		fail(d, 502, "cannot make a socket: %s", strerror(errno));
		return -1;
	}
	/* Without it a small write waits for the other side's delayed ack. */
	(void)setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(d->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (connect(d->fd, &a->sa, len) == -1 && errno != EINPROGRESS) {
		fail(d, 502, "cannot connect to %s port %u: %s", d->host,
		    d->port, strerror(errno));
		stop_try(d);
		return -1;
	}
	d->ev = event_new(self.base, d->fd, EV_WRITE, connected, d);
	if (d->ev == NULL || event_add(d->ev, NULL) == -1)
		fatalx("cannot wait for a connection");
	set_timer(d);
	return 0;
}

static void
connected(int fd, short what, void *arg)
{
	struct dial *d = arg;
	socklen_t len = sizeof(int);
	int error = 0;

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		error = errno;
	if (error != 0) {
		fail(d, 502, "cannot connect to %s port %u: %s", d->host,
		    d->port, strerror(error));
		stop_try(d);
		try_next(d);
		return;
	}
	d->fd = -1;
	finish(d, fd);
}

static void
timed_out(int fd, short what, void *arg)
{
	struct dial *d = arg;

	(void)fd;
	(void)what;
	if (d->ev == NULL) {
		fail(d, 504, "cannot resolve %s: no answer in time", d->host);
		finish(d, -1);
		return;
	}
	fail(d, 504, "cannot connect to %s port %u: no answer in time",
	    d->host, d->port);
	stop_try(d);
	try_next(d);
}

/* A silent address may take no more than its share of the time left. */
static void
set_timer(struct dial *d)
{
	uint64_t now = sys_now_ms(), ms, left;
	struct timeval tv;

	left = d->deadline > now ? d->deadline - now : 0;
	ms = left / (1 + d->naddrs - d->next);
	if (ms < TRY_MIN_MS)
		ms = left < TRY_MIN_MS ? left : TRY_MIN_MS;
	tv.tv_sec = (time_t)(ms / 1000);
	tv.tv_usec = (suseconds_t)(ms % 1000 * 1000);
	if (evtimer_add(d->timer, &tv) == -1)
		fatalx("cannot set a timer");
}

static void
stop_try(struct dial *d)
{
	if (d->ev != NULL)
		event_free(d->ev);
	d->ev = NULL;
	if (d->fd != -1)
		close(d->fd);
	d->fd = -1;
}

static void
fail(struct dial *d, unsigned status, const char *fmt, ...)
{
	va_list ap;

	d->status = status;
	va_start(ap, fmt);
	(void)vsnprintf(d->why, sizeof(d->why), fmt, ap);
	va_end(ap);
}

static void
finish(struct dial *d, int fd)
{
	d->fn(d->arg, fd == -1 ? d->status : 200, fd == -1 ? d->why : "", fd);
	dial_free(d);
}

static void
dial_free(struct dial *d)
{
	/* Its callback comes later, with EVUTIL_EAI_CANCEL. */
	if (d->req != NULL)
		evdns_getaddrinfo_cancel(d->req);
	stop_try(d);
	event_free(d->timer);
	TAILQ_REMOVE(&self.all, d, entry);
	self.count--;
	free(d);
}

static void
dns_log(int warn, const char *text)
{
	if (warn)
		log_info("resolver: %s", text);
}

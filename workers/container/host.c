/*
 * The IPv4 addresses of this machine, as the kernel tells them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: the kernel.
 *
 * Two netlink sockets are opened before the sandbox, which lets none be made:
 * one to ask, one that hears of changes.  Neither can reach anything else.
 */
#include <sys/types.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <errno.h>
#include <string.h>

#include <event2/event.h>

#include "container.h"
#include "log.h"
#include "worker.h"

#define BUF_LEN	16384
#define READS	64	/* of one answer */

static struct {
	int		 ask, hear;
	uint32_t	 seq;
	struct event	*ev;
} host = { -1, -1, 0, NULL };

static void
on_change(evutil_socket_t fd, short what, void *arg)
{
	char buf[BUF_LEN];

	(void)what;
	(void)arg;
	/* All of them are read anew; a lost message is a change, too. */
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0 ||
	    errno == ENOBUFS)
		errno = 0;
	bridge_host_changed();
}

static int
open_socket(uint32_t groups)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK,
	    .nl_groups = groups };
	int fd;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    NETLINK_ROUTE);
	if (fd == -1 || bind(fd, (struct sockaddr *)&nl, sizeof(nl)) == -1)
		fatal("netlink");
	return fd;
}

void
host_init(void)
{
	host.ask = open_socket(0);
	host.hear = open_socket(RTMGRP_IPV4_IFADDR);
	host.ev = event_new(worker_base(), host.hear, EV_READ | EV_PERSIST,
	    on_change, NULL);
	if (host.ev == NULL || event_add(host.ev, NULL) == -1)
		fatalx("netlink");
}

static void
one_address(struct nlmsghdr *h, host_fn fn, void *arg)
{
	struct ifaddrmsg *ifa = NLMSG_DATA(h);
	ssize_t len = (ssize_t)h->nlmsg_len -
	    (ssize_t)NLMSG_LENGTH(sizeof(*ifa));
	uint32_t ip, peer = 0, local = 0;
	struct rtattr *a;

	if (len < 0 || ifa->ifa_family != AF_INET)
		return;
	for (a = IFA_RTA(ifa); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		if (RTA_PAYLOAD(a) != sizeof(ip))
			continue;
		memcpy(&ip, RTA_DATA(a), sizeof(ip));
		if (a->rta_type == IFA_LOCAL)
			local = ntohl(ip);
		else if (a->rta_type == IFA_ADDRESS)
			peer = ntohl(ip);
	}
	/* On a point to point link "address" is the other end's. */
	ip = local != 0 ? local : peer;
	if (ip != 0 && ip >> 24 != 127)
		fn(ip, ifa->ifa_prefixlen, arg);
}

/* 1: the answer is complete, 0: more comes, -1. */
static int
read_part(host_fn fn, void *arg)
{
	union {
		struct nlmsghdr	h;
		char		b[BUF_LEN];
	} u;
	struct nlmsghdr *h;
	ssize_t n;
	size_t len;

	n = recv(host.ask, u.b, sizeof(u.b), MSG_DONTWAIT);
	if (n == -1)
		return -1;
	len = (size_t)n;
	for (h = &u.h; NLMSG_OK(h, len); h = NLMSG_NEXT(h, len)) {
		if (h->nlmsg_seq != host.seq)
			continue;
		if (h->nlmsg_type == NLMSG_DONE)
			return 1;
		if (h->nlmsg_type == NLMSG_ERROR)
			return -1;
		if (h->nlmsg_type == RTM_NEWADDR)
			one_address(h, fn, arg);
	}
	return 0;
}

int
host_addresses(host_fn fn, void *arg)
{
	struct {
		struct nlmsghdr	 h;
		struct ifaddrmsg ifa;
	} req;
	int i, r;

	memset(&req, 0, sizeof(req));
	req.h.nlmsg_len = NLMSG_LENGTH(sizeof(req.ifa));
	req.h.nlmsg_type = RTM_GETADDR;
	req.h.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	req.h.nlmsg_seq = ++host.seq;
	req.ifa.ifa_family = AF_INET;
	if (send(host.ask, &req, req.h.nlmsg_len, 0) == -1) {
		log_warn("netlink");
		return -1;
	}
	/* The kernel has the answer ready, part by part. */
	for (i = 0; i < READS; i++)
		if ((r = read_part(fn, arg)) != 0)
			return r == 1 ? 0 : -1;
	return -1;
}

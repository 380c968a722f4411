/*
 * The container's network card, if the agent has one.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: the kernel.
 *
 * The host gives a card the hardware address 02:ad:A:B:C:D: its address is
 * A.B.C.D/24, and A.B.C.1 is both gateway and resolver. The card may come and
 * go while the agent runs.
 */
#include "config.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/route.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "log.h"
#include "nic.h"

#define CARD	"eth0"

struct nic {
	int fd;
	struct event *ev;
	bool up;		/* it is there and set up */
};

static void
set_in(struct sockaddr *sa, const unsigned char *a, unsigned char last)
{
	struct sockaddr_in sin;

	memset(&sin, 0, sizeof(sin));
	sin.sin_family = AF_INET;
	sin.sin_addr.s_addr = htonl((uint32_t)a[0] << 24 |
	    (uint32_t)a[1] << 16 | (uint32_t)a[2] << 8 | last);
	memcpy(sa, &sin, sizeof(sin));
}

/* Names are asked of the bridge. */
static void
write_resolver(const unsigned char *a)
{
	FILE *f;

	if ((f = fopen("/etc/resolv.conf", "we")) == NULL) {
		log_warn("/etc/resolv.conf");
		return;
	}
	(void)fprintf(f, "nameserver %u.%u.%u.1\n", a[0], a[1], a[2]);
	if (fclose(f) != 0)
		log_warn("/etc/resolv.conf");
}

static int
set_up(int s, const unsigned char *a)
{
	static const unsigned char mask[4] = { 255, 255, 255, 0 };
	struct ifreq ifr;
	struct rtentry rt;

	memset(&ifr, 0, sizeof(ifr));
	(void)strlcpy(ifr.ifr_name, CARD, sizeof(ifr.ifr_name));
	set_in(&ifr.ifr_addr, a, a[3]);
	if (ioctl(s, SIOCSIFADDR, &ifr) == -1)
		return -1;
	set_in(&ifr.ifr_netmask, mask, 0);
	if (ioctl(s, SIOCSIFNETMASK, &ifr) == -1)
		return -1;
	if (ioctl(s, SIOCGIFFLAGS, &ifr) == -1)
		return -1;
	ifr.ifr_flags |= IFF_UP | IFF_RUNNING;
	if (ioctl(s, SIOCSIFFLAGS, &ifr) == -1)
		return -1;
	memset(&rt, 0, sizeof(rt));
	set_in(&rt.rt_gateway, a, 1);
	rt.rt_dst.sa_family = rt.rt_genmask.sa_family = AF_INET;
	rt.rt_flags = RTF_UP | RTF_GATEWAY;
	return ioctl(s, SIOCADDRT, &rt) == -1 && errno != EEXIST ? -1 : 0;
}

static void
look(struct nic *n)
{
	struct ifreq ifr;
	unsigned char a[6];
	int s;

	if ((s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1) {
		log_warn("network card");
		return;
	}
	memset(&ifr, 0, sizeof(ifr));
	(void)strlcpy(ifr.ifr_name, CARD, sizeof(ifr.ifr_name));
	if (ioctl(s, SIOCGIFHWADDR, &ifr) == -1) {
		n->up = false;
	} else if (!n->up) {
		memcpy(a, ifr.ifr_hwaddr.sa_data, sizeof(a));
		/* Only a card that agentd made says its address so. */
		if (a[0] == 0x02 && a[1] == 0xad) {
			n->up = set_up(s, a + 2) == 0;
			if (n->up) {
				write_resolver(a + 2);
				log_info("network: %u.%u.%u.%u", a[2], a[3],
				    a[4], a[5]);
			} else
				log_warn("network card " CARD);
		}
	}
	close(s);
}

static void
on_link(evutil_socket_t fd, short what, void *arg)
{
	char buf[8192];

	(void)what;
	/* What has changed is not read out of it: we look ourselves. */
	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	look(arg);
}

struct nic *
nic_new(struct event_base *base)
{
	struct sockaddr_nl nl = { .nl_family = AF_NETLINK,
	    .nl_groups = RTMGRP_LINK };
	struct nic *n;

	if ((n = calloc(1, sizeof(*n))) == NULL)
		return NULL;
	n->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    NETLINK_ROUTE);
	if (n->fd == -1 || bind(n->fd, (struct sockaddr *)&nl,
	    sizeof(nl)) == -1 || (n->ev = event_new(base, n->fd, EV_READ |
	    EV_PERSIST, on_link, n)) == NULL ||
	    event_add(n->ev, NULL) == -1) {
		log_warn("network cards cannot be watched");
		nic_free(n);
		return NULL;
	}
	look(n);
	return n;
}

void
nic_free(struct nic *n)
{
	if (n == NULL)
		return;
	if (n->ev != NULL)
		event_free(n->ev);
	if (n->fd != -1)
		close(n->fd);
	free(n);
}

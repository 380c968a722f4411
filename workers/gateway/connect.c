/*
 * POST /api/agent/connect: an agent asks for a connection to a host.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: agents (agent-link), dialer.
 *
 * The host stands in the header X-Agentd-Connect.  dialer resolves it, judges
 * the addresses and connects; what comes back is a connected socket.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "domain.h"
#include "log.h"
#include "net.h"
#include "worker.h"

#define DIAL_MS		15000	/* dialer gives up earlier */

struct wish {
	char		host[DOMAIN_HOST_MAX + 1];
	uint16_t	port;
};

static const char head[] = "HTTP/1.1 101 Switching Protocols\r\n"
    "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

static void
closed(struct greq *g)
{
	free(g->data);
	g->data = NULL;
}

static void
dialed(struct msg *m, void *arg)
{
	struct greq *g = arg;
	struct agent *a = g->agent;
	struct wish *w = g->data;
	struct bufferevent *bev;
	bool private;
	int fd;

	greq_asked(g);
	g->data = NULL;
	if (m == NULL || m->type != MSG_DIALED) {
		greq_away(g, PROC_DIALER);
	} else if (m->u.dialed.status != 200 || m->fd == -1) {
		if (m->u.dialed.status == 403)
			net_denied(a, w->host, w->port, m->u.dialed.error);
		greq_error(g, m->u.dialed.status == 403 ? 403 : 502, "%s",
		    m->u.dialed.error);
	} else if (!net_allows(a, w->host, w->port, &private) ||
	    !tunnel_room(a)) {
		greq_error(g, 403, "it is not allowed any more");
	} else {
		fd = m->fd;
		m->fd = -1;
		bev = httpd_req_take(g->req);
		(void)bufferevent_write(bev, head, sizeof(head) - 1);
		tunnel_new(a, bev, fd, w->host, w->port);
		greq_gone(g);
	}
	free(w);
}

static void
dial(struct greq *g, struct wish *w, bool private)
{
	struct m_dial m = { .host = w->host, .port = w->port,
	    .allow_private = private };

	g->data = w;
	g->closed = closed;
	g->peer = worker_peer(PROC_DIALER);
	g->pending = peer_request(g->peer, MSG_DIAL, &m, DIAL_MS, dialed, g);
	if (g->pending != 0)
		return;
	closed(g);
	greq_away(g, PROC_DIALER);
}

static void
deny(struct greq *g, const struct wish *w)
{
	struct agent *a = g->agent;

	if (a->net == NET_NONE) {
		net_denied(a, w->host, w->port, "this agent has no network");
		greq_error(g, 403, "agent %s has no network; its owner can "
		    "give it one: agentctl agent network %s allow", a->slug,
		    a->slug);
		return;
	}
	net_denied(a, w->host, w->port, "it is not among the allowed ones");
	greq_error(g, 403, "agent %s may not reach %s port %u; its owner can "
	    "allow it: agentctl agent allow %s %s:%u", a->slug, w->host,
	    w->port, a->slug, w->host, w->port);
}

void
connect_post(struct greq *g)
{
	const char *v, *why;
	struct wish *w;
	bool private;

	if ((w = calloc(1, sizeof(*w))) == NULL)
		fatal("connection");
	if (greq_header(g, "X-Agentd-Connect", &v) == -1 || v == NULL) {
		greq_error(g, 400, "X-Agentd-Connect: host:port is missing");
	} else if ((why = hostport_parse(v, w->host, &w->port)) != NULL) {
		greq_error(g, 400, "X-Agentd-Connect: %s", why);
	} else if (!net_allows(g->agent, w->host, w->port, &private)) {
		deny(g, w);
	} else if (!tunnel_room(g->agent)) {
		greq_error(g, 429, "agent %s has %u connections open",
		    g->agent->slug, g->agent->ntunnels);
	} else {
		dial(g, w, private);
		return;
	}
	free(w);
}

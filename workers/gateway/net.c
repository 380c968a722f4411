/*
 * What an agent may reach, and what it was refused.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.  Talks to: keeper, trace.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include "domain.h"
#include "gateway.h"
#include "jbuf.h"
#include "net.h"
#include "traceq.h"

#define AGAIN_MS	60000	/* until a host is told of again */
#define DENIED_S	2.0	/* events a second of one agent */

/* keeper names the policy after each AGENT_CONF, so the agent is here. */
int
net_h_conf(struct peer *p, struct msg *m)
{
	const struct m_agent_net *in = &m->u.agent_net;
	struct agent *a;

	(void)p;
	if ((a = agent_find(in->agent_id)) == NULL)
		return 0;
	if (strcmp(in->policy, "allow") == 0)
		a->net = NET_ALLOW;
	else if (strcmp(in->policy, "egress") == 0)
		a->net = NET_EGRESS;
	else
		a->net = NET_NONE;
	(void)strlcpy(a->domains, in->domains, sizeof(a->domains));
	tunnel_check(a);
	return 0;
}

bool
net_allows(const struct agent *a, const char *host, uint16_t port,
    bool *private)
{
	*private = false;
	switch (a->net) {
	case NET_ALLOW:
		return domain_listed(a->domains, host, port, private);
	case NET_EGRESS:
		return true;
	case NET_NONE:
		break;
	}
	return false;
}

/* Once a minute and host; the place of the oldest is taken. */
static bool
is_news(struct agent *a, const char *host, uint16_t port)
{
	uint64_t now = sys_now_ms();
	struct denied *d, *oldest = &a->denied[0];
	size_t i;

	for (i = 0; i < GW_DENIED; i++) {
		d = &a->denied[i];
		if (d->at != 0 && d->port == port &&
		    strcmp(d->host, host) == 0) {
			if (now - d->at < AGAIN_MS)
				return false;
			d->at = now;
			return true;
		}
		if (d->at < oldest->at)
			oldest = d;
	}
	(void)strlcpy(oldest->host, host, sizeof(oldest->host));
	oldest->port = port;
	oldest->at = now;
	return true;
}

void
net_denied(struct agent *a, const char *host, uint16_t port,
    const char *reason)
{
	struct m_trace_event e;
	const char *text;
	struct jbuf j;

	if (!is_news(a, host, port) || !rate_take(&a->denials, DENIED_S))
		return;
	trace_event_init(&e, a->id, "lifecycle");
	jbuf_init(&j, 4096);
	jb_obj(&j);
	jb_kstr(&j, "event", "egress_denied");
	jb_kstr(&j, "host", host);
	jb_kint(&j, "port", port);
	jb_kstr(&j, "reason", reason);
	jb_end(&j);
	if ((text = jbuf_text(&j, NULL)) != NULL)
		traceq_add(&e, text);
	jbuf_free(&j);
}

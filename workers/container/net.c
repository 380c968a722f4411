/*
 * CT_NET: gives an instance a network card on our bridge, or takes it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * The card has one address, which is also in its hardware address: the link
 * reads it there, so nothing in the container needs DHCP.  Incus drops what
 * comes with any other address, and what goes to another card of the bridge.
 */
#include <sys/types.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"
#include "jbuf.h"
#include "sys.h"

#define CARD	"eth0"

struct net {
	struct op	 op;
	struct gate	 turn;
	char		 agent_id[33];
	bool		 card;
	bool		 entered;	/* holds the gate */
};

/* Two instances must not be given one address: they come one by one. */
static void
done(struct net *n, const struct incus_reply *r, const char *what)
{
	if (n->entered) {
		gate_leave(&n->turn);
		bridge_hold(false);
	}
	if (r->status != 200)
		op_fail(&n->op, r, what);
	else {
		bool sweep = !n->card;

		op_done(&n->op, 200, NULL, "%s", "");
		if (sweep)
			bridge_sweep();
	}
}

static void
on_patched(const struct incus_reply *r, void *arg)
{
	done(arg, r, "the network card was not changed");
}

static void
patch(struct net *n, unsigned int last)
{
	char address[24], mac[24];
	uint8_t ip[4] = { 0 };
	struct jbuf j;

	jbuf_init(&j, 4096);
	jb_obj(&j);
	jb_key(&j, "devices");
	jb_obj(&j);
	jb_key(&j, CARD);
	jb_obj(&j);
	if (!n->card) {
		jb_kstr(&j, "type", "none");
	} else {
		snprintf(address, sizeof(address), "%s%u", bridge_net(),
		    last);
		(void)inet_pton(AF_INET, address, ip);
		snprintf(mac, sizeof(mac), "02:ad:%02x:%02x:%02x:%02x",
		    ip[0], ip[1], ip[2], ip[3]);
		jb_kstr(&j, "type", "nic");
		jb_kstr(&j, "network", bridge_name());
		jb_kstr(&j, "name", CARD);
		jb_kstr(&j, "hwaddr", mac);
		jb_kstr(&j, "ipv4.address", address);
		jb_kstr(&j, "security.mac_filtering", "true");
		jb_kstr(&j, "security.ipv4_filtering", "true");
		jb_kstr(&j, "security.ipv6_filtering", "true");
		jb_kstr(&j, "security.port_isolation", "true");
	}
	jb_end(&j);
	jb_end(&j);
	jb_end(&j);
	instance_call("PATCH", n->op.instance, &j, CT_TIMEOUT, on_patched, n);
	jbuf_free(&j);
}

/* Which addresses are taken? */
static void
on_instances(const struct incus_reply *r, void *arg)
{
	struct net *n = arg;
	struct incus_reply full;
	bool taken[256] = { false };
	struct json_object *o;
	const char *s, *dot;
	size_t i, k;

	if (r->status != 200) {
		done(n, r, NULL);
		return;
	}
	k = meta_len(r->meta);
	for (i = 0; i < k; i++) {
		o = meta_obj(meta_obj(json_object_array_get_idx(r->meta, i),
		    "devices"), CARD);
		s = o == NULL ? NULL : meta_str(o, "ipv4.address");
		if (s != NULL && (dot = strrchr(s, '.')) != NULL)
			taken[strtoul(dot + 1, NULL, 10) & 255] = true;
	}
	for (i = 2; i < 255; i++)
		if (!taken[i])
			break;
	if (i < 255) {
		patch(n, (unsigned int)i);
		return;
	}
	memset(&full, 0, sizeof(full));
	reply_fail(&full, 507, "253 agents have the policy egress: there is "
	    "no address left");
	done(n, &full, NULL);
}

static void
on_bridge(const struct incus_reply *r, void *arg)
{
	struct net *n = arg;

	if (r->status != 200)
		done(n, r, NULL);
	else
		instances_get(on_instances, n);
}

static void
enter(void *arg)
{
	struct net *n = arg;

	n->entered = true;
	bridge_hold(true);
	bridge_ensure(on_bridge, n);
}

static void
on_kept(const struct incus_reply *r, void *arg)
{
	done(arg, r, NULL);
}

static void
on_found(const struct incus_reply *r, void *arg)
{
	struct net *n = arg;
	struct json_object *card;
	const char *type, *bridge;
	struct instance i;

	if (!instance_of(&n->op, n->op.instance, n->agent_id, r, &i))
		return;
	card = meta_obj(meta_obj(r->meta, "devices"), CARD);
	type = card == NULL ? NULL : meta_str(card, "type");
	bridge = card == NULL ? NULL : meta_str(card, "network");
	if (n->card && bridge != NULL &&
	    strcmp(bridge, bridge_name()) == 0)
		bridge_ensure(on_kept, n);
	else if (n->card)
		gate_enter(&n->turn, enter, n);
	else if (type == NULL || strcmp(type, "none") == 0)
		op_done(&n->op, 200, NULL, "%s", "");
	else
		patch(n, 0);
}

static void
run(struct op *op)
{
	instance_get(op->instance, on_found, op);
}

void
net_start(uint64_t id, const struct m_ct_net *m)
{
	struct net *n;

	if (!sys_is_id(m->agent_id) || !valid_instance(m->instance) ||
	    m->card > 1) {
		op_refuse(id, 400, "net: %s is not valid",
		    !sys_is_id(m->agent_id) ? "agent_id" :
		    !valid_instance(m->instance) ? "instance" : "card");
		return;
	}
	if ((n = op_new(sizeof(*n), id, "net", m->instance, run, NULL)) ==
	    NULL)
		return;
	strlcpy(n->agent_id, m->agent_id, sizeof(n->agent_id));
	n->card = m->card != 0;
	op_start(&n->op);
}

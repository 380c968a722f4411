/*
 * The bridge of agents with the policy egress, and its rules.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 *
 * Made when the first agent needs it, removed with the last one.  Incus
 * filters: NAT out, but nothing to the host (besides names from the bridge's
 * resolver), to private networks or to each other.  A rule of Incus knows
 * addresses, not "this host", so the host's own are listed, and the list
 * follows them: see host.c.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <json-c/json.h>
#include <sodium.h>

#include "container.h"
#include "jbuf.h"
#include "log.h"
#include "worker.h"

#define BLOCK_MAX	4096	/* bytes of the list of blocked networks */
#define TRIES		16	/* subnets */
#define NETS		32768U	/* of 24 bits: 10.64.0.0 to 10.191.255.0 */
#define FIRST_NET	0x0a400000U
#define HOST_MAX	384	/* addresses of the host */
#define REFRESH_S	60	/* besides what the kernel tells */
#define SETTLE_MS	200	/* addresses seldom change alone */

static const char blocked[] = "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,"
    "127.0.0.0/8,168.63.129.16/32,169.254.0.0/16,172.16.0.0/12,"
    "192.0.0.0/24,192.168.0.0/16,198.18.0.0/15,224.0.0.0/4,240.0.0.0/4";

/* One look at the host, and what follows from it. */
struct look {
	bool		 only;		/* do not make what is not there */
	bool		 there;		/* the bridge */
	bool		 full;		/* more addresses than fit */
	unsigned int	 tries;
	char		 block[BLOCK_MAX];
	struct {
		uint32_t	 ip;
		unsigned int	 bits;	/* of its net */
	}		 host[HOST_MAX];
	size_t		 nhost;
	incus_fn	 fn;
	void		*arg;
};

static struct {
	char		 name[16];
	char		 net[16];
	unsigned int	 users;		/* whoever is about to need it */
	bool		 sweeping;	/* perhaps it is being removed */
	struct event	*timer;
} br;

static void	make(struct look *);

const char *
bridge_name(void)
{
	char text[160], hex[9];
	unsigned char h[16];

	if (br.name[0] == '\0') {
		snprintf(text, sizeof(text), "%s/%s", env_project(),
		    env_node());
		crypto_generichash(h, sizeof(h), (unsigned char *)text,
		    strlen(text), NULL, 0);
		sodium_bin2hex(hex, sizeof(hex), h, 4);
		snprintf(br.name, sizeof(br.name), "agd-%s", hex);
	}
	return br.name;
}

const char *
bridge_net(void)
{
	return br.net;
}

static void
on_refreshed(const struct incus_reply *r, void *arg)
{
	(void)arg;
	if (r->status != 200 && r->status != 404)
		log_warnx("%s: its rules were not looked at: %s",
		    bridge_name(), r->error);
}

static struct look *
look_new(bool only, incus_fn fn, void *arg)
{
	struct look *l;

	if ((l = calloc(1, sizeof(*l))) == NULL)
		fatal("network");
	l->only = only;
	l->fn = fn;
	l->arg = arg;
	strlcpy(l->block, blocked, sizeof(l->block));
	br.users++;
	return l;
}

static void	begin(struct look *);

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	begin(look_new(true, on_refreshed, NULL));
}

static void
end(struct look *l, const struct incus_reply *r)
{
	struct timeval tv = { REFRESH_S, 0 };

	br.users--;
	if (br.timer == NULL &&
	    (br.timer = evtimer_new(worker_base(), on_timer, NULL)) == NULL)
		fatal("timer");
	if (br.net[0] != '\0')
		(void)evtimer_add(br.timer, &tv);
	l->fn(r, l->arg);
	free(l);
}

static void
end_bad(struct look *l, unsigned int status, const char *what,
    const char *why)
{
	struct incus_reply r;

	memset(&r, 0, sizeof(r));
	reply_fail(&r, status, "%s%s", what, why);
	end(l, &r);
}

/* ---- the rules ---- */

static void
on_rules(const struct incus_reply *r, void *arg)
{
	struct look *l = arg;

	if (r->status != 200 && r->status != 201)
		end_bad(l, r->status, "the rules of the agents' bridge: ",
		    r->error);
	else if (l->there)
		end(l, r);
	else
		make(l);
}

static void
put_rules(struct look *l, bool new)
{
	char path[CT_PATH_LEN];
	struct jbuf b;

	jbuf_init(&b, 16384);
	jb_obj(&b);
	if (new)
		jb_kstr(&b, "name", bridge_name());
	jb_kstr(&b, "description", "Agents of agentd with the policy egress");
	jb_key(&b, "config");
	jb_obj(&b);
	jb_kstr(&b, "user.agentd.node", env_node());
	jb_end(&b);
	jb_key(&b, "ingress");
	jb_arr(&b);
	jb_end(&b);
	jb_key(&b, "egress");
	jb_arr(&b);
	jb_obj(&b);
	jb_kstr(&b, "action", "reject");
	jb_kstr(&b, "destination", l->block);
	jb_kstr(&b, "state", "enabled");
	jb_end(&b);
	jb_obj(&b);
	jb_kstr(&b, "action", "allow");
	jb_kstr(&b, "state", "enabled");
	jb_end(&b);
	jb_end(&b);
	jb_end(&b);
	snprintf(path, sizeof(path), "/1.0/network-acls%s%s", new ? "" : "/",
	    new ? "" : bridge_name());
	incus_call(new ? "POST" : "PUT", path, jbuf_text(&b, NULL),
	    CT_TIMEOUT, INCUS_REPLY_MAX, on_rules, l);
	jbuf_free(&b);
}

static void
on_acl(const struct incus_reply *r, void *arg)
{
	struct look *l = arg;
	struct json_object *rules;
	const char *now = NULL;

	if (r->status == 404) {
		put_rules(l, true);
		return;
	}
	if (r->status != 200) {
		end_bad(l, r->status, "the rules of the agents' bridge: ",
		    r->error);
		return;
	}
	rules = meta_arr(r->meta, "egress");
	if (rules != NULL && json_object_array_length(rules) == 2)
		now = meta_str(json_object_array_get_idx(rules, 0),
		    "destination");
	if (now == NULL || strcmp(now, l->block) != 0)
		put_rules(l, false);
	else
		on_rules(r, l);
}

static void
rules(struct look *l)
{
	char path[CT_PATH_LEN];

	snprintf(path, sizeof(path), "/1.0/network-acls/%s", bridge_name());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX, on_acl, l);
}

/* ---- the bridge ---- */

static void
on_made(const struct incus_reply *r, void *arg)
{
	struct look *l = arg;

	if (r->status == 200 || r->status == 201) {
		log_info("made the bridge %s (%s0/24)", bridge_name(),
		    br.net);
		end(l, r);
		return;
	}
	br.net[0] = '\0';
	if (!r->down && ++l->tries < TRIES && strstr(r->error, "dnsmasq") ==
	    NULL)
		make(l);
	else
		end_bad(l, r->status, "the agents' bridge cannot be made (is "
		    "dnsmasq-base installed?): ", r->error);
}

/* Is the host in that /24 or, if that counts, the /24 in a net of the host? */
static bool
is_taken(const struct look *l, uint32_t net, bool counts)
{
	unsigned int bits;
	size_t i;

	for (i = 0; i < l->nhost; i++) {
		bits = l->host[i].bits;
		if (bits > 24 || !counts)
			bits = 24;
		if (bits == 0 || (l->host[i].ip ^ net) >> (32 - bits) == 0)
			return true;
	}
	return false;
}

/* The first that is free, in an order that is another one each time. */
static void
choose_net(const struct look *l)
{
	uint32_t r[2], i, net = 0;

	randombytes_buf(r, sizeof(r));
	for (i = 0; i < 2 * NETS; i++) {
		net = FIRST_NET + ((r[0] + i * (r[1] | 1)) % NETS << 8);
		if (!is_taken(l, net, i < NETS))
			break;
	}
	snprintf(br.net, sizeof(br.net), "10.%u.%u.", net >> 16 & 255,
	    net >> 8 & 255);
}

static void
make(struct look *l)
{
	char text[32];
	struct jbuf b;

	choose_net(l);
	snprintf(text, sizeof(text), "%s1/24", br.net);
	jbuf_init(&b, 4096);
	jb_obj(&b);
	jb_kstr(&b, "name", bridge_name());
	jb_kstr(&b, "type", "bridge");
	jb_kstr(&b, "description", "Agents of agentd with the policy egress");
	jb_key(&b, "config");
	jb_obj(&b);
	jb_kstr(&b, "ipv4.address", text);
	jb_kstr(&b, "ipv4.nat", "true");
	jb_kstr(&b, "ipv6.address", "none");
	/* A resolver that names none of the instances. */
	jb_kstr(&b, "dns.mode", "none");
	jb_kstr(&b, "security.acls", bridge_name());
	jb_kstr(&b, "security.acls.default.egress.action", "reject");
	jb_kstr(&b, "security.acls.default.ingress.action", "drop");
	jb_kstr(&b, "user.agentd.node", env_node());
	jb_kstr(&b, "user.agentd.project", env_project());
	jb_end(&b);
	jb_end(&b);
	incus_call("POST", "/1.0/networks", jbuf_text(&b, NULL), CT_TIMEOUT,
	    INCUS_REPLY_MAX, on_made, l);
	jbuf_free(&b);
}

/* ---- the look ---- */

static void
add_address(uint32_t ip, unsigned int bits, void *arg)
{
	struct look *l = arg;
	char text[24];

	snprintf(text, sizeof(text), ",%u.%u.%u.%u/32", ip >> 24,
	    ip >> 16 & 255, ip >> 8 & 255, ip & 255);
	if (strlcat(l->block, text, sizeof(l->block)) >= sizeof(l->block) ||
	    l->nhost == HOST_MAX) {
		l->full = true;
		return;
	}
	l->host[l->nhost].ip = ip;
	l->host[l->nhost++].bits = bits;
}

/* The bridge itself: is it ours, and which net has it? */
static bool
read_bridge(struct json_object *o)
{
	struct json_object *config = meta_obj(o, "config");
	const char *node = meta_str(config, "user.agentd.node");
	const char *address = meta_str(config, "ipv4.address");
	const char *dot = address == NULL ? NULL : strrchr(address, '.');

	if (node == NULL || strcmp(node, env_node()) != 0 || dot == NULL ||
	    (size_t)(dot - address) + 2 > sizeof(br.net))
		return false;
	strlcpy(br.net, address, (size_t)(dot - address) + 2);
	return true;
}

static void
on_bridge(const struct incus_reply *r, void *arg)
{
	struct look *l = arg;

	if (r->status == 200) {
		l->there = true;
		if (!read_bridge(r->meta)) {
			end_bad(l, 409, bridge_name(), ": a network of that "
			    "name exists that is not ours");
			return;
		}
	} else if (r->status != 404) {
		end_bad(l, r->status, "", r->error);
		return;
	} else {
		br.net[0] = '\0';
	}
	if (l->only && !l->there)
		end_bad(l, 404, bridge_name(), " is not there");
	else if (host_addresses(add_address, l) == -1 || l->full)
		end_bad(l, 500, "the host's addresses cannot be ", l->full ?
		    "listed: there are too many" : "read");
	else
		rules(l);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	begin(arg);
}

static void
begin(struct look *l)
{
	struct timeval tv = { 0, SETTLE_MS * 1000 };
	char path[CT_PATH_LEN];

	if (br.sweeping) {
		if (event_base_once(worker_base(), -1, EV_TIMEOUT, on_again,
		    l, &tv) == -1)
			fatal("timer");
		return;
	}
	snprintf(path, sizeof(path), "/1.0/networks/%s", bridge_name());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX, on_bridge,
	    l);
}

void
bridge_host_changed(void)
{
	struct timeval tv = { 0, SETTLE_MS * 1000 };

	if (br.timer != NULL && br.net[0] != '\0')
		(void)evtimer_add(br.timer, &tv);
}

void
bridge_hold(bool on)
{
	if (on)
		br.users++;
	else
		br.users--;
}

void
bridge_ensure(incus_fn fn, void *arg)
{
	begin(look_new(false, fn, arg));
}

/* ---- removal ---- */

static void
on_swept(const struct incus_reply *r, void *arg)
{
	(void)arg;
	br.sweeping = false;
	if (r->status != 200 && r->status != 404)
		log_warnx("%s: left behind: %s", bridge_name(), r->error);
}

static void
on_bridge_gone(const struct incus_reply *r, void *arg)
{
	char path[CT_PATH_LEN];

	(void)arg;
	if (r->status != 200) {
		on_swept(r, NULL);
		return;
	}
	log_info("removed the bridge %s: no agent uses it", bridge_name());
	br.net[0] = '\0';
	snprintf(path, sizeof(path), "/1.0/network-acls/%s", bridge_name());
	incus_call("DELETE", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX,
	    on_swept, NULL);
}

static void
on_unused(const struct incus_reply *r, void *arg)
{
	struct json_object *used;
	char path[CT_PATH_LEN];

	(void)arg;
	used = r->status == 200 ? meta_arr(r->meta, "used_by") : NULL;
	if (used == NULL || json_object_array_length(used) > 0 ||
	    br.users > 0 || !read_bridge(r->meta)) {
		br.sweeping = false;
		return;
	}
	snprintf(path, sizeof(path), "/1.0/networks/%s", bridge_name());
	incus_call("DELETE", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX,
	    on_bridge_gone, NULL);
}

void
bridge_sweep(void)
{
	char path[CT_PATH_LEN];

	if (br.users > 0 || br.sweeping)
		return;
	br.sweeping = true;
	snprintf(path, sizeof(path), "/1.0/networks/%s", bridge_name());
	incus_call("GET", path, NULL, CT_TIMEOUT, INCUS_REPLY_MAX, on_unused,
	    NULL);
}

/*
 * The network policy of an agent: none, egress or allow, changed live.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, gateway, container.
 *
 * As with limits the row follows Incus, and after a cut Incus follows the
 * row; only egress has something in Incus, a network card.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "domain.h"
#include "log.h"
#include "network.h"
#include "worker.h"

#define ASK_MS		120000

static const char *const policies[] = { "none", "egress", "allow" };

/* A change under way. */
struct change {
	char		 agent_id[ID_LEN + 1];
	struct client	 client;
	struct pass	 who;
	bool		 ours;		/* network_assert(): nobody asked */
	char		 policy[16];
	char		 domains[DOMAINS_MAX + 1];
};

static bool
is_egress(const char *policy)
{
	return strcmp(policy, "egress") == 0;
}

/* ---- lists ---- */

static bool
policy_ok(struct client c, const char *policy)
{
	size_t	 i;

	for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		if (strcmp(policies[i], policy) == 0)
			return true;
	reply_error(c, 422, "policy: must be none, egress or allow");
	return false;
}

/* The lines of a list without those for the same name and port. */
static void
list_remove(char *list, const struct domain *gone)
{
	char		 out[DOMAINS_MAX + 1] = "", text[DOMAIN_LINE_MAX + 1];
	struct domain	 d;
	const char	*p;
	size_t		 len;

	for (p = list; *p != '\0'; p += len + (p[len] == '\n')) {
		len = strcspn(p, "\n");
		if (domain_parse(p, len, &d) != NULL ||
		    (strcmp(d.host, gone->host) == 0 &&
		    d.wild == gone->wild && d.port == gone->port))
			continue;
		domain_text(&d, text);
		if (out[0] != '\0')
			(void)strlcat(out, "\n", sizeof(out));
		(void)strlcat(out, text, sizeof(out));
	}
	(void)strlcpy(list, out, DOMAINS_MAX + 1);
}

static bool
list_add(struct client c, char *list, const struct domain *d)
{
	char	 text[DOMAIN_LINE_MAX + 1];

	list_remove(list, d);
	domain_text(d, text);
	if (strlen(list) + strlen(text) + 1 > DOMAINS_MAX) {
		reply_error(c, 422, "domains: there are too many (%d bytes at "
		    "most)", DOMAINS_MAX);
		return false;
	}
	if (list[0] != '\0')
		(void)strlcat(list, "\n", DOMAINS_MAX + 1);
	(void)strlcat(list, text, DOMAINS_MAX + 1);
	return true;
}

/* One line of the client, checked. */
static bool
line_ok(struct client c, const struct pass *who, const char *p, size_t len,
    bool private, struct domain *d)
{
	const char	*why;

	if ((why = domain_parse(p, len, d)) != NULL) {
		reply_error(c, 422, "domain: %.*s%s: %s",
		    (int)(len > 80 ? 80 : len), p, len > 80 ? "..." : "",
		    why);
		return false;
	}
	d->private = d->private || private;
	if (d->private && who->role != ROLE_ADMIN) {
		reply_error(c, 403, "domain: %s: only an admin may allow "
		    "private addresses", d->host);
		return false;
	}
	return true;
}

/* Adds all lines to a list, or takes them out of it. */
static bool
list_change(struct client c, const struct pass *who, char *list,
    const char *lines, bool add, bool private)
{
	struct domain	 d;
	size_t		 len;

	for (; *lines != '\0'; lines += len + (lines[len] == '\n')) {
		len = strcspn(lines, "\n");
		if (!line_ok(c, who, lines, len, add && private, &d))
			return false;
		if (!add)
			list_remove(list, &d);
		else if (!list_add(c, list, &d))
			return false;
	}
	return true;
}

bool
network_fill(struct client c, const struct pass *who, struct agent *a,
    const char *policy, const char *domains)
{
	if (policy[0] != '\0') {
		if (!policy_ok(c, policy))
			return false;
		(void)strlcpy(a->network, policy, sizeof(a->network));
	}
	a->domains[0] = '\0';
	return list_change(c, who, a->domains, domains, true, false);
}

void
network_take(struct agent *a, const char *lines)
{
	const struct client	 nobody = { 0, 0 };
	struct domain		 d;
	size_t			 len;

	for (; *lines != '\0'; lines += len + (lines[len] == '\n')) {
		len = strcspn(lines, "\n");
		if (domain_parse(lines, len, &d) == NULL && !d.private)
			(void)list_add(nobody, a->domains, &d);
	}
}

void
network_json(struct jbuf *jb, const struct agent *a)
{
	const char	*p = a->domains;
	size_t		 len;

	jb_kstr(jb, "network", a->network);
	jb_key(jb, "domains");
	jb_arr(jb);
	for (; *p != '\0'; p += len + (p[len] == '\n')) {
		len = strcspn(p, "\n");
		jb_strn(jb, p, len);
	}
	jb_end(jb);
}

void
network_tell(const struct agent *a)
{
	struct m_agent_net	 m = { a->id, a->network, a->domains };

	if (peer_send(worker_peer(PROC_GATEWAY), MSG_AGENT_NET, &m) == -1 &&
	    errno != ENOTCONN)
		log_warn("agent %s: network to gateway", a->slug);
}

/* ---- the change ---- */

static void
over(struct change *ch, struct agent *a)
{
	if (a != NULL)
		agent_unlock(a);
	free(ch);
}

static void
store(struct change *ch, struct agent *a)
{
	struct change	 old;
	struct jbuf	 jb;

	(void)strlcpy(old.policy, a->network, sizeof(old.policy));
	(void)strlcpy(old.domains, a->domains, sizeof(old.domains));
	(void)strlcpy(a->network, ch->policy, sizeof(a->network));
	(void)strlcpy(a->domains, ch->domains, sizeof(a->domains));
	if (agent_commit(a, &ch->who, "AGENT_NETWORK", "network_changed",
	    a->network) == 0) {
		network_tell(a);
		jbuf_init(&jb, 4 * DOMAINS_MAX);
		jb_obj(&jb);
		jb_kstr(&jb, "status", "updated");
		jb_kstr(&jb, "name", a->slug);
		network_json(&jb, a);
		jb_end(&jb);
		reply_doc(ch->client, 200, &jb);
		over(ch, a);
		return;
	}
	(void)strlcpy(a->network, old.policy, sizeof(a->network));
	(void)strlcpy(a->domains, old.domains, sizeof(a->domains));
	reply_db_error(ch->client);
	over(ch, a);
	network_assert(a);
}

static void
on_set(struct msg *m, void *arg)
{
	struct change	*ch = arg;
	struct agent	*a = agent_by_id(ch->agent_id);
	const char	*error;
	uint32_t	 status = answer_status(m, LOST_CONTAINER, &error);

	if (a == NULL) {
		over(ch, NULL);
		return;
	}
	if (status < 300 && !ch->ours) {
		store(ch, a);
		return;
	}
	if (status >= 300) {
		log_warnx("agent %s: network: %s", a->slug, error);
		reply_error(ch->client, status == 404 ? 409 : status,
		    "agent %s: network: %s", a->slug, error);
	}
	over(ch, a);
}

static void
set_card(struct change *ch, struct agent *a)
{
	struct m_ct_net	 m;

	m.agent_id = a->id;
	m.instance = a->instance;
	m.card = is_egress(ch->policy);
	if (peer_request_hold(worker_peer(PROC_CONTAINER), MSG_CT_NET, &m, -1,
	    ASK_MS, on_set, ch) == 0)
		on_set(NULL, ch);
}

void
network_assert(struct agent *a)
{
	struct change	*ch;

	if (a->job != NULL || a->doing != NULL ||
	    a->state == AGENT_DELETING || a->state == AGENT_FAILED)
		return;
	if ((ch = calloc(1, sizeof(*ch))) == NULL)
		fatal("network");
	ch->ours = true;
	(void)strlcpy(ch->agent_id, a->id, sizeof(ch->agent_id));
	(void)strlcpy(ch->policy, a->network, sizeof(ch->policy));
	a->doing = "change of its network";
	set_card(ch, a);
}

/* What the client asks for, on top of what is; false: it has its answer. */
static bool
read_change(struct change *ch, const struct agent *a,
    const struct m_agent_network *in)
{
	(void)strlcpy(ch->agent_id, a->id, sizeof(ch->agent_id));
	(void)strlcpy(ch->policy, a->network, sizeof(ch->policy));
	(void)strlcpy(ch->domains, a->domains, sizeof(ch->domains));
	if (strcmp(in->verb, "set") != 0 &&
	    strchr(in->domains, '\n') != NULL) {
		reply_error(ch->client, 422, "domain: it has a control "
		    "character");
		return false;
	}
	if (strcmp(in->verb, "set") != 0)
		return list_change(ch->client, &ch->who, ch->domains,
		    in->domains, strcmp(in->verb, "add") == 0,
		    in->allow_private != 0);
	if (in->policy[0] != '\0') {
		if (!policy_ok(ch->client, in->policy))
			return false;
		(void)strlcpy(ch->policy, in->policy, sizeof(ch->policy));
	}
	if (!in->has_domains)
		return true;
	ch->domains[0] = '\0';
	return list_change(ch->client, &ch->who, ch->domains, in->domains,
	    true, in->allow_private != 0);
}

int
h_agent_network(struct peer *p, struct msg *m)
{
	const struct m_agent_network	*in = &m->u.agent_network;
	struct client			 c = client_of(m);
	struct change			*ch;
	struct agent			*a;
	struct pass			 who;

	(void)p;
	if ((a = agent_request(m, &in->pass, in->slug, &who)) == NULL)
		return 0;
	if (a->state == AGENT_DELETING || a->state == AGENT_FAILED) {
		reply_error(c, 409, "agent %s has no instance whose network "
		    "could be changed", a->slug);
		return 0;
	}
	if ((ch = calloc(1, sizeof(*ch))) == NULL)
		fatal("network");
	ch->client = c;
	ch->who = who;
	if (!read_change(ch, a, in) ||
	    !agent_lock(a, "change of its network", c))
		free(ch);
	else if (is_egress(ch->policy) != is_egress(a->network))
		set_card(ch, a);
	else
		store(ch, a);
	return 0;
}

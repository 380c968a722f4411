/*
 * One verb for several agents.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 *
 * Each agent ends for itself; the answer says of each how.  A few are under
 * way at a time, and the answer waits for all, within reason.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"
#include "verb.h"
#include "worker.h"

#define AT_ONCE		16
#define NAMES_MAX	1000
#define ANSWER_S	330		/* the longest finish, and a bit */

struct item {
	char		 slug[SLUG_MAX + 1];
	bool		 over;
	uint32_t	 status;
	char		 error[320];
	struct prepared	 prepared;
	struct bulk	*bulk;
};

struct bulk {
	struct client	 client;	/* id 0: it has its answer */
	struct pass	 who;
	enum verb	 verb;
	struct verb_how	 how;
	struct event	*timer;
	struct item	*items;
	size_t		 n, next, open;
	bool		 pumping;
};

static void	pump(struct bulk *);

static void
item_json(struct jbuf *jb, const struct item *it)
{
	jb_key(jb, it->slug);
	jb_obj(jb);
	jb_kbool(jb, "success", it->over && it->status < 300);
	if (!it->over)
		jb_kstr(jb, "error", "not done yet: it goes on");
	else if (it->status >= 300)
		jb_kstr(jb, "error", it->error);
	else if (it->prepared.started_at > 0) {
		jb_key(jb, "prepare_report");
		prepare_json(jb, it->slug, &it->prepared);
	}
	jb_end(jb);
}

static void
answer(struct bulk *b)
{
	struct jbuf	 jb;
	size_t		 i;

	jbuf_init(&jb, JSON_MAX);
	jb_obj(&jb);
	jb_kstr(&jb, "action", verb_name(b->verb));
	jb_key(&jb, "results");
	jb_obj(&jb);
	for (i = 0; i < b->n; i++)
		item_json(&jb, &b->items[i]);
	jb_end(&jb);
	jb_end(&jb);
	reply_doc(b->client, 200, &jb);
	b->client.id = 0;
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	answer(arg);
}

static void
bulk_free(struct bulk *b)
{
	event_free(b->timer);
	free(b->items);
	free(b);
}

static void
finish(struct bulk *b)
{
	if (b->client.id != 0)
		answer(b);
	bulk_free(b);
}

static void
item_over(struct item *it, uint32_t status, const char *error)
{
	it->over = true;
	it->status = status;
	(void)strlcpy(it->error, error, sizeof(it->error));
	it->bulk->open--;
}

static void
on_verb(const struct verb_end *e, void *arg)
{
	struct item	*it = arg;

	it->prepared = e->prepared;
	item_over(it, e->status, e->error);
	pump(it->bulk);
}

static void
pump(struct bulk *b)
{
	struct item	*it;
	struct agent	*a;

	/* A verb that ends at once comes back here. */
	if (b->pumping)
		return;
	b->pumping = true;
	while (b->next < b->n && b->open < AT_ONCE) {
		it = &b->items[b->next++];
		b->open++;
		if ((a = agent_visible(&b->who, it->slug)) == NULL)
			item_over(it, 404, "there is no such agent");
		else
			verb_begin(a, b->verb, &b->how, &b->who, on_verb, it);
	}
	b->pumping = false;
	if (b->next == b->n && b->open == 0)
		finish(b);
}

static bool
is_named(const struct bulk *b, const char *slug, size_t len)
{
	size_t	 i;

	for (i = 0; i < b->n; i++)
		if (strlen(b->items[i].slug) == len &&
		    memcmp(b->items[i].slug, slug, len) == 0)
			return true;
	return false;
}

static void
add(struct bulk *b, const char *slug, size_t len)
{
	struct item	*it = &b->items[b->n];

	if (b->n == NAMES_MAX || is_named(b, slug, len))
		return;
	memcpy(it->slug, slug, len);
	it->bulk = b;
	b->n++;
}

/*
 * Those that are named; if none is, all that this principal may touch.  A
 * name that no agent can have must not make it all of them.
 */
static bool
choose(struct bulk *b, const char *names)
{
	struct agent	*a;
	size_t		 len;

	for (; *names != '\0'; names += len + (names[len] == '\n')) {
		len = strcspn(names, "\n");
		if (len == 0 || len > SLUG_MAX) {
			reply_error(b->client, 422, "names: a name has 1 to "
			    "%d characters", SLUG_MAX);
			return false;
		}
		add(b, names, len);
	}
	if (b->n > 0)
		return true;
	for (a = agent_first(); a != NULL; a = agent_next(a))
		if (agent_may(&b->who, a))
			add(b, a->slug, strlen(a->slug));
	return true;
}

int
h_agent_bulk(struct peer *p, struct msg *m)
{
	const struct m_agent_bulk	*in = &m->u.agent_bulk;
	struct timeval			 tv = { ANSWER_S, 0 };
	enum verb			 verb = verb_by_name(in->action);
	struct pass			 who;
	struct bulk			*b;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_USER, &who) == -1)
		return 0;
	if (verb == VERBS) {
		reply_error(client_of(m), 400, "there is no action %s",
		    in->action);
		return 0;
	}
	if ((b = calloc(1, sizeof(*b))) == NULL ||
	    (b->items = calloc(NAMES_MAX, sizeof(*b->items))) == NULL ||
	    (b->timer = evtimer_new(worker_base(), on_late, b)) == NULL)
		fatal("bulk");
	b->client = client_of(m);
	b->who = who;
	b->verb = verb;
	b->how.force = in->force != 0;
	b->how.timeout = in->timeout;
	if (choose(b, in->names)) {
		(void)evtimer_add(b->timer, &tv);
		pump(b);
	} else {
		bulk_free(b);
	}
	return 0;
}

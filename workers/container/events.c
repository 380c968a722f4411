/*
 * What happens to our instances, as Incus tells it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * A WebSocket on Incus's lifecycle events.  An event only says which instance
 * to look at: what keeper hears is what a GET finds then, so many events of
 * one instance are one message, and their order does not matter.  What is
 * missed (no connection, too many at a time) is said as such: keeper lists.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "container.h"
#include "json.h"
#include "log.h"
#include "peer.h"
#include "worker.h"
#include "wsc.h"

#define EVENT_MAX	65536	/* bytes of one event */
#define JSON_DEPTH	32
#define CHANGED_MAX	256	/* instances that wait to be looked at */
#define ASK_AT_ONCE	4
#define GATHER_MS	20	/* events of one change come together */
#define RETRY_MIN_MS	500
#define RETRY_MAX_MS	30000

/* An instance to look at. */
struct changed {
	TAILQ_ENTRY(changed)	 entry;
	char			 instance[64];
	bool			 asked;		/* the GET is under way */
	bool			 again;		/* and something came after */
};
TAILQ_HEAD(changed_list, changed);

static struct {
	struct wsc		*ws;		/* NULL: not connected */
	struct event		*retry, *gather;
	unsigned int		 retry_ms;
	bool			 connected;	/* said so already */
	bool			 lost;		/* keeper must list */
	char			 project[64], socket[1024];
	struct changed_list	 list;
	unsigned int		 n, asking;
	uint8_t			 buf[EVENT_MAX];
	size_t			 len;
	bool			 over;		/* this event is too long */
} ev = { .list = TAILQ_HEAD_INITIALIZER(ev.list) };

static void	look(void);

static void
after(struct event *e, unsigned int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (!evtimer_pending(e, NULL))
		(void)evtimer_add(e, &tv);
}

static void
push(const char *agent_id, const char *instance, const char *status,
    const struct idmap *map)
{
	struct m_ct_row row;

	row.agent_id = agent_id;
	row.instance = instance;
	row.status = status;
	row.uid_base = map == NULL ? 0 : map->base;
	row.uid_count = map == NULL ? 0 : map->count;
	/* Without keeper: it hears all when it is back. */
	if (peer_send(worker_peer(PROC_KEEPER), MSG_CT_EVENT, &row) == -1)
		ev.lost = true;
}

static void
on_gather(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (ev.lost && peer_is_up(worker_peer(PROC_KEEPER))) {
		ev.lost = false;
		push("", "", "", NULL);
	}
	look();
}

/* ---- one instance ---- */

static void
on_instance(const struct incus_reply *r, void *arg)
{
	struct changed *c = arg;
	struct instance i;

	ev.asking--;
	c->asked = false;
	if (r->status == 404) {
		push("", c->instance, "Gone", NULL);
	} else if (r->status != 200) {
		ev.lost = true;
	} else {
		instance_read(r->meta, &i);
		if (i.ours && i.agent_id[0] != '\0')
			push(i.agent_id, c->instance, i.status, &i.map);
	}
	if (!c->again) {
		TAILQ_REMOVE(&ev.list, c, entry);
		free(c);
		ev.n--;
	}
	after(ev.gather, GATHER_MS);
}

static void
look(void)
{
	struct changed *c;

	TAILQ_FOREACH(c, &ev.list, entry) {
		if (ev.asking >= ASK_AT_ONCE)
			return;
		if (c->asked)
			continue;
		c->asked = true;
		c->again = false;
		ev.asking++;
		instance_get(c->instance, on_instance, c);
	}
}

static void
changed(const char *instance)
{
	struct changed *c;

	after(ev.gather, GATHER_MS);
	TAILQ_FOREACH(c, &ev.list, entry)
		if (strcmp(c->instance, instance) == 0) {
			c->again = c->asked;
			return;
		}
	if (ev.n == CHANGED_MAX) {
		ev.lost = true;
		return;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL)
		fatal("event");
	(void)strlcpy(c->instance, instance, sizeof(c->instance));
	TAILQ_INSERT_TAIL(&ev.list, c, entry);
	ev.n++;
}

/* ---- one event ---- */

static void
event_read(void)
{
	static const char *const actions[] = {
		"instance-started", "instance-stopped", "instance-shutdown",
		"instance-restarted", "instance-paused", "instance-resumed",
		"instance-deleted", "instance-renamed", NULL
	};
	struct json_object *doc, *meta;
	struct json_err err;
	const char *action, *name;
	size_t i;

	doc = json_parse_strict((const char *)ev.buf, ev.len, JSON_DEPTH,
	    &err);
	if (doc == NULL) {
		log_warnx("Incus sent an event that is not JSON");
		return;
	}
	meta = meta_obj(doc, "metadata");
	action = meta_str(meta, "action");
	name = meta_str(meta, "name");
	if (action != NULL && name != NULL &&
	    strcmp(action, "instance-created") == 0)
		gate_created(name);
	for (i = 0; action != NULL && actions[i] != NULL; i++)
		if (strcmp(action, actions[i]) == 0 && name != NULL &&
		    valid_instance(name)) {
			log_debug("%s: %s", name, action);
			changed(name);
		}
	json_free(doc);
}

/* ---- the connection ---- */

static void
on_opened(void *arg)
{
	(void)arg;
	ev.retry_ms = RETRY_MIN_MS;
	ev.len = 0;
	ev.over = false;
	if (!ev.connected)
		log_info("Incus tells of what happens in project %s",
		    ev.project);
	ev.connected = true;
	ev.lost = true;
	after(ev.gather, GATHER_MS);
}

static void
on_data(const void *data, size_t len, bool end, void *arg)
{
	(void)arg;
	if (len > sizeof(ev.buf) - ev.len)
		ev.over = true;
	if (!ev.over) {
		memcpy(ev.buf + ev.len, data, len);
		ev.len += len;
	}
	if (!end)
		return;
	if (ev.over)
		ev.lost = true;
	else
		event_read();
	ev.len = 0;
	ev.over = false;
	after(ev.gather, GATHER_MS);
}

static void
on_drained(void *arg)
{
	(void)arg;
}

static void
on_closed(const char *why, void *arg)
{
	(void)arg;
	ev.ws = NULL;
	if (ev.connected)
		log_warnx("no events of Incus: %s", why != NULL ? why :
		    "it closed the connection");
	ev.connected = false;
	after(ev.retry, ev.retry_ms);
	ev.retry_ms = ev.retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS :
	    ev.retry_ms * 2;
}

static const struct wsc_ops ws_ops = {
	on_opened, on_data, on_drained, on_closed
};

static void
on_env(const char *why, void *arg)
{
	char path[CT_PATH_LEN];

	(void)arg;
	if (ev.ws != NULL)
		return;
	if (why != NULL) {
		on_closed(why, NULL);
		return;
	}
	(void)snprintf(path, sizeof(path),
	    "/1.0/events?type=lifecycle&project=%s", ev.project);
	ev.ws = wsc_open(path, EVENT_MAX * 16, &ws_ops, NULL);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (ev.ws == NULL)
		env_ensure(on_env, NULL);
}

void
events_init(void)
{
	if ((ev.retry = evtimer_new(worker_base(), on_retry, NULL)) == NULL ||
	    (ev.gather = evtimer_new(worker_base(), on_gather, NULL)) ==
	    NULL)
		fatal("timer");
	ev.retry_ms = RETRY_MIN_MS;
}

void
events_conf(void)
{
	if (ev.ws != NULL && strcmp(ev.project, env_project()) == 0 &&
	    strcmp(ev.socket, incus_socket_path()) == 0)
		return;
	(void)strlcpy(ev.project, env_project(), sizeof(ev.project));
	(void)strlcpy(ev.socket, incus_socket_path(), sizeof(ev.socket));
	wsc_free(ev.ws);
	ev.ws = NULL;
	ev.retry_ms = RETRY_MIN_MS;
	env_ensure(on_env, NULL);
}

void
events_keeper_up(void)
{
	ev.lost = true;
	after(ev.gather, GATHER_MS);
}

/*
 * Housekeeping: buckets over their retention go, idle handles close.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: nobody.
 *
 * Whole buckets only, one agent a turn of the loop.  An agent that keeps
 * newer buckets gets a lifecycle event that says what went.
 */
#include <sys/types.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "log.h"
#include "sys.h"
#include "trace.h"

#define SWEEP_S		3600
#define IDLE_S		60
#define IDLE_MS		120000
#define AGENTS_MAX	100000

static struct {
	struct event	*hourly, *idle, *turn;
	uint32_t	 days;		/* 0: keep all */
	char		(*agents)[33];	/* still to be looked at */
	size_t		 n;
} sw;

/* Names of the agents' directories, gathered before any goes. */
static void
gather(void)
{
	struct dirent *d;
	size_t size = 0;
	DIR *dir;
	int fd;

	free(sw.agents);
	sw.agents = NULL;
	sw.n = 0;
	fd = openat(bucket_root(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1 || (dir = fdopendir(fd)) == NULL) {
		log_warn("sweep");
		if (fd != -1)
			close(fd);
		return;
	}
	while (sw.n < AGENTS_MAX && (d = readdir(dir)) != NULL) {
		if (!sys_is_id(d->d_name))
			continue;
		if (sw.n == size) {
			size = size == 0 ? 64 : size * 2;
			sw.agents = reallocarray(sw.agents, size,
			    sizeof(*sw.agents));
			if (sw.agents == NULL)
				fatal("sweep");
		}
		memcpy(sw.agents[sw.n++], d->d_name, sizeof(*sw.agents));
	}
	closedir(dir);
}

/* Says in the trace itself what is no longer in it. */
static void
tell(const char *agent_id, int dropped, int64_t before)
{
	struct m_trace_event m;
	struct agent a;
	char name[HOUR_NAME], *payload;
	struct tev *e;
	int n;

	bucket_name(name, before);
	n = asprintf(&payload, "{\"event\":\"retention\",\"hours\":%d,"
	    "\"before\":\"%s\"}", dropped, name);
	if (n == -1)
		return;
	memset(&m, 0, sizeof(m));
	m.agent_id = agent_id;
	m.kind = "lifecycle";
	m.source = "trace";
	m.id = m.trace_id = m.parent_id = m.channel_id = m.thread_id = "";
	m.backend_name = m.model = m.error = "";
	m.duration_ms = m.tokens_in = m.tokens_out = m.cost_pico = -1;
	if (agents_by_id(agent_id, &a) != 1)
		strlcpy(a.slug, "_unknown_", sizeof(a.slug));
	e = tev_new(&m, a.slug, payload, (size_t)n, sys_time());
	if (e != NULL)
		store_add(e);
}

static void
sweep_agent(const char *agent_id, int64_t before)
{
	const char *suffix;
	struct dirent *d;
	int64_t hour;
	int fd, dropped = 0, kept = 0;
	DIR *dir;

	if ((fd = bucket_dir(agent_id, false)) == -1)
		return;
	if ((dir = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL) {
		if ((hour = bucket_hour(d->d_name, &suffix)) == -1)
			continue;
		if (hour >= before)
			kept++;
		else if (bucket_remove(agent_id, hour) > 0)
			dropped++;
	}
	closedir(dir);
	if (dropped == 0)
		return;
	log_info("agent %s: %d hours of trace are over their time", agent_id,
	    dropped);
	if (kept > 0)
		tell(agent_id, dropped, before);
	else if (unlinkat(bucket_root(), agent_id, AT_REMOVEDIR) == -1)
		log_warn("agent %s", agent_id);
}

static void
on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (sw.n > 0 && sw.days > 0)
		sweep_agent(sw.agents[--sw.n],
		    hour_of(sys_time() - sw.days * 86400.0));
	if (sw.n > 0) {
		event_active(sw.turn, EV_TIMEOUT, 0);
		return;
	}
	free(sw.agents);
	sw.agents = NULL;
}

static void
on_hour(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (sw.days == 0)
		return;
	gather();
	event_active(sw.turn, EV_TIMEOUT, 0);
}

static void
on_idle(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	bucket_idle(IDLE_MS);
}

void
sweep_init(struct event_base *base)
{
	static const struct timeval hour = { SWEEP_S, 0 }, idle = { IDLE_S, 0 };

	sw.hourly = event_new(base, -1, EV_PERSIST, on_hour, NULL);
	sw.idle = event_new(base, -1, EV_PERSIST, on_idle, NULL);
	sw.turn = evtimer_new(base, on_turn, NULL);
	if (sw.hourly == NULL || sw.idle == NULL || sw.turn == NULL ||
	    event_add(sw.hourly, &hour) == -1 ||
	    event_add(sw.idle, &idle) == -1)
		fatal("event");
}

void
sweep_conf(uint32_t days)
{
	sw.days = days;
	event_active(sw.hourly, EV_TIMEOUT, 0);
}

/*
 * Fills the warm pool: one instance at a time, when nothing else is to do.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: container, supervisor, gateway.
 *
 * socket -> create and start -> its runtime is ready (gateway holds the hello
 * of its link) -> frozen.  The row is there before the first of these.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "log.h"
#include "pool.h"
#include "worker.h"

#define ASK_MS		20000
#define ACTION_MS	180000
#define IMAGES_MS	60000		/* what we know of images is that old */
#define SOON_MS		1000
#define LATER_MS	30000
#define QUIET_MS	8000		/* after a deploy took one */
#define BACKOFF_MS	5000
#define BACKOFF_MAX_MS	600000
#define READY_MORE_S	30		/* besides the framework's own time */
#define READY_S		120
#define SETTLE_MS	500		/* what starts late is frozen started */
#define MIB		(1024ULL * 1024)
#define SPARE_MIN	(256 * MIB)	/* of memory, for all else */

static struct {
	struct event	*timer;
	int		 meminfo;
	uint64_t	 images_req;
	uint64_t	 images_at;	/* ms; 0: never */
	uint64_t	 not_before;	/* ms */
	uint64_t	 backoff;	/* ms */
} fill = { NULL, -1, 0, 0, 0, 0 };

static void	 look(void);

static void
look_in(uint64_t ms)
{
	struct timeval	 tv = { (time_t)(ms / 1000),
	    (suseconds_t)(ms % 1000 * 1000) };

	(void)evtimer_add(fill.timer, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	look();
}

void
poolfill_init(void)
{
	if ((fill.timer = evtimer_new(worker_base(), on_timer, NULL)) == NULL)
		fatal("timer");
	/* The sandbox opens nothing. */
	fill.meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	if (fill.meminfo == -1)
		log_warn("/proc/meminfo: the pool does not see free memory");
}

void
poolfill_taken(void)
{
	uint64_t	 at = sys_now_ms() + QUIET_MS;

	if (fill.not_before < at)
		fill.not_before = at;
	look_in(QUIET_MS);
}

void
poolfill_kick(void)
{
	if (pool.started)
		look_in(0);
}

/* ---- how much memory there is ---- */

static bool
meminfo(const char *text, const char *name, uint64_t *bytes)
{
	const char	*p = strstr(text, name);

	if (p == NULL)
		return false;
	*bytes = strtoull(p + strlen(name), NULL, 10) * 1024;
	return true;
}

/* Is there room for one more of that size, and some to spare? */
static bool
room_for(uint64_t memory)
{
	uint64_t	 total, avail, spare;
	char		 text[4096];
	ssize_t		 n;

	if (fill.meminfo == -1 ||
	    (n = pread(fill.meminfo, text, sizeof(text) - 1, 0)) <= 0)
		return true;
	text[n] = '\0';
	if (!meminfo(text, "MemTotal:", &total) ||
	    !meminfo(text, "MemAvailable:", &avail))
		return true;
	spare = total / 10 > SPARE_MIN ? total / 10 : SPARE_MIN;
	return avail >= memory + spare;
}

/* ---- one instance, from the row to the freeze ---- */

void
poolfill_failed(struct member *m, const char *why)
{
	log_warnx("pool: no instance of %s: %s", m->framework, why);
	fill.backoff = fill.backoff == 0 ? BACKOFF_MS : fill.backoff * 2;
	if (fill.backoff > BACKOFF_MAX_MS)
		fill.backoff = BACKOFF_MAX_MS;
	fill.not_before = sys_now_ms() + fill.backoff;
	(void)snprintf(pool.held, sizeof(pool.held), "the last one failed: "
	    "%s", why);
	pool_drop(m, "it failed");
}

static void
on_frozen(struct msg *msg, void *arg)
{
	struct member	*m = arg;
	const char	*error;

	m->req = 0;
	if (m->state != POOL_WARMING)
		return;
	if (answer_status(msg, LOST_CONTAINER, &error) >= 300) {
		poolfill_failed(m, error);
		return;
	}
	m->state = POOL_READY;
	m->ready_at = sys_time();
	if (pool_save(m) == -1) {
		poolfill_failed(m, "the state database cannot be written");
		return;
	}
	log_info("pool: %s of %s is ready after %.1f s", m->instance,
	    m->framework, m->ready_at - m->created_at);
	fill.backoff = 0;
	pool.held[0] = '\0';
	look_in(0);
}

/* Its runtime is ready, and has had a moment for what it starts late. */
static void
freeze(struct member *m)
{
	struct m_ct_action	 act;

	(void)evtimer_del(m->timer);
	act.agent_id = m->id;
	act.instance = m->instance;
	act.verb = "freeze";
	act.timeout = 0;
	m->req = peer_request(worker_peer(PROC_CONTAINER), MSG_CT_ACTION,
	    &act, ACTION_MS, on_frozen, m);
	if (m->req == 0)
		on_frozen(NULL, m);
}

static void
on_member_timer(evutil_socket_t fd, short what, void *arg)
{
	struct member	*m = arg;

	(void)fd;
	(void)what;
	if (m->link_ready)
		freeze(m);
	else
		poolfill_failed(m, "its runtime was not ready in time");
}

static void
member_arm(struct member *m, uint64_t ms)
{
	struct timeval	 tv = { (time_t)(ms / 1000),
	    (suseconds_t)(ms % 1000 * 1000) };

	if (m->timer == NULL && (m->timer = evtimer_new(worker_base(),
	    on_member_timer, m)) == NULL)
		fatal("timer");
	(void)evtimer_add(m->timer, &tv);
}

static void
on_created(struct msg *msg, void *arg)
{
	const struct framework	*f;
	struct member		*m = arg;
	const char		*error;
	uint32_t		 s = READY_S;

	m->req = 0;
	if (m->state != POOL_MAKING)
		return;
	if (answer_status(msg, LOST_CONTAINER, &error) >= 300 || msg == NULL) {
		poolfill_failed(m, error);
		return;
	}
	m->uid_base = msg->u.ct_done.uid_base;
	m->uid_count = msg->u.ct_done.uid_count;
	m->state = POOL_WARMING;
	if (pool_save(m) == -1) {
		poolfill_failed(m, "the state database cannot be written");
		return;
	}
	pool_tell_gateway(m);
	if ((f = framework_get(m->framework)) != NULL && f->ready_timeout != 0)
		s = f->ready_timeout + READY_MORE_S;
	member_arm(m, m->link_ready ? SETTLE_MS : s * 1000ULL);
}

static void
on_socket(struct msg *msg, void *arg)
{
	const struct framework	*f;
	struct member		*m = arg;
	const char		*error;
	struct m_ct_create	 c;
	char			 dir[1100], slug[SLUG_MAX + 1];

	m->req = 0;
	if (m->state != POOL_MAKING)
		return;
	if (answer_status(msg, LOST_SUPER, &error) >= 300) {
		poolfill_failed(m, error);
		return;
	}
	if ((f = framework_get(m->framework)) == NULL) {
		poolfill_failed(m, "there is no such framework");
		return;
	}
	pool_tell_gateway(m);
	(void)snprintf(dir, sizeof(dir), "%s/%s", worker_conf()->agents_dir,
	    m->id);
	(void)snprintf(slug, sizeof(slug), "warm-%.12s", m->id);
	c.agent_id = c.request = m->id;
	c.instance = m->instance;
	c.slug = slug;
	c.node_id = worker_conf()->node_id;
	c.image = f->image;
	c.sock_dir = dir;
	c.memory = m->memory;
	c.cpus = m->cpus;
	c.disk = m->disk;
	c.processes = m->processes;
	c.again = 0;
	/* No time-out: container has its own, and always answers. */
	m->req = peer_request(worker_peer(PROC_CONTAINER), MSG_CT_CREATE, &c,
	    0, on_created, m);
	if (m->req == 0)
		on_created(NULL, m);
}

static void
make(const struct framework *f, const struct want *w)
{
	struct member		*m = pool_new(f, w->image);
	struct m_agent_id	 who = { m->id };

	if (pool_insert(m) == -1) {
		pool_free(m);
		fill.not_before = sys_now_ms() + LATER_MS;
		return;
	}
	m->req = peer_request(worker_super(), MSG_AGENT_LISTEN, &who, ASK_MS,
	    on_socket, m);
	if (m->req == 0)
		on_socket(NULL, m);
}

int
h_agent_ready(struct peer *p, struct msg *msg)
{
	struct member	*m = pool_find(msg->u.agent_id.agent_id);

	(void)p;
	/* Said again after a thaw, or when gateway has heard of it again. */
	if (m == NULL || m->link_ready ||
	    (m->state != POOL_MAKING && m->state != POOL_WARMING))
		return 0;
	m->link_ready = true;
	if (m->state == POOL_WARMING)
		member_arm(m, SETTLE_MS);
	return 0;
}

/* ---- what is missing, what is too much ---- */

static void
on_images(struct msg *msg, void *arg)
{
	const struct framework	*f;
	size_t			 i;

	(void)arg;
	if (msg != NULL && msg->type == MSG_CT_IMAGE_ROW) {
		for (i = 0; i < pool.nwants; i++) {
			f = framework_get(pool.wants[i].framework);
			if (f != NULL && strcmp(f->image,
			    msg->u.ct_image_row.alias) == 0)
				(void)strlcpy(pool.wants[i].fresh,
				    msg->u.ct_image_row.fingerprint,
				    sizeof(pool.wants[i].fresh));
		}
		if (msg->more)
			return;
	}
	fill.images_req = 0;
	if (msg == NULL || (msg->type == MSG_CT_DONE &&
	    msg->u.ct_done.status >= 300)) {
		look_in(LATER_MS);
		return;
	}
	for (i = 0; i < pool.nwants; i++)
		(void)strlcpy(pool.wants[i].image, pool.wants[i].fresh,
		    sizeof(pool.wants[i].image));
	fill.images_at = sys_now_ms();
	look_in(0);
}

/* False: not known at this time; the answer looks again. */
static bool
images_known(void)
{
	struct m_none	 none;
	size_t		 i;

	if (fill.images_req != 0)
		return false;
	if (fill.images_at != 0 &&
	    sys_now_ms() - fill.images_at < IMAGES_MS)
		return true;
	for (i = 0; i < pool.nwants; i++)
		pool.wants[i].fresh[0] = '\0';
	fill.images_req = peer_request(worker_peer(PROC_CONTAINER),
	    MSG_CT_IMAGES, &none, ASK_MS, on_images, NULL);
	if (fill.images_req == 0)
		look_in(LATER_MS);
	return false;
}

void
pool_images_changed(void)
{
	fill.images_at = 0;
	poolfill_kick();
}

static uint32_t
count(const char *framework)
{
	struct member	*m;
	uint32_t	 n = 0;

	TAILQ_FOREACH(m, &pool.members, entry)
		n += m->state != POOL_DROPPING && !m->claimed &&
		    strcmp(m->framework, framework) == 0;
	return n;
}

static void
throw_away(void)
{
	struct member		*m, *next;
	const struct want	*w;

	for (m = TAILQ_FIRST(&pool.members); m != NULL; m = next) {
		next = TAILQ_NEXT(m, entry);
		if (m->state != POOL_READY || m->claimed)
			continue;
		w = pool_want(m->framework);
		if (w == NULL || framework_get(m->framework) == NULL ||
		    count(m->framework) > w->n)
			pool_drop(m, "it is not wanted any more");
		else if (strcmp(w->image, m->image) != 0)
			pool_drop(m, "there is another image");
	}
}

static bool
one_is_made(void)
{
	struct member	*m;

	TAILQ_FOREACH(m, &pool.members, entry)
		if (m->state == POOL_MAKING || m->state == POOL_WARMING)
			return true;
	return false;
}

/* The first framework of which there are too few; NULL: none is missing. */
static const struct framework *
missing(struct want **want)
{
	const struct framework	*f;
	size_t			 i;

	pool.held[0] = '\0';
	for (i = 0; i < pool.nwants; i++) {
		struct want	*w = &pool.wants[i];
		uint64_t	 memory, disk;
		uint32_t	 cpus, processes;

		if (count(w->framework) >= w->n)
			continue;
		if ((f = framework_get(w->framework)) == NULL) {
			(void)snprintf(pool.held, sizeof(pool.held), "there "
			    "is no framework %s", w->framework);
			continue;
		}
		if (w->image[0] == '\0') {
			(void)snprintf(pool.held, sizeof(pool.held), "there "
			    "is no image %s", f->image);
			continue;
		}
		deploy_limits(f, &memory, &cpus, &disk, &processes);
		if (!room_for(memory)) {
			(void)snprintf(pool.held, sizeof(pool.held), "too "
			    "little free memory for %s", w->framework);
			continue;
		}
		*want = w;
		return f;
	}
	return NULL;
}

/* The one place that decides; comes back by itself when that is needed. */
static void
look(void)
{
	const struct framework	*f;
	struct want		*w;
	uint64_t		 now = sys_now_ms();

	if (!pool.started || (pool.nwants == 0 && TAILQ_EMPTY(&pool.members)))
		return;
	if (!images_known())
		return;
	throw_away();
	look_in(LATER_MS);
	if (one_is_made())
		return;
	if (now < fill.not_before) {
		look_in(fill.not_before - now);
		return;
	}
	if ((f = missing(&w)) == NULL)
		return;
	/* A deploy comes first. */
	if (job_any())
		look_in(SOON_MS);
	else
		make(f, w);
}

/* ---- the configuration ---- */

/* One line, "framework number", of what the supervisor has checked. */
static const char *
read_want(const char *p, struct want *w)
{
	const char	*space, *end, *bad;
	char		 number[16], line[96];

	end = p + strcspn(p, "\n");
	if ((size_t)(end - p) >= sizeof(line))
		return NULL;
	memcpy(line, p, (size_t)(end - p));
	line[end - p] = '\0';
	if ((space = strchr(line, ' ')) == NULL ||
	    strlcpy(number, space + 1, sizeof(number)) >= sizeof(number))
		return NULL;
	memset(w, 0, sizeof(*w));
	w->n = (unsigned)strtonum(number, 0, UINT32_MAX, &bad);
	line[space - line] = '\0';
	if (bad != NULL || strlcpy(w->framework, line,
	    sizeof(w->framework)) >= sizeof(w->framework))
		return NULL;
	return *end == '\n' ? end + 1 : end;
}

void
pool_conf(void)
{
	const char	*p = worker_conf()->warm_pool;
	struct want	 old[POOL_KINDS], *w;
	size_t		 i, n = pool.nwants;

	memcpy(old, pool.wants, sizeof(old));
	pool.nwants = 0;
	while (*p != '\0' && pool.nwants < POOL_KINDS) {
		w = &pool.wants[pool.nwants];
		if ((p = read_want(p, w)) == NULL)
			fatalx("warm_pool: not as the supervisor writes it");
		pool.nwants++;
		for (i = 0; i < n; i++)
			if (strcmp(old[i].framework, w->framework) == 0)
				memcpy(w->image, old[i].image,
				    sizeof(w->image));
		if (framework_get(w->framework) == NULL)
			log_warnx("warm_pool: there is no framework %s",
			    w->framework);
	}
	fill.images_at = 0;
	fill.not_before = fill.backoff = 0;
	poolfill_kick();
}

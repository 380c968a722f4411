/*
 * Makes sure that Incus is there with what we need: extensions, our project,
 * a storage pool.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 *
 * Looked at when the worker starts and again by the first operation after
 * Incus was away; nothing polls.  An existing project is used as it is or
 * refused, never changed.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "container.h"
#include "jbuf.h"
#include "log.h"
#include "worker.h"

#define ENV_TIMEOUT	20	/* seconds for each call */

struct waiter {
	TAILQ_ENTRY(waiter)	 entry;
	env_fn			 fn;
	void			*arg;
};
TAILQ_HEAD(waiter_list, waiter);

static struct {
	enum { ENV_UNKNOWN, ENV_CHECKING, ENV_READY } state;
	bool			 stale;	/* configured anew while checking */
	char			 node[33];
	char			 project[64];
	char			 want_pool[64];	/* "": choose one */
	char			 agents_dir[1024];
	char			 pool[64];
	char			 driver[32];
	char			 error[INCUS_ERR_MAX + 256];
	struct waiter_list	 waiters;
} env = { .waiters = TAILQ_HEAD_INITIALIZER(env.waiters) };

static const char *const extensions[] = {
	"id_map_current", "image_create_aliases", "instance_create_start",
	"projects", NULL
};
static const char *const features[] = {
	"features.images", "features.profiles", "features.storage.volumes",
	NULL
};

static void	check(void);

const char *
env_project(void)
{
	return env.project;
}

const char *
env_pool(void)
{
	return env.pool;
}

const char *
env_pool_driver(void)
{
	return env.driver;
}

bool
env_pool_sized(void)
{
	return strcmp(env.driver, "dir") != 0;
}

const char *
env_node(void)
{
	return env.node;
}

const char *
env_agents_dir(void)
{
	return env.agents_dir;
}

static void
on_first_check(const char *why, void *arg)
{
	(void)arg;
	if (why != NULL)
		log_warnx("%s", why);
	else
		log_info("Incus is ready: project %s, pool %s", env.project,
		    env.pool);
}

void
env_conf(const struct worker_conf *conf)
{
	strlcpy(env.node, conf->node_id, sizeof(env.node));
	strlcpy(env.project, conf->incus_project, sizeof(env.project));
	strlcpy(env.want_pool, strcmp(conf->incus_pool, "auto") == 0 ? "" :
	    conf->incus_pool, sizeof(env.want_pool));
	strlcpy(env.agents_dir, conf->agents_dir, sizeof(env.agents_dir));
	incus_socket(conf->incus_socket);
	if (env.state == ENV_CHECKING)
		env.stale = true;
	else
		env.state = ENV_UNKNOWN;
	env_ensure(on_first_check, NULL);
}

void
env_lost(void)
{
	if (env.state == ENV_READY)
		env.state = ENV_UNKNOWN;
}

void
env_ensure(env_fn fn, void *arg)
{
	struct waiter *w;

	if (env.state == ENV_READY) {
		fn(NULL, arg);
		return;
	}
	if ((w = calloc(1, sizeof(*w))) == NULL)
		fatal("operation");
	w->fn = fn;
	w->arg = arg;
	TAILQ_INSERT_TAIL(&env.waiters, w, entry);
	if (env.state == ENV_UNKNOWN)
		check();
}

/* The check is over: fmt is NULL if all is well. */
static void __attribute__((format(printf, 1, 2)))
over(const char *fmt, ...)
{
	struct waiter_list list = TAILQ_HEAD_INITIALIZER(list);
	char error[sizeof(env.error)];
	struct waiter *w;
	va_list ap;

	if (env.stale) {
		check();
		return;
	}
	env.state = fmt == NULL ? ENV_READY : ENV_UNKNOWN;
	if (fmt == NULL)
		env_tell_pool();
	error[0] = '\0';
	if (fmt != NULL) {
		va_start(ap, fmt);
		vsnprintf(error, sizeof(error), fmt, ap);
		va_end(ap);
	}
	/* Who is told may ask again: that is another list. */
	TAILQ_CONCAT(&list, &env.waiters, entry);
	while ((w = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, w, entry);
		w->fn(fmt == NULL ? NULL : error, w->arg);
		free(w);
	}
}

/* ---- the pool ---- */

static bool
can_clone(const char *driver)
{
	return strcmp(driver, "btrfs") == 0 || strcmp(driver, "zfs") == 0;
}

static void
use_pool(const char *name, const char *driver)
{
	strlcpy(env.pool, name, sizeof(env.pool));
	strlcpy(env.driver, driver, sizeof(env.driver));
}

/* keeper tells people what the pool costs them. */
void
env_tell_pool(void)
{
	struct m_ct_pool m;

	if (env.driver[0] == '\0' || env.pool[0] == '\0')
		return;
	m.name = env.pool;
	m.driver = env.driver;
	m.clones = can_clone(env.driver) || strcmp(env.driver, "lvm") == 0;
	m.quotas = env_pool_sized();
	if (peer_send(worker_peer(PROC_KEEPER), MSG_CT_POOL, &m) == -1 &&
	    errno != ENOTCONN)
		log_warn("the pool to keeper");
}

static void
on_pools(const struct incus_reply *r, void *arg)
{
	struct json_object *o;
	const char *name, *driver;
	size_t i, n, usable = 0;
	bool clone = false, found = false;

	(void)arg;
	if (r->status != 200) {
		over("%s", r->error);
		return;
	}
	n = meta_len(r->meta);
	for (i = 0; i < n; i++) {
		o = json_object_array_get_idx(r->meta, i);
		name = meta_str(o, "name");
		driver = meta_str(o, "driver");
		if (name == NULL || driver == NULL || strlen(name) >= 64)
			continue;
		usable++;
		if (env.want_pool[0] != '\0') {
			if (strcmp(name, env.want_pool) != 0)
				continue;
			found = true;
			use_pool(name, driver);
		} else if (!clone) {
			clone = can_clone(driver);
			if (clone || usable == 1)
				use_pool(name, driver);
		}
	}
	if (usable == 0)
		over("Incus has no storage pool; make one: incus storage "
		    "create default btrfs");
	else if (env.want_pool[0] != '\0' && !found)
		over("Incus has no storage pool named %s", env.want_pool);
	else if (env.want_pool[0] == '\0' && !clone && usable > 1)
		over("Incus has %zu storage pools and none is btrfs or zfs: "
		    "name one in the configuration (incus: pool)", usable);
	else
		over(NULL);
}

static void
ask_pools(void)
{
	incus_call("GET", "/1.0/storage-pools?recursion=1", NULL, ENV_TIMEOUT,
	    INCUS_REPLY_MAX, on_pools, NULL);
}

/* ---- the project ---- */

static void
on_project_made(const struct incus_reply *r, void *arg)
{
	(void)arg;
	if (r->status != 200) {
		over("Incus cannot make the project %s: %s", env.project,
		    r->error);
		return;
	}
	log_info("made the Incus project %s", env.project);
	ask_pools();
}

static void
make_project(void)
{
	struct jbuf b;
	size_t i;

	jbuf_init(&b, 4096);
	jb_obj(&b);
	jb_kstr(&b, "name", env.project);
	jb_kstr(&b, "description", "Agents of agentd");
	jb_key(&b, "config");
	jb_obj(&b);
	for (i = 0; features[i] != NULL; i++)
		jb_kstr(&b, features[i], "true");
	jb_kstr(&b, "features.networks", "false");
	jb_end(&b);
	jb_end(&b);
	incus_call("POST", "/1.0/projects", jbuf_text(&b, NULL), ENV_TIMEOUT,
	    INCUS_REPLY_MAX, on_project_made, NULL);
	jbuf_free(&b);
}

static void
on_project(const struct incus_reply *r, void *arg)
{
	struct json_object *config;
	const char *v;
	size_t i;

	(void)arg;
	if (r->status == 404) {
		make_project();
		return;
	}
	if (r->status != 200) {
		over("%s", r->error);
		return;
	}
	config = meta_obj(r->meta, "config");
	for (i = 0; features[i] != NULL; i++) {
		v = meta_str(config, features[i]);
		if (v == NULL || strcmp(v, "true") != 0) {
			over("the Incus project %s exists without %s: name "
			    "another one in the configuration (incus: "
			    "project)", env.project, features[i]);
			return;
		}
	}
	ask_pools();
}

/* ---- the server ---- */

static bool
has(struct json_object *list, const char *name)
{
	const char *s;
	size_t i, n = list == NULL ? 0 : json_object_array_length(list);

	for (i = 0; i < n; i++) {
		s = json_object_get_string(json_object_array_get_idx(list, i));
		if (s != NULL && strcmp(s, name) == 0)
			return true;
	}
	return false;
}

static void
on_server(const struct incus_reply *r, void *arg)
{
	struct json_object *list;
	const char *auth;
	char path[CT_PATH_LEN];
	size_t i;

	(void)arg;
	if (r->status != 200) {
		over("%s", r->error);
		return;
	}
	auth = meta_str(r->meta, "auth");
	if (auth == NULL || strcmp(auth, "trusted") != 0) {
		over("Incus does not trust this worker: is its user in the "
		    "group of the socket?");
		return;
	}
	list = meta_arr(r->meta, "api_extensions");
	for (i = 0; extensions[i] != NULL; i++)
		if (!has(list, extensions[i])) {
			over("this Incus is too old: it lacks %s",
			    extensions[i]);
			return;
		}
	snprintf(path, sizeof(path), "/1.0/projects/%s", env.project);
	incus_call("GET", path, NULL, ENV_TIMEOUT, INCUS_REPLY_MAX, on_project,
	    NULL);
}

static void
check(void)
{
	env.state = ENV_CHECKING;
	env.stale = false;
	if (!valid_name(env.project)) {
		over("the Incus project's name is not made of [a-z0-9-]");
		return;
	}
	incus_call("GET", "/1.0", NULL, ENV_TIMEOUT, INCUS_REPLY_MAX,
	    on_server, NULL);
}

/*
 * agentd: starts the workers and looks after them.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.  Talks to: every worker.
 *
 * It parses its configuration and nothing that comes from outside.
 */
#include <sys/stat.h>

#include <err.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <systemd/sd-daemon.h>

#include "config.h"

#include "agents.h"
#include "caps.h"
#include "catalog.h"
#include "cause.h"
#include "conf.h"
#include "daemon.h"
#include "diag.h"
#include "evbase.h"
#include "files.h"
#include "listen.h"
#include "log.h"
#include "logs.h"
#include "spawn.h"
#include "super.h"
#include "sys.h"

#define CONF_FILE	SYSCONFDIR "/agentd/agentd.yaml"

static struct super super;

static struct options {
	const char	*conf;
	bool		 check;
	bool		 foreground;
	bool		 verbose;
	bool		 reloading;
} opt = { CONF_FILE, false, false, false, false };

extern char **environ;

static void __attribute__((noreturn))
usage(void)
{
	fprintf(stderr, "usage: agentd [-dnVv] [-f file] [-w worker,...]\n");
	exit(2);
}

/* ---- configuration ---- */

static void
tell_stderr(const char *line, void *arg)
{
	size_t *n = arg;

	fprintf(stderr, "%s\n", line);
	++*n;
}

static void
tell_log(const char *line, void *arg)
{
	(void)arg;
	log_warnx("%s", line);
}

/* -n: everything that is wrong, in the configuration and all manifests. */
static int
check(void)
{
	struct diags *d = diags_new(opt.conf);
	struct conf *c = conf_load(opt.conf, d);
	size_t n = 0;

	diags_each(d, tell_stderr, &n);
	/* With a broken file the catalog's place may be broken as well. */
	if (n == 0 || access(c->catalog_dir, F_OK) == 0)
		catalog_free(catalog_load(c->catalog_dir, tell_stderr, &n));
	diags_free(d);
	conf_free(c);
	if (n > 0)
		return 1;
	printf("configuration OK\n");
	return 0;
}

/* Who can write it could have any program started as root. */
static void
check_owner(struct diags *d)
{
	struct stat st;

	if (stat(opt.conf, &st) == 0 &&
	    (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0))
		diags_add(d, 0, 0, "must belong to root and be writable by "
		    "nobody else");
}

static struct conf *
load_or_exit(void)
{
	struct diags *d = diags_new(opt.conf);
	struct conf *c = conf_load(opt.conf, d);
	size_t n = 0;

	if (geteuid() == 0)
		check_owner(d);
	diags_each(d, tell_stderr, &n);
	diags_free(d);
	if (n > 0)
		exit(1);
	if (opt.verbose)
		c->log_level = LOG_L_DEBUG;
	return c;
}

static void
listener_changed(const char *role)
{
	push_listener(&super, role);
}

static bool
reload(void)
{
	struct diags *d = diags_new(opt.conf);
	struct conf *c = conf_load(opt.conf, d);
	bool ok;

	check_owner(d);
	ok = d->n == 0;
	diags_each(d, tell_log, NULL);
	diags_free(d);
	if (ok) {
		conf_keep_fixed(c, super.conf);
		if (opt.verbose)
			c->log_level = LOG_L_DEBUG;
		ok = listen_reload(c, listener_changed) == 0;
	}
	if (!ok) {
		log_warnx("the old configuration stays in force");
		conf_free(c);
		return false;
	}
	conf_free(super.conf);
	super.conf = c;
	catalog_free(super.catalog);
	super.catalog = catalog_load(c->catalog_dir, tell_log, NULL);
	super.generation++;
	log_set_level((enum log_level)c->log_level);
	push_reload(&super);
	return true;
}

/* ---- the service manager ---- */

static void
notify_reloading(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
	    (unsigned long long)ts.tv_sec * 1000000 +
	    (unsigned long long)ts.tv_nsec / 1000);
}

static void
on_ready(void)
{
	sd_notifyf(0, "READY=1\nSTATUS=%zu frameworks, all workers run",
	    super.catalog->n);
	if (!super.was_ready)
		log_info("agentd %s is ready, all workers run",
		    PACKAGE_VERSION);
	else if (opt.reloading)
		log_info("configuration %u is in force", super.generation);
	super.was_ready = true;
	opt.reloading = false;
	daemon_started(true);
}

static void
on_gone(void)
{
	listen_cleanup();
	daemon_unlock();
	event_base_loopbreak(super.base);
}

static void
watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	sd_notify(0, "WATCHDOG=1");
}

static void
watchdog_start(void)
{
	struct event *ev;
	struct timeval tv;
	uint64_t usec;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return;
	tv.tv_sec = (time_t)(usec / 2 / 1000000);
	tv.tv_usec = (suseconds_t)(usec / 2 % 1000000);
	ev = event_new(super.base, -1, EV_PERSIST, watchdog, NULL);
	if (ev == NULL || event_add(ev, &tv) == -1)
		fatal("watchdog");
}

/* ---- signals ---- */

static void
on_stop(evutil_socket_t sig, short what, void *arg)
{
	(void)what;
	(void)arg;
	if (super.stopping) {
		log_warnx("second signal %d: ends at once", (int)sig);
	} else {
		log_info("signal %d: stopping", (int)sig);
		sd_notify(0, "STOPPING=1\nSTATUS=stopping");
		daemon_started(false);
	}
	workers_stop(super.stopping);
}

static void
on_hup(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	(void)arg;
	if (super.stopping)
		return;
	log_info("reload of %s", opt.conf);
	notify_reloading();
	logs_reopen();
	opt.reloading = true;
	if (!reload()) {
		opt.reloading = false;
		sd_notify(0, "READY=1\nSTATUS=reload refused: the old "
		    "configuration stays in force");
	}
}

static void
on_child(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	(void)arg;
	workers_reap();
}

static void
catch_signals(void)
{
	static const struct {
		int	sig;
		void	(*fn)(evutil_socket_t, short, void *);
	} all[] = {
		{ SIGTERM, on_stop },
		{ SIGINT, on_stop },
		{ SIGHUP, on_hup },
		{ SIGCHLD, on_child },
	};
	struct event *ev;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		ev = evsignal_new(super.base, all[i].sig, all[i].fn, NULL);
		if (ev == NULL || event_add(ev, NULL) == -1)
			fatal("signal %d", all[i].sig);
	}
}

/* ---- start ---- */

/* -w: a few workers only, to look at them alone. */
static uint32_t
parse_workers(const char *list)
{
	char copy[256], *rest = copy, *name;
	uint32_t mask = 0;
	int p;

	if (strlcpy(copy, list, sizeof(copy)) >= sizeof(copy))
		errx(2, "-w: too long");
	while ((name = strsep(&rest, ",")) != NULL) {
		p = proc_by_name(name);
		if (p == -1 || p == PROC_SUPER)
			errx(2, "-w: no worker %s", name);
		mask |= 1U << p;
	}
	return mask;
}

static void
parse_options(int argc, char **argv)
{
	int ch;

	super.mask = P_WORKERS;
	while ((ch = getopt(argc, argv, "df:nVvw:-:")) != -1)
		switch (ch) {
		case 'd':
			opt.foreground = true;
			break;
		case 'f':
			opt.conf = optarg;
			break;
		case 'n':
			opt.check = true;
			break;
		case 'V':
			printf("agentd %s\n", PACKAGE_VERSION);
			exit(0);
		case 'v':
			opt.verbose = true;
			break;
		case 'w':
			super.mask = parse_workers(optarg);
			break;
		case '-':
			if (strcmp(optarg, "foreground") != 0)
				usage();
			opt.foreground = true;
			break;
		default:
			usage();
		}
	if (optind != argc)
		usage();
}

/* The name must outlive argv and hold in any directory. */
static void
find_conf(void)
{
	static char path[PATH_MAX];

	if (realpath(opt.conf, path) == NULL)
		err(1, "%s", opt.conf);
	opt.conf = path;
}

/* Everything that can fail for a reason the admin can mend is here. */
static void
prepare(void)
{
	spawn_init(super.conf, super.mask);
	files_prepare(super.conf);
	daemon_lock(super.conf);
	if (listen_init(super.conf) == -1)
		exit(1);
	agents_init(super.conf, &super.worker[PROC_GATEWAY]);
	cause_init();
}

static void
run(void)
{
	super.base = evbase_new();
	super.generation = 1;
	super.started = sys_now_ms();
	super.on_ready = on_ready;
	super.on_gone = on_gone;
	catch_signals();
	watchdog_start();
	logs_start(super.base);
	control_init(&super);
	workers_start(&super);
	event_base_dispatch(super.base);
	log_info("agentd has stopped");
	logs_flush();
}

int
main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (opt.check)
		return check();
	find_conf();
	setproctitle_init(argc, argv, environ);
	super.conf = load_or_exit();
	log_init(proc_name(PROC_SUPER),
	    (enum log_level)super.conf->log_level, 0);
	if (geteuid() != 0)
		fatalx("must be started as root: the workers get users of "
		    "their own");
	daemon_harden();
	prepare();
	/* A service manager keeps track of the process that it started. */
	if (!opt.foreground && getenv("NOTIFY_SOCKET") == NULL)
		daemon_detach(super.conf);
	daemon_write_pid();
	logs_init(super.conf, opt.foreground);
	log_info("agentd %s starts, node %s", PACKAGE_VERSION,
	    super.conf->node_id);
	/* Where a broken manifest is named: in the log, as at a reload. */
	super.catalog = catalog_load(super.conf->catalog_dir, tell_log, NULL);
	caps_reduce();
	setproctitle("-agentd: supervisor %s", opt.conf);
	run();
	return 0;
}

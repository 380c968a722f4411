/*
 * agent-link: connects a stock agent runtime with agentd, in its container.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway, the runtime.
 */
#include "config.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "bridge.h"
#include "conf.h"
#include "forward.h"
#include "gw.h"
#include "inbox.h"
#include "log.h"
#include "nic.h"
#include "pconn.h"
#include "turn.h"
#include "util.h"

#define EX_BAD_CONFIG	78
#define GRACE_MS	5000	/* for the open turn to end by itself */
#define FLUSH_MS	10000	/* for the gateway to take the last reply */
#define HELLO_MS	1000	/* the runtime waits so long for its answer */

struct link {
	struct event_base *base;
	struct conf conf;
	struct inbox *inbox;
	struct gw *gw;
	struct turn *turn;
	struct bridge *bridge;
	struct forward *forward;
	struct pconns *proxy;
	struct nic *nic;
	struct event *sigterm, *sigint;
	struct event *deadline;
	bool stopping;
};

static void __attribute__((__noreturn__))
usage(void)
{
	(void)fprintf(stderr, "usage: agent-link [-dnV] [-f file]\n");
	exit(2);
}

static void
link_done(void *arg)
{
	struct link *l = arg;

	event_base_loopexit(l->base, NULL);
}

static void
link_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	log_warnx("the gateway did not take the last reply, it will deliver "
	    "the message again");
	link_done(arg);
}

/* The host may ask to wait with the runtime; a silent one does not. */
static void
link_hello(void *arg, unsigned int hold_ms)
{
	struct link *l = arg;

	if (!l->stopping)
		turn_start_in(l->turn, hold_ms);
}

/* Presence ends at once, the open turn a little later; twice = now. */
static void
link_stop(evutil_socket_t sig, short what, void *arg)
{
	struct link *l = arg;

	(void)what;
	log_info("signal %d, stopping", (int)sig);
	if (l->stopping) {
		link_done(l);
		return;
	}
	l->stopping = true;
	bridge_stop(l->bridge);
	timer_ms(l->deadline, FLUSH_MS);
	turn_shutdown(l->turn, GRACE_MS, link_done, l);
}

/* The key must not be read out of a core file or by a debugger. */
static void
harden(void)
{
	struct rlimit none = { 0, 0 };
	int fd;

	if (setrlimit(RLIMIT_CORE, &none) == -1 ||
	    prctl(PR_SET_DUMPABLE, 0) == -1)
		fatal("harden");
	/* The child's stdin and stdout must not land on a closed 0, 1 or 2. */
	do {
		if ((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) == -1)
			fatal("/dev/null");
	} while (fd <= STDERR_FILENO);
	close(fd);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		fatal("signal");
}

static const struct kind *
kind_of(enum link_kind kind)
{
	switch (kind) {
	case KIND_HTTP:
		return &kind_http;
	case KIND_RPC:
		return &kind_rpc;
	case KIND_ACP:
		return &kind_acp;
	case KIND_EXEC:
		return &kind_exec;
	case KIND_NONE:
		break;
	}
	fatalx("no kind");
}

static void
link_run(struct link *l)
{
	if ((l->base = event_base_new()) == NULL ||
	    (l->inbox = inbox_new()) == NULL ||
	    (l->gw = gw_new(l->base, &l->conf)) == NULL ||
	    (l->turn = turn_new(l->base, &l->conf, l->gw, l->inbox,
	    kind_of(l->conf.kind))) == NULL ||
	    (l->bridge = bridge_new(l->base, &l->conf, l->gw, l->inbox,
	    l->turn)) == NULL)
		fatal("start");
	if ((l->forward = forward_new(l->base, &l->conf, l->gw,
	    l->turn)) == NULL)
		exit(1);
	l->proxy = pconns_new(l->base, &l->conf, l->gw);
	l->nic = nic_new(l->base);
	gw_on_hello(l->gw, link_hello, l);
	turn_start_in(l->turn, HELLO_MS);
	l->sigterm = evsignal_new(l->base, SIGTERM, link_stop, l);
	l->sigint = evsignal_new(l->base, SIGINT, link_stop, l);
	l->deadline = evtimer_new(l->base, link_deadline, l);
	if (l->sigterm == NULL || l->sigint == NULL || l->deadline == NULL ||
	    evsignal_add(l->sigterm, NULL) == -1 ||
	    evsignal_add(l->sigint, NULL) == -1)
		fatal("signals");
	log_info("started, runtime %s, kind %s", l->conf.runtime,
	    conf_kind_name(l->conf.kind));
	if (event_base_dispatch(l->base) == -1)
		fatalx("event loop");
}

static void
link_free(struct link *l)
{
	pconns_free(l->proxy);
	nic_free(l->nic);
	forward_free(l->forward);
	bridge_free(l->bridge);
	turn_free(l->turn);
	gw_free(l->gw);
	inbox_free(l->inbox);
	event_free(l->sigterm);
	event_free(l->sigint);
	event_free(l->deadline);
	event_base_free(l->base);
	conf_free(&l->conf);
}

int
main(int argc, char *argv[])
{
	struct link l;
	const char *path = CONF_DEFAULT;
	enum log_level level = LOG_L_INFO;
	char why[512];
	bool check = false;
	int c;

	memset(&l, 0, sizeof(l));
	while ((c = getopt(argc, argv, "df:nV")) != -1) {
		switch (c) {
		case 'd':
			level = LOG_L_DEBUG;
			break;
		case 'f':
			path = optarg;
			break;
		case 'n':
			check = true;
			break;
		case 'V':
			(void)printf("agent-link %s\n", PACKAGE_VERSION);
			return 0;
		default:
			usage();
		}
	}
	if (argc != optind)
		usage();
	if (conf_load(&l.conf, path, why, sizeof(why)) == -1)
		errx(EX_BAD_CONFIG, "%s", why);
	if (check) {
		conf_free(&l.conf);
		return 0;
	}
	log_init("link", level, getenv("JOURNAL_STREAM") != NULL);
	harden();
	link_run(&l);
	log_info("stopped");
	link_free(&l);
	return 0;
}

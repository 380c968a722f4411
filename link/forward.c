/*
 * The two loopback listeners, forwarded to the agent's socket.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: the runtime.
 */
#include "config.h"

#include <arpa/inet.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "conf.h"
#include "fconn.h"
#include "forward.h"
#include "http.h"
#include "log.h"
#include "util.h"

#define CONNS_MAX	64	/* per listener */
#define BACKLOG		64
#define RESUME_MS	200

struct listener {
	struct forward *f;
	struct evconnlistener *lev;
	struct event *resume;		/* after EMFILE */
	bool llm;
	unsigned int count;
};

struct forward {
	struct fconns conns;
	struct listener llm, api;
};

static int	listener_open(struct forward *, struct listener *,
		    const struct sockaddr_in *);

struct forward *
forward_new(struct event_base *base, const struct conf *conf, struct gw *gw,
    struct turn *turn)
{
	struct forward *f;

	if ((f = calloc(1, sizeof(*f))) == NULL)
		return NULL;
	f->conns.base = base;
	f->conns.conf = conf;
	f->conns.gw = gw;
	f->conns.turn = turn;
	TAILQ_INIT(&f->conns.list);
	f->llm.llm = true;
	if (listener_open(f, &f->llm, &conf->llm_listen) == -1 ||
	    listener_open(f, &f->api, &conf->api_listen) == -1) {
		forward_free(f);
		return NULL;
	}
	return f;
}

void
forward_free(struct forward *f)
{
	if (f == NULL)
		return;
	fconn_close_all(&f->conns);
	if (f->llm.lev != NULL)
		evconnlistener_free(f->llm.lev);
	if (f->api.lev != NULL)
		evconnlistener_free(f->api.lev);
	if (f->llm.resume != NULL)
		event_free(f->llm.resume);
	if (f->api.resume != NULL)
		event_free(f->api.resume);
	free(f);
}

/* A new connection; what cannot be served is closed at once. */
static void
listener_accept(struct evconnlistener *lev, evutil_socket_t fd,
    struct sockaddr *sa, int salen, void *arg)
{
	struct listener *l = arg;

	(void)lev;
	(void)sa;
	(void)salen;
	if (l->count >= CONNS_MAX) {
		log_warnx("too many connections of the runtime");
		close(fd);
		return;
	}
	fconn_open(&l->f->conns, fd, l->llm, &l->count);
}

static void
listener_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(l->lev);
}

/* Out of descriptors: the backlog keeps the rest until some are free. */
static void
listener_error(struct evconnlistener *lev, void *arg)
{
	struct listener *l = arg;

	log_warn("accept");
	evconnlistener_disable(lev);
	timer_ms(l->resume, RESUME_MS);
}

static int
listener_open(struct forward *f, struct listener *l,
    const struct sockaddr_in *sin)
{
	l->f = f;
	l->resume = evtimer_new(f->conns.base, listener_resume, l);
	l->lev = evconnlistener_new_bind(f->conns.base, listener_accept, l,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC |
	    LEV_OPT_REUSEABLE, BACKLOG, (const struct sockaddr *)sin,
	    (int)sizeof(*sin));
	if (l->resume == NULL || l->lev == NULL) {
		log_warn("listen on 127.0.0.1:%u", ntohs(sin->sin_port));
		return -1;
	}
	evconnlistener_set_error_cb(l->lev, listener_error);
	return 0;
}


void
forward_refuse(struct evbuffer *out, int status, const char *why,
    bool head_only)
{
	char body[256];
	int n;

	n = snprintf(body, sizeof(body), "{\"error\":\"%s\"}", why);
	evbuffer_add_printf(out,
	    "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
	    "Content-Length: %d\r\nConnection: close\r\n\r\n%s",
	    status, http_reason(status), n, head_only ? "" : body);
}

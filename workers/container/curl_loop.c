/*
 * libcurl's multi socket interface on libevent: no thread, no poll, no sleep.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.
 */
#include <sys/types.h>

#include <stddef.h>

#include <event2/event.h>

#include "curl_loop.h"
#include "log.h"

#define IDLE_CONNS	4

static struct {
	struct event_base	*base;
	CURLM			*multi;
	struct event		*timer;
	curl_done_fn		 fn;
} loop;

/* Ends every transfer that libcurl is through with. */
static void
reap(void)
{
	CURLMsg *m;
	CURLcode code;
	CURL *easy;
	int n;

	while ((m = curl_multi_info_read(loop.multi, &n)) != NULL) {
		if (m->msg != CURLMSG_DONE)
			continue;
		easy = m->easy_handle;
		code = m->data.result;
		curl_multi_remove_handle(loop.multi, easy);
		loop.fn(easy, code);
	}
}

static void
on_socket(evutil_socket_t fd, short what, void *arg)
{
	int running, flags = 0;

	(void)arg;
	if (what & EV_READ)
		flags |= CURL_CSELECT_IN;
	if (what & EV_WRITE)
		flags |= CURL_CSELECT_OUT;
	curl_multi_socket_action(loop.multi, fd, flags, &running);
	reap();
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	int running;

	(void)fd;
	(void)what;
	(void)arg;
	curl_multi_socket_action(loop.multi, CURL_SOCKET_TIMEOUT, 0, &running);
	reap();
}

static int
want_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sockp)
{
	struct event *ev = sockp;
	short events = EV_PERSIST;

	(void)easy;
	(void)arg;
	if (ev != NULL)
		event_free(ev);
	if (what == CURL_POLL_REMOVE)
		return 0;
	if (what & CURL_POLL_IN)
		events |= EV_READ;
	if (what & CURL_POLL_OUT)
		events |= EV_WRITE;
	if ((ev = event_new(loop.base, fd, events, on_socket, NULL)) == NULL ||
	    event_add(ev, NULL) == -1)
		fatal("event");
	curl_multi_assign(loop.multi, fd, ev);
	return 0;
}

static int
want_timer(CURLM *multi, long ms, void *arg)
{
	struct timeval tv;

	(void)multi;
	(void)arg;
	if (ms < 0) {
		event_del(loop.timer);
		return 0;
	}
	tv.tv_sec = ms / 1000;
	tv.tv_usec = ms % 1000 * 1000;
	event_add(loop.timer, &tv);
	return 0;
}

void
curl_loop_init(struct event_base *base, curl_done_fn fn)
{
	loop.base = base;
	loop.fn = fn;
	/* No TLS here: its start would cost memory for nothing. */
	if (curl_global_init(CURL_GLOBAL_NOTHING) != CURLE_OK ||
	    (loop.multi = curl_multi_init()) == NULL ||
	    (loop.timer = evtimer_new(base, on_timer, NULL)) == NULL)
		fatalx("libcurl: cannot start");
	curl_multi_setopt(loop.multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(loop.multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(loop.multi, CURLMOPT_MAXCONNECTS, (long)IDLE_CONNS);
	curl_multi_setopt(loop.multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
}

void
curl_loop_add(CURL *easy)
{
	if (curl_multi_add_handle(loop.multi, easy) != CURLM_OK)
		fatalx("libcurl: cannot start a request");
}

void
curl_loop_kick(void)
{
	on_timer(-1, 0, NULL);
}

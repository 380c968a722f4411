/*
 * Hands a part of a checked file to another worker, as fast as it reads.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: trace or container, through a pipe.
 *
 * trace gets frames, not JSON: the head of an event as the codec of the
 * messages makes it, then its payload, each behind its length (u32).
 */
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "in.h"
#include "log.h"
#include "worker.h"

#define STALL_S		600	/* Incus unpacks before it reads on */

struct feed {
	struct in	*in;
	enum feed_what	 what;
	struct bufferevent *bev;	/* NULL: over */
	struct lines	 lines;
	struct section	 sec;
	struct tar	*tar;
	bool		 all;		/* what is left is in the queue */
};

static void
stop(struct feed *f)
{
	if (f->bev != NULL)
		bufferevent_free(f->bev);
	f->bev = NULL;
	lines_free(&f->lines);
	tar_free(f->tar);
	f->tar = NULL;
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	stop(f);
	free(f);
}

static int
put(void *arg, const void *data, size_t len)
{
	struct feed *f = arg;

	return bufferevent_write(f->bev, data, len);
}

static int
put_sized(struct feed *f, const void *data, size_t len)
{
	uint32_t n = (uint32_t)len;

	return put(f, &n, sizeof(n)) == -1 || put(f, data, len) == -1 ? -1 :
	    0;
}

/* 1: there is more, 0: no, -1. */
static int
next_event(struct feed *f)
{
	struct m_trace_event ev;
	struct texts t = { .n = 0 };
	const char *payload;
	char why[WHY_LEN], *line;
	size_t len, plen;
	uint8_t *head;
	ssize_t n;
	int r;

	if ((r = lines_next(&f->lines, &line, &len)) != 1)
		return r;
	r = record_event(line, len, &ev, &t, &payload, &plen, why);
	if (r == 0 && (n = msg_encoded_size(MSG_TRACE_EVENT, &ev)) != -1) {
		if ((head = malloc((size_t)n)) == NULL)
			fatal("event");
		msg_encode(MSG_TRACE_EVENT, &ev, head);
		r = put_sized(f, head, (size_t)n);
		free(head);
		if (r == 0)
			r = put_sized(f, payload, plen);
	} else {
		r = -1;
	}
	record_texts_free(&t);
	return r == 0 ? 1 : -1;
}

static int
next_files(struct feed *f)
{
	static char buf[65536];
	ssize_t n;

	if ((n = section_read(&f->sec, buf, sizeof(buf))) > 0)
		return tar_feed(f->tar, buf, (size_t)n) == 0 ? 1 : -1;
	return n == 0 && tar_end(f->tar) == 0 ? 0 : -1;
}

static void
fill(struct feed *f)
{
	struct evbuffer *out = bufferevent_get_output(f->bev);
	int r = 1;

	while (!f->all && r == 1 && evbuffer_get_length(out) < HIGH_WATER)
		r = f->what == FEED_TRACE ? next_event(f) : next_files(f);
	if (r == 0)
		f->all = true;
	if (r == -1)
		log_warnx("a file that was good cannot be read again");
	/* Who reads counts, and knows if this was not all. */
	if (r == -1 || (f->all && evbuffer_get_length(out) == 0))
		stop(f);
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	(void)bev;
	fill(arg);
}

static void
on_gone(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	stop(arg);
}

int
feed_start(struct in *in, enum feed_what what)
{
	const struct timeval stall = { STALL_S, 0 };
	struct feed *f;
	int ours, theirs;

	if (pipe_make(&ours, &theirs) == -1)
		return -1;
	feed_free(in->feed);
	if ((f = in->feed = calloc(1, sizeof(*f))) == NULL ||
	    (f->bev = bufferevent_socket_new(worker_base(), ours,
	    BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("pipe");
	f->in = in;
	f->what = what;
	if (what == FEED_TRACE) {
		lines_init(&f->lines, in->fd, in->mf.part[MF_TRACE].off);
	} else {
		section_init(&f->sec, in->fd, in->mf.part[MF_ROOTFS].off);
		f->tar = check_tar(in, put, f);
	}
	bufferevent_setcb(f->bev, pipe_noise, on_written, on_gone, f);
	bufferevent_setwatermark(f->bev, EV_WRITE, HIGH_WATER / 4, 0);
	(void)bufferevent_set_timeouts(f->bev, NULL, &stall);
	(void)bufferevent_enable(f->bev, EV_READ | EV_WRITE);
	/* Goes on in on_written(), again and again. */
	bufferevent_trigger(f->bev, EV_WRITE, 0);
	return theirs;
}

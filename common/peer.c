/*
 * The other end of an edge.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 *
 * Every frame is held against msg.def before its payload is looked at: known
 * type, this direction, within its size, a descriptor where one belongs.
 */
#include <sys/types.h>
#include <sys/tree.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "chan.h"
#include "log.h"
#include "peer.h"

/* A request that waits for its peer to come back. */
struct held {
	uint32_t	 type;
	int		 fd;
	int		 timeout_ms;	/* once it is sent */
	size_t		 len;
	uint8_t		 data[];	/* the payload, encoded */
};

struct pending {
	RB_ENTRY(pending) entry;
	uint64_t	 id;
	peer_reply_fn	 fn;
	void		*arg;
	struct event	*timer;		/* NULL if it may wait for ever */
	bool		 one;		/* there is one reply only */
	struct peer	*peer;
	struct held	*held;		/* NULL once it is sent */
};
RB_HEAD(pending_tree, pending);

struct peer {
	enum proc		 self;
	enum proc		 other;
	const struct peer_ops	*ops;
	struct event_base	*base;
	struct chan		*chan;		/* NULL: down */
	uint64_t		 last_id;
	struct pending_tree	 pending;
	size_t			 npending;
	size_t			 held;		/* bytes, in all requests */
	int			(*handlers[MSG_MAX])(struct peer *,
				    struct msg *);
};

static int
pending_cmp(const struct pending *a, const struct pending *b)
{
	return a->id < b->id ? -1 : a->id > b->id;
}

RB_GENERATE_INTERNAL(pending_tree, pending, entry, pending_cmp,
    static __attribute__((unused)))

static int	peer_check(void *, const struct chan_hdr *);
static int	peer_frame(void *, const struct chan_hdr *, const uint8_t *,
		    int);
static void	peer_closed(void *, uint32_t, const char *);
static void	peer_room(void *);
static void	release_held(struct peer *);

static const struct chan_ops chan_callbacks = {
	.check = peer_check,
	.frame = peer_frame,
	.closed = peer_closed,
	.drained = peer_room,
};

struct peer *
peer_new(struct event_base *base, enum proc self, enum proc other,
    const struct peer_ops *ops)
{
	const struct msg_handler *h;
	struct peer *p;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		fatal("peer");
	p->base = base;
	p->self = self;
	p->other = other;
	p->ops = ops;
	RB_INIT(&p->pending);
	/* Ids of both ends must differ: each counts in a range of its own. */
	p->last_id = (uint64_t)self << 56;
	for (h = ops->handlers; h != NULL && h->type != MSG_NONE; h++)
		p->handlers[h->type] = h->fn;
	return p;
}

static void
held_free(struct peer *p, struct pending *q)
{
	struct held *h = q->held;

	if (h == NULL)
		return;
	if (h->fd != -1)
		close(h->fd);
	p->held -= h->len;
	freezero(h, sizeof(*h) + h->len);
	q->held = NULL;
}

static void
pending_free(struct peer *p, struct pending *q)
{
	held_free(p, q);
	RB_REMOVE(pending_tree, &p->pending, q);
	p->npending--;
	if (q->timer != NULL)
		event_free(q->timer);
	free(q);
}

/* Ends a request without a reply. */
static void
pending_fail(struct peer *p, struct pending *q, int error)
{
	peer_reply_fn fn = q->fn;
	void *arg = q->arg;

	pending_free(p, q);
	errno = error;
	fn(NULL, arg);
}

void
peer_free(struct peer *p)
{
	struct pending *q;

	if (p == NULL)
		return;
	peer_detach(p);
	while ((q = RB_MIN(pending_tree, &p->pending)) != NULL)
		pending_fail(p, q, ECONNRESET);
	free(p);
}

void
peer_attach(struct peer *p, int fd)
{
	peer_detach(p);
	p->chan = chan_new(p->base, fd, &chan_callbacks, p);
	if (p->chan == NULL) {
		log_warn("channel to %s", proc_name(p->other));
		close(fd);
		return;
	}
	if (p->ops->up != NULL)
		p->ops->up(p);
	release_held(p);
}

void
peer_detach(struct peer *p)
{
	struct pending *q;
	struct chan *c = p->chan;

	if (c == NULL)
		return;
	p->chan = NULL;
	chan_free(c);
	/*
	 * A callback may ask again: that fails with ENOTCONN, or is held for
	 * the next connection and then has a higher id than all of these.
	 */
	while ((q = RB_MIN(pending_tree, &p->pending)) != NULL &&
	    q->held == NULL)
		pending_fail(p, q, ECONNRESET);
	if (p->ops->down != NULL)
		p->ops->down(p);
}

bool
peer_is_up(const struct peer *p)
{
	return p->chan != NULL;
}

enum proc
peer_proc(const struct peer *p)
{
	return p->other;
}

size_t
peer_queued(const struct peer *p)
{
	return p->chan == NULL ? 0 : chan_queued(p->chan);
}

void
peer_flush(struct peer *p, int ms)
{
	if (p->chan != NULL && chan_flush(p->chan, ms) == -1)
		log_debug("%s did not take its last messages",
		    proc_name(p->other));
}

/* ---- sending ---- */

static int
send_frame(struct peer *p, uint32_t type, uint64_t id, bool more,
    const void *payload, int fd)
{
	/* To send what the table forbids would get this process killed. */
	if (!msg_allowed(type, p->self, p->other))
		fatalx("%s may not be sent to %s", msg_name(type),
		    proc_name(p->other));
	if (p->chan == NULL) {
		if (fd != -1)
			close(fd);
		errno = ENOTCONN;
		return -1;
	}
	return chan_send(p->chan, type, id, more ? CHAN_F_MORE : 0, payload,
	    fd);
}

int
peer_send(struct peer *p, uint32_t type, const void *payload)
{
	return send_frame(p, type, 0, false, payload, -1);
}

int
peer_send_fd(struct peer *p, uint32_t type, const void *payload, int fd)
{
	return send_frame(p, type, 0, false, payload, fd);
}

int
peer_send_id(struct peer *p, uint32_t type, uint64_t id, bool more,
    const void *payload)
{
	return send_frame(p, type, id, more, payload, -1);
}

int
peer_reply(struct peer *p, const struct msg *m, uint32_t type, bool more,
    const void *payload)
{
	return send_frame(p, type, m->id, more, payload, -1);
}

int
peer_reply_id(struct peer *p, uint64_t id, uint32_t type, bool more,
    const void *payload, int fd)
{
	return send_frame(p, type, id, more, payload, fd);
}

int
peer_done(struct peer *p, uint64_t id, uint32_t status, const char *fmt, ...)
{
	struct m_done d = { .status = status };
	char text[1024];
	va_list ap;

	text[0] = '\0';
	if (fmt != NULL) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
	}
	d.error = text;
	return send_frame(p, MSG_DONE, id, false, &d, -1);
}

static void
request_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct pending *q = arg;

	(void)fd;
	(void)what;
	/* Never sent: the peer is not there, rather than slow. */
	pending_fail(q->peer, q, q->held != NULL ? ENOTCONN : ETIMEDOUT);
}

static void
arm(struct pending *q, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	if (ms <= 0) {
		if (q->timer != NULL)
			(void)evtimer_del(q->timer);
		return;
	}
	if (q->timer == NULL)
		q->timer = evtimer_new(q->peer->base, request_timeout, q);
	if (q->timer == NULL || evtimer_add(q->timer, &tv) == -1)
		fatal("timer");
}

static struct pending *
pending_new(struct peer *p, uint32_t type, peer_reply_fn fn, void *arg)
{
	struct pending *q;

	if (p->npending >= PEER_PENDING_MAX ||
	    (q = calloc(1, sizeof(*q))) == NULL) {
		errno = ENOBUFS;
		return NULL;
	}
	q->id = ++p->last_id;
	q->fn = fn;
	q->arg = arg;
	q->peer = p;
	q->one = (msg_desc(type)->flags & M_ONE) == M_ONE;
	RB_INSERT(pending_tree, &p->pending, q);
	p->npending++;
	return q;
}

static uint64_t
request(struct peer *p, uint32_t type, const void *payload, int fd, bool more,
    int timeout_ms, peer_reply_fn fn, void *arg)
{
	struct pending *q;

	if ((q = pending_new(p, type, fn, arg)) == NULL) {
		if (fd != -1)
			close(fd);
		errno = ENOBUFS;
		return 0;
	}
	arm(q, timeout_ms);
	if (send_frame(p, type, q->id, more, payload, fd) == -1) {
		int saved = errno;

		pending_free(p, q);
		errno = saved;
		return 0;
	}
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the tree has it */
	return q->id;
}

uint64_t
peer_request(struct peer *p, uint32_t type, const void *payload,
    int timeout_ms, peer_reply_fn fn, void *arg)
{
	return request(p, type, payload, -1, false, timeout_ms, fn, arg);
}

uint64_t
peer_request_fd(struct peer *p, uint32_t type, const void *payload, int fd,
    int timeout_ms, peer_reply_fn fn, void *arg)
{
	return request(p, type, payload, fd, false, timeout_ms, fn, arg);
}

uint64_t
peer_request_more(struct peer *p, uint32_t type, const void *payload,
    int timeout_ms, peer_reply_fn fn, void *arg)
{
	return request(p, type, payload, -1, true, timeout_ms, fn, arg);
}

uint64_t
peer_request_hold(struct peer *p, uint32_t type, const void *payload, int fd,
    int timeout_ms, peer_reply_fn fn, void *arg)
{
	struct pending *q = NULL;
	struct held *h = NULL;
	ssize_t len;

	if (p->chan != NULL)
		return request(p, type, payload, fd, false, timeout_ms, fn,
		    arg);
	if ((len = msg_encoded_size(type, payload)) == -1)
		goto fail;
	errno = ENOBUFS;
	if (p->held + (size_t)len > CHAN_QUEUE_MAX ||
	    (h = malloc(sizeof(*h) + (size_t)len)) == NULL ||
	    (q = pending_new(p, type, fn, arg)) == NULL)
		goto fail;
	h->type = type;
	h->fd = fd;
	h->timeout_ms = timeout_ms;
	h->len = (size_t)len;
	msg_encode(type, payload, h->data);
	q->held = h;
	p->held += h->len;
	arm(q, PEER_HOLD_MS);
	return q->id;
fail:
	free(h);
	if (fd != -1)
		close(fd);
	return 0;
}

/* The peer is back: sends what waited, in its order. */
static void
release_held(struct peer *p)
{
	struct pending *q, *next;
	struct held *h;
	int fd;

	RB_FOREACH_SAFE(q, pending_tree, &p->pending, next) {
		if ((h = q->held) == NULL || p->chan == NULL)
			continue;
		fd = h->fd;
		h->fd = -1;
		/* Too much at once: it times out like any other. */
		if (chan_send_raw(p->chan, h->type, q->id, 0, h->data, h->len,
		    fd) == -1)
			log_warn("held request to %s", proc_name(p->other));
		arm(q, h->timeout_ms);
		held_free(p, q);
	}
}

void
peer_forget(struct peer *p, uint64_t id, bool tell)
{
	struct pending key = { .id = id }, *q;
	struct m_none none;

	if ((q = RB_FIND(pending_tree, &p->pending, &key)) == NULL)
		return;
	tell = tell && q->held == NULL;
	pending_free(p, q);
	if (tell && p->chan != NULL &&
	    send_frame(p, MSG_CANCEL, id, false, &none, -1) == -1)
		log_warn("cancel to %s", proc_name(p->other));
}

/* ---- receiving ---- */

/*
 * Answers of which there is one only.  Who gets it lets go of what the
 * request hung on: another frame would come to somebody who is gone.
 */
static bool
is_last(uint32_t type)
{
	switch (type) {
	case MSG_DONE:
	case MSG_AUTH_RES:
	case MSG_CT_DONE:
	case MSG_KEY_MINTED:
	case MSG_KEY_INFO:
	case MSG_LLM_ROUTE_RES:
	case MSG_LLM_END:
	case MSG_DIALED:
		return true;
	default:
		return false;
	}
}

static int
peer_check(void *arg, const struct chan_hdr *h)
{
	struct peer *p = arg;
	const struct msg_desc *d = msg_desc(h->type);
	bool has_fd = (h->flags & CHAN_F_FD) != 0;

	if (d == NULL || !msg_allowed(h->type, p->other, p->self) ||
	    h->len > msg_max(h->type) ||
	    (h->flags & ~(CHAN_F_FD | CHAN_F_MORE)) != 0)
		return -1;
	if (has_fd && !(d->flags & (M_FD | M_FDOPT)))
		return -1;
	if (!has_fd && (d->flags & M_FD))
		return -1;
	if ((d->flags & (M_REQ | M_REP)) && h->id == 0)
		return -1;
	if ((h->flags & CHAN_F_MORE) && is_last(h->type))
		return -1;
	return 0;
}

static int
got_reply(struct peer *p, struct msg *m)
{
	struct pending key = { .id = m->id }, *q;
	peer_reply_fn fn;
	void *arg;

	/* Nobody waits any more: it was cancelled or timed out. */
	if ((q = RB_FIND(pending_tree, &p->pending, &key)) == NULL)
		return 0;
	/* Who gets it lets go of what the request hung on. */
	if (m->more && q->one)
		return -1;
	fn = q->fn;
	arg = q->arg;
	if (!m->more)
		pending_free(p, q);
	else if (q->timer != NULL)
		evtimer_del(q->timer);
	fn(m, arg);
	return 0;
}

static int
peer_frame(void *arg, const struct chan_hdr *h, const uint8_t *data, int fd)
{
	struct peer *p = arg;
	struct msg m;
	int r;

	m.type = h->type;
	m.id = h->id;
	m.more = (h->flags & CHAN_F_MORE) != 0;
	m.fd = fd;
	if (msg_decode(h->type, data, h->len, &m.u) == -1) {
		r = -1;
	} else {
		log_set_request(h->id);
		if (msg_desc(h->type)->flags & M_REP)
			r = got_reply(p, &m);
		else if (p->handlers[h->type] != NULL)
			r = p->handlers[h->type](p, &m);
		else
			r = -1;
		log_set_request(0);
	}
	if (m.fd != -1)
		close(m.fd);
	return r;
}

static void
peer_closed(void *arg, uint32_t type, const char *why)
{
	struct peer *p = arg;

	if (why != NULL)
		log_warnx("channel to %s: %s: %s", proc_name(p->other),
		    msg_name(type), why);
	peer_detach(p);
	if (why != NULL && p->ops->bad != NULL)
		p->ops->bad(p, type, why);
}

static void
peer_room(void *arg)
{
	struct peer *p = arg;

	if (p->ops->drained != NULL)
		p->ops->drained(p);
}

/*
 * Framing over a Unix stream socket.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 *
 * Linux may hand the descriptor of a frame over together with bytes of the
 * frame before it, so the header says which frame owns one, and descriptors
 * wait in a short queue until their frame is complete.  What can be handled
 * in the read buffer is: only a frame that came in pieces is copied.
 */
#include <sys/types.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "chan.h"
#include "sys.h"

#define READ_SIZE	(64 * 1024 + sizeof(struct chan_hdr))
#define FDS_MAX		8	/* received ahead of their frames */
#define IOV_MAX_USED	32
#define ROUNDS_MAX	8	/* reads per wake-up: others want a turn */

struct frame {
	TAILQ_ENTRY(frame) entry;
	size_t		 len;
	size_t		 off;		/* written so far */
	int		 fd;		/* -1, or to send with the first byte */
	bool		 secret;
	uint8_t		 data[];
};

struct chan {
	int			 fd;
	const struct chan_ops	*ops;
	void			*arg;
	struct event		*rev;
	struct event		*wev;
	struct event		*fev;		/* flush soon */
	TAILQ_HEAD(, frame)	 queue;
	size_t			 queued;	/* bytes */
	bool			 full;		/* over half since drained() */
	uint8_t			*part;		/* a frame that is not whole */
	size_t			 partlen;
	size_t			 partneed;
	int			 fds[FDS_MAX];
	size_t			 nfds;
	int			 busy;		/* callbacks under way */
	bool			 dead;		/* freed when busy is 0 */
};

/* One for all channels: frames are handled before the next read. */
static uint8_t readbuf[READ_SIZE];

static void	chan_readable(evutil_socket_t, short, void *);
static void	chan_writable(evutil_socket_t, short, void *);

struct chan *
chan_new(struct event_base *base, int fd, const struct chan_ops *ops,
    void *arg)
{
	struct chan *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	TAILQ_INIT(&c->queue);
	c->fd = fd;
	c->ops = ops;
	c->arg = arg;
	c->rev = event_new(base, fd, EV_READ | EV_PERSIST, chan_readable, c);
	c->wev = event_new(base, fd, EV_WRITE, chan_writable, c);
	c->fev = event_new(base, -1, 0, chan_writable, c);
	if (c->rev == NULL || c->wev == NULL || c->fev == NULL ||
	    event_add(c->rev, NULL) == -1) {
		c->fd = -1;
		chan_free(c);
		errno = ENOMEM;
		return NULL;
	}
	return c;
}

static void
frame_free(struct frame *f)
{
	if (f->fd != -1)
		close(f->fd);
	if (f->secret)
		explicit_bzero(f->data, f->len);
	free(f);
}

static void
part_free(struct chan *c)
{
	if (c->part != NULL)
		freezero(c->part, c->partneed);
	c->part = NULL;
	c->partlen = c->partneed = 0;
}

void
chan_free(struct chan *c)
{
	struct frame *f;

	if (c == NULL)
		return;
	if (!c->dead) {
		c->dead = true;
		if (c->rev != NULL)
			event_free(c->rev);
		if (c->wev != NULL)
			event_free(c->wev);
		if (c->fev != NULL)
			event_free(c->fev);
		if (c->fd != -1)
			close(c->fd);
		while ((f = TAILQ_FIRST(&c->queue)) != NULL) {
			TAILQ_REMOVE(&c->queue, f, entry);
			frame_free(f);
		}
		while (c->nfds > 0)
			close(c->fds[--c->nfds]);
	}
	if (c->busy > 0)
		return;
	part_free(c);
	free(c);
}

/* Leaves a callback's scope; true if the channel is gone. */
static bool
leave(struct chan *c)
{
	c->busy--;
	if (!c->dead)
		return false;
	if (c->busy == 0)
		chan_free(c);
	return true;
}

static int
close_fail(int fd)
{
	int saved = errno;

	if (fd != -1)
		close(fd);
	errno = saved;
	return -1;
}

/* A frame with its header, the payload still to be filled in; NULL: full. */
static struct frame *
frame_new(struct chan *c, uint32_t type, uint64_t id, uint16_t flags,
    size_t len, int fd)
{
	struct chan_hdr h;
	struct frame *f;

	if (c->queued + len + sizeof(h) > CHAN_QUEUE_MAX) {
		errno = ENOBUFS;
		return NULL;
	}
	if ((f = malloc(sizeof(*f) + sizeof(h) + len)) == NULL)
		return NULL;
	memset(&h, 0, sizeof(h));
	h.len = (uint32_t)len;
	h.type = (uint16_t)type;
	h.flags = (uint16_t)(flags | (fd != -1 ? CHAN_F_FD : 0));
	h.id = id;
	f->len = sizeof(h) + len;
	f->off = 0;
	f->fd = fd;
	f->secret = (msg_desc(type)->flags & M_SECRET) != 0;
	memcpy(f->data, &h, sizeof(h));
	return f;
}

static void
enqueue(struct chan *c, struct frame *f)
{
	/* Frames of one turn of the loop leave in one system call. */
	if (TAILQ_EMPTY(&c->queue))
		event_active(c->fev, EV_TIMEOUT, 0);
	TAILQ_INSERT_TAIL(&c->queue, f, entry);
	c->queued += f->len;
	/* Who streams stops at half and leaves the rest to others. */
	if (c->queued > CHAN_QUEUE_MAX / 2)
		c->full = true;
}

int
chan_send(struct chan *c, uint32_t type, uint64_t id, uint16_t flags,
    const void *payload, int fd)
{
	struct frame *f;
	ssize_t len;

	if ((len = msg_encoded_size(type, payload)) == -1 ||
	    (f = frame_new(c, type, id, flags, (size_t)len, fd)) == NULL)
		return close_fail(fd);
	msg_encode(type, payload, f->data + sizeof(struct chan_hdr));
	enqueue(c, f);
	return 0;
}

int
chan_send_raw(struct chan *c, uint32_t type, uint64_t id, uint16_t flags,
    const uint8_t *data, size_t len, int fd)
{
	struct frame *f;

	if ((f = frame_new(c, type, id, flags, len, fd)) == NULL)
		return close_fail(fd);
	if (len > 0)
		memcpy(f->data + sizeof(struct chan_hdr), data, len);
	enqueue(c, f);
	return 0;
}

size_t
chan_queued(const struct chan *c)
{
	return c->queued;
}

static size_t
gather(struct chan *c, struct iovec *iov, int *fd)
{
	struct frame *f;
	size_t n = 0;

	*fd = -1;
	TAILQ_FOREACH(f, &c->queue, entry) {
		/* A descriptor goes with the first byte of a sendmsg. */
		if (f->fd != -1) {
			if (n > 0)
				break;
			*fd = f->fd;
		}
		iov[n].iov_base = f->data + f->off;
		iov[n].iov_len = f->len - f->off;
		if (++n == IOV_MAX_USED)
			break;
	}
	return n;
}

static void
written(struct chan *c, size_t n)
{
	struct frame *f, *next;
	size_t left;

	f = TAILQ_FIRST(&c->queue);
	if (f != NULL && f->fd != -1) {
		close(f->fd);
		f->fd = -1;
	}
	c->queued -= n;
	for (; n > 0 && f != NULL; f = next) {
		next = TAILQ_NEXT(f, entry);
		left = f->len - f->off;
		if (n < left) {
			f->off += n;
			return;
		}
		n -= left;
		TAILQ_REMOVE(&c->queue, f, entry);
		frame_free(f);
	}
}

/* 1: all written, 0: the socket is full, -1: broken. */
static int
chan_write(struct chan *c)
{
	union {
		struct cmsghdr	hdr;
		char		buf[CMSG_SPACE(sizeof(int))];
	} cm;
	struct iovec iov[IOV_MAX_USED];
	struct msghdr m;
	ssize_t n;
	int fd;

	while (!TAILQ_EMPTY(&c->queue)) {
		memset(&m, 0, sizeof(m));
		m.msg_iov = iov;
		m.msg_iovlen = gather(c, iov, &fd);
		if (fd != -1) {
			memset(&cm, 0, sizeof(cm));
			m.msg_control = cm.buf;
			m.msg_controllen = sizeof(cm.buf);
			cm.hdr.cmsg_len = CMSG_LEN(sizeof(int));
			cm.hdr.cmsg_level = SOL_SOCKET;
			cm.hdr.cmsg_type = SCM_RIGHTS;
			memcpy(CMSG_DATA(&cm.hdr), &fd, sizeof(fd));
		}
		n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
		}
		written(c, (size_t)n);
	}
	return 1;
}

static void
chan_writable(evutil_socket_t fd, short what, void *arg)
{
	struct chan *c = arg;

	(void)fd;
	(void)what;
	switch (chan_write(c)) {
	case 0:
		event_add(c->wev, NULL);
		break;
	case -1:
		/* What the other end still had to say is read first. */
		if (errno != EPIPE && errno != ECONNRESET) {
			c->ops->closed(c->arg, MSG_NONE, strerror(errno));
			return;
		}
		break;
	}
	if (c->full && c->queued < CHAN_QUEUE_MAX / 4) {
		c->full = false;
		if (c->ops->drained != NULL)
			c->ops->drained(c->arg);
	}
}

int
chan_flush(struct chan *c, int ms)
{
	uint64_t end = sys_now_ms() + (uint64_t)ms, now;
	struct pollfd p = { .fd = c->fd, .events = POLLOUT };
	int r;

	while ((r = chan_write(c)) == 0) {
		if ((now = sys_now_ms()) >= end) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (poll(&p, 1, (int)(end - now)) == -1 && errno != EINTR)
			return -1;
	}
	return r == 1 ? 0 : -1;
}

/* Hands one whole frame up.  -1: bad or gone; the caller must stop. */
static int
deliver(struct chan *c, uint8_t *data)
{
	struct chan_hdr h;
	int fd = -1, r;

	memcpy(&h, data, sizeof(h));
	if (h.flags & CHAN_F_FD) {
		if (c->nfds == 0) {
			c->ops->closed(c->arg, h.type, "descriptor missing");
			return -1;
		}
		fd = c->fds[0];
		c->nfds--;
		memmove(c->fds, c->fds + 1, c->nfds * sizeof(c->fds[0]));
	}
	c->busy++;
	r = c->ops->frame(c->arg, &h, data + sizeof(h), fd);
	if (msg_desc(h.type)->flags & M_SECRET)
		explicit_bzero(data + sizeof(h), h.len);
	if (leave(c))
		return -1;
	if (r == -1) {
		c->ops->closed(c->arg, h.type, "payload or order wrong");
		return -1;
	}
	return 0;
}

/* Checks a header; -1: refused, the channel is closed. */
static int
admit(struct chan *c, const uint8_t *data)
{
	struct chan_hdr h;

	memcpy(&h, data, sizeof(h));
	if (c->ops->check(c->arg, &h) == 0)
		return 0;
	c->ops->closed(c->arg, h.type, "header refused");
	return -1;
}

/* Adds bytes to the frame that came in pieces; returns how many it took. */
static ssize_t
part_add(struct chan *c, uint8_t *data, size_t len)
{
	struct chan_hdr h;
	uint8_t *p;
	size_t n, took = 0;

	for (;;) {
		n = c->partneed - c->partlen;
		if (n > len - took)
			n = len - took;
		memcpy(c->part + c->partlen, data + took, n);
		/* It may be a secret's: the buffer is shared and stays. */
		explicit_bzero(data + took, n);
		c->partlen += n;
		took += n;
		if (c->partlen < c->partneed)
			return (ssize_t)took;
		if (c->partneed > sizeof(h))
			break;
		/* The header is whole: now the size is known. */
		if (admit(c, c->part) == -1)
			return -1;
		memcpy(&h, c->part, sizeof(h));
		if (h.len == 0)
			break;
		p = realloc(c->part, sizeof(h) + h.len);
		if (p == NULL) {
			c->ops->closed(c->arg, h.type, "no memory");
			return -1;
		}
		c->part = p;
		c->partneed = sizeof(h) + h.len;
	}
	c->busy++;
	if (deliver(c, c->part) == -1) {
		(void)leave(c);
		return -1;
	}
	c->busy--;
	part_free(c);
	return (ssize_t)took;
}

static int
feed(struct chan *c, uint8_t *data, size_t len)
{
	struct chan_hdr h;
	ssize_t took;

	while (len > 0) {
		if (c->part == NULL && len >= sizeof(h)) {
			memcpy(&h, data, sizeof(h));
			if (len - sizeof(h) >= h.len) {
				if (admit(c, data) == -1 ||
				    deliver(c, data) == -1)
					return -1;
				data += sizeof(h) + h.len;
				len -= sizeof(h) + h.len;
				continue;
			}
		}
		if (c->part == NULL) {
			c->partneed = sizeof(h);
			if ((c->part = malloc(c->partneed)) == NULL) {
				c->ops->closed(c->arg, MSG_NONE, "no memory");
				return -1;
			}
		}
		if ((took = part_add(c, data, len)) == -1)
			return -1;
		data += took;
		len -= (size_t)took;
	}
	return 0;
}

static int
collect_fds(struct chan *c, struct msghdr *m)
{
	struct cmsghdr *cm;
	size_t i, n;
	int fd;

	for (cm = CMSG_FIRSTHDR(m); cm != NULL; cm = CMSG_NXTHDR(m, cm)) {
		if (cm->cmsg_level != SOL_SOCKET ||
		    cm->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < n; i++) {
			memcpy(&fd, CMSG_DATA(cm) + i * sizeof(int),
			    sizeof(fd));
			if (c->nfds < FDS_MAX)
				c->fds[c->nfds++] = fd;
			else
				close(fd);
		}
	}
	/* No free descriptor: Linux drops it and says so only here. */
	return m->msg_flags & MSG_CTRUNC ? -1 : 0;
}

static void
chan_readable(evutil_socket_t sock, short what, void *arg)
{
	union {
		struct cmsghdr	hdr;
		char		buf[CMSG_SPACE(4 * sizeof(int))];
	} cm;
	struct chan *c = arg;
	struct iovec iov = { readbuf, sizeof(readbuf) };
	struct msghdr m;
	ssize_t n;
	int i;

	(void)what;
	c->busy++;
	for (i = 0; i < ROUNDS_MAX && !c->dead; i++) {
		memset(&m, 0, sizeof(m));
		m.msg_iov = &iov;
		m.msg_iovlen = 1;
		m.msg_control = cm.buf;
		m.msg_controllen = sizeof(cm.buf);
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
		if (n == -1) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				c->ops->closed(c->arg, MSG_NONE,
				    errno == ECONNRESET ? NULL :
				    strerror(errno));
			break;
		}
		if (n == 0) {
			c->ops->closed(c->arg, MSG_NONE, NULL);
			break;
		}
		if (collect_fds(c, &m) == -1) {
			c->ops->closed(c->arg, MSG_NONE, "descriptor lost");
			break;
		}
		if (feed(c, readbuf, (size_t)n) == -1)
			break;
		if ((size_t)n < sizeof(readbuf) / 2)
			break;
	}
	(void)leave(c);
}

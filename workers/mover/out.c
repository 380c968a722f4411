/*
 * A file in which an agent leaves, written as keeper and others give it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: keeper; trace and container through pipes.
 *
 * keeper says what comes next; each of its requests is answered when the
 * reader of the file has taken nearly all, so nobody runs ahead of him.
 */
#include <sys/queue.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "log.h"
#include "mover.h"
#include "sys.h"
#include "tar.h"
#include "worker.h"

#define STALL_S		120	/* the reader takes nothing for so long */
#define PIECE		65536	/* bytes of a chunk, about */

struct out {
	TAILQ_ENTRY(out) entry;
	char		 id[ID_LEN + 1];
	struct bufferevent *bev;	/* the reader; NULL: he has left */
	enum mf_section	 at;		/* the section that is written */
	bool		 begun;
	struct evbuffer	*piece;		/* data that is no chunk yet */
	crypto_hash_sha256_state sha;
	struct mf_part	 part[MF_SECTIONS];
	uint64_t	 rows[MF_SECTIONS];
	uint64_t	 pending;	/* request to be answered; 0: none */
	struct bufferevent *pipe;	/* of another worker */
	bool		 eof;		/* it has written all */
	bool		 closing;	/* MOVE_CLOSE came */
	bool		 ending;	/* MOVE_SIGN came */
	uint64_t	 lines, expect;
	struct tar	*tar;		/* the pipe brings a file tree */
	const char	*why;		/* it is broken; "" : not */
	char		 text[TAR_WHY + 32];
};

static TAILQ_HEAD(, out) outs = TAILQ_HEAD_INITIALIZER(outs);

static struct out *
find(const char *id)
{
	struct out *o;

	TAILQ_FOREACH(o, &outs, entry)
		if (strcmp(o->id, id) == 0)
			return o;
	return NULL;
}

static void
out_free(struct out *o)
{
	if (o->pending != 0)
		tell_done(o->pending, 410, o->why != NULL ? o->why :
		    "the export was given up");
	if (o->bev != NULL)
		bufferevent_free(o->bev);
	if (o->pipe != NULL)
		bufferevent_free(o->pipe);
	tar_free(o->tar);
	evbuffer_free(o->piece);
	TAILQ_REMOVE(&outs, o, entry);
	free(o);
}

bool
out_drop(const char *id)
{
	struct out *o = find(id);

	if (o != NULL)
		out_free(o);
	return o != NULL;
}

void
out_drop_all(void)
{
	struct out *o;

	while ((o = TAILQ_FIRST(&outs)) != NULL) {
		o->pending = 0;
		out_free(o);
	}
}

/* ---- writing ---- */

static int
raw(struct out *o, const void *p, size_t n)
{
	if (o->bev == NULL || bufferevent_write(o->bev, p, n) == -1)
		return -1;
	return 0;
}

static size_t
behind(const struct out *o)
{
	return o->bev == NULL ? 0 :
	    evbuffer_get_length(bufferevent_get_output(o->bev));
}

static int
flush_piece(struct out *o, size_t least)
{
	uint8_t len[MF_LEN];
	size_t n;

	while ((n = evbuffer_get_length(o->piece)) > least) {
		if (n > MF_CHUNK)
			n = MF_CHUNK;
		mf_put_len(len, (uint32_t)n);
		if (raw(o, len, sizeof(len)) == -1 ||
		    evbuffer_remove_buffer(o->piece,
		    bufferevent_get_output(o->bev), n) != (int)n)
			return -1;
	}
	return 0;
}

static int
begin(struct out *o, enum mf_section s)
{
	uint8_t name[MF_NAME];

	if (o->begun || s != o->at)
		return -1;
	o->begun = true;
	o->lines = 0;
	o->part[s].size = 0;
	crypto_hash_sha256_init(&o->sha);
	mf_put_name(name, s);
	return raw(o, name, sizeof(name));
}

static int
put(void *arg, const void *data, size_t len)
{
	struct out *o = arg;

	crypto_hash_sha256_update(&o->sha, data, len);
	o->part[o->at].size += len;
	if (o->part[o->at].size > mf_max(o->at) ||
	    evbuffer_add(o->piece, data, len) == -1)
		return -1;
	return flush_piece(o, PIECE);
}

static int
end(struct out *o, uint64_t rows)
{
	struct mf_part *p = &o->part[o->at];
	uint8_t tail[MF_TAIL];

	crypto_hash_sha256_final(&o->sha, p->sha256);
	mf_put_tail(tail, p->size, p->sha256);
	if (flush_piece(o, 0) == -1 || raw(o, tail, sizeof(tail)) == -1)
		return -1;
	o->rows[o->at++] = rows;
	o->begun = false;
	return 0;
}

/* ---- who waits ---- */

static void
broken(struct out *o, const char *why)
{
	if (o->why == NULL)
		o->why = why;
	if (o->pipe != NULL)
		bufferevent_free(o->pipe);
	o->pipe = NULL;
	if (o->pending != 0)
		tell_done(o->pending, 502, o->why);
	o->pending = 0;
}

static void
answer(struct out *o)
{
	uint64_t req = o->pending;

	o->pending = 0;
	if (req != 0)
		tell_done(req, 200, NULL);
}

/* The section of a pipe is complete if its writer says so and it is. */
static void
close_section(struct out *o)
{
	bufferevent_free(o->pipe);
	o->pipe = NULL;
	o->closing = false;
	if (o->tar != NULL && tar_end(o->tar) == -1) {
		(void)snprintf(o->text, sizeof(o->text), "the files: %s",
		    tar_why(o->tar));
		broken(o, o->text);
		return;
	}
	if (o->tar == NULL && o->lines != o->expect) {
		broken(o, "trace has written more or less than it said");
		return;
	}
	if (end(o, o->tar != NULL ? tar_members(o->tar) : o->lines) == -1)
		broken(o, "the reader has left");
	if (o->tar != NULL && tar_left_out(o->tar) > 0)
		log_info("%" PRIu64 " devices, attributes or times "
		    "cannot move: left out", tar_left_out(o->tar));
	tar_free(o->tar);
	o->tar = NULL;
	answer(o);
}

static void
look(struct out *o)
{
	if (o->closing && o->eof && o->pipe != NULL)
		close_section(o);
	else if (o->pending != 0 && !o->closing &&
	    behind(o) <= (o->ending ? 0 : HIGH_WATER / 2)) {
		answer(o);
		if (o->ending)
			out_free(o);
	}
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	struct out *o = arg;

	(void)bev;
	if (o->pipe != NULL && behind(o) < HIGH_WATER / 2)
		(void)bufferevent_enable(o->pipe, EV_READ);
	look(o);
}

static void
on_reader_gone(struct bufferevent *bev, short what, void *arg)
{
	struct out *o = arg;

	(void)what;
	bufferevent_free(bev);
	o->bev = NULL;
	broken(o, "who was to get the file has left");
}

/* ---- pipes ---- */

static int
take(struct out *o, const void *p, size_t n)
{
	const char *s = p, *end_of = s + n;

	if (o->tar != NULL)
		return tar_feed(o->tar, p, n);
	while ((s = memchr(s, '\n', (size_t)(end_of - s))) != NULL) {
		o->lines++;
		s++;
	}
	return put(o, p, n);
}

static void
on_data(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct out *o = arg;
	struct evbuffer_iovec v;

	while (evbuffer_peek(in, -1, NULL, &v, 1) > 0 && v.iov_len > 0) {
		if (take(o, v.iov_base, v.iov_len) == -1) {
			(void)snprintf(o->text, sizeof(o->text),
			    "the files: %s", o->tar != NULL &&
			    tar_why(o->tar)[0] != '\0' ? tar_why(o->tar) :
			    "they cannot be written");
			broken(o, o->text);
			return;
		}
		(void)evbuffer_drain(in, v.iov_len);
	}
	if (behind(o) >= HIGH_WATER)
		(void)bufferevent_disable(bev, EV_READ);
}

static void
on_pipe_end(struct bufferevent *bev, short what, void *arg)
{
	struct out *o = arg;

	if (evbuffer_get_length(bufferevent_get_input(bev)) > 0)
		on_data(bev, o);
	if (o->pipe == NULL)
		return;
	if (what & BEV_EVENT_EOF)
		o->eof = true;
	else
		broken(o, "a pipe broke");
	look(o);
}

/* ---- requests ---- */

int
h_out(struct peer *p, struct msg *m)
{
	const struct timeval stall = { STALL_S, 0 };
	uint8_t head[MF_HEAD];
	struct out *o;
	size_t n = 0;

	(void)p;
	TAILQ_FOREACH(o, &outs, entry)
		n++;
	if (!sys_is_id(m->u.move_id.id) || find(m->u.move_id.id) != NULL)
		return -1;
	if (n >= AT_ONCE) {
		tell_done(m->id, 429, "other agents are being exported: try again");
		return 0;
	}
	if ((o = calloc(1, sizeof(*o))) == NULL ||
	    (o->piece = evbuffer_new()) == NULL ||
	    evutil_make_socket_nonblocking(m->fd) == -1 ||
	    (o->bev = bufferevent_socket_new(worker_base(), m->fd,
	    BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("export");
	m->fd = -1;
	(void)strlcpy(o->id, m->u.move_id.id, sizeof(o->id));
	TAILQ_INSERT_TAIL(&outs, o, entry);
	bufferevent_setcb(o->bev, pipe_noise, on_written, on_reader_gone, o);
	(void)bufferevent_set_timeouts(o->bev, NULL, &stall);
	/* Reading is how it is seen that he leaves. */
	(void)bufferevent_enable(o->bev, EV_READ | EV_WRITE);
	mf_put_head(head);
	(void)raw(o, head, sizeof(head));
	tell_done(m->id, 200, NULL);
	return 0;
}

/* The export that a request is for, or NULL when it was answered. */
static struct out *
usable(const char *id, uint64_t req)
{
	struct out *o = find(id);

	if (o == NULL)
		tell_done(req, 404, "there is no such export");
	else if (o->why != NULL)
		tell_done(req, 502, o->why);
	else
		return o;
	return NULL;
}

int
h_text(struct peer *p, struct msg *m)
{
	const struct m_move_text *t = &m->u.move_text;
	struct out *o;
	int s = mf_by_name(t->section);

	(void)p;
	if ((o = usable(t->id, m->id)) == NULL)
		return 0;
	if (s == -1 || o->pending != 0 || o->pipe != NULL ||
	    (!o->begun && begin(o, (enum mf_section)s) == -1) ||
	    o->at != (enum mf_section)s)
		return -1;
	if (put(o, t->data.ptr, t->data.len) == -1 ||
	    (t->last && end(o, t->rows) == -1))
		broken(o, "it cannot be written");
	if (o->why != NULL) {
		tell_done(m->id, 502, o->why);
		return 0;
	}
	o->pending = m->id;
	look(o);
	return 0;
}

int
h_open(struct peer *p, struct msg *m)
{
	const struct m_move_section *t = &m->u.move_section;
	int s = mf_by_name(t->section), ours, theirs;
	struct out *o = find(t->id);

	(void)p;
	if (o == NULL || o->why != NULL) {
		tell_pipe(m->id, 410, o == NULL ? "there is no such export" :
		    o->why, -1);
		return 0;
	}
	if (s == -1 || o->pending != 0 || o->pipe != NULL ||
	    begin(o, (enum mf_section)s) == -1)
		return -1;
	if (pipe_make(&ours, &theirs) == -1) {
		tell_pipe(m->id, 503, "no socket is left", -1);
		return 0;
	}
	if ((o->pipe = bufferevent_socket_new(worker_base(), ours,
	    BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("pipe");
	o->eof = o->closing = false;
	if (s == MF_ROOTFS)
		o->tar = tar_new(false, mf_max(MF_ROOTFS), put, o);
	bufferevent_setcb(o->pipe, on_data, NULL, on_pipe_end, o);
	bufferevent_setwatermark(o->pipe, EV_READ, 0, 262144);
	(void)bufferevent_enable(o->pipe, EV_READ);
	tell_pipe(m->id, 200, NULL, theirs);
	return 0;
}

int
h_close(struct peer *p, struct msg *m)
{
	const struct m_move_section *t = &m->u.move_section;
	struct out *o;

	(void)p;
	if ((o = usable(t->id, m->id)) == NULL)
		return 0;
	if (o->pipe == NULL || o->pending != 0)
		return -1;
	o->closing = true;
	o->expect = t->rows;
	o->pending = m->id;
	look(o);
	return 0;
}

int
h_list(struct peer *p, struct msg *m)
{
	struct m_move_section r = { .id = m->u.move_id.id };
	char hex[65];
	struct out *o;
	int s;

	if ((o = usable(m->u.move_id.id, m->id)) == NULL)
		return 0;
	for (s = 0; s < (int)o->at; s++) {
		sys_hex(hex, o->part[s].sha256, 32);
		r.section = mf_name((enum mf_section)s);
		r.size = o->part[s].size;
		r.rows = o->rows[s];
		r.sha256 = hex;
		if (peer_reply(p, m, MSG_MOVE_SECTION, true, &r) == -1)
			log_warn("answer to keeper");
	}
	tell_done(m->id, 200, NULL);
	return 0;
}

int
h_sign(struct peer *p, struct msg *m)
{
	const struct m_move_sign *t = &m->u.move_sign;
	struct out *o;

	(void)p;
	if ((o = usable(t->id, m->id)) == NULL)
		return 0;
	if (o->pending != 0 || o->pipe != NULL || t->key.len != 32 ||
	    t->signature.len != 64 || begin(o, MF_MANIFEST) == -1)
		return -1;
	if (put(o, t->manifest.ptr, t->manifest.len) == -1 ||
	    end(o, 0) == -1 || begin(o, MF_SIGN) == -1 ||
	    put(o, t->key.ptr, t->key.len) == -1 ||
	    put(o, t->signature.ptr, t->signature.len) == -1 ||
	    end(o, 0) == -1) {
		broken(o, "it cannot be written");
		tell_done(m->id, 502, o->why);
		return 0;
	}
	o->pending = m->id;
	o->ending = true;
	look(o);
	return 0;
}

/*
 * A file in which an agent comes: spooled, checked, handed out.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: keeper; the client, trace and container through
 * pipes.
 *
 * While it comes in only its framing is read.  What is inside is looked at
 * when keeper trusts the signer, and handed out when all of it was good.
 */
#include <sys/stat.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "in.h"
#include "log.h"
#include "worker.h"

#define STALL_S		120	/* nothing comes for so long */
#define PAGE_ROWS	64	/* messages of one answer */
#define PAGE_BYTES	(1024U * 1024)

static TAILQ_HEAD(, in) ins = TAILQ_HEAD_INITIALIZER(ins);

static struct in *
find(const char *id)
{
	struct in *in;

	TAILQ_FOREACH(in, &ins, entry)
		if (strcmp(in->id, id) == 0)
			return in;
	return NULL;
}

static void
in_free(struct in *in)
{
	tell_done(in->pending, 410, "the import was given up");
	if (in->bev != NULL)
		bufferevent_free(in->bev);
	if (in->fd != -1)
		close(in->fd);
	check_free(in);
	feed_free(in->feed);
	lines_free(&in->chat);
	TAILQ_REMOVE(&ins, in, entry);
	free(in);
}

bool
in_drop(const char *id)
{
	struct in *in = find(id);

	if (in != NULL)
		in_free(in);
	return in != NULL;
}

void
in_drop_all(void)
{
	struct in *in;

	while ((in = TAILQ_FIRST(&ins)) != NULL) {
		in->pending = 0;
		in_free(in);
	}
}

void
in_refuse(struct in *in, uint32_t status, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	size_t i;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (i = 0; text[i] != '\0'; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	log_info("import refused: %s", text);
	in->stage = IN_BAD;
	tell_done(in->pending, status, text);
	in->pending = 0;
	/* What still comes of it is nobody's. */
	if (in->bev != NULL)
		bufferevent_free(in->bev);
	in->bev = NULL;
}

/* ---- spooling ---- */

/* The two small sections that keeper needs are kept. */
static int
on_section(void *arg, enum mf_section s, const void *p, size_t n)
{
	struct in *in = arg;

	/* Never more: mf.c knows their maxima. */
	if (s == MF_MANIFEST) {
		memcpy(in->manifest + in->manifestlen, p, n);
		in->manifestlen += n;
	} else if (s == MF_SIGN) {
		memcpy(in->sign + in->signlen, p, n);
		in->signlen += n;
	}
	return 0;
}

static int
spool(struct in *in, const void *p, size_t len)
{
	const char *s = p;
	ssize_t n;

	while (len > 0) {
		if ((n = write(in->fd, s, len)) == -1) {
			if (errno == EINTR)
				continue;
			return -1;
		}
		s += n;
		len -= (size_t)n;
	}
	return 0;
}

static void
all_in(struct in *in)
{
	struct m_move_sign m = { .id = in->id };

	bufferevent_free(in->bev);
	in->bev = NULL;
	if (in->got != in->size) {
		in_refuse(in, 422, "the upload ended at byte %" PRIu64
		    " of %" PRIu64, in->got, in->size);
		return;
	}
	if (mf_end(&in->mf) == -1) {
		in_refuse(in, 422, "%s", in->mf.why);
		return;
	}
	if (in->signlen != MF_SIGN_LEN) {
		in_refuse(in, 422, "section sign: not of %d bytes",
		    MF_SIGN_LEN);
		return;
	}
	in->stage = IN_SIGNED;
	m.manifest = (struct msg_bytes){ in->manifest, in->manifestlen };
	m.key = (struct msg_bytes){ in->sign, 32 };
	m.signature = (struct msg_bytes){ in->sign + 32, 64 };
	if (peer_reply_id(worker_peer(PROC_KEEPER), in->pending,
	    MSG_MOVE_SIGNED, false, &m, -1) == -1)
		log_warn("answer to keeper");
	in->pending = 0;
}

static void
on_data(struct bufferevent *bev, void *arg)
{
	struct evbuffer *input = bufferevent_get_input(bev);
	struct evbuffer_iovec v;
	struct in *in = arg;

	while (evbuffer_peek(input, -1, NULL, &v, 1) > 0 && v.iov_len > 0) {
		if (v.iov_len > in->size - in->got) {
			in_refuse(in, 413, "more bytes come than the %" PRIu64
			    " that were announced", in->size);
			return;
		}
		in->got += v.iov_len;
		if (mf_feed(&in->mf, v.iov_base, v.iov_len) == -1) {
			in_refuse(in, 422, "%s", in->mf.why);
			return;
		}
		if (spool(in, v.iov_base, v.iov_len) == -1) {
			log_warn("spool file");
			in_refuse(in, 507, "the file cannot be kept here: %s",
			    strerror(errno));
			return;
		}
		(void)evbuffer_drain(input, v.iov_len);
	}
}

static void
on_end(struct bufferevent *bev, short what, void *arg)
{
	struct in *in = arg;

	(void)what;
	on_data(bev, in);
	if (in->stage == IN_SPOOL)
		all_in(in);
}

static void
spool_start(struct in *in, int fd)
{
	const struct timeval stall = { STALL_S, 0 };

	if (evutil_make_socket_nonblocking(fd) == -1 ||
	    (in->bev = bufferevent_socket_new(worker_base(), fd,
	    BEV_OPT_CLOSE_ON_FREE)) == NULL)
		fatal("import");
	bufferevent_setcb(in->bev, on_data, NULL, on_end, in);
	bufferevent_setwatermark(in->bev, EV_READ, 0, 262144);
	(void)bufferevent_set_timeouts(in->bev, &stall, NULL);
	(void)bufferevent_enable(in->bev, EV_READ);
}

/* Bytes of the disk that others have been promised. */
static uint64_t
promised(void)
{
	struct in *in;
	uint64_t n = 0;

	TAILQ_FOREACH(in, &ins, entry)
		if (in->stage == IN_SPOOL)
			n += in->size - in->got;
	return n;
}

int
h_in(struct peer *p, struct msg *m)
{
	const struct m_move_in *t = &m->u.move_in;
	const char *why = NULL;
	struct in *in;
	size_t n = 0;
	int fd = -1;

	(void)p;
	if (!sys_is_id(t->id) || find(t->id) != NULL)
		return -1;
	TAILQ_FOREACH(in, &ins, entry)
		n++;
	if (n >= AT_ONCE)
		tell_done(m->id, 429, "other agents are being imported: try again");
	else if (t->size > worker_conf()->import_limit)
		tell_done(m->id, 413, "the file is larger than limits.import_size "
		    "allows");
	else if ((fd = spool_open(worker_conf()->state_dir,
	    t->size + promised(), &why)) == -1)
		tell_done(m->id, 507, why);
	if (fd == -1)
		return 0;
	if ((in = calloc(1, sizeof(*in))) == NULL)
		fatal("import");
	(void)strlcpy(in->id, t->id, sizeof(in->id));
	in->size = t->size;
	in->fd = fd;
	in->pending = m->id;
	mf_init(&in->mf, on_section, in);
	TAILQ_INSERT_TAIL(&ins, in, entry);
	spool_start(in, m->fd);
	m->fd = -1;
	return 0;
}

/* ---- what is in it ---- */

/* The import that a request is for, or NULL when it was answered. */
static struct in *
usable(const char *id, enum in_stage stage, uint64_t req)
{
	struct in *in = find(id);

	if (in != NULL && in->stage == stage && in->pending == 0)
		return in;
	tell_done(req, in == NULL ? 404 : 409, in == NULL ?
	    "there is no such import" : "the import is not ready for that");
	return NULL;
}

int
h_check(struct peer *p, struct msg *m)
{
	struct in *in;

	(void)p;
	if ((in = usable(m->u.move_id.id, IN_SIGNED, m->id)) == NULL)
		return 0;
	in->pending = m->id;
	check_start(in);
	return 0;
}

int
h_chat(struct peer *p, struct msg *m)
{
	struct m_move_message row;
	struct texts t = { .n = 0 };
	char why[WHY_LEN], *line;
	size_t len, bytes = 0;
	struct in *in;
	int n, r = 1;

	if ((in = usable(m->u.move_id.id, IN_READY, m->id)) == NULL)
		return 0;
	if (in->chat.buf == NULL && !in->chat.eof)
		lines_init(&in->chat, in->fd, in->mf.part[MF_CHAT].off);
	for (n = 0; n < PAGE_ROWS && bytes < PAGE_BYTES; n++) {
		if ((r = lines_next(&in->chat, &line, &len)) != 1)
			break;
		bytes += len;
		r = record_message(line, len, &row, &t, why);
		if (r == 0)
			r = peer_reply(p, m, MSG_MOVE_MESSAGE, true, &row);
		record_texts_free(&t);
		if (r == -1)
			break;
		r = 1;
	}
	if (r == -1)
		tell_done(m->id, 502, "the messages cannot be read again");
	else
		tell_done(m->id, 200, NULL);
	return 0;
}

static void
hand_out(const char *id, uint64_t req, enum feed_what what)
{
	struct in *in;
	int fd;

	if ((in = usable(id, IN_READY, req)) == NULL)
		return;
	if ((fd = feed_start(in, what)) == -1) {
		tell_done(req, 503, "no socket is left");
		return;
	}
	tell_pipe(req, 200, NULL, fd);
}

int
h_trace(struct peer *p, struct msg *m)
{
	(void)p;
	hand_out(m->u.move_id.id, m->id, FEED_TRACE);
	return 0;
}

int
h_image(struct peer *p, struct msg *m)
{
	(void)p;
	hand_out(m->u.move_id.id, m->id, FEED_IMAGE);
	return 0;
}

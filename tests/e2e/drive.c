/*
 * Drives one real worker from the outside: plays its supervisor and all its
 * peers, JSON lines in and out.  A test tool, never installed.
 *
 * SPDX-License-Identifier: ISC
 *
 * Usage: drive [-u uid] [-g gid] [-G group] program worker
 *
 * In:	{"as":"keeper","type":"CT_LIST","id":1,"f":{...}}
 *	with "fd":"/path" (opened read-only), "fdw" (made, read-write), "pipe"
 *	(the read end of a pipe that is fed from the path), "more":true
 *	{"do":"close","as":"keeper"}, {"do":"open","as":"keeper"}
 * Out:	{"from":"worker","as":"keeper","type":"CT_DONE","id":1,"more":false,
 *	"f":{...}}, and {"exit":status} at the end
 */
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <json-c/json.h>

#include "chan.h"
#include "log.h"
#include "sys.h"

static struct {
	struct event_base	*base;
	struct bufferevent	*in;
	struct bufferevent	*feed;	/* of a pipe */
	struct chan		*chans[PROC_MAX];
	enum proc		 worker;
	pid_t			 pid;
} d;

/* ---- out ---- */

static struct json_object *
bytes_hex(const struct msg_bytes *b)
{
	struct json_object *o;
	char *hex;

	if ((hex = malloc(b->len * 2 + 1)) == NULL)
		err(1, NULL);
	sys_hex(hex, b->ptr, b->len);
	o = json_object_new_string(hex);
	free(hex);
	return o;
}

static struct json_object *
fields_out(const struct msg_layout *l, const union msg_any *u)
{
	struct json_object *o = json_object_new_object(), *v = NULL;
	const struct msg_field *f;
	const uint8_t *p;
	size_t i;

	for (i = 0; i < l->nfields; i++) {
		f = &l->fields[i];
		p = (const uint8_t *)u + f->offset;
		switch (f->kind) {
		case MK_U32:
			v = json_object_new_int64(*(const uint32_t *)
			    (const void *)p);
			break;
		case MK_U64:
			v = json_object_new_uint64(*(const uint64_t *)
			    (const void *)p);
			break;
		case MK_I64:
			v = json_object_new_int64(*(const int64_t *)
			    (const void *)p);
			break;
		case MK_F64:
			v = json_object_new_double(*(const double *)
			    (const void *)p);
			break;
		case MK_STR:
			v = json_object_new_string(*(const char *const *)
			    (const void *)p);
			break;
		case MK_BYTES:
			v = bytes_hex((const struct msg_bytes *)
			    (const void *)p);
			break;
		}
		json_object_object_add(o, f->name, v);
	}
	return o;
}

static int
on_check(void *arg, const struct chan_hdr *h)
{
	(void)arg;
	return msg_desc(h->type) == NULL ? -1 : 0;
}

static int
on_frame(void *arg, const struct chan_hdr *h, const uint8_t *data, int fd)
{
	enum proc as = (enum proc)(intptr_t)arg;
	struct json_object *o = json_object_new_object();
	union msg_any u;

	if (fd != -1)
		close(fd);
	if (msg_decode(h->type, data, h->len, &u) == -1)
		errx(1, "%s: broken", msg_name(h->type));
	json_object_object_add(o, "as",
	    json_object_new_string(proc_name(as)));
	json_object_object_add(o, "type",
	    json_object_new_string(msg_name(h->type)));
	json_object_object_add(o, "id", json_object_new_uint64(h->id));
	json_object_object_add(o, "more",
	    json_object_new_boolean((h->flags & CHAN_F_MORE) != 0));
	json_object_object_add(o, "f",
	    fields_out(msg_desc(h->type)->layout(), &u));
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	json_object_put(o);
	return 0;
}

static void
on_closed(void *arg, uint32_t type, const char *why)
{
	enum proc as = (enum proc)(intptr_t)arg;
	int status = 0;

	(void)type;
	chan_free(d.chans[as]);
	d.chans[as] = NULL;
	if (as != PROC_SUPER) {
		printf("{\"closed\":\"%s\",\"why\":\"%s\"}\n", proc_name(as),
		    why == NULL ? "" : why);
		fflush(stdout);
		return;
	}
	waitpid(d.pid, &status, 0);
	printf("{\"exit\":%d,\"signal\":%d}\n",
	    WIFEXITED(status) ? WEXITSTATUS(status) : -1,
	    WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	exit(0);
}

static void	on_drained(void *);

static const struct chan_ops chan_ops = {
	.check = on_check, .frame = on_frame, .closed = on_closed,
	.drained = on_drained,
};

/* ---- in ---- */

static void
field_in(const struct msg_field *f, struct json_object *v, uint8_t *p,
    void **keep)
{
	const char *s = json_object_get_string(v);
	struct msg_bytes b;
	uint32_t u32 = (uint32_t)json_object_get_int64(v);
	uint64_t u64 = json_object_get_uint64(v);
	int64_t i64 = json_object_get_int64(v);
	double f64;
	uint8_t *raw;

	switch (f->kind) {
	case MK_U32:
		memcpy(p, &u32, sizeof(u32));
		break;
	case MK_U64:
		memcpy(p, &u64, sizeof(u64));
		break;
	case MK_I64:
		memcpy(p, &i64, sizeof(i64));
		break;
	case MK_F64:
		f64 = json_object_is_type(v, json_type_string) ?
		    strtod(s, NULL) : json_object_get_double(v);
		memcpy(p, &f64, sizeof(f64));
		break;
	case MK_STR:
		memcpy(p, &s, sizeof(s));
		break;
	case MK_BYTES:
		b.len = strlen(s) / 2;
		if ((raw = malloc(b.len + 1)) == NULL ||
		    sys_unhex(raw, b.len, s) == -1)
			errx(1, "%s: not hex", f->name);
		b.ptr = *keep = raw;
		memcpy(p, &b, sizeof(b));
		break;
	}
}

static void
on_fed(struct bufferevent *bev, void *arg)
{
	(void)arg;
	bufferevent_free(bev);
}

/* The end of a pipe into which the file is written as it is read. */
static int
pipe_of(const char *path)
{
	int sv[2], fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	    sv) == -1)
		err(1, "%s", path);
	d.feed = bufferevent_socket_new(d.base, sv[1], BEV_OPT_CLOSE_ON_FREE);
	bufferevent_setcb(d.feed, NULL, on_fed, NULL, NULL);
	evbuffer_add_file(bufferevent_get_output(d.feed), fd, 0, -1);
	bufferevent_enable(d.feed, EV_WRITE);
	return sv[0];
}

static int
open_fd(struct json_object *line)
{
	struct json_object *v;
	int fd = -1;

	if (json_object_object_get_ex(line, "fd", &v))
		fd = open(json_object_get_string(v), O_RDONLY | O_CLOEXEC);
	else if (json_object_object_get_ex(line, "fdw", &v))
		fd = open(json_object_get_string(v),
		    O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	else if (json_object_object_get_ex(line, "pipe", &v))
		fd = pipe_of(json_object_get_string(v));
	else
		return -1;
	if (fd == -1)
		err(1, "%s", json_object_get_string(v));
	return fd;
}

static uint32_t
type_by_name(const char *name)
{
	uint32_t t;

	for (t = MSG_NONE + 1; t < MSG_MAX; t++)
		if (strcmp(msg_name(t), name) == 0)
			return t;
	errx(1, "no message %s", name);
}

static void
send_line(enum proc as, struct json_object *line)
{
	struct json_object *v, *fields, *id, *more;
	const struct msg_layout *l;
	union msg_any u;
	void *keep[16] = { NULL };
	uint32_t type;
	size_t i;

	if (!json_object_object_get_ex(line, "type", &v))
		errx(1, "no type");
	type = type_by_name(json_object_get_string(v));
	l = msg_desc(type)->layout();
	memset(&u, 0, sizeof(u));
	if (json_object_object_get_ex(line, "f", &fields))
		for (i = 0; i < l->nfields; i++)
			if (json_object_object_get_ex(fields,
			    l->fields[i].name, &v))
				field_in(&l->fields[i], v, (uint8_t *)&u +
				    l->fields[i].offset, &keep[i % 16]);
	id = more = NULL;
	json_object_object_get_ex(line, "id", &id);
	json_object_object_get_ex(line, "more", &more);
	if (d.chans[as] == NULL || chan_send(d.chans[as], type,
	    json_object_get_uint64(id),
	    json_object_get_boolean(more) ? CHAN_F_MORE : 0, &u,
	    open_fd(line)) == -1)
		warn("%s", msg_name(type));
	for (i = 0; i < 16; i++)
		free(keep[i]);
}

static void
open_edge(enum proc as)
{
	struct m_peer peer = { (uint32_t)as };
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	    sv) == -1)
		err(1, "socketpair");
	chan_free(d.chans[as]);
	d.chans[as] = chan_new(d.base, sv[0], &chan_ops,
	    (void *)(intptr_t)as);
	if (chan_send(d.chans[PROC_SUPER], MSG_PEER, 0, 0, &peer, sv[1]) == -1)
		err(1, "PEER");
}

static void
on_line(const char *text)
{
	struct json_object *line, *v;
	const char *verb;
	int as;

	if ((line = json_tokener_parse(text)) == NULL ||
	    !json_object_object_get_ex(line, "as", &v) ||
	    (as = proc_by_name(json_object_get_string(v))) == -1)
		errx(1, "bad line: %s", text);
	if (!json_object_object_get_ex(line, "do", &v)) {
		send_line((enum proc)as, line);
	} else {
		verb = json_object_get_string(v);
		if (strcmp(verb, "open") == 0) {
			open_edge((enum proc)as);
		} else if (strcmp(verb, "close") == 0) {
			chan_free(d.chans[as]);
			d.chans[as] = NULL;
		} else {
			errx(1, "no verb %s", verb);
		}
	}
	json_object_put(line);
}

/* Is a queue over half full?  on_drained() goes on then. */
static bool
is_high(void)
{
	size_t i;

	for (i = 0; i < PROC_MAX; i++)
		if (d.chans[i] != NULL &&
		    chan_queued(d.chans[i]) > CHAN_QUEUE_MAX / 2)
			return true;
	return false;
}

static void
on_input(struct bufferevent *bev, void *arg)
{
	char *line;

	(void)arg;
	while (!is_high() && (line = evbuffer_readln(bufferevent_get_input(
	    bev), NULL, EVBUFFER_EOL_LF)) != NULL) {
		on_line(line);
		free(line);
	}
}

static void
on_drained(void *arg)
{
	(void)arg;
	on_input(d.in, NULL);
}

/* The test is over: so is the worker. */
static void
on_eof(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	(void)arg;
	kill(d.pid, SIGKILL);
	exit(0);
}

static void
spawn(char **argv, uid_t uid, gid_t gid, gid_t group)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	    sv) == -1)
		err(1, "socketpair");
	if ((d.pid = fork()) == -1)
		err(1, "fork");
	if (d.pid == 0) {
		if (uid != 0 && (setgroups(1, &group) == -1 ||
		    setresgid(gid, gid, gid) == -1 ||
		    setresuid(uid, uid, uid) == -1))
			err(1, "user");
		if (sv[1] == 3)
			fcntl(3, F_SETFD, 0);
		else if (dup2(sv[1], 3) == -1)
			err(1, "dup2");
		setenv("AGENTD_ALLOW_ROOT", "1", 1);
		execl(argv[0], argv[1], (char *)NULL);
		err(1, "%s", argv[0]);
	}
	close(sv[1]);
	d.chans[PROC_SUPER] = chan_new(d.base, sv[0], &chan_ops,
	    (void *)(intptr_t)PROC_SUPER);
}

int
main(int argc, char **argv)
{
	uid_t uid = 0;
	gid_t gid = 0, group = 0;
	int ch, w;

	while ((ch = getopt(argc, argv, "u:g:G:")) != -1)
		switch (ch) {
		case 'u':
			uid = (uid_t)strtoul(optarg, NULL, 10);
			break;
		case 'g':
			gid = (gid_t)strtoul(optarg, NULL, 10);
			break;
		case 'G':
			group = (gid_t)strtoul(optarg, NULL, 10);
			break;
		default:
			errx(2, "usage: drive [-u uid] [-g gid] [-G group] "
			    "program worker");
		}
	argv += optind;
	argc -= optind;
	if (argc != 2 || (w = proc_by_name(argv[1])) == -1)
		errx(2, "usage: drive [-u uid] [-g gid] [-G group] program "
		    "worker");
	signal(SIGPIPE, SIG_IGN);
	log_init("drive", LOG_L_WARN, 0);
	d.worker = (enum proc)w;
	if ((d.base = event_base_new()) == NULL)
		err(1, "event");
	spawn(argv, uid, gid, group);
	d.in = bufferevent_socket_new(d.base, STDIN_FILENO, 0);
	bufferevent_setcb(d.in, on_input, NULL, on_eof, NULL);
	bufferevent_enable(d.in, EV_READ);
	event_base_dispatch(d.base);
	return 0;
}

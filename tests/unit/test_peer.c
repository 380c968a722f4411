/*
 * Channels and peers over a socketpair: order, replies, descriptors, caps,
 * and what a peer that breaks the rules gets.
 *
 * SPDX-License-Identifier: ISC
 */
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "chan.h"
#include "log.h"
#include "peer.h"

static struct {
	struct event_base	*base;
	struct peer		*keeper;	/* as seen by the other side */
	struct peer		*container;
	int			 fds[2];
	int			 got, replies, failed, error, bad, down;
	int			 got_fd;
	uint64_t		 got_id;
	char			 text[64];
} t;

static int
h_action(struct peer *p, struct msg *m)
{
	struct m_ct_row row;
	struct m_ct_done done;

	t.got++;
	t.got_id = m->id;
	(void)snprintf(t.text, sizeof(t.text), "%s", m->u.ct_snap.verb);
	if (strcmp(t.text, "silent") == 0)
		return 0;
	if (strcmp(t.text, "break") == 0)
		return -1;
	memset(&done, 0, sizeof(done));
	if (strcmp(t.text, "twice") == 0)
		return peer_reply(p, m, MSG_CT_DONE, true, &done);
	memset(&row, 0, sizeof(row));
	row.instance = "agentd-1";
	assert_int_equal(peer_reply(p, m, MSG_CT_ROW, true, &row), 0);
	done.status = 200;
	return peer_reply(p, m, MSG_CT_DONE, false, &done);
}

static int
h_image(struct peer *p, struct msg *m)
{
	(void)p;
	t.got++;
	t.got_fd = m->fd;
	m->fd = -1;
	return 0;
}

/* Says twice what there is one answer to. */
static int
h_tag(struct peer *p, struct msg *m)
{
	struct m_ct_row row;

	memset(&row, 0, sizeof(row));
	assert_int_equal(peer_reply(p, m, MSG_CT_ROW, true, &row), 0);
	return peer_reply(p, m, MSG_CT_ROW, false, &row);
}

static const struct msg_handler container_handlers[] = {
	{ MSG_CT_TAG, h_tag },
	{ MSG_CT_SNAP, h_action },
	{ MSG_CT_IMAGE_PUT, h_image },
	{ MSG_NONE, NULL },
};

static void
on_bad(struct peer *p, uint32_t type, const char *why)
{
	(void)p;
	(void)type;
	assert_non_null(why);
	t.bad++;
}

static void
on_down(struct peer *p)
{
	(void)p;
	t.down++;
}

static const struct peer_ops container_ops = {
	.handlers = container_handlers, .bad = on_bad, .down = on_down,
};
static const struct peer_ops keeper_ops = { .bad = on_bad, .down = on_down };

static void
on_reply(struct msg *m, void *arg)
{
	assert_ptr_equal(arg, &t);
	if (m == NULL) {
		t.failed++;
		t.error = errno;
		return;
	}
	t.replies++;
	if (!m->more)
		assert_int_equal(m->u.ct_done.status, 200);
}

static void
run(int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	event_base_loopexit(t.base, &tv);
	event_base_dispatch(t.base);
}

static int
setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.got_fd = -1;
	t.base = event_base_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0, t.fds), 0);
	/* The keeper's end of the edge, and the container's end. */
	t.container = peer_new(t.base, PROC_KEEPER, PROC_CONTAINER,
	    &keeper_ops);
	t.keeper = peer_new(t.base, PROC_CONTAINER, PROC_KEEPER,
	    &container_ops);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	if (t.got_fd != -1)
		close(t.got_fd);
	peer_free(t.container);
	peer_free(t.keeper);
	event_base_free(t.base);
	return 0;
}

static void
attach(void)
{
	peer_attach(t.container, t.fds[0]);
	peer_attach(t.keeper, t.fds[1]);
}

static void
test_request(void **state)
{
	struct m_ct_snap a = { .verb = "start" };

	(void)state;
	attach();
	assert_true(peer_request(t.container, MSG_CT_SNAP, &a, 1000,
	    on_reply, &t) != 0);
	run(50);
	assert_int_equal(t.got, 1);
	assert_int_equal(t.replies, 2);
	assert_int_equal(t.failed, 0);
	assert_string_equal(t.text, "start");
}

static void
test_timeout(void **state)
{
	struct m_ct_snap a = { .verb = "silent" };
	struct m_ct_done done = { .status = 200 };

	(void)state;
	attach();
	peer_request(t.container, MSG_CT_SNAP, &a, 20, on_reply, &t);
	run(80);
	assert_int_equal(t.failed, 1);
	assert_int_equal(t.error, ETIMEDOUT);
	/* A late answer harms nobody. */
	peer_reply_id(t.keeper, t.got_id, MSG_CT_DONE, false, &done, -1);
	run(20);
	assert_int_equal(t.replies, 0);
	assert_int_equal(t.bad, 0);
}

static void
test_gone(void **state)
{
	struct m_ct_snap a = { .verb = "silent" };

	(void)state;
	assert_int_equal(peer_request(t.container, MSG_CT_SNAP, &a, 0,
	    on_reply, &t), 0);
	assert_int_equal(errno, ENOTCONN);
	attach();
	peer_request(t.container, MSG_CT_SNAP, &a, 0, on_reply, &t);
	run(20);
	peer_detach(t.keeper);
	run(20);
	assert_int_equal(t.failed, 1);
	assert_int_equal(t.error, ECONNRESET);
	assert_int_equal(t.down, 2);
	assert_int_equal(t.bad, 0);
}

/* A request to a peer that is being restarted waits for it. */
static void
test_hold(void **state)
{
	struct m_ct_snap a = { .verb = "start" };
	struct m_ct_image image = { .alias = "a", .size = 1 };
	int p[2], i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_true(peer_request_hold(t.container, MSG_CT_SNAP, &a,
		    -1, 1000, on_reply, &t) != 0);
	assert_int_equal(pipe(p), 0);
	assert_true(peer_request_hold(t.container, MSG_CT_IMAGE_PUT, &image,
	    p[0], 20, on_reply, &t) != 0);
	run(30);
	assert_int_equal(t.replies + t.failed, 0);
	attach();
	run(50);
	assert_int_equal(t.got, 4);
	assert_int_equal(t.replies, 6);
	assert_true(t.got_fd != -1);
	/* Its own time-out counts from when it was sent. */
	assert_int_equal(t.failed, 1);
	assert_int_equal(t.error, ETIMEDOUT);
	close(p[1]);
}

static void
ask_again(struct msg *m, void *arg)
{
	struct m_ct_snap a = { .verb = "start" };

	assert_null(m);
	(void)arg;
	assert_true(peer_request_hold(t.container, MSG_CT_SNAP, &a, -1,
	    1000, on_reply, &t) != 0);
}

/* Asked again from the callback that says that the peer died. */
static void
test_hold_again(void **state)
{
	struct m_ct_snap a = { .verb = "silent" };

	(void)state;
	attach();
	peer_request(t.container, MSG_CT_SNAP, &a, 0, ask_again, NULL);
	run(20);
	peer_detach(t.container);
	run(20);
	assert_int_equal(t.failed, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0, t.fds), 0);
	attach();
	run(30);
	assert_int_equal(t.replies, 2);
}

/* Nobody comes: it fails, and the descriptor is closed. */
static void
test_hold_in_vain(void **state)
{
	struct m_ct_image image = { .alias = "a", .size = 1 };
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_true(peer_request_hold(t.container, MSG_CT_IMAGE_PUT, &image,
	    p[0], 60000, on_reply, &t) != 0);
	run(PEER_HOLD_MS + 100);
	assert_int_equal(t.failed, 1);
	assert_int_equal(t.error, ENOTCONN);
	assert_int_equal(write(p[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	close(p[1]);
	close(t.fds[0]);
	close(t.fds[1]);
}

static void
test_handler_refuses(void **state)
{
	struct m_ct_snap a = { .verb = "break" };

	(void)state;
	attach();
	peer_request(t.container, MSG_CT_SNAP, &a, 0, on_reply, &t);
	run(30);
	assert_int_equal(t.bad, 1);
	assert_int_equal(t.failed, 1);
	assert_false(peer_is_up(t.keeper));
}

/* A last answer that says that others follow is none. */
static void
test_last_with_more(void **state)
{
	struct m_ct_snap a = { .verb = "twice" };

	(void)state;
	attach();
	peer_request(t.container, MSG_CT_SNAP, &a, 0, on_reply, &t);
	run(30);
	assert_int_equal(t.bad, 1);
	assert_int_equal(t.replies, 0);
	assert_int_equal(t.failed, 1);
}

/* What waited for the one answer may be gone when a second one comes. */
static void
test_one_answer(void **state)
{
	struct m_ct_tag a = { .slug = "a" };

	(void)state;
	attach();
	peer_request(t.container, MSG_CT_TAG, &a, 0, on_reply, &t);
	run(30);
	assert_int_equal(t.bad, 1);
	assert_int_equal(t.replies, 0);
	assert_int_equal(t.failed, 1);
}

static void
test_fd(void **state)
{
	struct m_ct_image image = { .alias = "a", .size = 1 };
	int p[2];
	char c;

	(void)state;
	attach();
	assert_int_equal(pipe(p), 0);
	assert_true(peer_request_fd(t.container, MSG_CT_IMAGE_PUT, &image,
	    p[0], 0, on_reply, &t) != 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	run(30);
	assert_int_equal(t.got, 1);
	assert_true(t.got_fd != -1);
	assert_true(fcntl(t.got_fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(read(t.got_fd, &c, 1), 1);
	close(p[1]);
}

/* Writes a raw frame to the container's end. */
static void
raw(uint16_t type, uint32_t len, uint16_t flags, uint64_t id, size_t send_len)
{
	uint8_t buf[256];
	struct chan_hdr h = { len, type, flags, id };

	memset(buf, 0, sizeof(buf));
	memcpy(buf, &h, sizeof(h));
	assert_int_equal(write(t.fds[0], buf, sizeof(h) + send_len),
	    sizeof(h) + send_len);
}

static void
test_raw_bad(void **state)
{
	static const struct {
		uint16_t	type;
		uint32_t	len;
		uint16_t	flags;
		uint64_t	id;
	} cases[] = {
		{ MSG_MAX, 0, 0, 1 },			/* unknown */
		{ MSG_NONE, 0, 0, 1 },
		{ MSG_CHAT_POST, 0, 0, 1 },		/* another edge's */
		{ MSG_CT_DONE, 14, 0, 1 },		/* wrong direction */
		{ MSG_CT_LIST, 0, 0, 0 },		/* request without id */
		{ MSG_CT_LIST, 1, 0, 1 },		/* over its maximum */
		{ MSG_CT_SNAP, 0xffffff00U, 0, 1 },	/* no such memory */
		{ MSG_CT_LIST, 0, CHAN_F_FD, 1 },	/* carries no fd */
		{ MSG_CT_IMAGE_PUT, 13, 0, 1 },		/* must carry one */
		{ MSG_CT_IMAGE_PUT, 13, CHAN_F_FD, 1 },	/* says so, lies */
		{ MSG_CT_LIST, 0, 0x8000, 1 },		/* unknown flag */
		{ MSG_CT_SNAP, 3, 0, 1 },		/* payload cut */
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		peer_attach(t.keeper, t.fds[1]);
		raw(cases[i].type, cases[i].len, cases[i].flags, cases[i].id,
		    cases[i].len < 200 ? cases[i].len : 0);
		run(10);
		if (t.bad != 1 || peer_is_up(t.keeper))
			fail_msg("case %zu was taken", i);
		close(t.fds[0]);
		teardown(state);
		setup(state);
	}
	close(t.fds[0]);
	close(t.fds[1]);
}

/* One byte at a time is the same as all at once. */
static void
test_split(void **state)
{
	struct m_ct_snap a = { .agent_id = "i", .instance = "n",
	    .verb = "silent" };
	struct chan_hdr h;
	uint8_t buf[128];
	ssize_t len;
	size_t i;
	int round;

	(void)state;
	peer_attach(t.keeper, t.fds[1]);
	len = msg_encoded_size(MSG_CT_SNAP, &a);
	memset(&h, 0, sizeof(h));
	h.len = (uint32_t)len;
	h.type = MSG_CT_SNAP;
	h.id = 9;
	memcpy(buf, &h, sizeof(h));
	msg_encode(MSG_CT_SNAP, &a, buf + sizeof(h));
	for (round = 0; round < 3; round++)
		for (i = 0; i < sizeof(h) + (size_t)len; i++) {
			assert_int_equal(write(t.fds[0], buf + i, 1), 1);
			event_base_loop(t.base, EVLOOP_NONBLOCK);
		}
	assert_int_equal(t.got, 3);
	assert_int_equal(t.bad, 0);
	close(t.fds[0]);
	run(10);
	assert_int_equal(t.down, 1);
}

static void
test_queue_cap(void **state)
{
	struct m_ct_snap a = { .verb = "silent" };
	char big[1025];
	struct m_ct_create c;
	int n;

	(void)state;
	(void)a;
	memset(big, 'x', 1024);
	big[1024] = '\0';
	memset(&c, 0, sizeof(c));
	c.sock_dir = big;
	peer_attach(t.container, t.fds[0]);
	for (n = 0; n < 20000; n++)
		if (peer_request(t.container, MSG_CT_CREATE, &c, 0, on_reply,
		    &t) == 0)
			break;
	assert_int_equal(errno, ENOBUFS);
	assert_true(peer_queued(t.container) <= CHAN_QUEUE_MAX);
	close(t.fds[1]);
	t.failed = 0;
	run(20);
	assert_int_equal(t.failed, n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hold_again, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_hold_in_vain, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_handler_refuses, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_last_with_more, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_one_answer, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_fd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raw_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queue_cap, setup,
		    teardown),
	};

	log_init("test", LOG_L_ERROR, 0);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

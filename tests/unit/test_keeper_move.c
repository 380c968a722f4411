/*
 * Tests of keeper: imports, with this test as mover.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sodium.h>

#include "keeper_steps.h"
#include "log.h"
#include "movefile.h"

#define ID	"00112233445566778899aabbccddeeff"

static struct {
	uint8_t		 public[crypto_sign_PUBLICKEYBYTES];
	uint8_t		 secret[crypto_sign_SECRETKEYBYTES];
	char		 hex[65];
	bool		 hold;		/* images are made later */
	struct peer	*container;
	uint64_t	 held[4];
	unsigned	 n, drops, pages;
	bool		 hold_chat;
	struct peer	*mover;
	uint64_t	 chat;		/* the request that is held */
} mv;

static void
image_made(uint64_t id)
{
	struct m_ct_image_row	 row;
	struct m_ct_done	 d = { 200, "", 0, 0 };

	memset(&row, 0, sizeof(row));
	row.fingerprint = FINGERPRINT;
	(void)peer_reply_id(mv.container, id, MSG_CT_IMAGE_ROW, true, &row,
	    -1);
	(void)peer_reply_id(mv.container, id, MSG_CT_DONE, false, &d, -1);
}

static void
say_signed(struct peer *p, uint64_t id)
{
	static const char	 text[] = MF_SIGNED "manifest";
	uint8_t			 sig[crypto_sign_BYTES];
	struct m_move_sign	 m = { .id = "x" };

	(void)crypto_sign_detached(sig, NULL, (const uint8_t *)text,
	    sizeof(text) - 1, mv.secret);
	m.manifest = (struct msg_bytes){ "manifest", 8 };
	m.key = (struct msg_bytes){ mv.public, sizeof(mv.public) };
	m.signature = (struct msg_bytes){ sig, sizeof(sig) };
	(void)peer_reply_id(p, id, MSG_MOVE_SIGNED, false, &m, -1);
}

static void
say_record(struct peer *p, uint64_t id)
{
	struct m_move_record	 m;

	memset(&m, 0, sizeof(m));
	m.agent_id = ID;
	m.slug = "moved";
	m.display_name = "Moved";
	m.framework = "pi";
	m.model = "demo";
	m.image_size = 1;
	(void)peer_reply_id(p, id, MSG_MOVE_RECORD, false, &m, -1);
}

static void
say_page(struct peer *p, uint64_t id)
{
	struct m_move_message	 m;
	unsigned		 i;

	memset(&m, 0, sizeof(m));
	m.id = m.author_type = "user";
	m.state = "answered";
	m.content = "hello";
	for (i = 0; i < mv.pages; i++)
		(void)peer_reply_id(p, id, MSG_MOVE_MESSAGE, true, &m, -1);
	(void)peer_done(p, id, 200, NULL);
}

static int
mover(struct peer *p, struct msg *m)
{
	struct m_moved	 end = { 200, "", 0 };

	switch (m->type) {
	case MSG_MOVE_IN:
		say_signed(p, m->id);
		break;
	case MSG_MOVE_CHECK:
		say_record(p, m->id);
		break;
	case MSG_MOVE_IMAGE:
	case MSG_MOVE_TRACE:
		(void)peer_reply_id(p, m->id, MSG_MOVE_PIPE, false, &end,
		    open("/dev/null", O_RDWR | O_CLOEXEC));
		break;
	case MSG_CT_IMAGE_TEMP:
		mv.container = p;
		if (mv.hold && mv.n < 4)
			mv.held[mv.n++] = m->id;
		else
			image_made(m->id);
		break;
	case MSG_MOVE_CHAT:
		mv.mover = p;
		mv.chat = m->id;
		if (!mv.hold_chat)
			say_page(p, m->id);
		break;
	case MSG_TRACE_IMPORT:
		(void)peer_reply_id(p, m->id, MSG_TRACE_MOVED, false, &end,
		    -1);
		break;
	case MSG_MOVE_DROP:
		mv.drops++;
		break;
	}
	return 0;
}

static void
import(struct fake_answer *a)
{
	struct m_agent_import	 m;

	memset(&m, 0, sizeof(m));
	m.name = m.model = m.network = "";
	m.trust_key = mv.hex;
	m.size = 1;
	(void)fake_send_fd(MSG_AGENT_IMPORT, &m,
	    open("/dev/null", O_RDWR | O_CLOEXEC), a);
}

static int
setup(void **state)
{
	int	 rc;

	memset(&mv, 0, sizeof(mv));
	(void)crypto_sign_keypair(mv.public, mv.secret);
	sys_hex(mv.hex, mv.public, sizeof(mv.public));
	rc = step_setup(state);
	script.move = mover;
	return rc;
}

/* Two of one file at the same time: two agents, and no other one is lost. */
static void
test_twice(void **state)
{
	static struct fake_answer	 one, two;
	int				 i;

	(void)state;
	step_deploy();
	mv.hold = true;
	import(&one);
	import(&two);
	for (i = 0; i < 400 && mv.n < 2; i++)
		fake_run(5);
	assert_int_equal(mv.n, 2);
	image_made(mv.held[0]);
	image_made(mv.held[1]);
	assert_true(fake_done(&one));
	assert_true(fake_done(&two));
	assert_int_equal(one.status, 202);
	assert_int_equal(two.status, 202);
	assert_non_null(strstr(one.text, "\"name\":\"moved\""));
	assert_non_null(strstr(one.text, ID));
	assert_non_null(strstr(two.text, "\"name\":\"moved-2\""));
	assert_null(strstr(two.text, ID));
	assert_int_equal(step_get("moved"), 200);
	assert_int_equal(step_get("moved-2"), 200);
	assert_int_equal(step_get("alpha"), 200);
}

/* container dies while it makes the instance: what it left is not foreign. */
static void
test_container_dies(void **state)
{
	static struct fake_answer	 a;

	(void)state;
	script.hold_create = true;
	import(&a);
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 202);
	assert_true(fake_until("create"));
	script.hold_create = false;
	fake_down(PROC_CONTAINER);
	fake_run(20);
	fake_log_clear();
	fake_up(PROC_CONTAINER);
	assert_true(fake_until("create:again"));
	fake_subscribe(ID);
	assert_true(fake_until("conf:running"));
}

/* Deleted while its chat comes: no instance is made any more. */
static void
test_deleted(void **state)
{
	static struct fake_answer	 a, b;
	struct m_agent_action		 d = { { NULL, 0 }, "moved", "delete",
	    0, 0 };
	int				 i;

	(void)state;
	mv.hold_chat = true;
	import(&a);
	for (i = 0; i < 400 && mv.chat == 0; i++)
		fake_run(5);
	assert_int_not_equal(mv.chat, 0);
	(void)fake_send(MSG_AGENT_ACTION, &d, &b);
	fake_run(20);
	assert_int_equal(step_get("moved"), 200);
	fake_log_clear();
	say_page(mv.mover, mv.chat);
	assert_true(fake_done(&b));
	assert_int_equal(b.status, 200);
	assert_null(strstr(fake_log(), "create"));
	assert_int_equal(step_get("moved"), 404);
}

/* More messages at once than keeper takes: nothing of the agent is left. */
static void
test_page_too_long(void **state)
{
	static struct fake_answer	 a;
	int				 i;

	(void)state;
	mv.pages = 100;
	import(&a);
	assert_true(fake_done(&a));
	assert_int_equal(a.status, 202);
	for (i = 0; i < 200 && step_get("moved") != 404; i++)
		fake_run(5);
	assert_int_equal(step_get("moved"), 404);
	assert_int_equal(step_deploy_status("moved"), 200);
	assert_true(step_has("more messages than"));
}

#define M(fn) cmocka_unit_test_setup_teardown(fn, setup, step_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		M(test_twice), M(test_container_dies), M(test_page_too_long),
		M(test_deleted),
	};

	if (sodium_init() == -1)
		return 1;
	log_init("test", LOG_L_ERROR, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

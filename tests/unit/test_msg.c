/*
 * The codec: every message of the table, whole, cut and over-long.
 *
 * SPDX-License-Identifier: ISC
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "msg.h"

/* Fills a payload with values that differ from field to field. */
static void
fill(uint32_t type, union msg_any *u, char *text, size_t len)
{
	const struct msg_layout *l = msg_desc(type)->layout();
	struct msg_bytes b;
	uint64_t v;
	double d;
	size_t i;

	memset(u, 0, sizeof(*u));
	for (i = 0; i < l->nfields; i++) {
		const struct msg_field *f = &l->fields[i];
		uint8_t *at = (uint8_t *)u + f->offset;

		v = 0x0123456789abcdefULL + i;
		d = 1.5 + (double)i;
		switch (f->kind) {
		case MK_U32:
			memcpy(at, &v, 4);
			break;
		case MK_U64:
		case MK_I64:
			memcpy(at, &v, 8);
			break;
		case MK_F64:
			memcpy(at, &d, 8);
			break;
		case MK_STR:
			assert_true(f->max < len);
			text[f->max < 7 ? f->max : 7] = '\0';
			memcpy(at, &text, sizeof(text));
			break;
		case MK_BYTES:
			b.ptr = text;
			b.len = f->max < 7 ? f->max : 7;
			memcpy(at, &b, sizeof(b));
			break;
		}
	}
}

static void
same(uint32_t type, const union msg_any *a, const union msg_any *b)
{
	const struct msg_layout *l = msg_desc(type)->layout();
	size_t i;

	for (i = 0; i < l->nfields; i++) {
		const struct msg_field *f = &l->fields[i];
		const uint8_t *p = (const uint8_t *)a + f->offset;
		const uint8_t *q = (const uint8_t *)b + f->offset;
		struct msg_bytes x, y;
		const char *s, *t;

		switch (f->kind) {
		case MK_U32:
			assert_memory_equal(p, q, 4);
			break;
		case MK_U64:
		case MK_I64:
		case MK_F64:
			assert_memory_equal(p, q, 8);
			break;
		case MK_STR:
			memcpy(&s, p, sizeof(s));
			memcpy(&t, q, sizeof(t));
			assert_string_equal(s, t);
			break;
		case MK_BYTES:
			memcpy(&x, p, sizeof(x));
			memcpy(&y, q, sizeof(y));
			assert_int_equal(x.len, y.len);
			assert_memory_equal(x.ptr, y.ptr, x.len);
			break;
		}
	}
}

static void
test_round_trip(void **state)
{
	static char text[1200000];
	union msg_any in, out;
	uint8_t *buf, *copy;
	uint32_t type;
	ssize_t len;
	size_t cut;

	(void)state;
	for (type = MSG_NONE + 1; type < MSG_MAX; type++) {
		memset(text, 'x', sizeof(text) - 1);
		fill(type, &in, text, sizeof(text));
		len = msg_encoded_size(type, &in);
		assert_true(len >= 0);
		assert_true((size_t)len <= msg_max(type));
		buf = malloc((size_t)len + 1);
		msg_encode(type, &in, buf);
		assert_int_equal(msg_decode(type, buf, (size_t)len, &out), 0);
		same(type, &in, &out);
		/* Cut at any byte, or one byte too long: refused. */
		for (cut = 0; cut < (size_t)len; cut++) {
			copy = malloc(cut > 0 ? cut : 1);
			memcpy(copy, buf, cut);
			assert_int_equal(msg_decode(type, copy, cut, &out),
			    -1);
			assert_int_equal(errno, EBADMSG);
			free(copy);
		}
		buf[len] = 0;
		assert_int_equal(msg_decode(type, buf, (size_t)len + 1, &out),
		    -1);
		free(buf);
	}
}

static void
test_over_long(void **state)
{
	struct m_agent_id id;
	char text[34];
	union msg_any out;
	uint8_t buf[64];
	uint32_t len = 33;

	(void)state;
	memset(text, 'a', 33);
	text[33] = '\0';
	id.agent_id = text;
	assert_int_equal(msg_encoded_size(MSG_AGENT_GONE, &id), -1);
	assert_int_equal(errno, EMSGSIZE);
	/* A sender that does not check is caught by the receiver. */
	memcpy(buf, &len, 4);
	memcpy(buf + 4, text, 34);
	assert_int_equal(msg_decode(MSG_AGENT_GONE, buf, 38, &out), -1);
	/* A length that points past the end. */
	len = 0xfffffff0U;
	memcpy(buf, &len, 4);
	assert_int_equal(msg_decode(MSG_AGENT_GONE, buf, 38, &out), -1);
}

static void
test_embedded_nul(void **state)
{
	union msg_any out;
	uint8_t buf[] = { 3, 0, 0, 0, 'a', 0, 'b', 0 };
	uint8_t open_end[] = { 3, 0, 0, 0, 'a', 'c', 'b', 'd' };

	(void)state;
	assert_int_equal(msg_decode(MSG_AGENT_GONE, buf, 8, &out), -1);
	assert_int_equal(msg_decode(MSG_AGENT_GONE, open_end, 8, &out), -1);
	buf[5] = 'c';
	assert_int_equal(msg_decode(MSG_AGENT_GONE, buf, 8, &out), 0);
	assert_string_equal(out.agent_id.agent_id, "acb");
}

static void
test_table(void **state)
{
	uint32_t type;

	(void)state;
	for (type = MSG_NONE + 1; type < MSG_MAX; type++) {
		const struct msg_desc *d = msg_desc(type);

		assert_non_null(d);
		assert_non_null(d->name);
		assert_true(d->from != 0 && d->to != 0);
		/* A request is not an answer. */
		assert_false((d->flags & M_REQ) && (d->flags & M_REP));
	}
	assert_null(msg_desc(MSG_NONE));
	assert_null(msg_desc(MSG_MAX));
	assert_int_equal(strlen(msg_table_digest()), 64);
}

/* The edges of the design, and none besides. */
static void
test_edges(void **state)
{
	static const enum proc edges[][2] = {
		{ PROC_FRONT, PROC_KEEPER }, { PROC_FRONT, PROC_TRACE },
		{ PROC_FRONT, PROC_PROXY }, { PROC_KEEPER, PROC_CONTAINER },
		{ PROC_KEEPER, PROC_GATEWAY }, { PROC_KEEPER, PROC_TRACE },
		{ PROC_KEEPER, PROC_PROXY }, { PROC_KEEPER, PROC_UPSTREAM },
		{ PROC_GATEWAY, PROC_UPSTREAM }, { PROC_GATEWAY, PROC_PROXY },
		{ PROC_GATEWAY, PROC_TRACE }, { PROC_PROXY, PROC_UPSTREAM },
		{ PROC_UPSTREAM, PROC_DIALER }, { PROC_KEEPER, PROC_MOVER },
		/* Connections of agents to domains that they may reach. */
		{ PROC_GATEWAY, PROC_DIALER },
	};
	size_t i, n = sizeof(edges) / sizeof(edges[0]);
	int a, b, want, found = 0;

	(void)state;
	for (a = PROC_FRONT; a < PROC_MAX; a++)
		for (b = a + 1; b < PROC_MAX; b++) {
			want = 0;
			for (i = 0; i < n; i++)
				if ((edges[i][0] == (enum proc)a &&
				    edges[i][1] == (enum proc)b) ||
				    (edges[i][1] == (enum proc)a &&
				    edges[i][0] == (enum proc)b))
					want = 1;
			assert_int_equal(msg_edge((enum proc)a, (enum proc)b),
			    want);
			found += want;
		}
	assert_int_equal(found, n);
	for (a = PROC_FRONT; a < PROC_MAX; a++)
		assert_true(msg_edge(PROC_SUPER, (enum proc)a));
}

static void
test_direction(void **state)
{
	(void)state;
	assert_true(msg_allowed(MSG_CT_CREATE, PROC_KEEPER, PROC_CONTAINER));
	assert_false(msg_allowed(MSG_CT_CREATE, PROC_FRONT, PROC_CONTAINER));
	assert_false(msg_allowed(MSG_CT_CREATE, PROC_CONTAINER, PROC_KEEPER));
	assert_false(msg_allowed(MSG_NONE, PROC_KEEPER, PROC_CONTAINER));
	assert_false(msg_allowed(MSG_MAX, PROC_KEEPER, PROC_CONTAINER));
	assert_false(msg_allowed(MSG_SECRET_PUT, PROC_KEEPER, PROC_GATEWAY));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_over_long),
		cmocka_unit_test(test_embedded_nul),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_direction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The file of an agent: framing, file tree, documents.
 *
 * SPDX-License-Identifier: ISC
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "movefile.h"
#include "record.h"
#include "tar.h"
#include "tarhead.h"

#define ROOM	(256 * 1024)

struct out {
	uint8_t	 p[ROOM];
	size_t	 len;
};

static int
sink(void *arg, const void *data, size_t len)
{
	struct out *o = arg;

	if (len > ROOM - o->len)
		return -1;
	memcpy(o->p + o->len, data, len);
	o->len += len;
	return 0;
}

/* ---- framing ---- */

static void
put_section(struct out *o, enum mf_section s, const char *text, size_t len)
{
	uint8_t b[MF_TAIL], sum[32];

	mf_put_name(b, s);
	(void)sink(o, b, MF_NAME);
	if (len > 0) {
		mf_put_len(b, (uint32_t)len);
		(void)sink(o, b, MF_LEN);
		(void)sink(o, text, len);
	}
	(void)crypto_hash_sha256(sum, (const uint8_t *)text, len);
	mf_put_tail(b, len, sum);
	(void)sink(o, b, MF_TAIL);
}

static void
put_file(struct out *o)
{
	char sign[MF_SIGN_LEN];
	uint8_t head[MF_HEAD];
	int s;

	memset(sign, 7, sizeof(sign));
	o->len = 0;
	mf_put_head(head);
	(void)sink(o, head, sizeof(head));
	for (s = 0; s < MF_SIGN; s++)
		put_section(o, (enum mf_section)s, "hello", s == MF_CHAT ? 0 :
		    5);
	put_section(o, MF_SIGN, sign, sizeof(sign));
}

static int
feed(const uint8_t *p, size_t len, size_t step, struct mf *f)
{
	size_t n;

	mf_init(f, NULL, NULL);
	for (; len > 0; p += n, len -= n) {
		n = len < step ? len : step;
		if (mf_feed(f, p, n) == -1)
			return -1;
	}
	return mf_end(f);
}

/* Whole in any pieces; cut anywhere it names the place. */
static void
test_framing(void **state)
{
	static struct out o;
	char want[40];
	struct mf f;
	size_t i;

	(void)state;
	put_file(&o);
	for (i = 1; i < 40; i++)
		assert_int_equal(feed(o.p, o.len, i, &f), 0);
	assert_int_equal(f.part[MF_CHAT].size, 0);
	assert_int_equal(f.part[MF_TRACE].size, 5);
	for (i = 0; i < o.len; i++) {
		assert_int_equal(feed(o.p, i, 7, &f), -1);
		snprintf(want, sizeof(want), "at byte %zu: ", i);
		assert_int_equal(strncmp(f.why, want, strlen(want)), 0);
	}
	o.p[o.len++] = 'x';
	assert_int_equal(feed(o.p, o.len, 7, &f), -1);
	assert_non_null(strstr(f.why, "behind the end"));
}

/* One bit anywhere is seen, but in what the signature is there for. */
static void
test_bits(void **state)
{
	static struct out o;
	struct mf f;
	size_t i;

	(void)state;
	put_file(&o);
	for (i = 0; i < o.len; i++) {
		o.p[i] ^= 0x10;
		assert_int_equal(feed(o.p, o.len, 64, &f), -1);
		o.p[i] ^= 0x10;
	}
}

/* ---- file trees ---- */

static void
member(struct out *o, char type, const char *path, const char *link,
    const char *data)
{
	static const uint8_t zero[TAR_BLOCK];
	struct tar_member m = { .type = type, .mode = 04755, .uid = 1234,
	    .gid = 3000000, .size = strlen(data), .mtime = "915246245.5" };

	(void)strlcpy(m.path, path, sizeof(m.path));
	(void)strlcpy(m.link, link, sizeof(m.link));
	assert_int_equal(tarhead_write(&m, sink, o), 0);
	(void)sink(o, data, m.size);
	(void)sink(o, zero, (TAR_BLOCK - m.size % TAR_BLOCK) % TAR_BLOCK);
}

static void
finish(struct out *o)
{
	static const uint8_t zero[2 * TAR_BLOCK];

	(void)sink(o, zero, sizeof(zero));
}

static uint64_t	members;	/* of the last tree that was checked */

static const char *
check(const struct out *in, bool strict, struct out *out)
{
	static char why[TAR_WHY];
	struct tar *t = tar_new(strict, ROOM, sink, out);
	size_t i;
	int r = 0;

	out->len = 0;
	for (i = 0; r == 0 && i < in->len; i += 100)
		r = tar_feed(t, in->p + i, in->len - i < 100 ? in->len - i :
		    100);
	if (r == 0)
		r = tar_end(t);
	(void)strlcpy(why, tar_why(t), sizeof(why));
	members = tar_members(t);
	assert_int_equal(r, why[0] == '\0' ? 0 : -1);
	tar_free(t);
	return why;
}

static void
good_tree(struct out *o)
{
	char deep[200] = "rootfs/long/";

	o->len = 0;
	memset(deep + 12, 'n', 150);
	deep[162] = '\0';
	member(o, '5', "rootfs", "", "");
	member(o, '0', "rootfs/a", "", "some data");
	member(o, '1', "rootfs/b", "rootfs/a", "");
	member(o, '2', "rootfs/c", "/etc/passwd", "");
	member(o, '6', "rootfs/d", "", "");
	member(o, '5', "rootfs/long", "", "");
	member(o, '0', deep, "", "x");
	member(o, '0', "rootfs/long-er", "", "");
	finish(o);
}

/* Owner, mode, time, links and long names come out as they went in. */
static void
test_tree(void **state)
{
	static struct out in, out;

	(void)state;
	good_tree(&in);
	assert_string_equal(check(&in, true, &out), "");
	assert_int_equal(out.len, in.len);
	assert_memory_equal(out.p, in.p, in.len);
}

/* What is not of the tree is left out of an export, and wrong in an import. */
static void
test_left_out(void **state)
{
	static struct out in, want, out;

	(void)state;
	good_tree(&want);
	in.len = 0;
	member(&in, '0', "metadata.yaml", "", "x");
	(void)sink(&in, want.p, want.len - 2 * TAR_BLOCK);
	member(&in, '3', "rootfs/z", "", "");
	member(&in, '5', "templates", "", "");
	finish(&in);
	assert_string_equal(check(&in, false, &out), "");
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.p, want.p, want.len);
	/* The manifest says so many, and an import holds it to that. */
	assert_int_equal(members, 8);
	assert_string_equal(check(&want, true, &out), "");
	assert_int_equal(members, 8);
	assert_non_null(strstr(check(&in, true, &out), "metadata.yaml"));
}

/* A file of 1960 does not keep its agent from leaving. */
static void
test_old_file(void **state)
{
	static struct out in, out, again;
	struct tar_member m = { .type = '0', .mode = 0644,
	    .mtime = "-315619200.5", .path = "rootfs/old" };

	(void)state;
	in.len = 0;
	member(&in, '5', "rootfs", "", "");
	assert_int_equal(tarhead_write(&m, sink, &in), 0);
	finish(&in);
	assert_non_null(strstr(check(&in, true, &out), "time that is none"));
	assert_string_equal(check(&in, false, &out), "");
	assert_int_equal(members, 2);
	assert_string_equal(check(&out, true, &again), "");
	assert_int_equal(members, 2);
}

static void
test_cut_tree(void **state)
{
	static struct out in, out;
	size_t whole;

	(void)state;
	good_tree(&in);
	whole = in.len;
	for (in.len = 0; in.len < whole; in.len += 256)
		assert_string_not_equal(check(&in, true, &out), "");
}

/* ---- documents ---- */

/* All sections and nothing else are in the list of the manifest. */
static void
test_manifest(void **state)
{
	static char text[4096];
	char one[256], zeros[65], why[WHY_LEN];
	static struct record r;
	static struct mf f;
	size_t n, len;
	int s;

	(void)state;
	memset(zeros, '0', 64);
	zeros[64] = '\0';
	for (n = 0; n <= MF_MANIFEST + 1; n++) {
		(void)snprintf(text, sizeof(text), "{\"format\":"
		    "\"agentd-export\",\"version\":1,\"server\":\"s\","
		    "\"arch\":\"x86_64\",\"agent_id\":"
		    "\"00112233445566778899aabbccddeeff\",\"slug\":\"a\","
		    "\"framework\":\"pi\",\"created_at\":1700000000,"
		    "\"sections\":[");
		for (s = 0; s < (int)n; s++) {
			(void)snprintf(one, sizeof(one), "%s{\"name\":\"%s\","
			    "\"size\":0,\"rows\":0,\"sha256\":\"%s\"}",
			    s > 0 ? "," : "", mf_name((enum mf_section)s),
			    zeros);
			(void)strlcat(text, one, sizeof(text));
		}
		len = strlcat(text, "]}", sizeof(text));
		assert_int_equal(record_manifest(text, len, &f, &r, why),
		    n == MF_MANIFEST ? 0 : -1);
		assert_string_equal(why, n == MF_MANIFEST ? "" :
		    "manifest: its sections are not those of the file");
	}
}

static void
test_message(void **state)
{
	static const char good[] = "{\"id\":\"00112233445566778899aabbccddeeff"
	    "\",\"author_id\":\"uid:0\",\"author_type\":\"user\",\"content\":"
	    "\"a\\nb\",\"state\":\"answered\",\"trace_id\":\"t\",\"error\":"
	    "\"\",\"created_at\":1700000000.25}";
	struct m_move_message m;
	struct texts t = { .n = 0 };
	char why[WHY_LEN];

	(void)state;
	assert_int_equal(record_message(good, sizeof(good) - 1, &m, &t, why),
	    0);
	assert_string_equal(m.content, "a\nb");
	assert_true(m.created_at == 1700000000.25);
	record_texts_free(&t);
	assert_int_equal(record_message("{}", 2, &m, &t, why), -1);
	assert_non_null(strstr(why, "id is missing"));
	record_texts_free(&t);
}

static void
test_event(void **state)
{
	static const char good[] = "{\"v\":1,\"id\":\"e\",\"trace_id\":null,"
	    "\"created_at\":1763836800.123457,\"kind\":\"llm_call\","
	    "\"tokens_in\":12,\"cost_usd\":0.000000000123,\"new\":[],"
	    "\"payload\":{\"a\":{\"b\":1}}}";
	struct m_trace_event m;
	struct texts t = { .n = 0 };
	const char *payload;
	char why[WHY_LEN];
	size_t n;

	(void)state;
	assert_int_equal(record_event(good, sizeof(good) - 1, &m, &t,
	    &payload, &n, why), 0);
	assert_int_equal(m.cost_pico, 123);
	assert_int_equal(m.tokens_in, 12);
	assert_int_equal(m.tokens_out, -1);
	assert_string_equal(m.trace_id, "");
	assert_int_equal(n, 13);
	assert_memory_equal(payload, "{\"a\":{\"b\":1}}", n);
	record_texts_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_bits),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_left_out),
		cmocka_unit_test(test_old_file),
		cmocka_unit_test(test_cut_tree),
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_event),
	};

	if (sodium_init() == -1)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

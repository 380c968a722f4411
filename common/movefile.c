/*
 * The framing of the file in which an agent moves.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover, agentctl.  Talks to: nobody.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "movefile.h"

static const char magic[] = "agentd-export\n";

_Static_assert(sizeof(magic) - 1 + 2 == MF_HEAD, "length of the head");
_Static_assert(crypto_hash_sha256_BYTES == 32, "length of a digest");

enum { S_HEAD, S_NAME, S_LEN, S_DATA, S_TAIL, S_END };

static const struct {
	const char	*name;
	uint64_t	 max;
} sections[MF_SECTIONS] = {
	[MF_RECORD] = { "record", 65536 },
	[MF_POLICY] = { "policy", 65536 },
	[MF_CHAT] = { "chat", 4ULL << 30 },
	[MF_TRACE] = { "trace", 64ULL << 30 },
	[MF_ROOTFS] = { "rootfs", 4ULL << 40 },
	[MF_MANIFEST] = { "manifest", MF_MANIFEST_MAX },
	[MF_SIGN] = { "sign", MF_SIGN_LEN },
};

const char *
mf_name(enum mf_section s)
{
	return sections[s].name;
}

int
mf_by_name(const char *name)
{
	int i;

	for (i = 0; i < MF_SECTIONS; i++)
		if (strcmp(name, sections[i].name) == 0)
			return i;
	return -1;
}

uint64_t
mf_max(enum mf_section s)
{
	return sections[s].max;
}

static void
put_be(uint8_t *p, uint64_t n, size_t bytes)
{
	while (bytes > 0) {
		p[--bytes] = (uint8_t)n;
		n >>= 8;
	}
}

static uint64_t
get_be(const uint8_t *p, size_t bytes)
{
	uint64_t n = 0;

	while (bytes-- > 0)
		n = n << 8 | *p++;
	return n;
}

void
mf_put_head(uint8_t out[MF_HEAD])
{
	memcpy(out, magic, sizeof(magic) - 1);
	put_be(out + sizeof(magic) - 1, MF_VERSION, 2);
}

void
mf_put_name(uint8_t out[MF_NAME], enum mf_section s)
{
	memset(out, 0, MF_NAME);
	memcpy(out, sections[s].name, strlen(sections[s].name));
}

void
mf_put_len(uint8_t out[MF_LEN], uint32_t n)
{
	put_be(out, n, MF_LEN);
}

uint32_t
mf_get_len(const uint8_t p[MF_LEN])
{
	return (uint32_t)get_be(p, MF_LEN);
}

void
mf_put_tail(uint8_t out[MF_TAIL], uint64_t size, const uint8_t sha256[32])
{
	put_be(out, 0, MF_LEN);
	put_be(out + MF_LEN, size, 8);
	memcpy(out + MF_LEN + 8, sha256, 32);
}

/* ---- reading ---- */

int
mf_fail(struct mf *f, const char *fmt, ...)
{
	char text[MF_WHY - 40];
	va_list ap;

	if (!f->failed) {
		va_start(ap, fmt);
		vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
		snprintf(f->why, sizeof(f->why), "at byte %" PRIu64 ": %s",
		    f->off, text);
	}
	f->failed = true;
	return -1;
}

static void
want(struct mf *f, int state, size_t need)
{
	f->state = state;
	f->need = need;
	f->have = 0;
}

void
mf_init(struct mf *f, mf_data data, void *arg)
{
	memset(f, 0, sizeof(*f));
	f->data = data;
	f->arg = arg;
	want(f, S_HEAD, MF_HEAD);
}

static int
on_head(struct mf *f)
{
	uint64_t version;

	if (memcmp(f->small, magic, sizeof(magic) - 1) != 0)
		return mf_fail(f, "this is not the file of an agent");
	version = get_be(f->small + sizeof(magic) - 1, 2);
	if (version != MF_VERSION)
		return mf_fail(f, "the file is of version %" PRIu64
		    ", only %d is known here", version, MF_VERSION);
	want(f, S_NAME, MF_NAME);
	return 0;
}

static int
on_name(struct mf *f)
{
	uint8_t name[MF_NAME];

	mf_put_name(name, f->at);
	if (memcmp(f->small, name, MF_NAME) != 0)
		return mf_fail(f, "expected the section %s, here is another",
		    sections[f->at].name);
	f->part[f->at].off = f->off;
	crypto_hash_sha256_init(&f->sha);
	want(f, S_LEN, MF_LEN);
	return 0;
}

static int
on_len(struct mf *f)
{
	struct mf_part *p = &f->part[f->at];

	f->left = mf_get_len(f->small);
	if (f->left > MF_CHUNK)
		return mf_fail(f, "section %s: a chunk of %u bytes, more than "
		    "%u are not allowed", sections[f->at].name, f->left,
		    MF_CHUNK);
	if (f->left > sections[f->at].max - p->size)
		return mf_fail(f, "section %s: more than %" PRIu64 " bytes",
		    sections[f->at].name, sections[f->at].max);
	if (f->left > 0) {
		f->state = S_DATA;
		return 0;
	}
	want(f, S_TAIL, MF_TAIL - MF_LEN);
	return 0;
}

static int
on_tail(struct mf *f)
{
	struct mf_part *p = &f->part[f->at];
	const char *name = sections[f->at].name;

	crypto_hash_sha256_final(&f->sha, p->sha256);
	if (get_be(f->small, 8) != p->size)
		return mf_fail(f, "section %s: its size is %" PRIu64 ", the "
		    "file says %" PRIu64, name, p->size, get_be(f->small, 8));
	if (memcmp(f->small + 8, p->sha256, 32) != 0)
		return mf_fail(f, "section %s: its SHA-256 is not the one in "
		    "the file", name);
	f->at++;
	if (f->at == MF_SECTIONS)
		f->state = S_END;
	else
		want(f, S_NAME, MF_NAME);
	return 0;
}

static int
take_data(struct mf *f, const uint8_t *p, size_t n)
{
	crypto_hash_sha256_update(&f->sha, p, n);
	f->part[f->at].size += n;
	f->left -= (uint32_t)n;
	if (f->data != NULL && f->data(f->arg, f->at, p, n) == -1)
		return mf_fail(f, "section %s cannot be used",
		    sections[f->at].name);
	f->off += n;
	if (f->left == 0)
		want(f, S_LEN, MF_LEN);
	return 0;
}

static int
step(struct mf *f)
{
	switch (f->state) {
	case S_HEAD:
		return on_head(f);
	case S_NAME:
		return on_name(f);
	case S_LEN:
		return on_len(f);
	default:
		return on_tail(f);
	}
}

int
mf_feed(struct mf *f, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t n;

	if (f->failed)
		return -1;
	while (len > 0) {
		if (f->state == S_END)
			return mf_fail(f, "there are bytes behind the end");
		n = f->state == S_DATA ? f->left : f->need - f->have;
		if (n > len)
			n = len;
		if (f->state == S_DATA) {
			if (take_data(f, p, n) == -1)
				return -1;
		} else {
			memcpy(f->small + f->have, p, n);
			f->have += n;
			f->off += n;
			if (f->have == f->need && step(f) == -1)
				return -1;
		}
		p += n;
		len -= n;
	}
	return 0;
}

int
mf_end(struct mf *f)
{
	if (f->failed)
		return -1;
	if (f->state == S_END)
		return 0;
	if (f->state == S_HEAD)
		return mf_fail(f, "the file ends in its head");
	return mf_fail(f, "the file ends in section %s",
	    sections[f->at].name);
}

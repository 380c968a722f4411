/*
 * Headers of tar members.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 *
 * Read is what Go's archive/tar writes (Incus uses it): ustar with pax
 * records.  GNU's own forms are refused; nobody we know writes them here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "tarhead.h"

#define OCTAL_UID	07777777ULL
#define OCTAL_SIZE	077777777777ULL
#define ID_MAX		4294967294ULL
#define SIZE_LIMIT	(1ULL << 50)
#define XATTR		"SCHILY.xattr."

/* Places of the fields of a ustar header. */
enum {
	AT_NAME = 0, AT_MODE = 100, AT_UID = 108, AT_GID = 116, AT_SIZE = 124,
	AT_MTIME = 136, AT_SUM = 148, AT_TYPE = 156, AT_LINK = 157,
	AT_MAGIC = 257, AT_PREFIX = 345, AT_END = 500
};

bool
tarhead_is_zero(const uint8_t b[TAR_BLOCK])
{
	size_t i;

	for (i = 0; i < TAR_BLOCK; i++)
		if (b[i] != 0)
			return false;
	return true;
}

/* Octal digits, then NULs or blanks: 0 or -1. */
static int
octal(const uint8_t *p, size_t n, uint64_t *out)
{
	size_t i = 0;

	*out = 0;
	while (i < n && p[i] == ' ')
		i++;
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		*out = *out << 3 | (uint64_t)(p[i] - '0');
	for (; i < n; i++)
		if (p[i] != '\0' && p[i] != ' ')
			return -1;
	return 0;
}

static uint64_t
checksum(const uint8_t b[TAR_BLOCK])
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < TAR_BLOCK; i++)
		sum += i >= AT_SUM && i < AT_SUM + 8 ? ' ' : b[i];
	return sum;
}

/* A field that ends with a NUL or with its room. */
static size_t
field(char *out, const uint8_t *p, size_t n)
{
	size_t len = strnlen((const char *)p, n);

	memcpy(out, p, len);
	out[len] = '\0';
	return len;
}

static void
read_names(const uint8_t b[TAR_BLOCK], struct tar_member *m)
{
	size_t n = 0;

	if (b[AT_PREFIX] != '\0') {
		n = field(m->path, b + AT_PREFIX, 155);
		m->path[n++] = '/';
	}
	(void)field(m->path + n, b + AT_NAME, 100);
	(void)field(m->link, b + AT_LINK, 100);
}

const char *
tarhead_read(const uint8_t b[TAR_BLOCK], struct tar_member *m)
{
	uint64_t sum, mode, mtime;

	free(m->xattr);
	memset(m, 0, sizeof(*m));
	if (octal(b + AT_SUM, 8, &sum) == -1 || sum != checksum(b))
		return "a header has a wrong checksum";
	if (memcmp(b + AT_MAGIC, "ustar\0" "00", 8) != 0)
		return "a header is not of the POSIX form";
	if (octal(b + AT_MODE, 8, &mode) == -1 ||
	    octal(b + AT_UID, 8, &m->uid) == -1 ||
	    octal(b + AT_GID, 8, &m->gid) == -1 ||
	    octal(b + AT_SIZE, 12, &m->size) == -1 ||
	    octal(b + AT_MTIME, 12, &mtime) == -1)
		return "a header has a number that is none";
	m->mode = (uint32_t)(mode & 07777);
	(void)snprintf(m->mtime, sizeof(m->mtime), "%" PRIu64, mtime);
	m->type = b[AT_TYPE] == '\0' ? '0' : (char)b[AT_TYPE];
	read_names(b, m);
	return NULL;
}

/* ---- pax records ---- */

static int
decimal(const char *s, size_t n, uint64_t max, uint64_t *out)
{
	size_t i;

	*out = 0;
	if (n == 0 || n > 19)
		return -1;
	for (i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		*out = *out * 10 + (uint64_t)(s[i] - '0');
	}
	return *out <= max ? 0 : -1;
}

/* Seconds since the epoch, with up to nine places. */
static int
set_mtime(struct tar_member *m, const char *v, size_t n)
{
	const char *dot = memchr(v, '.', n);
	size_t whole = dot == NULL ? n : (size_t)(dot - v);
	uint64_t x;

	if (n >= TAR_MTIME || decimal(v, whole, OCTAL_SIZE, &x) == -1)
		return -1;
	if (dot != NULL && (n - whole - 1 > 9 ||
	    decimal(dot + 1, n - whole - 1, 999999999, &x) == -1))
		return -1;
	memcpy(m->mtime, v, n);
	m->mtime[n] = '\0';
	return 0;
}

static int
set_path(char out[TAR_PATH], const char *v, size_t n)
{
	if (n == 0 || n >= TAR_PATH || memchr(v, '\0', n) != NULL)
		return -1;
	memcpy(out, v, n);
	out[n] = '\0';
	return 0;
}

/* Whom these attributes give what is the same on every server. */
static bool
xattr_moves(const char *name, size_t n)
{
	static const char *const good[] = { "security.capability",
	    "system.posix_acl_access", "system.posix_acl_default" };
	size_t i;

	if (n > 5 && n < 256 && memcmp(name, "user.", 5) == 0 &&
	    memchr(name, '\0', n) == NULL)
		return true;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (strlen(good[i]) == n && memcmp(good[i], name, n) == 0)
			return true;
	return false;
}

static void
add_xattr(struct tar_member *m, const char *record, size_t n)
{
	char *p;

	if ((p = realloc(m->xattr, m->xattrlen + n)) == NULL)
		fatal("attribute of a file");
	memcpy(p + m->xattrlen, record, n);
	m->xattr = p;
	m->xattrlen += n;
}

static bool
is(const char *key, size_t n, const char *name)
{
	return strlen(name) == n && memcmp(key, name, n) == 0;
}

static const char *
one_record(struct tar_member *m, const char *rec, size_t reclen,
    const char *key, size_t klen, const char *v, size_t n, bool strict,
    uint64_t *left_out)
{
	const size_t xlen = strlen(XATTR);

	if (is(key, klen, "path"))
		return set_path(m->path, v, n) == -1 ?
		    "a path that is too long or broken" : NULL;
	if (is(key, klen, "linkpath"))
		return set_path(m->link, v, n) == -1 ?
		    "the target of a link is too long or broken" : NULL;
	if (is(key, klen, "size"))
		return decimal(v, n, SIZE_LIMIT, &m->size) == -1 ?
		    "a size that is none" : NULL;
	if (is(key, klen, "uid") || is(key, klen, "gid"))
		return decimal(v, n, ID_MAX, key[0] == 'u' ? &m->uid :
		    &m->gid) == -1 ? "an owner that is none" : NULL;
	if (is(key, klen, "mtime")) {
		if (set_mtime(m, v, n) == 0)
			return NULL;
		/* Before 1970, say: the header has another one. */
		(*left_out)++;
		return strict ? "a time that is none" : NULL;
	}
	if (is(key, klen, "atime") || is(key, klen, "ctime") ||
	    is(key, klen, "uname") || is(key, klen, "gname"))
		return NULL;
	if (klen > xlen && memcmp(key, XATTR, xlen) == 0) {
		if (xattr_moves(key + xlen, klen - xlen))
			add_xattr(m, rec, reclen);
		else if (strict)
			return "an extended attribute that is not allowed";
		else
			(*left_out)++;
		return NULL;
	}
	return "an extended header that is not known";
}

const char *
tarhead_pax(struct tar_member *m, const char *p, size_t len, bool strict,
    uint64_t *left_out)
{
	const char *blank, *eq, *why;
	uint64_t n;

	while (len > 0) {
		blank = memchr(p, ' ', len > 8 ? 8 : len);
		if (blank == NULL || decimal(p, (size_t)(blank - p), len,
		    &n) == -1 || n < (size_t)(blank - p) + 4 ||
		    p[n - 1] != '\n' || p[0] == '0')
			return "a broken extended header";
		blank++;
		eq = memchr(blank, '=', (size_t)(p + n - blank));
		if (eq == NULL || eq == blank)
			return "a broken extended header";
		why = one_record(m, p, n, blank, (size_t)(eq - blank), eq + 1,
		    (size_t)(p + n - 1 - (eq + 1)), strict, left_out);
		if (why != NULL)
			return why;
		p += n;
		len -= n;
	}
	return NULL;
}

/* ---- writing ---- */

static void
put_octal(uint8_t *p, size_t n, uint64_t v)
{
	p[--n] = '\0';
	while (n > 0) {
		p[--n] = (uint8_t)('0' + (v & 7));
		v >>= 3;
	}
}

static int
put_header(char type, const char *path, const char *link, uint32_t mode,
    uint64_t uid, uint64_t gid, uint64_t size, uint64_t mtime, tar_sink sink,
    void *arg)
{
	uint8_t b[TAR_BLOCK] = { 0 };

	memcpy(b + AT_NAME, path, strnlen(path, 100));
	memcpy(b + AT_LINK, link, strnlen(link, 100));
	put_octal(b + AT_MODE, 8, mode);
	put_octal(b + AT_UID, 8, uid > OCTAL_UID ? 0 : uid);
	put_octal(b + AT_GID, 8, gid > OCTAL_UID ? 0 : gid);
	put_octal(b + AT_SIZE, 12, size > OCTAL_SIZE ? 0 : size);
	put_octal(b + AT_MTIME, 12, mtime);
	b[AT_TYPE] = (uint8_t)type;
	memcpy(b + AT_MAGIC, "ustar\0" "00", 8);
	put_octal(b + AT_SUM, 7, checksum(b));
	b[AT_SUM + 7] = ' ';
	return sink(arg, b, sizeof(b));
}

/* Pads what has n bytes to whole blocks. */
static int
pad(uint64_t n, tar_sink sink, void *arg)
{
	static const uint8_t zero[TAR_BLOCK];
	size_t over = (size_t)(n % TAR_BLOCK);

	return over == 0 ? 0 : sink(arg, zero, TAR_BLOCK - over);
}

struct records {
	char	*p;
	size_t	 len;
};

/* "LEN key=value\n", where LEN counts itself. */
static void
put_record(struct records *r, const char *key, const char *value)
{
	size_t body = strlen(key) + strlen(value) + 3, len = body + 1, was;
	char digits[24], *p;

	do {
		was = len;
		len = body + (size_t)snprintf(digits, sizeof(digits), "%zu",
		    was);
	} while (len != was);
	if ((p = realloc(r->p, r->len + len + 1)) == NULL)
		fatal("header of a file");
	(void)snprintf(p + r->len, len + 1, "%zu %s=%s\n", len, key, value);
	r->p = p;
	r->len += len;
}

static void
put_number(struct records *r, const char *key, uint64_t n)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%" PRIu64, n);
	put_record(r, key, text);
}

static void
collect(struct records *r, const struct tar_member *m)
{
	if (strlen(m->path) > 100)
		put_record(r, "path", m->path);
	if (strlen(m->link) > 100)
		put_record(r, "linkpath", m->link);
	if (m->size > OCTAL_SIZE)
		put_number(r, "size", m->size);
	if (m->uid > OCTAL_UID)
		put_number(r, "uid", m->uid);
	if (m->gid > OCTAL_UID)
		put_number(r, "gid", m->gid);
	if (strchr(m->mtime, '.') != NULL)
		put_record(r, "mtime", m->mtime);
}

int
tarhead_write(const struct tar_member *m, tar_sink sink, void *arg)
{
	struct records r = { NULL, 0 };
	uint64_t mtime = strtoull(m->mtime, NULL, 10), len;
	int ret = 0;

	collect(&r, m);
	len = r.len + m->xattrlen;
	if (len > 0) {
		ret = put_header('x', "PaxHeaders/member", "", 0644, 0, 0, len,
		    mtime, sink, arg);
		if (ret == 0 && r.len > 0)
			ret = sink(arg, r.p, r.len);
		if (ret == 0 && m->xattrlen > 0)
			ret = sink(arg, m->xattr, m->xattrlen);
		if (ret == 0)
			ret = pad(len, sink, arg);
	}
	free(r.p);
	if (ret == 0)
		ret = put_header(m->type, m->path, m->link, m->mode, m->uid,
		    m->gid, m->size, mtime, sink, arg);
	return ret;
}

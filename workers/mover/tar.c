/*
 * A file tree as a tar archive, checked member by member.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "set.h"
#include "tar.h"
#include "tarhead.h"

#define ROOT		"rootfs"
#define SHOWN		120		/* bytes of a path in an error */

enum { T_HEAD, T_PAX, T_DATA, T_PAD, T_OVER };

struct tar {
	bool		 strict;
	uint64_t	 max;
	tar_sink	 sink;
	void		*arg;
	int		 state;
	uint8_t		 block[TAR_BLOCK];
	size_t		 have;
	struct tar_member m;
	char		*pax;		/* TAR_PAX bytes; NULL: none yet */
	size_t		 paxlen, paxwant;
	bool		 has_pax;
	uint64_t	 left;		/* of data or of pax, then of padding */
	bool		 skip;		/* this member is left out */
	char		 prev[TAR_PATH];	/* the member before */
	bool		 prev_dir;
	unsigned	 zeros;
	struct set	*files;		/* regular ones, for hard links */
	uint64_t	 written, members, left_out;
	char		 why[TAR_WHY];
};

static int	 fail(struct tar *, const char *, ...)
		    __attribute__((format(printf, 2, 3)));

static int
fail(struct tar *t, const char *fmt, ...)
{
	va_list ap;
	size_t i;

	if (t->why[0] != '\0')
		return -1;
	va_start(ap, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
	for (i = 0; t->why[i] != '\0'; i++)
		if (t->why[i] < 0x20 || t->why[i] > 0x7e)
			t->why[i] = '?';
	return -1;
}

/* Of this member: its name with the reason. */
static int
fail_at(struct tar *t, const char *why)
{
	return fail(t, "%.*s: %s", SHOWN, t->m.path, why);
}

struct tar *
tar_new(bool strict, uint64_t max, tar_sink sink, void *arg)
{
	struct tar *t;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		fatal("archive");
	t->strict = strict;
	t->max = max;
	t->sink = sink;
	t->arg = arg;
	t->files = set_new(TAR_MEMBERS);
	return t;
}

void
tar_free(struct tar *t)
{
	if (t == NULL)
		return;
	set_free(t->files);
	free(t->m.xattr);
	free(t->pax);
	free(t);
}

static int
put(void *arg, const void *data, size_t len)
{
	struct tar *t = arg;

	if (len > t->max - t->written)
		return fail(t, "the files have more than %" PRIu64
		    " bytes in all", t->max);
	t->written += len;
	return t->sink(t->arg, data, len) == -1 ?
	    fail(t, "it cannot be written") : 0;
}

static int
put_zeros(struct tar *t, size_t n)
{
	static const uint8_t zero[2 * TAR_BLOCK];

	return n == 0 ? 0 : put(t, zero, n);
}

int
tar_add(struct tar *t, const char *name, const char *text)
{
	size_t len = strlen(text);
	struct tar_member m = { .type = '0', .mode = 0644, .size = len,
	    .mtime = "0" };

	(void)strlcpy(m.path, name, sizeof(m.path));
	if (tarhead_write(&m, put, t) == -1 || put(t, text, len) == -1)
		return -1;
	return put_zeros(t, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

/* ---- the rules ---- */

static const char *
bad_path(const char *path)
{
	const char *p = path;
	size_t n;

	do {
		n = strcspn(p, "/");
		if (n == 0)
			return "an absolute path or an empty part in it";
		if (n > 255)
			return "a part of the path is over 255 bytes";
		if ((n == 1 && p[0] == '.') ||
		    (n == 2 && p[0] == '.' && p[1] == '.'))
			return "a path with . or .. in it";
		p += n;
	} while (*p++ == '/');
	return NULL;
}

/*
 * In order, below a directory that came before, and never twice: the walk
 * goes into depth and names rise within each directory.
 */
static const char *
bad_place(const struct tar *t)
{
	const char *a = t->prev, *b = t->m.path, *pa, *pb;
	size_t na, nb;

	if (a[0] == '\0')
		return strcmp(b, ROOT) == 0 && t->m.type == '5' ? NULL :
		    "the tree must begin with the directory " ROOT;
	pa = a;
	pb = b;
	for (;;) {
		na = strcspn(pa, "/");
		nb = strcspn(pb, "/");
		if (na != nb || memcmp(pa, pb, na) != 0)
			break;
		if (pb[nb] == '\0')
			return "it comes twice, or out of order";
		if (pa[na] == '\0') {
			/* Directly below the member before. */
			if (!t->prev_dir)
				return "it lies below what is no directory";
			return strchr(pb + nb + 1, '/') == NULL ? NULL :
			    "its directory is missing";
		}
		pa += na + 1;
		pb += nb + 1;
	}
	if (pb[nb] != '\0')
		return "its directory is missing or out of order";
	if (pb == b)
		return "it is outside of " ROOT;
	na = na < nb ? na : nb;
	/* Bytes compare as in the walk; of equal beginnings the longer last. */
	if (memcmp(pa, pb, na) > 0 || (memcmp(pa, pb, na) == 0 &&
	    strcspn(pa, "/") > nb))
		return "it comes out of order";
	return NULL;
}

/* NULL, or why this member cannot be in a file tree that moves. */
static const char *
bad_kind(struct tar *t)
{
	switch (t->m.type) {
	case '0':
		return NULL;
	case '1':
		if (set_has(t->files, t->m.link))
			return NULL;
		return "a hard link to what is no file before it";
	case '2':
		return t->m.link[0] != '\0' ? NULL :
		    "a symbolic link without a target";
	case '3':
	case '4':
		return "a device";
	case '5':
	case '6':
		return NULL;
	default:
		return "a kind of file that is not known";
	}
}

static bool
in_tree(const char *path)
{
	const size_t n = strlen(ROOT);

	return strncmp(path, ROOT, n) == 0 &&
	    (path[n] == '\0' || path[n] == '/');
}

/* Decides on a member whose header is complete. */
static int
judge(struct tar *t)
{
	struct tar_member *m = &t->m;
	const char *why;
	size_t n = strlen(m->path);

	if (m->type == '5' && n > 0 && m->path[n - 1] == '/')
		m->path[n - 1] = '\0';
	t->left = m->type == '0' ? m->size : 0;
	if (m->type != '0' && m->size != 0)
		return fail_at(t, "it has data, but is no file");
	t->skip = !in_tree(m->path) && !t->strict;
	if (t->skip)
		return 0;
	if ((why = bad_path(m->path)) != NULL || (why = bad_place(t)) != NULL)
		return fail_at(t, why);
	if ((why = bad_kind(t)) != NULL) {
		if (t->strict || strchr("0123456", m->type) == NULL)
			return fail_at(t, why);
		t->skip = true;
		t->left_out++;
		return 0;
	}
	if (m->type != '1' && m->type != '2')
		m->link[0] = '\0';
	if (++t->members > TAR_MEMBERS ||
	    (m->type == '0' && set_add(t->files, m->path) == -1))
		return fail(t, "more than %d files", TAR_MEMBERS);
	(void)strlcpy(t->prev, m->path, sizeof(t->prev));
	t->prev_dir = m->type == '5';
	return tarhead_write(m, put, t);
}

/* ---- reading ---- */

static int
begin_pax(struct tar *t)
{
	if (t->has_pax || t->m.size == 0 || t->m.size > TAR_PAX)
		return fail(t, "an extended header that is empty, double or "
		    "over %d bytes", TAR_PAX);
	if (t->pax == NULL && (t->pax = malloc(TAR_PAX)) == NULL)
		fatal("archive");
	t->paxlen = 0;
	t->paxwant = (size_t)t->m.size;
	t->left = (t->m.size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
	t->has_pax = true;
	t->state = T_PAX;
	return 0;
}

static int
on_block(struct tar *t)
{
	const char *why;

	if (tarhead_is_zero(t->block)) {
		if (t->has_pax)
			return fail(t, "an extended header of nothing");
		if (++t->zeros == 2)
			t->state = T_OVER;
		return 0;
	}
	if (t->zeros > 0)
		return fail(t, "an empty header in the middle");
	if ((why = tarhead_read(t->block, &t->m)) != NULL)
		return fail(t, "%s, after %.*s", why, SHOWN,
		    t->prev[0] != '\0' ? t->prev : "its beginning");
	if (t->m.type == 'x')
		return begin_pax(t);
	if (t->has_pax) {
		why = tarhead_pax(&t->m, t->pax, t->paxwant, t->strict,
		    &t->left_out);
		t->has_pax = false;
		if (why != NULL)
			return fail_at(t, why);
	}
	if (judge(t) == -1)
		return -1;
	t->state = t->left > 0 ? T_DATA : T_HEAD;
	return 0;
}

static size_t
feed_block(struct tar *t, const uint8_t *p, size_t len)
{
	size_t n = TAR_BLOCK - t->have;

	if (n > len)
		n = len;
	memcpy(t->block + t->have, p, n);
	t->have += n;
	if (t->have == TAR_BLOCK) {
		t->have = 0;
		(void)on_block(t);
	}
	return n;
}

static size_t
feed_pax(struct tar *t, const uint8_t *p, size_t len)
{
	size_t n = len < t->left ? len : (size_t)t->left, keep;

	keep = t->paxwant - t->paxlen;
	if (keep > n)
		keep = n;
	memcpy(t->pax + t->paxlen, p, keep);
	t->paxlen += keep;
	t->left -= n;
	if (t->left == 0)
		t->state = T_HEAD;
	return n;
}

static size_t
feed_data(struct tar *t, const uint8_t *p, size_t len)
{
	size_t n = len < t->left ? len : (size_t)t->left, over;

	t->left -= n;
	if (!t->skip && put(t, p, n) == -1)
		return n;
	if (t->left > 0)
		return n;
	over = (size_t)(t->m.size % TAR_BLOCK);
	t->left = over == 0 ? 0 : TAR_BLOCK - over;
	t->state = t->left > 0 ? T_PAD : T_HEAD;
	if (!t->skip)
		(void)put_zeros(t, (size_t)t->left);
	return n;
}

/* Padding: what it holds does not matter, it is not passed on. */
static size_t
feed_pad(struct tar *t, size_t len)
{
	size_t n = len < t->left ? len : (size_t)t->left;

	t->left -= n;
	if (t->left == 0)
		t->state = T_HEAD;
	return n;
}

/* Blocks of zeros fill the last record. */
static size_t
feed_over(struct tar *t, const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != 0)
			(void)fail(t, "there is something behind its end");
	return len;
}

int
tar_feed(struct tar *t, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t n;

	while (len > 0 && t->why[0] == '\0') {
		switch (t->state) {
		case T_HEAD:
			n = feed_block(t, p, len);
			break;
		case T_PAX:
			n = feed_pax(t, p, len);
			break;
		case T_DATA:
			n = feed_data(t, p, len);
			break;
		case T_PAD:
			n = feed_pad(t, len);
			break;
		default:
			n = feed_over(t, p, len);
			break;
		}
		p += n;
		len -= n;
	}
	return t->why[0] == '\0' ? 0 : -1;
}

int
tar_end(struct tar *t)
{
	if (t->why[0] != '\0')
		return -1;
	if (t->state != T_OVER)
		return fail(t, "the archive of the files is cut off, after "
		    "%.*s", SHOWN, t->prev[0] != '\0' ? t->prev :
		    "its beginning");
	if (t->prev[0] == '\0')
		return fail(t, "there are no files");
	return put_zeros(t, 2 * TAR_BLOCK);
}

const char *
tar_why(const struct tar *t)
{
	return t->why;
}

uint64_t
tar_written(const struct tar *t)
{
	return t->written;
}

uint64_t
tar_members(const struct tar *t)
{
	return t->members;
}

uint64_t
tar_left_out(const struct tar *t)
{
	return t->left_out;
}

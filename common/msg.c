/*
 * The message table and the one codec that serves every payload.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 *
 * On the wire integers are in host order (both ends are on one machine); a
 * string is a u32 length, its bytes and a NUL; bytes are the same without the
 * NUL.
 */
#include <sys/types.h>

#include <errno.h>
#include <string.h>

#include "msg.h"
#include "msg_digest.h"

/* The memory layout; CUR is the payload struct at hand. */
#define F_U32(n)	{ #n, MK_U32, offsetof(CUR, n), 0 },
#define F_U64(n)	{ #n, MK_U64, offsetof(CUR, n), 0 },
#define F_I64(n)	{ #n, MK_I64, offsetof(CUR, n), 0 },
#define F_F64(n)	{ #n, MK_F64, offsetof(CUR, n), 0 },
#define F_STR(n, max)	{ #n, MK_STR, offsetof(CUR, n), max },
#define F_BYTES(n, max)	{ #n, MK_BYTES, offsetof(CUR, n), max },
#define PAYLOAD(payload, list)						\
static const struct msg_layout *					\
layout_##payload(void)							\
{									\
	typedef struct m_##payload CUR;					\
	/* NOLINTNEXTLINE(bugprone-macro-parentheses): initialisers */	\
	static const struct msg_field fields[] = { list { NULL, 0, 0, 0 } }; \
	static struct msg_layout layout = {				\
		#payload, fields, sizeof(fields) / sizeof(fields[0]) - 1, \
		sizeof(CUR), 0						\
	};								\
	return layout_max(&layout);					\
}
#define MSG(name, from, to, payload, flags)

static size_t
field_max(const struct msg_field *f)
{
	switch (f->kind) {
	case MK_U32:
		return 4;
	case MK_U64:
	case MK_I64:
	case MK_F64:
		return 8;
	case MK_STR:
		return 4 + f->max + 1;
	case MK_BYTES:
		return 4 + f->max;
	}
	return 0;
}

static const struct msg_layout *
layout_max(struct msg_layout *l)
{
	size_t i;

	if (l->max == 0)
		for (i = 0; i < l->nfields; i++)
			l->max += field_max(&l->fields[i]);
	return l;
}

#include "msg.def"
#undef F_U32
#undef F_U64
#undef F_I64
#undef F_F64
#undef F_STR
#undef F_BYTES

static const struct msg_desc table[MSG_MAX] = {
#define PAYLOAD(name, fields)
#define MSG(name, from, to, payload, flags)				\
	[MSG_##name] = { #name, layout_##payload, from, to, flags },
#include "msg.def"
};

static const char *const proc_names[PROC_MAX] = {
	[PROC_SUPER] = "supervisor",
	[PROC_FRONT] = "front",
	[PROC_KEEPER] = "keeper",
	[PROC_GATEWAY] = "gateway",
	[PROC_UPSTREAM] = "upstream",
	[PROC_DIALER] = "dialer",
	[PROC_PROXY] = "proxy",
	[PROC_CONTAINER] = "container",
	[PROC_TRACE] = "trace",
	[PROC_MOVER] = "mover",
};

const struct msg_desc *
msg_desc(uint32_t type)
{
	if (type == MSG_NONE || type >= MSG_MAX)
		return NULL;
	return &table[type];
}

const char *
msg_name(uint32_t type)
{
	const struct msg_desc *d = msg_desc(type);

	return d == NULL ? "unknown" : d->name;
}

size_t
msg_max(uint32_t type)
{
	const struct msg_desc *d = msg_desc(type);

	return d == NULL ? 0 : d->layout()->max;
}

const char *
proc_name(enum proc p)
{
	return (unsigned int)p < PROC_MAX ? proc_names[p] : "unknown";
}

int
proc_by_name(const char *name)
{
	int i;

	for (i = 0; i < PROC_MAX; i++)
		if (strcmp(proc_names[i], name) == 0)
			return i;
	return -1;
}

bool
msg_allowed(uint32_t type, enum proc from, enum proc to)
{
	const struct msg_desc *d = msg_desc(type);

	return d != NULL && from != to && (d->from & (1U << from)) != 0 &&
	    (d->to & (1U << to)) != 0;
}

bool
msg_edge(enum proc a, enum proc b)
{
	uint32_t type;

	/*
	 * Answers and CANCEL name many processes at once; only a request or
	 * an unasked message makes an edge.
	 */
	for (type = MSG_NONE + 1; type < MSG_MAX; type++) {
		if (table[type].flags & M_REP || type == MSG_CANCEL ||
		    type == MSG_LLM_WINDOW)
			continue;
		if (msg_allowed(type, a, b) || msg_allowed(type, b, a))
			return true;
	}
	return false;
}

const char *
msg_table_digest(void)
{
	return MSG_TABLE_DIGEST;
}

/* Addresses inside a payload struct. */
static const void *
at(const void *base, const struct msg_field *f)
{
	return (const uint8_t *)base + f->offset;
}

ssize_t
msg_encoded_size(uint32_t type, const void *payload)
{
	const struct msg_layout *l = msg_desc(type)->layout();
	const struct msg_field *f;
	const struct msg_bytes *b;
	const char *s;
	size_t i, len, total = 0;

	for (i = 0; i < l->nfields; i++) {
		f = &l->fields[i];
		if (f->kind == MK_STR) {
			memcpy(&s, at(payload, f), sizeof(s));
			len = s == NULL ? 0 : strlen(s);
			total += 4 + len + 1;
		} else if (f->kind == MK_BYTES) {
			b = at(payload, f);
			len = b->len;
			total += 4 + len;
		} else {
			len = 0;
			total += field_max(f);
		}
		if (len > f->max) {
			errno = EMSGSIZE;
			return -1;
		}
	}
	return (ssize_t)total;
}

static uint8_t *
put(uint8_t *p, const void *data, size_t len)
{
	if (len > 0)
		memcpy(p, data, len);
	return p + len;
}

void
msg_encode(uint32_t type, const void *payload, uint8_t *p)
{
	const struct msg_layout *l = msg_desc(type)->layout();
	const struct msg_field *f;
	const struct msg_bytes *b;
	const char *s;
	uint32_t len;
	size_t i;

	for (i = 0; i < l->nfields; i++) {
		f = &l->fields[i];
		if (f->kind == MK_STR) {
			memcpy(&s, at(payload, f), sizeof(s));
			if (s == NULL)
				s = "";
			len = (uint32_t)strlen(s);
			p = put(p, &len, sizeof(len));
			p = put(p, s, (size_t)len + 1);
		} else if (f->kind == MK_BYTES) {
			b = at(payload, f);
			len = (uint32_t)b->len;
			p = put(p, &len, sizeof(len));
			p = put(p, b->ptr, len);
		} else {
			p = put(p, at(payload, f), field_max(f));
		}
	}
}

/* Takes n bytes off the front of what is left, NULL if there are fewer. */
static const uint8_t *
take(const uint8_t **p, size_t *left, size_t n)
{
	const uint8_t *q = *p;

	if (*left < n)
		return NULL;
	*p += n;
	*left -= n;
	return q;
}

static int
decode_field(const struct msg_field *f, const uint8_t **p, size_t *left,
    uint8_t *out)
{
	const uint8_t *q;
	struct msg_bytes b;
	const char *s;
	uint32_t len;

	if (f->kind != MK_STR && f->kind != MK_BYTES) {
		if ((q = take(p, left, field_max(f))) == NULL)
			return -1;
		memcpy(out, q, field_max(f));
		return 0;
	}
	if ((q = take(p, left, sizeof(len))) == NULL)
		return -1;
	memcpy(&len, q, sizeof(len));
	if (len > f->max)
		return -1;
	if (f->kind == MK_BYTES) {
		if ((q = take(p, left, len)) == NULL)
			return -1;
		b.ptr = q;
		b.len = len;
		memcpy(out, &b, sizeof(b));
		return 0;
	}
	if ((q = take(p, left, (size_t)len + 1)) == NULL)
		return -1;
	/* One NUL, at the end: a string has one meaning on both sides. */
	if (memchr(q, '\0', (size_t)len + 1) != q + len)
		return -1;
	s = (const char *)q;
	memcpy(out, &s, sizeof(s));
	return 0;
}

int
msg_decode(uint32_t type, const uint8_t *buf, size_t len, union msg_any *out)
{
	const struct msg_layout *l = msg_desc(type)->layout();
	const uint8_t *p = buf;
	size_t i, left = len;

	memset(out, 0, l->size);
	for (i = 0; i < l->nfields; i++)
		if (decode_field(&l->fields[i], &p, &left,
		    (uint8_t *)out + l->fields[i].offset) == -1) {
			errno = EBADMSG;
			return -1;
		}
	if (left != 0) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

/*
 * One value of a request, as text or JSON, into its field of a message.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fields.h"
#include "log.h"
#include "sys.h"

static void *
at(const struct slot *s)
{
	return ((char *)&s->a->u + s->f->off);
}

void
fields_put_str(const struct slot *s, const char *v)
{
	memcpy(at(s), &v, sizeof(v));
}

void
fields_put_u32(const struct slot *s, uint32_t v)
{
	memcpy(at(s), &v, sizeof(v));
}

/* F_U64 and F_I64 alike. */
void
fields_put_64(const struct slot *s, int64_t v)
{
	memcpy(at(s), &v, sizeof(v));
}

static void
put_time(const struct slot *s, double v)
{
	memcpy(at(s), &v, sizeof(v));
}

/* Keep text until fields_free(); NULL when there is no room or memory. */
static char *
own(struct args *a, const char *text)
{
	char *p;

	if (a->nown == FIELDS_OWN || (p = strdup(text)) == NULL)
		return (NULL);
	a->own[a->nown++] = p;
	return (p);
}

int
fields_bad(const struct slot *s, const char *what)
{
	(void)json_fail(s->err, s->f->name, "%s %s", s->f->name, what);
	return (-1);
}

int
fields_size(const char *text, uint64_t *out)
{
	static const struct {
		const char	*suffix;
		uint64_t	 unit;
	} units[] = {
		{ "", 1 }, { "B", 1 },
		{ "kB", 1000 }, { "KB", 1000 }, { "MB", 1000000 },
		{ "GB", 1000000000 }, { "TB", 1000000000000 },
		{ "KiB", 1ULL << 10 }, { "MiB", 1ULL << 20 },
		{ "GiB", 1ULL << 30 }, { "TiB", 1ULL << 40 },
	};
	uint64_t n = 0;
	const char *p = text;
	size_t i;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (p - text == 18)
			return (-1);
		n = n * 10 + (uint64_t)(*p - '0');
	}
	if (p == text)
		return (-1);
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strcmp(p, units[i].suffix) == 0) {
			if (n > INT64_MAX / units[i].unit)
				return (-1);
			*out = n * units[i].unit;
			return (0);
		}
	return (-1);
}

static int
set_int(const struct slot *s, int64_t v)
{
	if (v < s->f->min || v > s->f->max) {
		(void)json_fail(s->err, s->f->name, "%s must be %lld to %lld",
		    s->f->name, (long long)s->f->min, (long long)s->f->max);
		return (-1);
	}
	if (s->f->type == FT_U32)
		fields_put_u32(s, (uint32_t)v);
	else
		fields_put_64(s, v);
	return (0);
}

static int
set_double(const struct slot *s, double v)
{
	if (!isfinite(v) || v < (double)s->f->min || v > (double)s->f->max)
		return (fields_bad(s, "is out of range"));
	if (s->f->type == FT_COST)
		fields_put_64(s, (int64_t)(v * 1e12 + 0.5));
	else
		put_time(s, v);
	return (0);
}

static int
set_size(const struct slot *s, const char *v)
{
	uint64_t n;

	if (fields_size(v, &n) == -1)
		return (fields_bad(s, "must be a size, such as 512MiB or 2GB"));
	return (set_int(s, (int64_t)n));
}

/* Text that lives as long as the args. */
static int
set_str(const struct slot *s, const char *v)
{
	size_t len = strlen(v);
	int level;

	switch (s->f->type) {
	case FT_SLUG:
		if (!sys_is_slug(v))
			return (fields_bad(s, "is not the name of an agent"));
		break;
	case FT_ID:
		if (!sys_is_id(v))
			return (fields_bad(s, "must be 32 hex digits"));
		break;
	case FT_LEVEL:
		if ((level = log_level_by_name(v)) == -1)
			return (fields_bad(s, "must be error, warn, info or debug"));
		fields_put_u32(s, (uint32_t)level);
		return (0);
	default:
		if (len < (size_t)s->f->min || len > (size_t)s->f->max) {
			(void)json_fail(s->err, s->f->name,
			    "%s must have %lld to %lld bytes", s->f->name,
			    (long long)s->f->min, (long long)s->f->max);
			return (-1);
		}
	}
	fields_put_str(s, v);
	return (0);
}

static int
number(const struct slot *s, const char *v)
{
	char *end;
	long long n;
	double d;

	if (s->f->type == FT_TIME || s->f->type == FT_COST) {
		/* strtod() knows more than numbers: hex, inf, nan. */
		if (*v == '\0' || strspn(v, "0123456789.-") != strlen(v))
			return (fields_bad(s, "must be a number"));
		d = strtod(v, &end);
		return (*end != '\0' ? fields_bad(s, "must be a number") :
		    set_double(s, d));
	}
	if (*v == '\0' || strspn(v, "0123456789-") != strlen(v))
		return (fields_bad(s, "must be an integer"));
	errno = 0;
	n = strtoll(v, &end, 10);
	if (*end != '\0' || errno != 0)
		return (fields_bad(s, "must be an integer"));
	return (set_int(s, n));
}

/* A value that came as text: path, query, header or the table. */
int
fields_from_text(const struct slot *s, const char *v)
{
	switch (s->f->type) {
	case FT_U32:
	case FT_U64:
	case FT_I64:
	case FT_TIME:
	case FT_COST:
		return (number(s, v));
	case FT_BOOL:
		if (strcmp(v, "true") != 0 && strcmp(v, "false") != 0 &&
		    strcmp(v, "1") != 0 && strcmp(v, "0") != 0)
			return (fields_bad(s, "must be true or false"));
		fields_put_u32(s, v[0] == 't' || v[0] == '1');
		return (0);
	case FT_SIZE:
		return (set_size(s, v));
	default:
		if ((v = own(s->a, v)) == NULL)
			return (fields_bad(s, "cannot be kept: out of memory"));
		return (set_str(s, v));
	}
}

static bool
printable(const char *p, size_t len)
{
	for (; len > 0; p++, len--)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return (false);
	return (true);
}

/* ["a", {"id": "b"}] becomes "a\nb". */
static int
lines(const struct slot *s, struct json_object *arr)
{
	struct json_object *v;
	const char *id;
	char *text;
	size_t i, n, len = 0;

	if (s->a->nown == FIELDS_OWN ||
	    (text = calloc(1, (size_t)s->f->max + 2)) == NULL)
		return (fields_bad(s, "cannot be kept: out of memory"));
	s->a->own[s->a->nown++] = text;
	for (i = 0; i < json_object_array_length(arr); i++) {
		v = json_object_array_get_idx(arr, i);
		if (json_object_is_type(v, json_type_object))
			(void)json_object_object_get_ex(v, "id", &v);
		if (!json_object_is_type(v, json_type_string))
			return (fields_bad(s, "must be an array of strings"));
		id = json_object_get_string(v);
		n = (size_t)json_object_get_string_len(v);
		if (n == 0 || !printable(id, n))
			return (fields_bad(s, "holds an empty or broken name"));
		if (len + n + 1 > (size_t)s->f->max)
			return (fields_bad(s, "is too long"));
		if (len > 0)
			text[len++] = '\n';
		memcpy(text + len, id, n);
		len += n;
	}
	fields_put_str(s, text);
	return (0);
}

/* ["a", "b"] becomes "a\0b\0". */
static int
argv(const struct slot *s, struct json_object *arr)
{
	struct json_object *v;
	struct msg_bytes b;
	char *buf;
	size_t i, n, len = 0;

	if (s->a->nown == FIELDS_OWN ||
	    (buf = calloc(1, (size_t)s->f->max)) == NULL)
		return (fields_bad(s, "cannot be kept: out of memory"));
	s->a->own[s->a->nown++] = buf;
	for (i = 0; i < json_object_array_length(arr); i++) {
		v = json_object_array_get_idx(arr, i);
		if (!json_object_is_type(v, json_type_string))
			return (fields_bad(s, "must be an array of strings"));
		n = (size_t)json_object_get_string_len(v) + 1;
		if (strlen(json_object_get_string(v)) + 1 != n)
			return (fields_bad(s, "holds a NUL byte"));
		if (n > (size_t)s->f->max - len)
			return (fields_bad(s, "is too long"));
		memcpy(buf + len, json_object_get_string(v), n);
		len += n;
	}
	if (len == 0 || buf[0] == '\0')
		return (fields_bad(s, "names no command"));
	b.ptr = buf;
	b.len = len;
	memcpy(at(s), &b, sizeof(b));
	return (0);
}

static int
object(const struct slot *s, struct json_object *o)
{
	const char *text;
	size_t len;

	text = json_object_to_json_string_length(o,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (text == NULL || len > (size_t)s->f->max)
		return (fields_bad(s, "is too long"));
	/* The text lives as long as the object. */
	fields_put_str(s, text);
	return (0);
}

int
fields_from_body(const struct slot *s, struct json_object *doc)
{
	struct json_object *v = NULL;
	const struct field *f = s->f;
	const char *str = NULL;
	int64_t n = 0;
	double d = 0;
	bool b = false;
	int r;

	switch (f->type) {
	case FT_U32:
	case FT_U64:
	case FT_I64:
		r = json_get_int(doc, f->name, f->required, f->min, f->max,
		    &n, s->err);
		return (r == 1 ? set_int(s, n) : r);
	case FT_TIME:
	case FT_COST:
		r = json_get_double(doc, f->name, f->required,
		    (double)f->min, (double)f->max, &d, s->err);
		return (r == 1 ? set_double(s, d) : r);
	case FT_BOOL:
		r = json_get_bool(doc, f->name, f->required, &b, s->err);
		if (r == 1)
			fields_put_u32(s, b);
		return (r == -1 ? -1 : 0);
	case FT_LINES:
		r = json_get_arr(doc, f->name, f->required, 1000, &v, s->err);
		return (r == 1 ? lines(s, v) : r);
	case FT_ARGV:
		r = json_get_arr(doc, f->name, f->required, 512, &v, s->err);
		return (r == 1 ? argv(s, v) : r);
	case FT_OBJECT:
		r = json_get_obj(doc, f->name, f->required, &v, s->err);
		return (r == 1 ? object(s, v) : r);
	case FT_SIZE:
		if (json_object_object_get_ex(doc, f->name, &v) &&
		    json_object_is_type(v, json_type_int)) {
			r = json_get_int(doc, f->name, false, f->min, f->max,
			    &n, s->err);
			return (r == 1 ? set_int(s, n) : r);
		}
		if (v != NULL && !json_object_is_type(v, json_type_string))
			return (fields_bad(s, "must be a size, such as "
			    "512MiB or 2GB, or a whole number of bytes"));
		r = json_get_str(doc, f->name, f->required, 1, 32, &str,
		    s->err);
		return (r == 1 ? set_size(s, str) : r);
	default:
		r = json_get_str(doc, f->name, f->required, (size_t)f->min,
		    f->type == FT_LEVEL ? 16 : (size_t)f->max, &str, s->err);
		return (r == 1 ? set_str(s, str) : r);
	}
}

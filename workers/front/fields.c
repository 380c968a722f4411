/*
 * Reads the values of a request into a message, as the route's table says.
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

#include "front.h"
#include "log.h"
#include "sys.h"

#define NAMES_MAX	32	/* fields of one route */
#define TEXT_MAX	4096	/* of a value in a query or header */

/* One field at work. */
struct slot {
	const struct field	*f;
	struct args		*a;
	struct json_err		*err;
};

static void *
at(const struct slot *s)
{
	return ((char *)&s->a->u + s->f->off);
}

static void
put_str(const struct slot *s, const char *v)
{
	memcpy(at(s), &v, sizeof(v));
}

static void
put_u32(const struct slot *s, uint32_t v)
{
	memcpy(at(s), &v, sizeof(v));
}

/* F_U64 and F_I64 alike. */
static void
put_64(const struct slot *s, int64_t v)
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

static int
bad(const struct slot *s, const char *what)
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
		put_u32(s, (uint32_t)v);
	else
		put_64(s, v);
	return (0);
}

static int
set_double(const struct slot *s, double v)
{
	if (!isfinite(v) || v < (double)s->f->min || v > (double)s->f->max)
		return (bad(s, "is out of range"));
	if (s->f->type == FT_COST)
		put_64(s, (int64_t)(v * 1e12 + 0.5));
	else
		put_time(s, v);
	return (0);
}

static int
set_size(const struct slot *s, const char *v)
{
	uint64_t n;

	if (fields_size(v, &n) == -1)
		return (bad(s, "must be a size, such as 512MiB or 2GB"));
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
			return (bad(s, "is not the name of an agent"));
		break;
	case FT_ID:
		if (!sys_is_id(v))
			return (bad(s, "must be 32 hex digits"));
		break;
	case FT_LEVEL:
		if ((level = log_level_by_name(v)) == -1)
			return (bad(s, "must be error, warn, info or debug"));
		put_u32(s, (uint32_t)level);
		return (0);
	default:
		if (len < (size_t)s->f->min || len > (size_t)s->f->max) {
			(void)json_fail(s->err, s->f->name,
			    "%s must have %lld to %lld bytes", s->f->name,
			    (long long)s->f->min, (long long)s->f->max);
			return (-1);
		}
	}
	put_str(s, v);
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
			return (bad(s, "must be a number"));
		d = strtod(v, &end);
		return (*end != '\0' ? bad(s, "must be a number") :
		    set_double(s, d));
	}
	if (*v == '\0' || strspn(v, "0123456789-") != strlen(v))
		return (bad(s, "must be an integer"));
	errno = 0;
	n = strtoll(v, &end, 10);
	if (*end != '\0' || errno != 0)
		return (bad(s, "must be an integer"));
	return (set_int(s, n));
}

/* A value that came as text: path, query, header or the table. */
static int
from_text(const struct slot *s, const char *v)
{
	switch (s->f->type) {
	case FT_U32:
	case FT_U64:
	case FT_I64:
	case FT_TIME:
	case FT_COST:
		return (number(s, v));
	case FT_BOOL:
		if (strcmp(v, "true") != 0 && strcmp(v, "false") != 0)
			return (bad(s, "must be true or false"));
		put_u32(s, v[0] == 't');
		return (0);
	case FT_SIZE:
		return (set_size(s, v));
	default:
		if ((v = own(s->a, v)) == NULL)
			return (bad(s, "cannot be kept: out of memory"));
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
		return (bad(s, "cannot be kept: out of memory"));
	s->a->own[s->a->nown++] = text;
	for (i = 0; i < json_object_array_length(arr); i++) {
		v = json_object_array_get_idx(arr, i);
		if (json_object_is_type(v, json_type_object))
			(void)json_object_object_get_ex(v, "id", &v);
		if (!json_object_is_type(v, json_type_string))
			return (bad(s, "must be an array of strings"));
		id = json_object_get_string(v);
		n = (size_t)json_object_get_string_len(v);
		if (n == 0 || !printable(id, n))
			return (bad(s, "holds an empty or broken name"));
		if (len + n + 1 > (size_t)s->f->max)
			return (bad(s, "is too long"));
		if (len > 0)
			text[len++] = '\n';
		memcpy(text + len, id, n);
		len += n;
	}
	put_str(s, text);
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
		return (bad(s, "is too long"));
	/* The text lives as long as the object. */
	put_str(s, text);
	return (0);
}

static int
from_body(const struct slot *s, struct json_object *doc)
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
			put_u32(s, b);
		return (r == -1 ? -1 : 0);
	case FT_LINES:
		r = json_get_arr(doc, f->name, f->required, 1000, &v, s->err);
		return (r == 1 ? lines(s, v) : r);
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
		r = json_get_str(doc, f->name, f->required, 1, 32, &str,
		    s->err);
		return (r == 1 ? set_size(s, str) : r);
	default:
		r = json_get_str(doc, f->name, f->required, (size_t)f->min,
		    f->type == FT_LEVEL ? 16 : (size_t)f->max, &str, s->err);
		return (r == 1 ? set_str(s, str) : r);
	}
}

/* What stands in the payload when the client does not say. */
static int
set_default(const struct slot *s)
{
	if (s->f->type == FT_I64 || s->f->type == FT_COST)
		put_64(s, -1);
	if (s->f->dflt == NULL)
		return (0);
	if (s->f->type == FT_OBJECT) {
		put_str(s, s->f->dflt);
		return (0);
	}
	return (from_text(s, s->f->dflt));
}

/* Every name in the query must be a field's: a typo must not go unseen. */
static int
check_query(const struct route *r, const char *query, struct json_err *err)
{
	char name[64];
	const char *p;
	size_t i, len;

	for (p = query; p != NULL && *p != '\0'; p += len + (p[len] == '&')) {
		len = strcspn(p, "&");
		if (len == 0)
			continue;
		if (http_decode_query(p, strcspn(p, "&="), name,
		    sizeof(name)) == -1)
			return (json_fail(err, "", "unknown parameter"));
		for (i = 0; i < r->nfields; i++)
			if (r->fields[i].at == AT_QUERY &&
			    strcmp(r->fields[i].name, name) == 0)
				break;
		if (i == r->nfields)
			return (json_fail(err, name, "unknown parameter %s",
			    name));
	}
	return (0);
}

static int
read_query(const struct slot *s, const char *query)
{
	char text[TEXT_MAX];

	switch (http_query_get(query, s->f->name, text, sizeof(text))) {
	case 1:
		return (from_text(s, text));
	case 0:
		return (s->f->required ? bad(s, "is required") :
		    set_default(s));
	default:
		return (bad(s, "is given twice or broken"));
	}
}

static int
read_one(const struct slot *s, const struct source *src)
{
	const char *v;
	int status = 422;

	switch (s->f->at) {
	case AT_FIXED:
		if (s->f->type == FT_FOLLOW) {
			put_u32(s, src->follow);
			return (0);
		}
		return (set_default(s) == -1 ? 500 : 0);
	case AT_PATH:
		v = src->param(src->arg, s->f->name);
		/* What cannot be the name of a thing names no thing. */
		return (v == NULL || from_text(s, v) == -1 ? 404 : 0);
	case AT_HEADER:
		v = src->header(src->arg, s->f->name);
		if (v == NULL)
			return (set_default(s) == -1 ? 500 : 0);
		if (!http_utf8_valid(v, strlen(v))) {
			(void)bad(s, "is not UTF-8");
			return (422);
		}
		return (from_text(s, v) == -1 ? status : 0);
	case AT_QUERY:
		return (read_query(s, src->query) == -1 ? status : 0);
	case AT_BODY:
		if (s->f->type == FT_SECRET)
			return (0);
		if (set_default(s) == -1)
			return (500);
		return (from_body(s, s->a->doc) == -1 ? status : 0);
	}
	return (500);
}

/* Before the body is parsed: see json_take_secret(). */
static int
take_secrets(const struct route *r, const struct source *src,
    struct args *a, struct json_err *err)
{
	struct slot s = { NULL, a, err };
	size_t i, size;
	char *p;
	int found;

	for (i = 0; i < r->nfields; i++) {
		s.f = &r->fields[i];
		if (s.f->type != FT_SECRET)
			continue;
		size = (size_t)s.f->max + 1;
		if (a->nown == FIELDS_OWN || (p = malloc(size)) == NULL)
			return (bad(&s, "cannot be kept: out of memory"));
		p[0] = '\0';
		a->own[a->nown++] = p;
		found = json_take_secret(src->body, src->len, FRONT_DEPTH,
		    s.f->name, (size_t)s.f->min, p, size, err);
		if (found == -1)
			return (-1);
		if (found == 0 && s.f->required)
			return (bad(&s, "is required"));
		put_str(&s, p);
	}
	return (0);
}

/* Two bytes that parse; json_take_secret() may write. */
static int
read_body(const struct route *r, const struct source *src, struct args *a,
    struct json_err *err)
{
	const char *names[NAMES_MAX + 1];
	char empty[] = "{}";
	struct source s = *src;
	size_t i, n = 0;

	if (r->http.max_body == 0 || (r->http.flags & HTTPD_ROUTE_RAW))
		return (0);
	if (s.len == 0) {
		s.body = empty;
		s.len = sizeof(empty) - 1;
	}
	if (take_secrets(r, &s, a, err) == -1)
		return (err->field[0] == '\0' ? 400 : 422);
	a->doc = json_parse_strict(s.body, s.len, FRONT_DEPTH, err);
	if (a->doc == NULL)
		return (400);
	for (i = 0; i < r->nfields && n < NAMES_MAX; i++)
		if (r->fields[i].at == AT_BODY)
			names[n++] = r->fields[i].name;
	names[n] = NULL;
	return (json_only(a->doc, names, err) == -1 ? 422 : 0);
}

int
fields_read(const struct route *r, const struct source *src, struct args *a,
    struct json_err *err)
{
	struct slot s = { NULL, a, err };
	size_t i;
	int status;

	memset(a, 0, sizeof(*a));
	memset(err, 0, sizeof(*err));
	if (check_query(r, src->query, err) == -1)
		return (422);
	if ((status = read_body(r, src, a, err)) != 0)
		return (status);
	for (i = 0; i < r->nfields; i++) {
		s.f = &r->fields[i];
		if ((status = read_one(&s, src)) != 0)
			return (status);
	}
	return (0);
}

void
fields_free(struct args *a)
{
	unsigned i;

	for (i = 0; i < a->nown; i++)
		freezero(a->own[i], strlen(a->own[i]));
	json_free(a->doc);
	explicit_bzero(a, sizeof(*a));
}

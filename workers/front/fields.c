/*
 * Reads the values of a request into a message, as the route's table says.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "fields.h"

#define NAMES_MAX	32	/* fields of one route */
#define TEXT_MAX	4096	/* of a value in a query or header */

/* What stands in the payload when the client does not say. */
static int
set_default(const struct slot *s)
{
	if (s->f->type == FT_I64 || s->f->type == FT_COST)
		fields_put_64(s, -1);
	if (s->f->dflt == NULL)
		return (0);
	if (s->f->type == FT_OBJECT) {
		fields_put_str(s, s->f->dflt);
		return (0);
	}
	return (fields_from_text(s, s->f->dflt));
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
		return (fields_from_text(s, text));
	case 0:
		return (s->f->required ? fields_bad(s, "is required") :
		    set_default(s));
	default:
		return (fields_bad(s, "is given twice or broken"));
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
			fields_put_u32(s, src->follow);
			return (0);
		}
		if (s->f->type == FT_GIVEN) {
			fields_put_u32(s, s->a->doc != NULL &&
			    json_object_object_get_ex(s->a->doc, s->f->name,
			    NULL));
			return (0);
		}
		return (set_default(s) == -1 ? 500 : 0);
	case AT_PATH:
		v = src->param(src->arg, s->f->name);
		/* What cannot be the name of a thing names no thing. */
		return (v == NULL || fields_from_text(s, v) == -1 ? 404 : 0);
	case AT_HEADER:
		v = src->header(src->arg, s->f->name);
		if (v == NULL)
			return (set_default(s) == -1 ? 500 : 0);
		if (!http_utf8_valid(v, strlen(v))) {
			(void)fields_bad(s, "is not UTF-8");
			return (422);
		}
		return (fields_from_text(s, v) == -1 ? status : 0);
	case AT_QUERY:
		return (read_query(s, src->query) == -1 ? status : 0);
	case AT_BODY:
		if (s->f->type == FT_SECRET)
			return (0);
		if (set_default(s) == -1)
			return (500);
		return (fields_from_body(s, s->a->doc) == -1 ? status : 0);
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
			return (fields_bad(&s, "cannot be kept: out of memory"));
		p[0] = '\0';
		a->own[a->nown++] = p;
		found = json_take_secret(src->body, src->len, FRONT_DEPTH,
		    s.f->name, (size_t)s.f->min, p, size, err);
		if (found == -1)
			return (-1);
		if (found == 0 && s.f->required)
			return (fields_bad(&s, "is required"));
		fields_put_str(&s, p);
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

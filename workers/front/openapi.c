/*
 * Writes the OpenAPI description of the API from the table of routes.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: nobody.
 */
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "front.h"
#include "jbuf.h"

static const char *
type_of(enum ftype t)
{
	switch (t) {
	case FT_U32:
	case FT_U64:
	case FT_I64:
		return ("integer");
	case FT_TIME:
	case FT_COST:
		return ("number");
	case FT_BOOL:
		return ("boolean");
	case FT_LINES:
	case FT_ARGV:
		return ("array");
	case FT_OBJECT:
		return ("object");
	default:
		return ("string");
	}
}

static void
schema(struct jbuf *j, const struct field *f)
{
	const char *type = type_of(f->type);
	bool text = strcmp(type, "string") == 0;

	jb_obj(j);
	jb_key(j, "type");
	if (f->type == FT_SIZE) {
		jb_arr(j);
		jb_str(j, "integer");
		jb_str(j, "string");
		jb_end(j);
	} else
		jb_str(j, type);
	if (f->type == FT_LINES || f->type == FT_ARGV) {
		jb_key(j, "items");
		jb_obj(j);
		jb_kstr(j, "type", "string");
		jb_end(j);
	} else if (f->type == FT_SLUG)
		jb_kstr(j, "pattern", "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$");
	else if (f->type == FT_ID)
		jb_kstr(j, "pattern", "^[0-9a-f]{32}$");
	else if (f->type == FT_SECRET)
		jb_kbool(j, "writeOnly", true);
	if (f->type != FT_LINES && f->type != FT_ARGV &&
	    f->type != FT_OBJECT && f->type != FT_BOOL && f->type != FT_LEVEL) {
		jb_kint(j, text && f->type != FT_SIZE ? "minLength" :
		    "minimum", f->min);
		jb_kint(j, text && f->type != FT_SIZE ? "maxLength" :
		    "maximum", f->max);
	}
	if (f->help != NULL)
		jb_kstr(j, "description", f->help);
	jb_end(j);
}

static void
parameters(struct jbuf *j, const struct route *r)
{
	static const char *const in[] = { "path", "query", NULL, "header",
	    NULL };
	const struct field *f;
	size_t i;

	jb_key(j, "parameters");
	jb_arr(j);
	for (i = 0; i < r->nfields; i++) {
		f = &r->fields[i];
		if (in[f->at] == NULL)
			continue;
		jb_obj(j);
		jb_kstr(j, "name", f->name);
		jb_kstr(j, "in", in[f->at]);
		jb_kbool(j, "required", f->required);
		jb_key(j, "schema");
		schema(j, f);
		jb_end(j);
	}
	jb_end(j);
}

static bool
has_body(const struct route *r)
{
	size_t i;

	for (i = 0; i < r->nfields; i++)
		if (r->fields[i].at == AT_BODY)
			return (true);
	return (false);
}

static void
required(struct jbuf *j, const struct route *r)
{
	size_t i;

	jb_key(j, "required");
	jb_arr(j);
	for (i = 0; i < r->nfields; i++)
		if (r->fields[i].at == AT_BODY && r->fields[i].required)
			jb_str(j, r->fields[i].name);
	jb_end(j);
}

static void
body(struct jbuf *j, const struct route *r)
{
	bool raw = (r->http.flags & HTTPD_ROUTE_RAW) != 0;
	size_t i;

	if (!raw && !has_body(r))
		return;
	jb_key(j, "requestBody");
	jb_obj(j);
	jb_kbool(j, "required", true);
	jb_key(j, "content");
	jb_obj(j);
	jb_key(j, raw ? "application/octet-stream" : "application/json");
	jb_obj(j);
	jb_key(j, "schema");
	jb_obj(j);
	if (raw) {
		jb_kstr(j, "type", "string");
		jb_kstr(j, "format", "binary");
	} else {
		jb_kstr(j, "type", "object");
		jb_kbool(j, "additionalProperties", false);
		required(j, r);
		jb_key(j, "properties");
		jb_obj(j);
		for (i = 0; i < r->nfields; i++)
			if (r->fields[i].at == AT_BODY) {
				jb_key(j, r->fields[i].name);
				schema(j, &r->fields[i]);
			}
		jb_end(j);
	}
	jb_end(j);
	jb_end(j);
	jb_end(j);
	jb_end(j);
}

static void
media(struct jbuf *j, const char *type)
{
	jb_key(j, type);
	jb_obj(j);
	jb_end(j);
}

static void
responses(struct jbuf *j, const struct route *r)
{
	char code[8];

	(void)snprintf(code, sizeof(code), "%d", r->status);
	jb_key(j, "responses");
	jb_obj(j);
	jb_key(j, code);
	jb_obj(j);
	jb_kstr(j, "description", r->returns);
	jb_key(j, "content");
	jb_obj(j);
	if (r->answer != ANS_SSE)
		media(j, "application/json");
	if (r->answer >= ANS_SSE)
		media(j, "text/event-stream");
	jb_end(j);
	jb_end(j);
	jb_key(j, "default");
	jb_obj(j);
	jb_kstr(j, "$ref", "#/components/responses/Error");
	jb_end(j);
	jb_end(j);
}

static void
operation(struct jbuf *j, const struct route *r)
{
	static const char *const who[] = { "anybody", "users", "admins" };
	char method[HTTP_MAX_METHOD + 1];
	size_t i;

	for (i = 0; i < HTTP_MAX_METHOD && r->http.method[i] != '\0'; i++)
		method[i] = (char)(r->http.method[i] | 0x20);
	method[i] = '\0';
	jb_key(j, method);
	jb_obj(j);
	jb_kstr(j, "summary", r->summary);
	jb_kstr(j, "x-agentd-who", who[r->who]);
	if (r->http.max_body > 0)
		jb_kint(j, "x-agentd-max-body", (int64_t)r->http.max_body);
	if (r->who == WHO_PUBLIC) {
		jb_key(j, "security");
		jb_arr(j);
		jb_end(j);
	}
	parameters(j, r);
	body(j, r);
	responses(j, r);
	jb_end(j);
}

static void
components(struct jbuf *j)
{
	static const char text[] = "{\"securitySchemes\":{\"token\":{"
	    "\"type\":\"http\",\"scheme\":\"bearer\"}},\"schemas\":{"
	    "\"Error\":{\"type\":\"object\",\"required\":[\"error\"],"
	    "\"properties\":{\"error\":{\"type\":\"string\"}}}},"
	    "\"responses\":{\"Error\":{\"description\":\"what is wrong\","
	    "\"content\":{\"application/json\":{\"schema\":{\"$ref\":"
	    "\"#/components/schemas/Error\"}}}}}}";

	jb_key(j, "components");
	jb_raw(j, text, sizeof(text) - 1);
	jb_key(j, "security");
	jb_arr(j);
	jb_obj(j);
	jb_key(j, "token");
	jb_arr(j);
	jb_end(j);
	jb_end(j);
	jb_end(j);
}

static bool
seen_before(const struct route *tab, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++)
		if (strcmp(tab[k].http.pattern, tab[i].http.pattern) == 0)
			return (true);
	return (false);
}

void
openapi_write(struct jbuf *j, const struct route *tab, size_t n)
{
	size_t i, k;

	jb_obj(j);
	jb_kstr(j, "openapi", "3.1.0");
	jb_key(j, "info");
	jb_obj(j);
	jb_kstr(j, "title", "agentd");
	jb_kstr(j, "version", PACKAGE_VERSION);
	jb_end(j);
	jb_key(j, "paths");
	jb_obj(j);
	for (i = 0; i < n; i++) {
		if (seen_before(tab, i))
			continue;
		jb_key(j, tab[i].http.pattern);
		jb_obj(j);
		for (k = i; k < n; k++)
			if (strcmp(tab[k].http.pattern,
			    tab[i].http.pattern) == 0)
				operation(j, &tab[k]);
		jb_end(j);
	}
	jb_end(j);
	components(j);
	jb_end(j);
}

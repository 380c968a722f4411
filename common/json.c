/*
 * Reads the JSON documents that clients send: strict parse, typed getters.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, container, agentctl. Talks to: nobody.
 */
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "json.h"
#include "jscan.h"

int
json_fail(struct json_err *e, const char *field, const char *fmt, ...)
{
	va_list ap;

	(void)snprintf(e->field, sizeof(e->field), "%s", field);
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	return (-1);
}

struct json_object *
json_parse_strict(const char *buf, size_t len, unsigned maxdepth,
    struct json_err *e)
{
	struct json_tokener *tok;
	struct json_object *o;
	const char *why;

	if (len == 0 || len > INT_MAX) {
		(void)json_fail(e, "", "a JSON object was expected");
		return (NULL);
	}
	if (jscan_buf(buf, len, maxdepth, JSCAN_DUP_ALL, NULL, NULL,
	    &why) == -1) {
		(void)json_fail(e, "", "invalid JSON: %s", why);
		return (NULL);
	}
	/* json-c counts the level inside the innermost container too. */
	if ((tok = json_tokener_new_ex((int)maxdepth + 2)) == NULL) {
		(void)json_fail(e, "", "out of memory");
		return (NULL);
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	o = json_tokener_parse_ex(tok, buf, (int)len);
	if (o == NULL)
		(void)json_fail(e, "", "invalid JSON: %s",
		    json_tokener_error_desc(json_tokener_get_error(tok)));
	json_tokener_free(tok);
	return (o);
}

void
json_free(struct json_object *o)
{
	json_object_put(o);
}

/* 1: *v is the member; 0: absent and allowed to be; -1. */
static int
member(struct json_object *o, const char *name, bool required,
    enum json_type type, const char *what, struct json_object **v,
    struct json_err *e)
{
	if (!json_object_object_get_ex(o, name, v) || *v == NULL) {
		if (!required)
			return (0);
		return (json_fail(e, name, "%s is required", name));
	}
	if (!json_object_is_type(*v, type))
		return (json_fail(e, name, "%s must be %s", name, what));
	return (1);
}

int
json_get_str(struct json_object *o, const char *name, bool required,
    size_t min, size_t max, const char **out, struct json_err *e)
{
	struct json_object *v;
	size_t len;
	int r;

	r = member(o, name, required, json_type_string, "a string", &v, e);
	if (r != 1)
		return (r);
	len = (size_t)json_object_get_string_len(v);
	if (strlen(json_object_get_string(v)) != len)
		return (json_fail(e, name, "%s must not hold NUL", name));
	if (len < min || len > max)
		return (json_fail(e, name, "%s must have %zu to %zu bytes",
		    name, min, max));
	*out = json_object_get_string(v);
	return (1);
}

int
json_get_int(struct json_object *o, const char *name, bool required,
    int64_t min, int64_t max, int64_t *out, struct json_err *e)
{
	struct json_object *v;
	int64_t n;
	int r;

	r = member(o, name, required, json_type_int, "an integer", &v, e);
	if (r != 1)
		return (r);
	/* json-c saturates: a number beyond int64 ends at the rim, which is
	 * inside the range only if the range reaches that far. */
	n = json_object_get_int64(v);
	if (n < min || n > max)
		return (json_fail(e, name, "%s must be %lld to %lld", name,
		    (long long)min, (long long)max));
	*out = n;
	return (1);
}

int
json_get_double(struct json_object *o, const char *name, bool required,
    double min, double max, double *out, struct json_err *e)
{
	struct json_object *v;
	double d;
	int r;

	if (json_object_object_get_ex(o, name, &v) &&
	    json_object_is_type(v, json_type_int))
		r = 1;
	else
		r = member(o, name, required, json_type_double, "a number",
		    &v, e);
	if (r != 1)
		return (r);
	d = json_object_get_double(v);
	if (!isfinite(d) || d < min || d > max)
		return (json_fail(e, name, "%s must be %g to %g", name, min,
		    max));
	*out = d;
	return (1);
}

int
json_get_bool(struct json_object *o, const char *name, bool required,
    bool *out, struct json_err *e)
{
	struct json_object *v;
	int r;

	r = member(o, name, required, json_type_boolean, "true or false", &v,
	    e);
	if (r == 1)
		*out = json_object_get_boolean(v);
	return (r);
}

int
json_get_obj(struct json_object *o, const char *name, bool required,
    struct json_object **out, struct json_err *e)
{
	struct json_object *v;
	int r;

	r = member(o, name, required, json_type_object, "an object", &v, e);
	if (r == 1)
		*out = v;
	return (r);
}

int
json_get_arr(struct json_object *o, const char *name, bool required,
    size_t max, struct json_object **out, struct json_err *e)
{
	struct json_object *v;
	int r;

	r = member(o, name, required, json_type_array, "an array", &v, e);
	if (r != 1)
		return (r);
	if (json_object_array_length(v) > max)
		return (json_fail(e, name, "%s must have at most %zu items",
		    name, max));
	*out = v;
	return (1);
}

int
json_only(struct json_object *o, const char *const *names,
    struct json_err *e)
{
	size_t i;

	json_object_object_foreach(o, key, val) {
		(void)val;
		for (i = 0; names[i] != NULL; i++)
			if (strcmp(names[i], key) == 0)
				break;
		if (names[i] == NULL)
			return (json_fail(e, key, "unknown field %.60s",
			    key));
	}
	return (0);
}

int
json_take_secret(char *buf, size_t len, unsigned maxdepth, const char *name,
    size_t min, char *dst, size_t size, struct json_err *e)
{
	struct jspan v;
	const char *why;
	ssize_t n;
	int r;

	if (jscan_buf(buf, len, maxdepth, JSCAN_DUP_ALL, NULL, NULL,
	    &why) == -1)
		return (json_fail(e, "", "invalid JSON: %s", why));
	if ((r = jscan_get(buf, len, name, &v)) != 1 || v.type == JT_NULL)
		return (r == -1 ? json_fail(e, "", "invalid JSON") : 0);
	if (v.type != JT_STRING)
		return (json_fail(e, name, "%s must be a string", name));
	n = jscan_unescape(&v, dst, size);
	memset(buf + (v.p - buf) + 1, '0', v.len - 2);
	if (n == -1 || (size_t)n < min) {
		explicit_bzero(dst, size);
		return (json_fail(e, name, "%s must have %zu to %zu bytes",
		    name, min, size - 1));
	}
	return (1);
}

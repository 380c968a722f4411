/*
 * Reads the JSON documents that clients send: strict parse, typed getters.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front, gateway, container, agentctl. Talks to: nobody.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_object;

/* Names the field, for a 422; field is "" when the document is broken. */
struct json_err {
	char	field[64];
	char	msg[192];	/* complete sentence with the field's name */
};

/*
 * Parse one JSON text: UTF-8, no duplicate key at any level, nothing after
 * it, no NaN, at most maxdepth deep. NULL and *err on failure. The caller
 * puts the result back with json_free(), which wipes nothing: secrets are
 * taken with json_take_secret() before.
 */
struct json_object *json_parse_strict(const char *, size_t, unsigned,
	    struct json_err *);
void	 json_free(struct json_object *);

/*
 * Typed getters. 1: present and in range; 0: absent or null (*out is left as
 * it was); -1: wrong, *err says how. With required set, absent is -1 too.
 * Strings must be without NUL; lengths count bytes.
 */
int	 json_get_str(struct json_object *, const char *, bool, size_t, size_t,
	    const char **, struct json_err *);
int	 json_get_int(struct json_object *, const char *, bool, int64_t,
	    int64_t, int64_t *, struct json_err *);
int	 json_get_double(struct json_object *, const char *, bool, double,
	    double, double *, struct json_err *);
int	 json_get_bool(struct json_object *, const char *, bool, bool *,
	    struct json_err *);
int	 json_get_obj(struct json_object *, const char *, bool,
	    struct json_object **, struct json_err *);
int	 json_get_arr(struct json_object *, const char *, bool, size_t,
	    struct json_object **, struct json_err *);

/* 0 when the object has only the keys of the NULL-terminated list, or -1. */
int	 json_only(struct json_object *, const char *const *,
	    struct json_err *);

/* Set the error for a field by hand (printf-like); always returns -1. */
int	 json_fail(struct json_err *, const char *, const char *, ...)
	    __attribute__((__format__(printf, 3, 4)));

/*
 * Copy a top-level string member out of the text itself and overwrite it
 * there, before json_parse_strict() would make copies that nobody wipes.
 * 1 taken, 0 absent, -1 wrong (dst is wiped). The caller wipes dst.
 */
int	 json_take_secret(char *, size_t, unsigned, const char *, size_t, char *,
	    size_t, struct json_err *);

#endif

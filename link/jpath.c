/*
 * Picks values out of a validated JSON text by a path.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "jpath.h"
#include "log.h"

bool
jpath(const char *p, size_t len, const char *path, struct jspan *v)
{
	struct jiter it;
	struct jspan key;
	char name[64];
	size_t n;

	v->p = p;
	v->len = len;
	v->type = JT_OBJECT;
	for (; *path != '\0'; path += n + (path[n] == '.')) {
		n = strcspn(path, ".");
		if (n >= sizeof(name))
			return false;
		memcpy(name, path, n);
		name[n] = '\0';
		if (strcmp(name, "0") == 0) {
			if (v->type != JT_ARRAY ||
			    jscan_array(&it, v->p, v->len) == -1 ||
			    jscan_next(&it, &key, v) != 1)
				return false;
		} else if (v->type != JT_OBJECT ||
		    jscan_get(v->p, v->len, name, v) != 1)
			return false;
	}
	return true;
}

bool
jpath_is(const char *p, size_t len, const char *path, const char *text)
{
	struct jspan v;

	return jpath(p, len, path, &v) && v.type == JT_STRING &&
	    jscan_string_eq(&v, text);
}

bool
jpath_copy(const char *p, size_t len, const char *path, char *dst,
    size_t size)
{
	struct jspan v;

	dst[0] = '\0';
	if (jpath(p, len, path, &v) && v.type == JT_STRING &&
	    jscan_unescape(&v, dst, size) != -1)
		return true;
	dst[0] = '\0';
	return false;
}

char *
jpath_text(const struct jspan *v, size_t *len)
{
	ssize_t n;
	char *text;

	if ((text = malloc(v->len + 4)) == NULL)
		fatal("text");
	if ((n = jscan_unescape(v, text, v->len)) == -1) {
		(void)strlcpy(text, "\xef\xbf\xbd", v->len + 4);
		n = 3;
	}
	*len = (size_t)n;
	return text;
}

char *
jpath_texts(const struct jspan *list, const char *type, const char *path,
    size_t max, size_t *len)
{
	struct jiter it;
	struct jspan key, part, v;
	char *text = NULL, *piece, *p;
	size_t n;

	*len = 0;
	if (list->type != JT_ARRAY ||
	    jscan_array(&it, list->p, list->len) == -1)
		return NULL;
	while (jscan_next(&it, &key, &part) == 1) {
		if (part.type != JT_OBJECT ||
		    !jpath_is(part.p, part.len, type, "text") ||
		    !jpath(part.p, part.len, path, &v) ||
		    v.type != JT_STRING)
			continue;
		piece = jpath_text(&v, &n);
		if (n > max - *len)
			n = max - *len;
		if ((p = realloc(text, *len + n + 1)) == NULL)
			fatal("text");
		memcpy(p + *len, piece, n);
		free(piece);
		text = p;
		*len += n;
	}
	return text;
}

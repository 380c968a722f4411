/*
 * Checks of all strings that go to Incus, and of the odd ones from it.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: nobody.
 *
 * keeper has checked them before.  This worker is root-equivalent, so it
 * believes nobody: no control byte, quote or slash ever reaches Incus in a
 * name.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "container.h"
#include "jscan.h"
#include "sys.h"

#define IDMAP_DEPTH	8

static bool
only(const char *s, const char *set, size_t max)
{
	size_t len = strlen(s);

	return len > 0 && len <= max && strspn(s, set) == len;
}

#define LOWER	"abcdefghijklmnopqrstuvwxyz"
#define UPPER	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGIT	"0123456789"

bool
valid_instance(const char *s)
{
	return only(s, LOWER DIGIT "-", 63) && s[0] >= 'a' && s[0] <= 'z' &&
	    s[strlen(s) - 1] != '-';
}

bool
valid_alias(const char *s)
{
	return only(s, LOWER UPPER DIGIT "._-", 128) && s[0] != '.' &&
	    s[0] != '-' && s[0] != '_' && strstr(s, "..") == NULL;
}

bool
valid_snapshot(const char *s)
{
	return strlen(s) <= 63 && valid_alias(s);
}

bool
valid_stamp(const char *s)
{
	return strlen(s) == 15 && strspn(s, DIGIT) == 8 && s[8] == 'T' &&
	    strspn(s + 9, DIGIT) == 6;
}

bool
valid_name(const char *s)
{
	return only(s, LOWER DIGIT "-", 63);
}

bool
valid_fingerprint(const char *s)
{
	return only(s, DIGIT "abcdef", 64) && strlen(s) == 64;
}

bool
valid_sock_dir(const char *path, const char *dir, const char *agent_id)
{
	const char *last;
	size_t len;

	if (path[0] != '/' || !only(path, LOWER UPPER DIGIT "/._-", 1024) ||
	    strstr(path, "//") != NULL || strstr(path, "/./") != NULL ||
	    strstr(path, "/../") != NULL || !sys_is_id(agent_id))
		return false;
	last = strrchr(path, '/');
	if (strcmp(last + 1, agent_id) != 0)
		return false;
	len = (size_t)(last - path);
	return *dir == '\0' ||
	    (strlen(dir) == len && strncmp(dir, path, len) == 0);
}

/* A member that is an integer in range, else -1. */
static int
span_int(const struct jspan *o, const char *key, int64_t max, int64_t *out)
{
	struct jspan v;

	return jscan_get(o->p, o->len, key, &v) == 1 ?
	    jscan_int(&v, 0, max, out) : -1;
}

int
idmap_parse(const char *text, struct idmap *map)
{
	struct jiter it;
	struct jspan key, e, v;
	int64_t base, ns, range;

	map->base = map->count = 0;
	if (jscan_buf(text, strlen(text), IDMAP_DEPTH, JSCAN_ANY_TOP, NULL,
	    NULL, NULL) == -1 || jscan_array(&it, text, strlen(text)) == -1)
		return -1;
	while (jscan_next(&it, &key, &e) == 1) {
		if (e.type != JT_OBJECT ||
		    jscan_get(e.p, e.len, "Isuid", &v) != 1 ||
		    v.type != JT_TRUE ||
		    span_int(&e, "Nsid", UINT32_MAX, &ns) == -1 || ns != 0 ||
		    span_int(&e, "Hostid", UINT32_MAX, &base) == -1 ||
		    span_int(&e, "Maprange", UINT32_MAX, &range) == -1)
			continue;
		/* Root of the host must never be inside. */
		if (base < 1000 || range < 1 || base + range > UINT32_MAX)
			return -1;
		map->base = (uint32_t)base;
		map->count = (uint32_t)range;
		return 0;
	}
	return -1;
}

double
time_parse(const char *s)
{
	struct tm tm;
	const char *end;
	time_t t;

	memset(&tm, 0, sizeof(tm));
	end = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	/* Incus spells "never" as the year 1. */
	if (end == NULL || tm.tm_year < 70 || (t = timegm(&tm)) < 0)
		return 0;
	return (double)t;
}

/*
 * Reads a YAML map into a struct by a table of its keys.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diag.h"
#include "log.h"
#include "schema.h"
#include "ytree.h"

#define NAME_MAX_LEN	128	/* of a key with its prefix */

/* What a value is read with; one per value. */
struct place {
	const struct schema_key	*key;
	const struct ynode	*node;
	char			 name[NAME_MAX_LEN];
	struct diags		*d;
};

static void __attribute__((format(printf, 2, 3)))
bad(const struct place *p, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	diags_add(p->d, p->node->line, p->node->col, "%s: %s", p->name, text);
}

static bool
is_digits(const char *s)
{
	return *s != '\0' && s[strspn(s, "0123456789")] == '\0';
}

/* Does a plain scalar mean something else than text to YAML? */
static const char *
not_text(const struct ynode *n)
{
	static const char *const null[] = { "", "~", "null", "Null", "NULL" };
	static const char *const boolean[] = { "true", "false", "True",
	    "False", "TRUE", "FALSE" };
	size_t i;

	if (!n->plain)
		return NULL;
	for (i = 0; i < sizeof(null) / sizeof(null[0]); i++)
		if (strcmp(n->text, null[i]) == 0)
			return "nothing";
	for (i = 0; i < sizeof(boolean) / sizeof(boolean[0]); i++)
		if (strcmp(n->text, boolean[i]) == 0)
			return "a boolean";
	if (is_digits(n->text + (n->text[0] == '-')))
		return "a number";
	return NULL;
}

/* A scalar of text within its bounds, or an error and NULL. */
static const char *
text_of(const struct place *p, const struct ynode *n)
{
	const struct schema_key *k = p->key;
	struct place at = *p;
	const unsigned char *c;
	const char *why;
	char q[300];

	at.node = n;
	if (n->kind == YN_BAD)
		return NULL;
	if (n->kind != YN_SCALAR) {
		bad(&at, "expected text, not a %s",
		    n->kind == YN_MAP ? "map" : "list");
		return NULL;
	}
	if ((why = not_text(n)) != NULL) {
		bad(&at, "expected text, not %s%s", why,
		    n->text[0] == '\0' ? "" : " (quote it)");
		return NULL;
	}
	for (c = (const unsigned char *)n->text; *c != '\0'; c++)
		if (*c < 0x20 || *c == 0x7f) {
			bad(&at, "holds a control character");
			return NULL;
		}
	if (strlen(n->text) < k->min || strlen(n->text) > k->max) {
		bad(&at, "must have %llu to %llu bytes, not %zu",
		    (unsigned long long)k->min, (unsigned long long)k->max,
		    strlen(n->text));
		return NULL;
	}
	if (k->check != NULL && (why = k->check(n->text)) != NULL) {
		bad(&at, "%s: %s", diag_quote(n->text, q, sizeof(q)), why);
		return NULL;
	}
	return n->text;
}

static char *
xstrdup(const char *s)
{
	char *copy;

	if ((copy = strdup(s)) == NULL)
		fatal("out of memory");
	return copy;
}

static void
read_str(const struct place *p, void *member)
{
	char **out = member;
	const char *s;

	if ((s = text_of(p, p->node)) == NULL)
		return;
	free(*out);
	*out = xstrdup(s);
}

static void
read_list(const struct place *p, void *member)
{
	struct strlist *out = member;
	const struct ynode *n;
	const char *s;
	size_t i = 0;

	if (p->node->kind == YN_BAD)
		return;
	if (p->node->kind != YN_LIST) {
		bad(p, "expected a list");
		return;
	}
	strlist_free(out);
	for (n = p->node->child; n != NULL; n = n->next)
		i++;
	if (i > SCHEMA_LIST_MAX) {
		bad(p, "has more than %d items", SCHEMA_LIST_MAX);
		return;
	}
	if (i > 0 && (out->v = calloc(i, sizeof(*out->v))) == NULL)
		fatal("out of memory");
	for (n = p->node->child; n != NULL; n = n->next)
		if ((s = text_of(p, n)) != NULL)
			out->v[out->n++] = xstrdup(s);
}

/* A plain scalar, or an error that says what was expected, and NULL. */
static const char *
plain_of(const struct place *p, const char *expected)
{
	char q[300];

	if (p->node->kind == YN_BAD)
		return NULL;
	if (p->node->kind != YN_SCALAR) {
		bad(p, "expected %s, not a %s", expected,
		    p->node->kind == YN_MAP ? "map" : "list");
		return NULL;
	}
	if (!p->node->plain) {
		bad(p, "expected %s, not the text %s", expected,
		    diag_quote(p->node->text, q, sizeof(q)));
		return NULL;
	}
	if (p->node->text[0] == '\0') {
		bad(p, "expected %s, not nothing", expected);
		return NULL;
	}
	return p->node->text;
}

/* Digits, then perhaps a unit of bytes.  -1 if it is anything else. */
static int
number_of(const char *s, bool units, uint64_t *out)
{
	static const struct {
		const char	*name;
		int		 shift;
	} unit[] = { { "", 0 }, { "KiB", 10 }, { "MiB", 20 }, { "GiB", 30 } };
	size_t i, n = units ? sizeof(unit) / sizeof(unit[0]) : 1;
	char *end;

	if (s[0] < '0' || s[0] > '9' || strlen(s) > 24 ||
	    (s[0] == '0' && s[1] >= '0' && s[1] <= '9'))
		return -1;
	*out = strtoull(s, &end, 10);
	for (i = 0; i < n; i++)
		if (strcmp(end, unit[i].name) == 0)
			break;
	if (i == n)
		return -1;
	/* Too large for any type is too large for every range. */
	if (*out > UINT64_MAX >> unit[i].shift)
		*out = UINT64_MAX;
	else
		*out <<= unit[i].shift;
	return 0;
}

static int
read_number(const struct place *p, bool units, uint64_t *v)
{
	const struct schema_key *k = p->key;
	const char *s;
	char q[300];

	s = plain_of(p, units ? "a size" : "a number");
	if (s == NULL)
		return -1;
	if (number_of(s, units, v) == -1) {
		bad(p, "%s is not a %s", diag_quote(s, q, sizeof(q)),
		    units ? "size (like 512MiB)" : "decimal number");
		return -1;
	}
	if (*v < k->min || *v > k->max) {
		bad(p, "must be from %llu to %llu, not %s",
		    (unsigned long long)k->min, (unsigned long long)k->max, s);
		return -1;
	}
	return 0;
}

/* name: number, for names that no table can know. */
static void
read_counts(const struct place *p, void *member)
{
	char text[SCHEMA_COUNTS_MAX] = "", line[2 * NAME_MAX_LEN];
	struct place at;
	const struct ynode *n;
	const char *why;
	char **out = member, q[300];
	uint64_t v;

	if (p->node->kind == YN_BAD)
		return;
	if (p->node->kind != YN_MAP) {
		bad(p, "expected a map of names and numbers");
		return;
	}
	for (n = p->node->child; n != NULL; n = n->next) {
		at = *p;
		at.node = n;
		if ((why = p->key->check(n->key)) != NULL) {
			bad(&at, "%s: %s", diag_quote(n->key, q, sizeof(q)),
			    why);
			continue;
		}
		strlcat(at.name, ".", sizeof(at.name));
		strlcat(at.name, n->key, sizeof(at.name));
		if (read_number(&at, false, &v) == -1)
			continue;
		snprintf(line, sizeof(line), "%s%s %llu", text[0] == '\0' ?
		    "" : "\n", n->key, (unsigned long long)v);
		if (strlcat(text, line, sizeof(text)) >= sizeof(text)) {
			bad(p, "has too many names");
			return;
		}
	}
	free(*out);
	*out = xstrdup(text);
}

/* "never", or digits and perhaps a unit of time. */
static void
read_time(const struct place *p, void *member)
{
	static const struct {
		const char	*name;
		uint64_t	 seconds;
	} unit[] = { { "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 },
	    { "d", 86400 } };
	const struct schema_key *k = p->key;
	uint32_t *out = member;
	const char *s;
	size_t i, n;
	uint64_t v;
	char q[300];

	if ((s = plain_of(p, "a time")) == NULL)
		return;
	if (strcmp(s, "never") == 0) {
		*out = 0;
		return;
	}
	n = strspn(s, "0123456789");
	for (i = 0; i < sizeof(unit) / sizeof(unit[0]); i++)
		if (strcmp(s + n, unit[i].name) == 0)
			break;
	if (n == 0 || n > 9 || i == sizeof(unit) / sizeof(unit[0])) {
		bad(p, "%s is not a time (like 30s, 10m, 2h, never)",
		    diag_quote(s, q, sizeof(q)));
		return;
	}
	v = strtoull(s, NULL, 10) * unit[i].seconds;
	if (v < k->min || v > k->max)
		bad(p, "must be never or %llu to %llu seconds, not %s",
		    (unsigned long long)k->min, (unsigned long long)k->max, s);
	else
		*out = (uint32_t)v;
}

static void
read_bool(const struct place *p, void *member)
{
	const char *s = plain_of(p, "true or false");
	bool *out = member;
	char q[300];

	if (s == NULL)
		return;
	if (strcmp(s, "true") == 0)
		*out = true;
	else if (strcmp(s, "false") == 0)
		*out = false;
	else
		bad(p, "expected true or false, not %s",
		    diag_quote(s, q, sizeof(q)));
}

static void
read_word(const struct place *p, void *member)
{
	const char *const *w = p->key->words;
	char list[256] = "", q[300];
	uint32_t i, *out = member;

	if (p->node->kind == YN_BAD)
		return;
	for (i = 0; w[i] != NULL; i++) {
		if (p->node->kind == YN_SCALAR &&
		    strcmp(p->node->text, w[i]) == 0) {
			*out = i;
			return;
		}
		if (i > 0)
			strlcat(list, ", ", sizeof(list));
		strlcat(list, w[i], sizeof(list));
	}
	if (p->node->kind != YN_SCALAR)
		bad(p, "expected one of %s", list);
	else
		bad(p, "%s is not one of %s",
		    diag_quote(p->node->text, q, sizeof(q)), list);
}

static void
read_map(const struct place *p, void *out)
{
	char prefix[NAME_MAX_LEN + 1];

	if (p->node->kind == YN_BAD)
		return;
	if (p->node->kind != YN_MAP) {
		bad(p, "expected a map of keys below it");
		return;
	}
	snprintf(prefix, sizeof(prefix), "%s.", p->name);
	schema_read(p->node, p->key->sub, prefix, out, p->d);
}

static void
read_value(const struct place *p, void *out)
{
	void *member = (char *)out + p->key->offset;
	uint64_t v;

	switch (p->key->kind) {
	case SK_STR:
		read_str(p, member);
		break;
	case SK_INT:
		if (read_number(p, false, &v) == 0)
			*(uint32_t *)member = (uint32_t)v;
		break;
	case SK_SIZE:
		if (read_number(p, true, &v) == 0)
			*(uint64_t *)member = v;
		break;
	case SK_BOOL:
		read_bool(p, member);
		break;
	case SK_WORD:
		read_word(p, member);
		break;
	case SK_LIST:
		read_list(p, member);
		break;
	case SK_COUNTS:
		read_counts(p, member);
		break;
	case SK_TIME:
		read_time(p, member);
		break;
	case SK_MAP:
		read_map(p, out);
		break;
	}
}

static void
unknown_key(const struct ynode *n, const struct schema_key *keys,
    const char *prefix, struct diags *d)
{
	char list[512] = "", where[NAME_MAX_LEN + 8] = "", q[300];
	const struct schema_key *k;

	/* The prefix ends with a dot that belongs to no sentence. */
	if (prefix[0] != '\0')
		snprintf(where, sizeof(where), " in %.*s",
		    (int)strlen(prefix) - 1, prefix);
	for (k = keys; k->name != NULL; k++) {
		if (k != keys)
			strlcat(list, ", ", sizeof(list));
		strlcat(list, k->name, sizeof(list));
	}
	diags_add(d, n->key_line, n->key_col,
	    "unknown key %s%s (known here: %s)",
	    diag_quote(n->key, q, sizeof(q)), where, list);
}

void
schema_read(const struct ynode *map, const struct schema_key *keys,
    const char *prefix, void *out, struct diags *d)
{
	struct place p = { .d = d };
	const struct schema_key *k;
	const struct ynode *n;

	if (map->kind != YN_MAP)
		return;
	for (n = map->child; n != NULL; n = n->next) {
		for (k = keys; k->name != NULL; k++)
			if (strcmp(k->name, n->key) == 0)
				break;
		if (k->name == NULL) {
			unknown_key(n, keys, prefix, d);
			continue;
		}
		p.key = k;
		p.node = n;
		snprintf(p.name, sizeof(p.name), "%s%s", prefix, k->name);
		read_value(&p, out);
	}
	for (k = keys; k->name != NULL; k++)
		if (k->flags & SCHEMA_REQUIRED &&
		    ytree_get(map, k->name) == NULL)
			diags_add(d, map->line, map->col,
			    "%s%s is missing", prefix, k->name);
}

void
schema_free(const struct schema_key *keys, void *out)
{
	const struct schema_key *k;
	void *member;

	for (k = keys; k->name != NULL; k++) {
		member = (char *)out + k->offset;
		if (k->kind == SK_STR || k->kind == SK_COUNTS) {
			free(*(char **)member);
			*(char **)member = NULL;
		} else if (k->kind == SK_LIST) {
			strlist_free(member);
		} else if (k->kind == SK_MAP) {
			schema_free(k->sub, out);
		}
	}
}

void
strlist_free(struct strlist *l)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	l->v = NULL;
	l->n = 0;
}

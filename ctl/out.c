/*
 * What agentctl prints: safe text, tables, times and sizes.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: nobody.
 *
 * Names, errors and traces hold what agents and models wrote. None of it may
 * move the cursor, change colours or reorder a line.
 */
#include "config.h"

#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#define LIBBSD_OPENBSD_VIS
#include <vis.h>

#include <json-c/json.h>

#include "ctl.h"
#include "text.h"

#define COLUMNS_MAX	10
#define CELL_MAX	512
#define ROWS_MAX	20000

/*
 * Writes the first character of s, or its escape, into dst (NUL-terminated);
 * returns how many bytes of s it took.
 */
static size_t
safe_char(const char *s, size_t len, bool lines, char dst[32])
{
	uint32_t cp;
	size_t i, n;
	char *p = dst;

	n = text_char(s, len, &cp);
	if (n > 0 && (text_is_safe(cp) || (lines && (cp == '\n' || cp == '\t')))) {
		memcpy(dst, s, n);
		dst[n] = '\0';
		return n;
	}
	if (n == 0)
		n = 1;
	for (i = 0; i < n; i++)
		p = vis(p, s[i], VIS_CSTYLE | VIS_NL | VIS_TAB,
		    i + 1 < n ? s[i + 1] : '\0');
	return n;
}

static void
put_text(FILE *f, const char *s, size_t len, bool lines)
{
	char buf[32];
	size_t n;

	for (; len > 0; s += n, len -= n) {
		n = safe_char(s, len, lines, buf);
		(void)fputs(buf, f);
	}
}

void
out_text(const char *s, size_t len, bool lines)
{
	put_text(stdout, s, len, lines);
}

void
complain(const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)fflush(stdout);
	(void)fputs("agentctl: ", stderr);
	put_text(stderr, text, strlen(text), false);
	(void)fputc('\n', stderr);
}

void
out_str(const char *s)
{
	if (s != NULL)
		out_text(s, strlen(s), false);
}

void
out_short(const char *s, size_t len, size_t columns)
{
	char buf[32];
	size_t n, used = 0;

	while (len > 0 && (s[len - 1] == '\n' || s[len - 1] == ' '))
		len--;
	for (; len > 0; s += n, len -= n) {
		if (used + 3 >= columns && len > 3) {
			(void)fputs("...", stdout);
			return;
		}
		n = safe_char(s, len, false, buf);
		(void)fputs(buf, stdout);
		used += buf[0] == '\\' ? strlen(buf) : 1;
	}
}

void
out_color(const struct ctl *ctl, const char *sgr)
{
	if (ctl->color)
		(void)printf("\033[%sm", sgr != NULL ? sgr : "");
}

void
out_json(const struct reply *r)
{
	(void)fwrite(r->body, 1, r->len, stdout);
	if (r->len == 0 || r->body[r->len - 1] != '\n')
		(void)putchar('\n');
}

/* ---- numbers ---- */

const char *
fmt_span(char *buf, size_t size, double seconds)
{
	long s = (long)seconds;

	if (s < 60)
		(void)snprintf(buf, size, "%lds", s < 0 ? 0 : s);
	else if (s < 3600)
		(void)snprintf(buf, size, "%ldm %lds", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(buf, size, "%ldh %ldm", s / 3600,
		    s % 3600 / 60);
	else
		(void)snprintf(buf, size, "%ldd %ldh", s / 86400,
		    s % 86400 / 3600);
	return buf;
}

const char *
fmt_size(char *buf, size_t size, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB",
	    "TiB" };
	size_t i = 0;

	while (bytes >= 1024 && i + 1 < sizeof(units) / sizeof(units[0])) {
		bytes /= 1024;
		i++;
	}
	(void)snprintf(buf, size, bytes >= 10 || bytes == (long)bytes ?
	    "%.0f %s" : "%.1f %s", bytes, units[i]);
	return buf;
}

const char *
fmt_time(char *buf, size_t size, double epoch)
{
	time_t t = (time_t)epoch;
	struct tm tm;

	if (epoch <= 0 || localtime_r(&t, &tm) == NULL ||
	    strftime(buf, size, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		(void)strlcpy(buf, "-", size);
	return buf;
}

/* ---- tables ---- */

struct table {
	unsigned columns, cells, size;
	char **cell;		/* owned, each too */
	size_t width[COLUMNS_MAX];
};

struct table *
table_new(unsigned columns)
{
	struct table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		err(CTL_FAIL, NULL);
	t->columns = columns;
	return t;
}

/* Columns a cell takes once it is printed. */
static size_t
width_of(const char *s)
{
	char buf[32];
	size_t n, len = strlen(s), w = 0;

	for (; len > 0; s += n, len -= n) {
		n = safe_char(s, len, false, buf);
		w += buf[0] == '\\' ? strlen(buf) : 1;
	}
	return w;
}

void
table_cell(struct table *t, const char *fmt, ...)
{
	char text[CELL_MAX];
	va_list ap;
	unsigned col = t->cells % t->columns;
	size_t w;

	if (t->cells >= ROWS_MAX * COLUMNS_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (t->cells == t->size) {
		t->size = t->size == 0 ? 64 : t->size * 2;
		t->cell = reallocarray(t->cell, t->size, sizeof(char *));
		if (t->cell == NULL)
			err(CTL_FAIL, NULL);
	}
	if ((t->cell[t->cells++] = strdup(text)) == NULL)
		err(CTL_FAIL, NULL);
	if ((w = width_of(text)) > t->width[col])
		t->width[col] = w;
}

void
table_print(const struct ctl *ctl, struct table *t)
{
	unsigned i, col;
	size_t w;

	for (i = 0; i < t->cells; i++) {
		col = i % t->columns;
		if (i < t->columns)
			out_color(ctl, "1");
		out_str(t->cell[i]);
		if (i < t->columns)
			out_color(ctl, NULL);
		if (col + 1 == t->columns)
			(void)putchar('\n');
		else
			for (w = width_of(t->cell[i]); w < t->width[col] + 2;
			    w++)
				(void)putchar(' ');
		free(t->cell[i]);
	}
	free(t->cell);
	free(t);
}

/* ---- members ---- */

struct json_object *
jget(struct json_object *o, const char *key)
{
	struct json_object *v;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, key, &v))
		return NULL;
	return v;
}

struct json_object *
jat(struct json_object *o, size_t i)
{
	if (!json_object_is_type(o, json_type_array) ||
	    i >= json_object_array_length(o))
		return NULL;
	return json_object_array_get_idx(o, i);
}

const char *
jstr(struct json_object *o, const char *key)
{
	struct json_object *v = jget(o, key);

	return json_object_is_type(v, json_type_string) ?
	    json_object_get_string(v) : "";
}

double
jnum(struct json_object *o, const char *key, double dflt)
{
	struct json_object *v = jget(o, key);

	return json_object_is_type(v, json_type_int) ||
	    json_object_is_type(v, json_type_double) ?
	    json_object_get_double(v) : dflt;
}

bool
jbool(struct json_object *o, const char *key)
{
	struct json_object *v = jget(o, key);

	return json_object_is_type(v, json_type_boolean) &&
	    json_object_get_boolean(v);
}

/*
 * A bounded list of what is wrong with a file, with line and column.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* strnvis() of two systems differ in their arguments; it is not used here. */
#define LIBBSD_OPENBSD_VIS
#include <vis.h>

#include "diag.h"
#include "log.h"

#define QUOTE_MAX	60	/* bytes of a value that a message shows */

struct diags *
diags_new(const char *file)
{
	struct diags *d;

	if ((d = calloc(1, sizeof(*d))) == NULL ||
	    (d->file = strdup(file)) == NULL)
		fatal("out of memory");
	return d;
}

void
diags_free(struct diags *d)
{
	size_t i;

	if (d == NULL)
		return;
	for (i = 0; i < d->n; i++)
		free(d->v[i].text);
	free(d->file);
	free(d);
}

void
diags_add(struct diags *d, unsigned line, unsigned col, const char *fmt, ...)
{
	struct diag *e;
	va_list ap;
	int r;

	if (d->n == DIAG_MAX) {
		d->dropped++;
		return;
	}
	e = &d->v[d->n];
	va_start(ap, fmt);
	r = vasprintf(&e->text, fmt, ap);
	va_end(ap);
	if (r == -1)
		fatal("out of memory");
	e->line = line;
	e->col = col;
	d->n++;
}

static int
by_place(const void *va, const void *vb)
{
	const struct diag *a = va, *b = vb;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->col != b->col)
		return a->col < b->col ? -1 : 1;
	return 0;
}

void
diags_each(struct diags *d, void (*fn)(const char *, void *), void *arg)
{
	const struct diag *e;
	char line[2048];
	size_t i;

	qsort(d->v, d->n, sizeof(d->v[0]), by_place);
	for (i = 0; i < d->n; i++) {
		e = &d->v[i];
		if (e->line == 0)
			snprintf(line, sizeof(line), "%s: %s", d->file,
			    e->text);
		else
			snprintf(line, sizeof(line), "%s:%u:%u: %s", d->file,
			    e->line, e->col, e->text);
		fn(line, arg);
	}
	if (d->dropped > 0) {
		snprintf(line, sizeof(line), "%s: and %zu more errors",
		    d->file, d->dropped);
		fn(line, arg);
	}
}

const char *
diag_quote(const char *s, char *out, size_t size)
{
	char head[QUOTE_MAX + 1], safe[4 * QUOTE_MAX + 1];

	strlcpy(head, s, sizeof(head));
	strvis(safe, head, VIS_CSTYLE | VIS_NL | VIS_TAB | VIS_NOSLASH);
	snprintf(out, size, "\"%s%s\"", safe,
	    strlen(s) > QUOTE_MAX ? "..." : "");
	return out;
}

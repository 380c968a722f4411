/*
 * Fuzz target: lines that a runtime writes, as kinds acp and exec read them.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: check --fuzz. Talks to: nobody.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "acp_record.h"
#include "acp_update.h"
#include "exec_line.h"
#include "jbuf.h"
#include "jpath.h"
#include "report.h"
#include "turn.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* In the place of turn.c: what is reported must be whole and in bounds. */
static size_t sum;

static void
take(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		sum = sum * 31 + (unsigned char)s[i];
}

void
turn_delta(struct turn *t, const char *s, size_t len)
{
	(void)t;
	take(s, len);
}

void
turn_reasoning(struct turn *t, const char *s, size_t len)
{
	(void)t;
	take(s, len);
}

void
turn_tool_call(struct turn *t, const struct tool_event *ev)
{
	(void)t;
	take(ev->id, strlen(ev->id));
	take(ev->tool, strlen(ev->tool));
	if (jscan_buf(ev->json, ev->len, JSCAN_MAX_DEPTH, JSCAN_ANY_TOP, NULL,
	    NULL, NULL) == -1)
		abort();
}

void
turn_tool_result(struct turn *t, const struct tool_event *ev)
{
	(void)t;
	take(ev->text, ev->len);
}

static void
acp_line(struct report *r, const char *p, size_t len)
{
	struct jspan id, v;
	struct jbuf b;
	const char *text;
	char why[200];
	size_t n;

	if (jscan_buf(p, len, JSCAN_MAX_DEPTH, 0, NULL, NULL, NULL) == -1)
		return;
	if (jpath(p, len, "params.update", &v))
		acp_update(r, &v);
	if (jpath(p, len, "error", &v))
		acp_error(&v, why, sizeof(why));
	if (!jpath(p, len, "id", &id) || acp_answer(&b, p, len, &id) == -1)
		return;
	if ((text = jbuf_text(&b, &n)) == NULL || jscan_buf(text, n,
	    JSCAN_MAX_DEPTH, 0, NULL, NULL, NULL) == -1)
		abort();
	jbuf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct exec_end end;
	struct report r;
	const char *p = (const char *)data, *nl;
	char *line;
	size_t n;

	memset(&end, 0, sizeof(end));
	report_init(&r, NULL);
	while (len > 0) {
		nl = memchr(p, '\n', len);
		n = nl != NULL ? (size_t)(nl - p) : len;
		/* Of its own, so that reading past it is seen. */
		if ((line = malloc(n + 1)) == NULL)
			abort();
		memcpy(line, p, n);
		line[n] = '\0';
		acp_line(&r, line, n);
		exec_line(&r, &end, line, n);
		free(line);
		n += nl != NULL;
		p += n;
		len -= n;
	}
	report_flush(&r);
	report_free(&r);
	return (0);
}

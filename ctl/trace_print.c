/*
 * Prints events of a trace for people.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: nobody.
 *
 * A turn is a heading and a line for each event, with its time since the
 * turn began. What a call or a result holds is cut to the terminal's width;
 * --json has all of it.
 */
#include "config.h"

#include <sys/ioctl.h>

#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ctl.h"
#include "trace_print.h"

#define PREFIX		26	/* columns before the text of a line */
#define WIDTH_MIN	60
#define WIDTH_PIPE	160

static size_t
text_width(void)
{
	struct winsize ws;

	if (!isatty(STDOUT_FILENO) ||
	    ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == -1 || ws.ws_col == 0)
		return WIDTH_PIPE - PREFIX;
	return (ws.ws_col < WIDTH_MIN ? WIDTH_MIN : ws.ws_col) - PREFIX;
}

/* A string as it is, anything else as JSON. */
static void
print_value(struct json_object *v, size_t width)
{
	const char *s;

	if (v == NULL)
		return;
	if (json_object_is_type(v, json_type_string))
		s = json_object_get_string(v);
	else
		s = json_object_to_json_string_ext(v,
		    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	out_short(s, strlen(s), width);
}

static void
print_message(const struct ctl *ctl, struct json_object *e, size_t width)
{
	struct json_object *p = jget(e, "payload");
	const char *who = jstr(p, "from");

	(void)ctl;
	if (who[0] != '\0') {
		out_short(who, strlen(who), 24);
		(void)printf(": ");
		print_value(jget(p, "text"), width > 28 ? width - 26 : width);
	} else
		print_value(jget(p, "content"), width);
}

static void
print_call(const struct ctl *ctl, struct json_object *e, size_t width)
{
	struct json_object *p = jget(e, "payload");
	struct json_object *resp = jget(p, "response"), *t;
	double in = jnum(e, "tokens_in", -1), out = jnum(e, "tokens_out", -1);
	size_t i;

	out_short(jstr(e, "model"), strlen(jstr(e, "model")), 40);
	if (jstr(e, "backend_name")[0] != '\0') {
		(void)printf(" (");
		out_short(jstr(e, "backend_name"),
		    strlen(jstr(e, "backend_name")), 24);
		(void)printf(")");
	}
	if (in >= 0 || out >= 0)
		(void)printf(", %.0f + %.0f tokens", in < 0 ? 0 : in,
		    out < 0 ? 0 : out);
	if (jnum(e, "duration_ms", -1) >= 0)
		(void)printf(", %.0f ms", jnum(e, "duration_ms", 0));
	if (strcmp(jstr(p, "status"), "success") != 0 &&
	    jstr(p, "status")[0] != '\0') {
		(void)printf(", ");
		out_color(ctl, "31");
		out_short(jstr(p, "status"), strlen(jstr(p, "status")), 24);
		out_color(ctl, NULL);
		if (jstr(e, "error")[0] != '\0') {
			(void)printf(": ");
			out_short(jstr(e, "error"), strlen(jstr(e, "error")),
			    width);
		}
		return;
	}
	for (i = 0; (t = jat(jget(resp, "tool_calls"), i)) != NULL; i++) {
		(void)printf("%s", i == 0 ? " -> " : ", ");
		out_short(jstr(t, "name"), strlen(jstr(t, "name")), 32);
	}
}

static void
print_tool(const struct ctl *ctl, struct json_object *e, size_t width)
{
	struct json_object *p = jget(e, "payload"), *ok;
	const char *tool = jstr(p, "tool");

	out_color(ctl, "1");
	out_short(tool, strlen(tool), 32);
	out_color(ctl, NULL);
	(void)printf(" ");
	if (strcmp(jstr(e, "kind"), "tool_call") == 0) {
		print_value(jget(p, "args"), width - 16);
		return;
	}
	ok = jget(p, "success");
	if (json_object_is_type(ok, json_type_boolean) &&
	    !json_object_get_boolean(ok)) {
		out_color(ctl, "31");
		(void)printf("FAILED ");
		out_color(ctl, NULL);
	}
	print_value(jget(p, "result"), width - 16);
}

static void
print_error(const struct ctl *ctl, struct json_object *e, size_t width)
{
	struct json_object *p = jget(e, "payload");
	const char *text = jstr(p, "message");

	if (text[0] == '\0')
		text = jstr(e, "error");
	out_color(ctl, "31");
	if (jstr(p, "stage")[0] != '\0') {
		out_short(jstr(p, "stage"), strlen(jstr(p, "stage")), 16);
		(void)printf(": ");
	}
	out_short(text, strlen(text), width);
	out_color(ctl, NULL);
}

static void
print_other(const struct ctl *ctl, struct json_object *e, size_t width)
{
	struct json_object *p = jget(e, "payload");

	(void)ctl;
	print_value(jget(p, "text") != NULL ? jget(p, "text") : p, width);
}

static const struct {
	const char *kind, *sgr;
	void (*print)(const struct ctl *, struct json_object *, size_t);
} kinds[] = {
	{ "message_in",		"32",	print_message },
	{ "message_out",	"32",	print_message },
	{ "llm_call",		"36",	print_call },
	{ "tool_call",		"33",	print_tool },
	{ "tool_result",	"33",	print_tool },
	{ "error",		"31",	print_error },
	{ NULL,			"2",	print_other },
};

static void
print_event(const struct ctl *ctl, struct json_object *e, double start)
{
	const char *kind = jstr(e, "kind");
	size_t i;

	for (i = 0; kinds[i].kind != NULL; i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			break;
	(void)printf("  %+9.3f  ", jnum(e, "created_at", start) - start);
	out_color(ctl, kinds[i].sgr);
	out_short(kind, strlen(kind), 20);
	out_color(ctl, NULL);
	(void)printf("%*s", (int)(strlen(kind) < 12 ? 13 - strlen(kind) : 1),
	    "");
	kinds[i].print(ctl, e, text_width());
	(void)putchar('\n');
}

/* Attempt lines only from the second on: most turns have just one. */
static void
print_attempt(const struct ctl *ctl, struct json_object *e, int *attempt)
{
	int n = (int)jnum(jget(e, "payload"), "attempt", 0);

	if (n > *attempt && n > 1) {
		out_color(ctl, "35");
		(void)printf("  attempt %d: the one before broke off\n", n);
		out_color(ctl, NULL);
	}
	if (n > *attempt)
		*attempt = n;
}

static void
print_heading(const struct ctl *ctl, const char *turn, double start)
{
	char buf[32];

	out_color(ctl, "1");
	if (turn[0] == '\0')
		(void)printf("outside of turns");
	else {
		(void)printf("turn ");
		out_str(turn);
	}
	out_color(ctl, NULL);
	(void)printf("  %s\n", fmt_time(buf, sizeof(buf), start));
}

/* ---- a list ---- */

struct row {
	struct json_object *event;
	double at;
	const char *turn;	/* "" for none */
	double turn_at;		/* of its turn's first event */
	size_t index;		/* to keep the API's order among equals */
};

static int
by_turn(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int c;

	if (x->turn_at != y->turn_at)
		return x->turn_at < y->turn_at ? -1 : 1;
	if ((c = strcmp(x->turn, y->turn)) != 0)
		return c;
	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

/* An event of no turn stands alone, at its own time. */
static double
turn_start(const struct row *rows, size_t n, size_t i)
{
	double at = rows[i].at;
	size_t j;

	if (rows[i].turn[0] == '\0')
		return at;
	for (j = 0; j < n; j++)
		if (rows[j].at < at && strcmp(rows[j].turn, rows[i].turn) == 0)
			at = rows[j].at;
	return at;
}

void
trace_print(const struct ctl *ctl, struct json_object *events)
{
	struct row *rows;
	const char *turn = NULL;
	size_t i, n = 0;
	int attempt = 0;

	while (jat(events, n) != NULL)
		n++;
	if (n == 0) {
		(void)printf("no events\n");
		return;
	}
	if ((rows = calloc(n, sizeof(*rows))) == NULL)
		err(CTL_FAIL, NULL);
	for (i = 0; i < n; i++) {
		rows[i].event = jat(events, i);
		rows[i].at = jnum(rows[i].event, "created_at", 0);
		rows[i].turn = jstr(rows[i].event, "trace_id");
		rows[i].index = n - i;	/* they came newest first */
	}
	for (i = 0; i < n; i++)
		rows[i].turn_at = turn_start(rows, n, i);
	qsort(rows, n, sizeof(*rows), by_turn);
	for (i = 0; i < n; i++) {
		if (turn == NULL || strcmp(turn, rows[i].turn) != 0) {
			if (turn != NULL)
				(void)putchar('\n');
			turn = rows[i].turn;
			attempt = 0;
			print_heading(ctl, turn, rows[i].turn_at);
		}
		print_attempt(ctl, rows[i].event, &attempt);
		print_event(ctl, rows[i].event, rows[i].turn_at);
	}
	free(rows);
}

void
trace_print_live(const struct ctl *ctl, struct trace_live *l,
    struct json_object *e)
{
	const char *turn = jstr(e, "trace_id");

	if (l->start == 0 || strcmp(turn, l->turn) != 0) {
		if (l->start != 0)
			(void)putchar('\n');
		(void)strlcpy(l->turn, turn, sizeof(l->turn));
		l->start = jnum(e, "created_at", 1);
		l->attempt = 0;
		print_heading(ctl, turn, l->start);
	}
	print_attempt(ctl, e, &l->attempt);
	print_event(ctl, e, l->start);
}

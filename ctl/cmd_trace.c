/*
 * agentctl trace: what an agent did, turn by turn or live.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ctl.h"
#include "sse.h"
#include "trace_print.h"

#define PATH_LEN	1024
#define SEEN		512	/* ids remembered over a lost stream */
#define ID_MAX		64
#define LAST_TRIES	12	/* of 250 ms: an event takes its way to disk */

struct query {
	const char *agent, *kind, *trace_id;
	char limit[16];
	char turn[ID_MAX + 1];	/* the newest one's id */
	bool follow, last;
};

struct tail {
	struct ctl *ctl;
	struct trace_live live;
	double newest;
	unsigned int nseen;
	char seen[SEEN][ID_MAX + 1];
};

static int
parse_query(int argc, char **argv, struct query *q)
{
	static const struct option opts[] = {
		{ "follow", no_argument, NULL, 'f' },
		{ "kind", required_argument, NULL, 'k' },
		{ "last", no_argument, NULL, 'L' },
		{ "limit", required_argument, NULL, 'l' },
		{ "trace-id", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 }
	};
	const char *errstr;
	int c;

	optind = 0;
	while ((c = getopt_long(argc + 1, argv - 1, "f", opts, NULL)) != -1) {
		switch (c) {
		case 'f': q->follow = true; break;
		case 'k': q->kind = optarg; break;
		case 'L': q->last = true; break;
		case 't': q->trace_id = optarg; break;
		case 'l':
			(void)strtonum(optarg, 1, 1000, &errstr);
			if (errstr == NULL) {
				(void)strlcpy(q->limit, optarg,
				    sizeof(q->limit));
				break;
			}
			complain("--limit is %s (1 to 1000)", errstr);
			return CTL_USAGE;
		default:
			return ctl_usage();
		}
	}
	if (argc + 1 - optind != 1)
		return ctl_usage();
	q->agent = argv[optind - 1];
	return agent_name_ok(q->agent) ? CTL_OK : CTL_USAGE;
}

static int
build_path(const struct query *q, char *path)
{
	(void)snprintf(path, PATH_LEN, "/api/agents/%s/trace", q->agent);
	if ((q->kind != NULL &&
	    path_query(path, PATH_LEN, "kind", q->kind) == -1) ||
	    (q->trace_id != NULL &&
	    path_query(path, PATH_LEN, "trace_id", q->trace_id) == -1) ||
	    (q->limit[0] != '\0' &&
	    path_query(path, PATH_LEN, "limit", q->limit) == -1)) {
		complain("the query is too long");
		return -1;
	}
	return 0;
}

/* ---- live ---- */

static bool
seen_before(struct tail *t, const char *id)
{
	unsigned int i;

	for (i = 0; i < SEEN && t->seen[i][0] != '\0'; i++)
		if (strcmp(t->seen[i], id) == 0)
			return true;
	(void)strlcpy(t->seen[t->nseen], id, sizeof(t->seen[0]));
	t->nseen = (t->nseen + 1) % SEEN;
	return false;
}

static int
on_trace(void *arg, const struct sse_event *ev)
{
	struct tail *t = arg;
	struct json_object *doc;

	if (strcmp(ev->name, "trace") != 0 ||
	    (doc = json_tokener_parse(ev->data)) == NULL)
		return 0;
	if (!seen_before(t, jstr(doc, "id"))) {
		if (t->ctl->json)
			(void)printf("%s\n", ev->data);
		else
			trace_print_live(t->ctl, &t->live, doc);
		if (jnum(doc, "created_at", 0) > t->newest)
			t->newest = jnum(doc, "created_at", 0);
		(void)fflush(stdout);
	}
	json_object_put(doc);
	return 0;
}

/* Until it is interrupted; a stream that breaks goes on where it was. */
static int
follow(struct ctl *ctl, struct query *q)
{
	struct tail *t = calloc(1, sizeof(*t));
	struct stream s = { .event = on_trace, .arg = t };
	char path[PATH_LEN], since[32];
	enum stream_end end;

	if (t == NULL || build_path(q, path) == -1) {
		free(t);
		return CTL_FAIL;
	}
	t->ctl = ctl;
	for (;;) {
		end = rest_stream(ctl, path, &s);
		if (end == STREAM_REFUSED && !s.quiet)
			break;
		s.quiet = true;
		(void)sleep(1);
		if (build_path(q, path) == -1)
			break;
		/* A little earlier: events reach the disk out of order. */
		(void)snprintf(since, sizeof(since), "%.3f", t->newest - 5);
		if (t->newest > 5 &&
		    path_query(path, sizeof(path), "since", since) == -1)
			break;
	}
	free(t);
	return CTL_FAIL;
}

/* ---- once ---- */

static bool
has_end(struct json_object *events)
{
	struct json_object *e;
	size_t i;

	for (i = 0; (e = jat(events, i)) != NULL; i++)
		if (strcmp(jstr(e, "kind"), "message_out") == 0 ||
		    (strcmp(jstr(e, "kind"), "error") == 0 &&
		    strcmp(jstr(jget(e, "payload"), "stage"), "runtime") == 0))
			return true;
	return false;
}

/* The turn of the newest event that has one; false when there is none. */
static bool
newest_turn(struct json_object *events, char *id, size_t size)
{
	struct json_object *e;
	size_t i;

	for (i = 0; (e = jat(events, i)) != NULL; i++)
		if (jstr(e, "trace_id")[0] != '\0')
			return strlcpy(id, jstr(e, "trace_id"), size) < size;
	return false;
}

/*
 * Fetches the events of the newest turn. Its last event comes to the trace a
 * moment after the answer has come to who asked: waits for it a little.
 */
static int
fetch_last(struct ctl *ctl, struct query *q, struct reply *r)
{
	struct timespec ts = { 0, 250 * 1000 * 1000 };
	char path[PATH_LEN];
	int i;

	for (i = 1;; i++) {
		q->trace_id = NULL;
		(void)strlcpy(q->limit, "1000", sizeof(q->limit));
		if (build_path(q, path) == -1 || rest_get(ctl, path, r) == -1)
			return -1;
		if (!newest_turn(jget(r->doc, "events"), q->turn,
		    sizeof(q->turn)))
			return 0;
		reply_free(r);
		q->trace_id = q->turn;
		if (build_path(q, path) == -1 || rest_get(ctl, path, r) == -1)
			return -1;
		if (i == LAST_TRIES || has_end(jget(r->doc, "events")))
			return 0;
		reply_free(r);
		(void)nanosleep(&ts, NULL);
	}
}

int
cmd_trace(struct ctl *ctl, int argc, char **argv)
{
	struct query q = { .agent = NULL };
	char path[PATH_LEN];
	struct reply r = { .status = 0 };
	int ret;

	if ((ret = parse_query(argc, argv, &q)) != CTL_OK)
		return ret;
	if (q.follow)
		return follow(ctl, &q);
	if (q.last)
		ret = fetch_last(ctl, &q, &r);
	else if ((ret = build_path(&q, path)) == 0)
		ret = rest_get(ctl, path, &r);
	if (out_words(ctl, ret, &r))
		trace_print(ctl, jget(r.doc, "events"));
	return reply_exit(ret, &r);
}

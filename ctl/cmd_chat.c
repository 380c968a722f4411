/*
 * agentctl chat: says something to an agent and shows its answer.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 *
 * On a terminal the answer appears as it is made; elsewhere it is printed
 * once it is complete, because what was said can still be taken back.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "ctl.h"
#include "jbuf.h"
#include "sse.h"
#include "sys.h"

#define TEXT_MAX	32768
#define PATH_LEN	256
#define PATIENCE	120	/* times a stream may break, half a second each */

struct chat {
	struct ctl *ctl;
	char agent[64];
	char channel[ID_LEN + 1];
	char key[ID_LEN + 1];	/* of the post: it may be repeated */
	const char *text;
	char turn[ID_LEN + 1];	/* id of our message; "" before the post */
	char answer[ID_LEN + 1];	/* id of the agent's message */
	char *said;		/* owned; the answer so far */
	size_t len;
	size_t shown;		/* bytes of it that are on the terminal */
	bool live;		/* show it as it comes */
	int verdict;		/* -1: no end yet */
};

static int	on_event(void *, const struct sse_event *);

/* The agent's own channel; CTL_OK or a message. */
static int
find_channel(struct chat *c, const char *agent)
{
	char path[PATH_LEN];
	struct reply r;
	int ret = CTL_FAIL;

	if (!path_segment_ok(agent) ||
	    strlcpy(c->agent, agent, sizeof(c->agent)) >= sizeof(c->agent)) {
		complain("'%s' is not the name of an agent", agent);
		return CTL_USAGE;
	}
	(void)snprintf(path, sizeof(path), "/api/agents/%s", agent);
	if (rest_get(c->ctl, path, &r) == 0) {
		(void)strlcpy(c->channel, jstr(r.doc, "channel_id"),
		    sizeof(c->channel));
		if (!sys_is_id(c->channel))
			complain("%s has no channel yet (status: %s)", agent,
			    jstr(r.doc, "status"));
		else
			ret = CTL_OK;
	}
	reply_free(&r);
	return ret;
}

/* Runs when the stream is open: nothing of the answer can be missed. */
static int
post(void *arg)
{
	struct chat *c = arg;
	struct reply r;
	struct jbuf b;
	int ret;

	if (c->turn[0] != '\0')
		return 0;
	jbuf_init(&b, 8 * TEXT_MAX);
	jb_obj(&b);
	jb_kstr(&b, "channel_id", c->channel);
	jb_kstr(&b, "content", c->text);
	jb_end(&b);
	ret = rest_call(c->ctl, "POST", "/api/chat/messages",
	    jbuf_text(&b, NULL), c->key, &r);
	jbuf_free(&b);
	if (ret == 0) {
		(void)strlcpy(c->turn, jstr(r.doc, "id"), sizeof(c->turn));
		/* Why it will not be answered at once. */
		if (jstr(r.doc, "note")[0] != '\0')
			complain("%s", jstr(r.doc, "note"));
	} else
		c->verdict = CTL_FAIL;
	reply_free(&r);
	return ret;
}

static void
show(struct chat *c)
{
	if (!c->live)
		return;
	out_text(c->said + c->shown, c->len - c->shown, true);
	c->shown = c->len;
	(void)fflush(stdout);
}

static void
say(struct chat *c, const char *text, size_t len)
{
	char *p;

	if ((p = realloc(c->said, c->len + len + 1)) == NULL)
		return;
	memcpy(p + c->len, text, len);
	c->said = p;
	c->len += len;
	c->said[c->len] = '\0';
}

/* The answer is this text; what is on the terminal is used if it can be. */
static void
say_all(struct chat *c, const char *text)
{
	size_t len = strlen(text);

	if (c->shown > 0 && (c->shown > len ||
	    memcmp(c->said, text, c->shown) != 0)) {
		(void)printf("\n");
		out_color(c->ctl, "2");
		(void)printf("[the answer in full]");
		out_color(c->ctl, NULL);
		(void)printf("\n");
		c->shown = 0;
	}
	c->len = 0;
	say(c, text, len);
	show(c);
}

static void
over(struct chat *c, const char *state, const char *error)
{
	if (strcmp(state, "complete") == 0)
		c->verdict = CTL_OK;
	else if (strcmp(state, "error") == 0 || strcmp(state, "failed") == 0)
		c->verdict = CTL_FAIL;
	if (c->verdict == -1)
		return;
	if (!c->live && !c->ctl->json && c->len > 0)
		out_text(c->said, c->len, true);
	if (!c->ctl->json && c->len > 0 && c->said[c->len - 1] != '\n')
		(void)putchar('\n');
	if (c->verdict == CTL_FAIL)
		complain("%s did not answer: %s", c->agent,
		    error[0] != '\0' ? error : "no reason is given");
}

/* A whole message: the agent's of our turn begins, or is there at once. */
static void
on_message(struct chat *c, struct json_object *doc)
{
	struct json_object *meta = jget(doc, "metadata");
	const char *trace = jstr(meta, "trace_id");

	if (strcmp(jstr(doc, "author_type"), "agent") != 0 ||
	    (strcmp(trace, c->turn) != 0 &&
	    strcmp(jstr(doc, "trace_id"), c->turn) != 0))
		return;
	(void)strlcpy(c->answer, jstr(doc, "id"), sizeof(c->answer));
	say_all(c, jstr(doc, "content"));
	over(c, jstr(doc, "state"), jstr(meta, "error"));
}

static void
on_reset(struct chat *c)
{
	if (c->shown > 0) {
		(void)printf("\n");
		out_color(c->ctl, "2");
		(void)printf("[starting over]");
		out_color(c->ctl, NULL);
		(void)printf("\n");
	}
	c->len = c->shown = 0;
}

static void
dispatch(struct chat *c, const char *name, struct json_object *doc)
{
	const char *id = jstr(doc, "message_id");

	if (strcmp(name, "message") == 0)
		on_message(c, doc);
	else if (strcmp(name, "message_state") == 0 &&
	    strcmp(id, c->turn) == 0 &&
	    strcmp(jstr(doc, "state"), "failed") == 0)
		over(c, "failed", jstr(doc, "error"));
	else if (c->answer[0] == '\0' || strcmp(id, c->answer) != 0)
		return;
	else if (strcmp(name, "message_delta") == 0) {
		say(c, jstr(doc, "delta"), strlen(jstr(doc, "delta")));
		show(c);
	} else if (strcmp(name, "message_reset") == 0)
		on_reset(c);
	else if (strcmp(name, "message_edit") == 0) {
		if (jstr(doc, "content")[0] != '\0')
			say_all(c, jstr(doc, "content"));
	} else if (strcmp(name, "message_state") == 0)
		over(c, jstr(doc, "state"), jstr(doc, "error"));
}

static int
on_event(void *arg, const struct sse_event *ev)
{
	struct chat *c = arg;
	struct json_object *doc;

	if ((doc = json_tokener_parse(ev->data)) == NULL)
		return 0;
	if (c->ctl->json && strncmp(ev->name, "message", 7) == 0)
		(void)printf("{\"event\":\"%s\",\"data\":%s}\n", ev->name,
		    ev->data);
	dispatch(c, ev->name, doc);
	json_object_put(doc);
	return c->verdict != -1;
}

/*
 * The stream was lost and the answer may have come meanwhile: the history
 * says. Only what is over counts, the rest comes by the new stream.
 */
static void
look_back(struct chat *c)
{
	struct json_object *list, *m;
	char path[PATH_LEN];
	struct reply r;
	size_t i;

	(void)snprintf(path, sizeof(path),
	    "/api/chat/channels/%s/messages?limit=50", c->channel);
	if (c->turn[0] != '\0' && rest_try(c->ctl, path, &r) == 200) {
		list = jget(r.doc, "messages");
		for (i = 0; (m = jat(list, i)) != NULL; i++)
			if (strcmp(jstr(m, "state"), "streaming") != 0)
				on_message(c, m);
		reply_free(&r);
	}
}

/* One message and its answer. */
static int
say_once(struct chat *c, const char *text)
{
	struct stream s = { .opened = post, .event = on_event, .arg = c };
	struct timespec ts = { 0, 500 * 1000 * 1000 };
	char path[PATH_LEN];
	int i;

	c->text = text;
	c->turn[0] = c->answer[0] = '\0';
	c->len = c->shown = 0;
	c->verdict = -1;
	sys_id(c->key);
	(void)snprintf(path, sizeof(path), "/api/chat/channels/%s/events",
	    c->channel);
	for (i = 0; c->verdict == -1 && i < PATIENCE; i++) {
		/* Before the post a refusal counts, later it is a restart. */
		s.quiet = c->turn[0] != '\0';
		if (rest_stream(c->ctl, path, &s) == STREAM_REFUSED &&
		    c->turn[0] == '\0')
			return CTL_FAIL;
		if (c->verdict != -1)
			break;
		(void)nanosleep(&ts, NULL);
		look_back(c);
	}
	if (c->verdict == -1)
		complain("no answer; see: agentctl trace %s --last",
		    c->agent);
	(void)fflush(stdout);
	return c->verdict == CTL_OK ? CTL_OK : CTL_FAIL;
}

/* Lines of standard input; a prompt only if a person types them. */
static int
interact(struct chat *c)
{
	bool tty = isatty(STDIN_FILENO) && !c->ctl->json;
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	int ret = CTL_OK;

	if (tty)
		(void)printf("Talking to %s. An empty line or ^D ends it.\n",
		    c->agent);
	for (;;) {
		if (tty) {
			out_color(c->ctl, "1");
			(void)printf("> ");
			out_color(c->ctl, NULL);
			(void)fflush(stdout);
		}
		if ((n = getline(&line, &size, stdin)) == -1)
			break;
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '\0' && tty)
			break;
		if (line[0] == '\0')
			continue;
		if (n > TEXT_MAX)
			complain("longer than %d bytes, not sent", TEXT_MAX);
		else
			ret = say_once(c, line);
	}
	free(line);
	return ret;
}

int
cmd_chat(struct ctl *ctl, int argc, char **argv)
{
	struct chat c = { .ctl = ctl, .live = isatty(STDOUT_FILENO) &&
	    !ctl->json };
	int ret;

	if (argc == 2 && (argv[1][0] == '\0' ||
	    strlen(argv[1]) > TEXT_MAX)) {
		complain("a message has 1 to %d bytes", TEXT_MAX);
		return CTL_USAGE;
	}
	if ((ret = find_channel(&c, argv[0])) == CTL_OK)
		ret = argc == 2 ? say_once(&c, argv[1]) : interact(&c);
	free(c.said);
	return ret;
}

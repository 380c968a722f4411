/*
 * What the demo provider answers to a chat completion.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "demo_reply.h"
#include "jbuf.h"
#include "jscan.h"
#include "log.h"

#define LABEL	"(demo provider, not an AI: canned reply) "
#define COMMAND	"echo hello from the demo provider"
#define CHUNK_MAX	4096

/* Tools that run a command, as runtimes name them; the first one counts. */
static const char *const shells[] = {
	"exec", "bash", "Bash", "shell", "run_shell_command", "exec_command",
	"shell_command", "execute_command", "run_command", "terminal",
};

static const char text_tool[] = LABEL
    "Hello! Your message went through every process of agentd. I asked your "
    "agent to run one harmless command, and its result came back to me: the "
    "trace of this turn shows all of it. To talk to a real model, add a "
    "provider.";
static const char text_plain[] = LABEL
    "Hello! Your message went through every process of agentd. This agent "
    "offered no tool that runs a command, so I did not call one. To talk to "
    "a real model, add a provider.";

static void	 parse_messages(const struct jspan *, struct demo_request *);
static void	 parse_tools(const struct jspan *, struct demo_request *);
static bool	 parse_tool(const struct jspan *, const char *,
		    struct demo_request *);
static bool	 parse_schema(const struct jspan *, struct demo_request *);
static bool	 get_string(const struct jspan *, const char *, char *, size_t);
static void	 arguments(const struct demo_request *, char *, size_t);
static void	 write_json(const struct demo_request *, const char *, int64_t,
		    struct evbuffer *);
static void	 write_events(const struct demo_request *, const char *,
		    int64_t, struct evbuffer *);
static void	 head(struct jbuf *, const struct demo_request *, const char *,
		    int64_t, const char *);
static void	 tool_call(struct jbuf *, const struct demo_request *,
		    const char *, const char *);
static void	 usage(struct jbuf *, const struct demo_request *);
static void	 put(struct jbuf *, const char *, const char *,
		    struct evbuffer *);
static bool	 calls_tool(const struct demo_request *);
static const char *final_text(const struct demo_request *);

int
demo_parse(const char *text, size_t len, struct demo_request *r,
    const char **why)
{
	struct jspan whole = { text, len, JT_OBJECT }, v, w;
	const char *p = text;

	memset(r, 0, sizeof(*r));
	r->len = len;
	if (jscan_buf(text, len, JSCAN_MAX_DEPTH, 0, NULL, NULL, why) == -1)
		return -1;
	while (strchr(" \t\r\n", *p) != NULL)
		p++;
	whole.p = p;
	whole.len = len - (size_t)(p - text);
	if (jscan_get(whole.p, whole.len, "messages", &v) != 1 ||
	    v.type != JT_ARRAY) {
		*why = "it has no messages";
		return -1;
	}
	parse_messages(&v, r);
	if (jscan_get(whole.p, whole.len, "stream", &v) == 1)
		r->stream = v.type == JT_TRUE;
	if (jscan_get(whole.p, whole.len, "stream_options", &v) == 1 &&
	    v.type == JT_OBJECT &&
	    jscan_get(v.p, v.len, "include_usage", &w) == 1)
		r->usage = w.type == JT_TRUE;
	if (!get_string(&whole, "model", r->model, sizeof(r->model)))
		(void)snprintf(r->model, sizeof(r->model), "demo");
	if (jscan_get(whole.p, whole.len, "tool_choice", &v) == 1 &&
	    v.type == JT_STRING && jscan_string_eq(&v, "none"))
		return 0;
	if (jscan_get(whole.p, whole.len, "tools", &v) == 1 &&
	    v.type == JT_ARRAY)
		parse_tools(&v, r);
	return 0;
}

/*
 * A tool has answered if a result comes after the last text of the model.
 * What the user says does not count: some runtimes put messages of their own
 * in the user's name behind the result.
 */
static void
parse_messages(const struct jspan *list, struct demo_request *r)
{
	struct jspan m;
	struct jiter it;
	char role[16];

	if (jscan_array(&it, list->p, list->len) == -1)
		return;
	while (jscan_next(&it, NULL, &m) == 1) {
		if (m.type != JT_OBJECT ||
		    !get_string(&m, "role", role, sizeof(role)))
			continue;
		if (strcmp(role, "tool") == 0)
			r->tool_result = true;
		else if (strcmp(role, "assistant") == 0)
			r->tool_result = false;
	}
}

static void
parse_tools(const struct jspan *list, struct demo_request *r)
{
	struct jspan tool, fn;
	struct jiter it;
	size_t i;

	for (i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
		if (jscan_array(&it, list->p, list->len) == -1)
			return;
		while (jscan_next(&it, NULL, &tool) == 1)
			if (tool.type == JT_OBJECT &&
			    jscan_get(tool.p, tool.len, "function", &fn) == 1 &&
			    fn.type == JT_OBJECT &&
			    parse_tool(&fn, shells[i], r))
				return;
	}
}

static bool
parse_tool(const struct jspan *fn, const char *name, struct demo_request *r)
{
	struct jspan v;

	if (jscan_get(fn->p, fn->len, "name", &v) != 1 ||
	    v.type != JT_STRING || !jscan_string_eq(&v, name))
		return false;
	(void)snprintf(r->tool_arg, sizeof(r->tool_arg), "command");
	if (jscan_get(fn->p, fn->len, "parameters", &v) == 1 &&
	    v.type == JT_OBJECT && !parse_schema(&v, r))
		return false;
	(void)snprintf(r->tool_name, sizeof(r->tool_name), "%s", name);
	r->tool = true;
	return true;
}

/* Which argument takes the command; false if a call needs others, too. */
static bool
parse_schema(const struct jspan *schema, struct demo_request *r)
{
	struct jspan props, arg, v;
	struct jiter it;
	char type[16];

	if (jscan_get(schema->p, schema->len, "properties", &props) != 1 ||
	    props.type != JT_OBJECT)
		return false;
	if (jscan_get(props.p, props.len, "command", &arg) != 1) {
		if (jscan_get(props.p, props.len, "cmd", &arg) != 1)
			return false;
		(void)snprintf(r->tool_arg, sizeof(r->tool_arg), "cmd");
	}
	if (arg.type == JT_OBJECT &&
	    get_string(&arg, "type", type, sizeof(type)))
		r->as_list = strcmp(type, "array") == 0;
	if (jscan_get(schema->p, schema->len, "required", &arg) != 1 ||
	    arg.type != JT_ARRAY || jscan_array(&it, arg.p, arg.len) == -1)
		return true;
	while (jscan_next(&it, NULL, &v) == 1)
		if (v.type != JT_STRING || !jscan_string_eq(&v, r->tool_arg))
			return false;
	return true;
}

static bool
get_string(const struct jspan *object, const char *key, char *dst, size_t size)
{
	struct jspan v;

	return jscan_get(object->p, object->len, key, &v) == 1 &&
	    v.type == JT_STRING && jscan_unescape(&v, dst, size) > 0;
}

/* ---- the answer ---- */

void
demo_write(const struct demo_request *r, const char *id, int64_t created,
    struct evbuffer *out)
{
	if (r->stream)
		write_events(r, id, created, out);
	else
		write_json(r, id, created, out);
}

static bool
calls_tool(const struct demo_request *r)
{
	return r->tool && !r->tool_result;
}

static const char *
final_text(const struct demo_request *r)
{
	return r->tool_result ? text_tool : text_plain;
}

static void
arguments(const struct demo_request *r, char *buf, size_t size)
{
	if (r->as_list)
		(void)snprintf(buf, size, "{\"%s\":[\"sh\",\"-c\",\"%s\"]}",
		    r->tool_arg, COMMAND);
	else
		(void)snprintf(buf, size, "{\"%s\":\"%s\"}", r->tool_arg,
		    COMMAND);
}

static void
write_json(const struct demo_request *r, const char *id, int64_t created,
    struct evbuffer *out)
{
	struct jbuf b;
	char args[256];

	jbuf_init(&b, CHUNK_MAX);
	head(&b, r, id, created, "chat.completion");
	jb_key(&b, "message");
	jb_obj(&b);
	jb_kstr(&b, "role", "assistant");
	if (calls_tool(r)) {
		arguments(r, args, sizeof(args));
		jb_kstr(&b, "content", NULL);
		tool_call(&b, r, id, args);
	} else
		jb_kstr(&b, "content", final_text(r));
	jb_end(&b);
	jb_kstr(&b, "finish_reason", calls_tool(r) ? "tool_calls" : "stop");
	jb_end(&b);
	jb_end(&b);
	usage(&b, r);
	jb_end(&b);
	put(&b, "", "", out);
	jbuf_free(&b);
}

/* One piece of a delta: what is NULL is left out. */
static void
chunk(const struct demo_request *r, const char *id, int64_t created,
    const char *content, const char *args, const char *finish,
    struct evbuffer *out)
{
	struct jbuf b;

	jbuf_init(&b, CHUNK_MAX);
	head(&b, r, id, created, "chat.completion.chunk");
	jb_key(&b, "delta");
	jb_obj(&b);
	if (content != NULL && content[0] == '\0')
		jb_kstr(&b, "role", "assistant");
	if (content != NULL)
		jb_kstr(&b, "content", content);
	if (args != NULL)
		tool_call(&b, r, id, args);
	jb_end(&b);
	jb_kstr(&b, "finish_reason", finish);
	jb_end(&b);
	jb_end(&b);
	jb_end(&b);
	put(&b, "data: ", "\n\n", out);
	jbuf_free(&b);
}

static void
write_events(const struct demo_request *r, const char *id, int64_t created,
    struct evbuffer *out)
{
	char word[64], args[256];
	const char *p, *end;
	struct jbuf b;

	chunk(r, id, created, "", NULL, NULL, out);
	if (calls_tool(r)) {
		arguments(r, args, sizeof(args));
		chunk(r, id, created, NULL, args, NULL, out);
	} else {
		for (p = final_text(r); *p != '\0'; p = end) {
			end = p + 1 + strcspn(p + 1, " ");
			(void)snprintf(word, sizeof(word), "%.*s",
			    (int)(end - p), p);
			chunk(r, id, created, word, NULL, NULL, out);
		}
	}
	chunk(r, id, created, NULL, NULL, calls_tool(r) ? "tool_calls" :
	    "stop", out);
	if (r->usage) {
		jbuf_init(&b, CHUNK_MAX);
		jb_obj(&b);
		jb_kstr(&b, "id", id);
		jb_kstr(&b, "object", "chat.completion.chunk");
		jb_kint(&b, "created", created);
		jb_kstr(&b, "model", r->model);
		jb_key(&b, "choices");
		jb_arr(&b);
		jb_end(&b);
		usage(&b, r);
		jb_end(&b);
		put(&b, "data: ", "\n\n", out);
		jbuf_free(&b);
	}
	if (evbuffer_add_printf(out, "data: [DONE]\n\n") == -1)
		fatalx("out of memory");
}

/* Opens the document up to within the one choice. */
static void
head(struct jbuf *b, const struct demo_request *r, const char *id,
    int64_t created, const char *object)
{
	jb_obj(b);
	jb_kstr(b, "id", id);
	jb_kstr(b, "object", object);
	jb_kint(b, "created", created);
	jb_kstr(b, "model", r->model);
	jb_key(b, "choices");
	jb_arr(b);
	jb_obj(b);
	jb_kint(b, "index", 0);
}

static void
tool_call(struct jbuf *b, const struct demo_request *r, const char *id,
    const char *args)
{
	char call[48];

	(void)snprintf(call, sizeof(call), "call_%.24s", id);
	jb_key(b, "tool_calls");
	jb_arr(b);
	jb_obj(b);
	if (r->stream)
		jb_kint(b, "index", 0);
	jb_kstr(b, "id", call);
	jb_kstr(b, "type", "function");
	jb_key(b, "function");
	jb_obj(b);
	jb_kstr(b, "name", r->tool_name);
	jb_kstr(b, "arguments", args);
	jb_end(b);
	jb_end(b);
	jb_end(b);
}

/* A rough count, four bytes to a token: there is no tokenizer behind it. */
static void
usage(struct jbuf *b, const struct demo_request *r)
{
	int64_t in = (int64_t)(r->len / 4), out;

	out = calls_tool(r) ? 12 : (int64_t)(strlen(final_text(r)) / 4);
	jb_key(b, "usage");
	jb_obj(b);
	jb_kint(b, "prompt_tokens", in);
	jb_kint(b, "completion_tokens", out);
	jb_kint(b, "total_tokens", in + out);
	jb_end(b);
}

static void
put(struct jbuf *b, const char *before, const char *after,
    struct evbuffer *out)
{
	const char *text;
	size_t len;

	/* All that goes in is bounded. */
	if ((text = jbuf_text(b, &len)) == NULL)
		fatalx("a reply of the demo provider does not fit");
	if (evbuffer_add_printf(out, "%s%s%s", before, text, after) == -1)
		fatalx("out of memory");
}

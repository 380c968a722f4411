/*
 * Records of the Agent Client Protocol that agent-link sends.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#include "config.h"

#include <string.h>

#include "acp_record.h"
#include "jbuf.h"
#include "jpath.h"

#define RECORD_MAX	(2UL << 20)
#define OPTION_MAX	256
#define RPC_ID_MAX	128		/* of the runtime's requests */

static void
record_start(struct jbuf *b)
{
	jbuf_init(b, RECORD_MAX);
	jb_obj(b);
	jb_kstr(b, "jsonrpc", "2.0");
}

/* Begins a request; its params are open. */
static void
request_start(struct jbuf *b, unsigned int nr, const char *method)
{
	record_start(b);
	jb_kint(b, "id", nr);
	jb_kstr(b, "method", method);
	jb_key(b, "params");
	jb_obj(b);
}

/* Closes all that is open. */
static void
record_end(struct jbuf *b)
{
	while (b->depth > 0 && !b->bad)
		jb_end(b);
}

void
acp_initialize(struct jbuf *b, unsigned int nr)
{
	request_start(b, nr, "initialize");
	jb_kint(b, "protocolVersion", ACP_PROTOCOL);
	/* Its files and its terminal are its own: nothing is lent to it. */
	jb_key(b, "clientCapabilities");
	jb_obj(b);
	jb_key(b, "fs");
	jb_obj(b);
	jb_kbool(b, "readTextFile", false);
	jb_kbool(b, "writeTextFile", false);
	jb_end(b);
	jb_kbool(b, "terminal", false);
	jb_end(b);
	jb_key(b, "clientInfo");
	jb_obj(b);
	jb_kstr(b, "name", "agent-link");
	jb_kstr(b, "version", PACKAGE_VERSION);
	record_end(b);
}

void
acp_open(struct jbuf *b, unsigned int nr, const char *cwd, const char *id)
{
	request_start(b, nr, id != NULL ? "session/load" : "session/new");
	if (id != NULL)
		jb_kstr(b, "sessionId", id);
	jb_kstr(b, "cwd", cwd);
	jb_key(b, "mcpServers");
	jb_arr(b);
	record_end(b);
}

void
acp_prompt(struct jbuf *b, unsigned int nr, const char *session,
    const char *text, size_t len)
{
	request_start(b, nr, "session/prompt");
	jb_kstr(b, "sessionId", session);
	jb_key(b, "prompt");
	jb_arr(b);
	jb_obj(b);
	jb_kstr(b, "type", "text");
	jb_key(b, "text");
	jb_strn(b, text, len);
	record_end(b);
}

void
acp_cancel(struct jbuf *b, const char *session)
{
	record_start(b);
	jb_kstr(b, "method", "session/cancel");
	jb_key(b, "params");
	jb_obj(b);
	jb_kstr(b, "sessionId", session);
	record_end(b);
}

/*
 * The result for a session/request_permission: allows it once, if that is on
 * offer, else for ever; cancels when neither is. Its container is the fence;
 * nobody sits here to ask.
 */
static void
permission(struct jbuf *b, const struct jspan *params)
{
	char id[OPTION_MAX], always[OPTION_MAX] = "", once[OPTION_MAX] = "";
	struct jiter it;
	struct jspan options, key, o;
	const char *choice;

	if (jpath(params->p, params->len, "options", &options) &&
	    options.type == JT_ARRAY &&
	    jscan_array(&it, options.p, options.len) == 0) {
		while (jscan_next(&it, &key, &o) == 1) {
			if (o.type != JT_OBJECT || !jpath_copy(o.p, o.len,
			    "optionId", id, sizeof(id)))
				continue;
			if (jpath_is(o.p, o.len, "kind", "allow_once"))
				(void)strlcpy(once, id, sizeof(once));
			else if (jpath_is(o.p, o.len, "kind", "allow_always"))
				(void)strlcpy(always, id, sizeof(always));
		}
	}
	choice = once[0] != '\0' ? once : always;
	jb_obj(b);
	jb_key(b, "outcome");
	jb_obj(b);
	jb_kstr(b, "outcome", choice[0] != '\0' ? "selected" : "cancelled");
	if (choice[0] != '\0')
		jb_kstr(b, "optionId", choice);
	jb_end(b);
	jb_end(b);
}

int
acp_answer(struct jbuf *b, const char *p, size_t len, const struct jspan *id)
{
	struct jspan params;

	if (id->len > RPC_ID_MAX ||
	    (id->type != JT_STRING && id->type != JT_NUMBER))
		return -1;
	record_start(b);
	jb_key(b, "id");
	jb_raw(b, id->p, id->len);
	if (jpath_is(p, len, "method", "session/request_permission") &&
	    jpath(p, len, "params", &params) && params.type == JT_OBJECT) {
		jb_key(b, "result");
		permission(b, &params);
	} else {
		jb_key(b, "error");
		jb_obj(b);
		jb_kint(b, "code", -32601);
		jb_kstr(b, "message", "this client does not offer it");
	}
	record_end(b);
	return 0;
}

void
acp_error(const struct jspan *error, char *buf, size_t size)
{
	char detail[300];

	if (!jpath_copy(error->p, error->len, "message", buf, size) ||
	    buf[0] == '\0')
		(void)strlcpy(buf, "the agent's runtime failed without a "
		    "reason", size);
	if (jpath_copy(error->p, error->len, "data.message", detail,
	    sizeof(detail)) || jpath_copy(error->p, error->len,
	    "data.details", detail, sizeof(detail))) {
		(void)strlcat(buf, ": ", size);
		(void)strlcat(buf, detail, size);
	}
}

/*
 * What front answers without asking anybody.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: front. Talks to: clients.
 */
#include "config.h"
#include "front.h"
#include "jbuf.h"
#include "worker.h"

#define DOC_MAX		(256 * 1024)

static void
send_doc(struct call *c, int status, struct jbuf *j)
{
	const char *text;
	size_t len;

	if ((text = jbuf_text(j, &len)) == NULL)
		call_error(c, 500, "the document could not be made");
	else {
		httpd_reply(c->req, status, "application/json", text, len);
		call_end(c);
	}
	jbuf_free(j);
}

void
local_health(struct call *c)
{
	static const enum proc need[] = { PROC_KEEPER, PROC_TRACE,
	    PROC_PROXY };
	struct jbuf j;
	bool ok = true;
	size_t i;

	for (i = 0; i < sizeof(need) / sizeof(need[0]); i++)
		ok = ok && peer_is_up(worker_peer(need[i]));
	jbuf_init(&j, DOC_MAX);
	jb_obj(&j);
	jb_kstr(&j, "status", ok ? "ok" : "degraded");
	jb_key(&j, "workers");
	jb_obj(&j);
	for (i = 0; i < sizeof(need) / sizeof(need[0]); i++)
		jb_kstr(&j, proc_name(need[i]),
		    peer_is_up(worker_peer(need[i])) ? "up" : "down");
	jb_end(&j);
	jb_end(&j);
	if (!ok)
		httpd_add_header(c->req, "Retry-After", "1");
	send_doc(c, ok ? 200 : 503, &j);
}

void
local_openapi(struct call *c)
{
	struct jbuf j;

	jbuf_init(&j, DOC_MAX);
	openapi_write(&j, routes, nroutes);
	send_doc(c, 200, &j);
}

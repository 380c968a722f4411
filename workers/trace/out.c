/*
 * Answers to front: rows, long rows in parts, ends.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: trace.  Talks to: front.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "log.h"
#include "peer.h"
#include "trace.h"
#include "worker.h"

#define LAST_MAX	60000	/* bytes of RESULT.json */
#define PART_MAX	61440	/* bytes of RESULT_PART */

bool
out_room(void)
{
	/* The same bound as chan.c's: only above it does "drained" follow. */
	return peer_queued(worker_peer(PROC_FRONT)) <= CHAN_QUEUE_MAX / 2;
}

static int
result(uint64_t id, bool more, unsigned int status, const char *event,
    const char *json)
{
	struct m_result r;

	memset(&r, 0, sizeof(r));
	r.status = status;
	r.event = event;
	r.json = json;
	return peer_reply_id(worker_peer(PROC_FRONT), id, MSG_RESULT, more,
	    &r, -1);
}

/* All but the last bytes go ahead, so that the rest fits a RESULT. */
static int
parts(uint64_t id, const char **json, size_t *len)
{
	struct m_trace_more p;

	/* Half a row must not be queued: is there room for all of it? */
	if (peer_queued(worker_peer(PROC_FRONT)) + *len + 65536 >
	    CHAN_QUEUE_MAX)
		return -1;
	while (*len > LAST_MAX) {
		p.data.ptr = *json;
		p.data.len = *len - LAST_MAX < PART_MAX ? *len - LAST_MAX :
		    PART_MAX;
		if (peer_reply_id(worker_peer(PROC_FRONT), id,
		    MSG_RESULT_PART, true, &p, -1) == -1)
			return -1;
		*json += p.data.len;
		*len -= p.data.len;
	}
	return 0;
}

int
out_row(uint64_t id, const char *event, const char *json, size_t len)
{
	if (len > LAST_MAX && parts(id, &json, &len) == -1)
		return -1;
	return result(id, true, 200, event, json);
}

void
out_doc(uint64_t id, unsigned int status, const char *json)
{
	if (result(id, false, status, "", json) == -1)
		log_warn("answer to front");
}

void
out_end(uint64_t id, unsigned int status, const char *error)
{
	struct jbuf b;
	const char *text;

	if (error == NULL) {
		out_doc(id, status, "");
		return;
	}
	jbuf_init(&b, 8192);
	jb_obj(&b);
	jb_kstr(&b, "error", error);
	jb_end(&b);
	text = jbuf_text(&b, NULL);
	out_doc(id, status, text == NULL ? "{\"error\":\"\"}" : text);
	jbuf_free(&b);
}

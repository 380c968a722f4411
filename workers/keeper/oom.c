/*
 * An agent that ran out of memory: its record and its trace say so.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: nobody.
 *
 * The link counts the kernel's kills in its container; it tells of them with
 * the end of a turn.  (The count that Incus offers stays 0 with cgroup v1,
 * where a group counts only for itself.)
 */
#include <stdio.h>
#include <string.h>

#include "agent.h"
#include "keeper.h"
#include "log.h"

#define MIB	(1024 * 1024)

void
oom_told(struct agent *a, const char *trace_id, const char *channel_id)
{
	char		 old[sizeof(a->reason)], why[sizeof(a->reason)];
	struct jbuf	 jb;

	(void)strlcpy(old, a->reason, sizeof(old));
	(void)snprintf(why, sizeof(why), "out of memory: the kernel killed a "
	    "process of it; its limit is %llu MiB",
	    (unsigned long long)(a->memory / MIB));
	log_warnx("agent %s: %s", a->slug, why);
	/* Why it may not run says more. */
	if (a->paused_by[0] == '\0')
		(void)strlcpy(a->reason, why, sizeof(a->reason));
	jbuf_init(&jb, 1024);
	jb_obj(&jb);
	jb_kstr(&jb, "event", "out_of_memory");
	jb_kstr(&jb, "reason", why);
	jb_kint(&jb, "memory_limit", (int64_t)a->memory);
	jb_end(&jb);
	if (db_begin(keeper_db()) == -1) {
		jbuf_free(&jb);
		(void)strlcpy(a->reason, old, sizeof(a->reason));
		return;
	}
	(void)agent_save(a);
	tracebox_add(a->id, "lifecycle", trace_id, channel_id, why, &jb);
	if (db_commit(keeper_db()) == -1)
		(void)strlcpy(a->reason, old, sizeof(a->reason));
	tracebox_kick();
}

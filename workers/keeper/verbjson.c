/*
 * How the end of a verb is told: the documents of the contract.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: nobody.
 */
#include "keeper.h"
#include "verb.h"

static void
report(struct jbuf *jb, const char *key, const struct verb_end *e)
{
	jb_key(jb, key);
	prepare_json(jb, e->slug, &e->prepared);
}

static void
success(struct jbuf *jb)
{
	jb_kbool(jb, "success", true);
	jb_kstr(jb, "output", "");
}

void
verb_json(struct jbuf *jb, const struct verb_end *e)
{
	jb_obj(jb);
	jb_kstr(jb, "name", e->slug);
	switch (e->verb) {
	case V_PAUSE:
		jb_kstr(jb, "status", "paused");
		report(jb, "report", e);
		break;
	case V_RESUME:
		jb_kstr(jb, "status", e->changed ? "resumed" : "ok");
		jb_kbool(jb, "paused", false);
		break;
	case V_STOP:
		jb_kstr(jb, "status", e->shown);
		jb_kbool(jb, "success", true);
		report(jb, "prepare_report", e);
		jb_key(jb, "stop_result");
		jb_obj(jb);
		success(jb);
		jb_end(jb);
		break;
	default:
		jb_kstr(jb, "status", e->shown);
		success(jb);
		if (e->verb == V_RESTART)
			report(jb, "prepare_report", e);
		break;
	}
	jb_end(jb);
}

/*
 * Which of its models are there for an agent that is restored?
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: proxy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "archive.h"
#include "log.h"
#include "saga.h"
#include "worker.h"

#define MODEL(s)	((s)->arg[2])	/* of those that are left */
#define FALLBACKS(s)	((s)->arg[3])

struct models {
	char		 wanted[SAGA_ARG + 257];	/* one a line */
	char		*next;
	char		*now;		/* the one that is asked for */
	char		 error[512];
};

static void	 next_model(struct saga *);

static void
on_model(struct saga *s, uint32_t status, const char *error)
{
	struct models	*ms = s->work;

	if (status >= 500) {
		saga_fail(s, 503, "%s", error);
		return;
	}
	if (status >= 300) {
		log_warnx("agent %s: dropped: %s", s->arg[0], error);
		if (ms->error[0] == '\0')
			(void)strlcpy(ms->error, error, sizeof(ms->error));
	} else if (MODEL(s)[0] == '\0') {
		(void)strlcpy(MODEL(s), ms->now, sizeof(MODEL(s)));
	} else {
		if (FALLBACKS(s)[0] != '\0')
			(void)strlcat(FALLBACKS(s), "\n",
			    sizeof(FALLBACKS(s)));
		(void)strlcat(FALLBACKS(s), ms->now, sizeof(FALLBACKS(s)));
	}
	next_model(s);
}

static void
next_model(struct saga *s)
{
	struct models		*ms = s->work;
	struct m_model_check	 m;

	while ((ms->now = strsep(&ms->next, "\n")) != NULL &&
	    (ms->now[0] == '\0' || strlen(ms->now) > 256))
		continue;
	if (ms->now != NULL) {
		m.model = ms->now;
		saga_ask(s, PROC_PROXY, MSG_MODEL_CHECK, &m, on_model);
	} else if (MODEL(s)[0] == '\0') {
		saga_fail(s, 409, "none of its models is there any more, and "
		    "it may use no others: %s", ms->error);
	} else {
		saga_ok(s);
	}
}

/* An agent without a model of its own may use any: that stays so. */
void
restore_models(struct saga *s)
{
	struct archived	 r;
	struct models	*ms;

	MODEL(s)[0] = FALLBACKS(s)[0] = '\0';
	if (archive_get(s->agent_id, &r) == -1) {
		saga_fail(s, 404, "it is not in the archive");
		return;
	}
	if (r.agent->model[0] == '\0' && r.agent->fallbacks[0] == '\0') {
		archived_free(&r);
		saga_ok(s);
		return;
	}
	if ((ms = calloc(1, sizeof(*ms))) == NULL)
		fatal("models");
	(void)snprintf(ms->wanted, sizeof(ms->wanted), "%s\n%s",
	    r.agent->model, r.agent->fallbacks);
	ms->next = ms->wanted;
	archived_free(&r);
	s->work = ms;
	s->work_free = free;
	next_model(s);
}

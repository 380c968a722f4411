/*
 * Work in several steps that is finished or undone as a whole: archive,
 * restore, purge, going back to a snapshot, rebuild.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 *
 * A kind is a table of steps.  The row that says which step is at hand, and
 * in which direction, is on disk before the step does anything; so each step
 * and each undo must be one that can be done twice.  A step that fails turns
 * the work around: the undos of all steps begun, the last one first.  From
 * step "final" on there is no way back, and it is tried until it succeeds.
 * What a crash has cut goes back, or goes on if the kind says so.
 *
 * (Deploys have an engine of their own, job.c: their steps run side by side.)
 */
#ifndef SAGA_H
#define SAGA_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent.h"
#include "keeper.h"
#include "prepare.h"

#define SAGA_ARGS	5
#define SAGA_ARG	4097

struct event;
struct saga;

struct saga_step {
	const char	*name;
	/* Either ends in one call of saga_ok, _fail or _lost. */
	void		(*run)(struct saga *);
	void		(*undo)(struct saga *);	/* NULL: there is nothing to */
};

struct saga_kind {
	const char		*name;		/* "archive"; stays for ever */
	const struct saga_step	*steps;
	size_t			 n;
	size_t			 final;		/* n: it can always go back */
	bool			 goes_on;	/* after a crash */
	bool			 live;		/* has an agent from the start */
	/* It is done, the answer is due; the saga is freed after it. */
	void			(*done)(struct saga *);
	/* It was undone; the client has its error already.  May be NULL. */
	void			(*undone)(struct saga *);
};

struct saga {
	TAILQ_ENTRY(saga)	 entry;
	char			 id[ID_LEN + 1];
	char			 agent_id[ID_LEN + 1];
	char			 owner[65];
	const struct saga_kind	*kind;
	size_t			 step;
	bool			 back;
	uint32_t		 status;	/* why it goes back; 0 */
	char			 error[512];
	char			 arg[SAGA_ARGS][SAGA_ARG];	/* [0]: slug */
	/* in memory only */
	struct agent		*agent;		/* its lock is ours; or NULL */
	struct client		 client;	/* gets the answer at the end */
	struct event		*late, *again;
	uint64_t		 lost_ms;	/* since when nobody answers */
	int			 wait_ms;
	unsigned		 tries;
	bool			 link;		/* waits for the agent's link */
	uint32_t		 seconds;	/* that its agent gets */
	struct prepared		 prepared;	/* saga_live_prepare() */
	uint32_t		 uid_base, uid_count;	/* of the last CT_DONE */
	void			(*fn)(struct saga *, uint32_t, const char *);
	void			(*row)(struct saga *, const struct msg *);
	void			*work;		/* of the step at hand */
	void			(*work_free)(void *);
};

/* All kinds; a row whose kind is not among them is left alone. */
extern const struct saga_kind	saga_archive, saga_restore, saga_purge,
				saga_rewind, saga_rebuild;

/*
 * A new one; of a live agent it takes over the lock.  Fill in arg[], then
 * saga_begin(): its row and the audit record are written and it starts.
 */
struct saga	*saga_new(const struct saga_kind *, const char *agent_id,
		    struct agent *, const char *slug, struct client);
void		 saga_begin(struct saga *, const struct pass *,
		    const char *action);
/* Whoever asked waits so many seconds longer for the end. */
void		 saga_patience(struct saga *, uint32_t seconds);
/* Is one at work on this agent?  Its kind's name, or NULL. */
const char	*saga_runs(const char *agent_id);

/* ---- for steps ---- */

void	saga_ok(struct saga *);
/*
 * Part of the open transaction: the step at hand is done.  For a step that is
 * nothing but a transaction, so that a crash cannot part the two.
 */
void	saga_pass(struct saga *);
/* It cannot be done; on the way back: it will be tried again. */
void	saga_fail(struct saga *, uint32_t status, const char *, ...)
	    __attribute__((format(printf, 3, 4)));
/* Who should do it is not there (now). */
void	saga_lost(struct saga *, const char *who);
/*
 * Asks a worker.  fn gets the status and the error of DONE or CT_DONE; if it
 * is NULL, less than 300 is a success and else it has failed.
 */
void	saga_ask(struct saga *, enum proc, uint32_t type, const void *payload,
	    void (*fn)(struct saga *, uint32_t, const char *));
/* CT_ACTION on the instance; timeout: seconds of a stop in peace. */
void	saga_act(struct saga *, const char *instance, const char *verb,
	    uint32_t timeout, void (*fn)(struct saga *, uint32_t,
	    const char *));
/* Goes on when the link of the agent is there; fails after so many seconds. */
void	saga_wait_link(struct saga *, uint32_t seconds);
/* Calls fn from the loop, so that a long step does not hold up all others. */
void	saga_yield(struct saga *, void (*fn)(struct saga *, uint32_t,
	    const char *));

/* ---- sagalive.c ---- */

/*
 * A running agent is asked to finish, and told that it may go on; it ends as
 * a step does.  reason is static text; seconds 0: PREPARE_S.
 */
void	saga_live_prepare(struct saga *, const char *reason,
	    uint32_t seconds);
void	saga_live_lift(struct saga *);
/*
 * Steps: the agent's instance is stopped; it is as its row says; it has the
 * limits and the network of its row; it has the label of a live one.
 */
void	saga_live_stop(struct saga *);
void	saga_live_again(struct saga *);
void	saga_live_rights(struct saga *);
void	saga_live_tag(struct saga *);
/* Its policy goes to proxy; its socket comes or goes; its link is there. */
void	saga_live_policy(struct saga *);
void	saga_live_listen(struct saga *);
void	saga_live_unlisten(struct saga *);
void	saga_live_link(struct saga *);
/* For saga_ask(): on the way back an instance that is gone needs no more. */
void	saga_undone(struct saga *, uint32_t status, const char *error);

/* ---- from outside ---- */

void	saga_resume(void);		/* at start */
void	saga_kick(void);		/* a peer is back */
void	saga_link(struct agent *);	/* its link has subscribed */

#endif /* SAGA_H */

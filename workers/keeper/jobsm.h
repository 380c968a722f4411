/*
 * A deploy as a state machine: events in, actions out, nothing else.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef JOBSM_H
#define JOBSM_H

#include <stdbool.h>
#include <stdint.h>

enum job_step {
	JS_PLANNED,
	JS_POLICY,		/* proxy: is there such a model? */
	JS_SOCKET,		/* supervisor: the agent's socket */
	JS_INSTANCE,		/* container: create and start */
	JS_CONNECTED,		/* the link subscribes */
	JS_CHANNEL,
	JS_RUNNING,		/* the end of a good one */
	JS_ROLLBACK,
	JS_FAILED		/* the end of a bad one: nothing is left */
};

enum job_event {
	JE_START,
	JE_RESUME,		/* the journal ends at sm.step */
	JE_POLICY_OK,
	JE_SOCKET_OK,
	JE_CREATED,
	JE_CREATE_FAILED,	/* what was made is undone by us */
	JE_FOREIGN,		/* an instance of that name is not ours */
	JE_CONNECTED,
	JE_LOST,		/* the link has gone again */
	JE_STORED,
	JE_FAILED,		/* policy, socket or database */
	JE_CANCEL,		/* timeout, DELETE */
	JE_UNDONE
};

/* Actions, bits. */
#define JA_POLICY	0x0001U	/* ask proxy */
#define JA_SOCKET	0x0002U	/* ask the supervisor */
#define JA_ACCEPT	0x0004U	/* answer 202 */
#define JA_CREATE	0x0008U	/* ask container */
#define JA_IDMAP	0x0010U	/* tell gateway the idmap */
#define JA_WAIT		0x0020U	/* wait for the link, with its deadline */
#define JA_FINISH	0x0040U	/* store channel and state */
#define JA_SUCCESS	0x0080U
#define JA_UNDOING	0x0100U	/* note why and where it failed */
#define JA_UNDO		0x0200U	/* tear down */
#define JA_FAIL		0x0400U	/* the job is over */

struct jobsm {
	enum job_step	 step;
	enum job_step	 failed_at;
	bool		 policy, socket;	/* there */
	bool		 creating;		/* container has not answered */
	bool		 instance;		/* there may be one of ours */
	bool		 connected;
};

/* What to do; JA_ bits, 0 for an event that comes too late. */
uint32_t	 jobsm_event(struct jobsm *, enum job_event);
const char	*jobsm_step_name(enum job_step);

#endif /* JOBSM_H */

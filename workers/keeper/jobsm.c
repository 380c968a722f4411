/*
 * A deploy as a state machine.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 *
 * Policy and socket are asked for at the same time.  Once container has been
 * asked for an instance, nothing is undone before its answer: to destroy what
 * is only being made would leave it behind.
 *
 * After a crash, by the step at which the journal ends:
 *
 *	planned		nothing was asked of anybody: from the start
 *	policy, socket	there may be a policy and a socket: asked for again,
 *			both say yes to what is there
 *	instance	there may be one of ours, whole, half made or still in the
 *			making: policy and socket again, then container takes
 *			what runs and bears this job's id, or removes it and
 *			makes it anew
 *	connected	the same; the link's event stream may be back already
 *	channel		never found: stored in one transaction with running
 *	rollback	goes on, with its first reason
 *
 * All but rollback are rolled back instead if the deadline, an absolute time
 * in the job's row, is over.  A worker that dies under a request is asked
 * again when it is back: the same steps in the small.
 */
#include <stddef.h>

#include "jobsm.h"

static const char *const names[] = {
	[JS_PLANNED] = "planned",
	[JS_POLICY] = "policy",
	[JS_SOCKET] = "socket",
	[JS_INSTANCE] = "instance",
	[JS_CONNECTED] = "connected",
	[JS_CHANNEL] = "channel",
	[JS_RUNNING] = "running",
	[JS_ROLLBACK] = "rollback",
	[JS_FAILED] = "failed",
};

const char *
jobsm_step_name(enum job_step step)
{
	return names[step];
}

static uint32_t
undo(struct jobsm *sm)
{
	uint32_t	 actions = 0;

	if (sm->step != JS_ROLLBACK) {
		sm->failed_at = sm->step;
		sm->step = JS_ROLLBACK;
		actions = JA_UNDOING;
	}
	if (!sm->creating)
		actions |= JA_UNDO;
	return actions;
}

/* Policy and socket are both there: the instance can be made. */
static uint32_t
prepared(struct jobsm *sm)
{
	if (!sm->policy)
		return 0;
	if (!sm->socket) {
		sm->step = JS_SOCKET;
		return 0;
	}
	sm->step = JS_INSTANCE;
	sm->creating = sm->instance = true;
	return JA_CREATE;
}

static uint32_t
created(struct jobsm *sm)
{
	if (!sm->creating)
		return 0;
	sm->creating = false;
	if (sm->step == JS_ROLLBACK)
		return undo(sm);
	sm->step = JS_CONNECTED;
	if (!sm->connected)
		return JA_IDMAP | JA_WAIT;
	sm->step = JS_CHANNEL;
	return JA_IDMAP | JA_FINISH;
}

static uint32_t
create_failed(struct jobsm *sm, bool foreign)
{
	if (!sm->creating)
		return 0;
	sm->creating = false;
	if (foreign)
		sm->instance = false;
	return undo(sm);
}

static uint32_t
connected(struct jobsm *sm)
{
	sm->connected = true;
	if (sm->step != JS_CONNECTED)
		return 0;
	sm->step = JS_CHANNEL;
	return JA_FINISH;
}

static uint32_t
resume(struct jobsm *sm)
{
	if (sm->step == JS_ROLLBACK)
		return JA_UNDO;
	if (sm->step > JS_CHANNEL)
		return 0;
	/* The intent to make it was on disk. */
	sm->instance = sm->instance || sm->step >= JS_INSTANCE;
	sm->step = JS_POLICY;
	return JA_POLICY | JA_SOCKET;
}

static bool
preparing(const struct jobsm *sm)
{
	return sm->step == JS_POLICY || sm->step == JS_SOCKET;
}

uint32_t
jobsm_event(struct jobsm *sm, enum job_event ev)
{
	if (sm->step == JS_RUNNING || sm->step == JS_FAILED)
		return 0;
	switch (ev) {
	case JE_START:
		if (sm->step != JS_PLANNED)
			return 0;
		sm->step = JS_POLICY;
		return JA_POLICY | JA_SOCKET;
	case JE_RESUME:
		return resume(sm);
	case JE_POLICY_OK:
		if (!preparing(sm) || sm->policy)
			return 0;
		sm->policy = true;
		return JA_ACCEPT | prepared(sm);
	case JE_SOCKET_OK:
		if (!preparing(sm) || sm->socket)
			return 0;
		sm->socket = true;
		return prepared(sm);
	case JE_CREATED:
		return created(sm);
	case JE_CREATE_FAILED:
		return create_failed(sm, false);
	case JE_FOREIGN:
		return create_failed(sm, true);
	case JE_CONNECTED:
		return connected(sm);
	case JE_LOST:
		sm->connected = false;
		return 0;
	case JE_STORED:
		if (sm->step != JS_CHANNEL)
			return 0;
		sm->step = JS_RUNNING;
		return JA_SUCCESS;
	case JE_FAILED:
	case JE_CANCEL:
		return sm->step == JS_ROLLBACK ? 0 : undo(sm);
	case JE_UNDONE:
		if (sm->step != JS_ROLLBACK)
			return 0;
		sm->step = JS_FAILED;
		return JA_FAIL;
	}
	return 0;
}

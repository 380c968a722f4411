/*
 * Requests of keeper under way: how many, in which order, how they end.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper.
 */
#include <sys/types.h>
#include <sys/queue.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "log.h"
#include "peer.h"
#include "sys.h"
#include "worker.h"

TAILQ_HEAD(op_list, op);

static struct {
	struct op_list	list;		/* oldest first */
	size_t		n;
	char		away[INCUS_ERR_MAX];	/* logged already */
} ops = { TAILQ_HEAD_INITIALIZER(ops.list), 0, "" };

static void
send_done(uint64_t id, unsigned int status, const struct idmap *map,
    const char *error)
{
	struct m_ct_done d;

	d.status = status;
	d.error = error;
	d.uid_base = map == NULL ? 0 : map->base;
	d.uid_count = map == NULL ? 0 : map->count;
	if (peer_reply_id(worker_peer(PROC_KEEPER), id, MSG_CT_DONE, false, &d,
	    -1) == -1)
		log_warn("answer to keeper");
}

void
op_refuse(uint64_t id, unsigned int status, const char *fmt, ...)
{
	char error[INCUS_ERR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, sizeof(error), fmt, ap);
	va_end(ap);
	log_set_request(id);
	log_info("refused: %u %s", status, error);
	log_set_request(0);
	send_done(id, status, NULL, error);
}

void *
op_new(size_t size, uint64_t id, const char *verb, const char *instance,
    void (*run)(struct op *), void (*freefn)(struct op *))
{
	struct op *op;

	if (ops.n >= CT_OPS_MAX) {
		op_refuse(id, 503, "too many container operations at one time "
		    "(%d): try again", CT_OPS_MAX);
		return NULL;
	}
	if ((op = calloc(1, size)) == NULL)
		fatal("operation");
	op->id = id;
	op->verb = verb;
	strlcpy(op->instance, instance, sizeof(op->instance));
	op->started = sys_now_ms();
	op->run = run;
	op->free = freefn;
	TAILQ_INSERT_TAIL(&ops.list, op, entry);
	ops.n++;
	return op;
}

static void
on_env(const char *why, void *arg)
{
	struct op *op = arg;

	if (why != NULL)
		op_done(op, 503, NULL, "%s", why);
	else
		op->run(op);
}

/* Is an earlier operation at work on the same instance? */
static bool
must_wait(const struct op *op)
{
	const struct op *o;

	if (op->instance[0] == '\0')
		return false;
	TAILQ_FOREACH(o, &ops.list, entry) {
		if (o == op)
			return false;
		if (strcmp(o->instance, op->instance) == 0)
			return true;
	}
	return false;
}

void
op_start(struct op *op)
{
	if (must_wait(op))
		return;
	op->running = true;
	/* Written before it is done: this worker is root-equivalent. */
	log_set_request(op->id);
	if (op->instance[0] != '\0')
		log_info("%s %s", op->verb, op->instance);
	else
		log_debug("%s", op->verb);
	log_set_request(0);
	env_ensure(on_env, op);
}

static void
log_end(const struct op *op, unsigned int status, const char *error)
{
	const char *blank = op->instance[0] == '\0' ? "" : " ";

	log_set_request(op->id);
	/* keeper asks again every few seconds while Incus is away. */
	if (status == 503 && strcmp(error, ops.away) == 0)
		log_debug("%s%s%s: 503 %s", op->verb, blank, op->instance,
		    error);
	else if (status >= 300)
		log_warnx("%s%s%s: %u %s", op->verb, blank, op->instance,
		    status, error);
	else if (op->instance[0] != '\0')
		log_info("%s %s: done in %llu ms", op->verb, op->instance,
		    (unsigned long long)(sys_now_ms() - op->started));
	strlcpy(ops.away, status == 503 ? error : "", sizeof(ops.away));
	log_set_request(0);
}

static void
finish(struct op *op, unsigned int status, const struct idmap *map,
    const char *error)
{
	struct op *o;
	char instance[sizeof(op->instance)];

	log_end(op, status, error);
	if (!op->orphan)
		send_done(op->id, status, map, error);
	TAILQ_REMOVE(&ops.list, op, entry);
	ops.n--;
	strlcpy(instance, op->instance, sizeof(instance));
	if (op->free != NULL)
		op->free(op);
	free(op);
	if (instance[0] == '\0')
		return;
	TAILQ_FOREACH(o, &ops.list, entry)
		if (!o->running && strcmp(o->instance, instance) == 0) {
			op_start(o);
			return;
		}
}

void
op_done(struct op *op, unsigned int status, const struct idmap *map,
    const char *fmt, ...)
{
	char error[INCUS_ERR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error, sizeof(error), fmt, ap);
	va_end(ap);
	finish(op, status, map, error);
}

void
op_fail(struct op *op, const struct incus_reply *r, const char *what)
{
	if (r->down)
		env_lost();
	if (what == NULL)
		op_done(op, r->status, NULL, "%s", r->error);
	else
		op_done(op, r->status, NULL, "%s: %s", what, r->error);
}

void
op_row(struct op *op, uint32_t type, const void *payload)
{
	if (!op->orphan && peer_reply_id(worker_peer(PROC_KEEPER), op->id,
	    type, true, payload, -1) == -1)
		log_warn("row to keeper");
}

void
op_orphan_all(void)
{
	struct op *op;

	TAILQ_FOREACH(op, &ops.list, entry)
		op->orphan = true;
}

struct op *
op_orphan(const char *verb, const char *instance)
{
	struct op *op;

	TAILQ_FOREACH(op, &ops.list, entry)
		if (op->orphan && strcmp(op->verb, verb) == 0 &&
		    strcmp(op->instance, instance) == 0)
			return op;
	return NULL;
}

void
op_take(struct op *op, uint64_t id)
{
	op->id = id;
	op->orphan = false;
	log_set_request(id);
	log_info("%s %s: keeper is back and waits for it", op->verb,
	    op->instance);
	log_set_request(0);
}

size_t
op_count(void)
{
	return ops.n;
}

/*
 * The audit log: who changed what, and who was refused.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 *
 * A change is written in the transaction that makes it.  Refusals cost an
 * attacker nothing, so they are gathered and written once a second, and what
 * does not fit is only counted.
 */
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "keeper.h"
#include "log.h"
#include "sys.h"
#include "worker.h"

#define DENIED_MAX	128		/* kept between two writes */
#define ROWS_MAX	500000
#define SWEEP_EVERY	1000		/* rows added */

struct denied {
	double		at;
	uint64_t	conn;
	uint32_t	status;
	char		principal[65];
	char		action[33];
	char		target[65];
};

static struct {
	struct denied	 ring[DENIED_MAX];
	size_t		 n;
	unsigned	 lost;
	unsigned	 added;
	struct event	*timer;
} ad;

static void
insert(double at, const char *principal, uint64_t conn, const char *action,
    const char *target, uint32_t status, const char *detail)
{
	(void)db_exec(keeper_db(), "INSERT INTO audit (at, owner_id, conn, "
	    "action, target, status, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
	    "?7)", "dsqssus", at, principal, (int64_t)conn, action, target,
	    status, detail);
	if (++ad.added < SWEEP_EVERY)
		return;
	ad.added = 0;
	(void)db_exec(keeper_db(), "DELETE FROM audit WHERE n <= "
	    "(SELECT max(n) FROM audit) - ?1", "i", ROWS_MAX);
}

void
audit_add(const struct pass *who, const char *action, const char *target,
    uint32_t status, const char *detail)
{
	insert(sys_time(), who->principal, who->conn, action, target, status,
	    detail != NULL ? detail : "");
}

void
audit_flush(void)
{
	char	 text[64];
	size_t	 i;

	if (ad.n == 0 || db_in_tx(keeper_db()))
		return;
	if (db_begin(keeper_db()) == -1)
		return;
	for (i = 0; i < ad.n; i++)
		insert(ad.ring[i].at, ad.ring[i].principal, ad.ring[i].conn,
		    ad.ring[i].action, ad.ring[i].target, ad.ring[i].status,
		    "");
	if (ad.lost > 0) {
		(void)snprintf(text, sizeof(text), "%u more", ad.lost);
		insert(sys_time(), "?", 0, "refused", "", 403, text);
	}
	if (db_commit(keeper_db()) == -1)
		log_warnx("%zu refusals are not in the audit log", ad.n);
	ad.n = ad.lost = 0;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct timeval	 second = { 1, 0 };

	(void)fd;
	(void)what;
	(void)arg;
	audit_flush();
	/* It could not: the next refusal alone would not arm the timer. */
	if (ad.n > 0)
		(void)evtimer_add(ad.timer, &second);
}

void
audit_denied(const char *principal, uint64_t conn, const char *action,
    const char *target, uint32_t status)
{
	struct timeval	 second = { 1, 0 };
	struct denied	*d;

	if (ad.n == DENIED_MAX) {
		ad.lost++;
		return;
	}
	log_info("refused: %s %s %s status=%u", principal, action, target,
	    status);
	d = &ad.ring[ad.n++];
	d->at = sys_time();
	d->conn = conn;
	d->status = status;
	(void)strlcpy(d->principal, principal, sizeof(d->principal));
	(void)strlcpy(d->action, action, sizeof(d->action));
	(void)strlcpy(d->target, target, sizeof(d->target));
	if (ad.timer == NULL && (ad.timer = evtimer_new(worker_base(),
	    on_timer, NULL)) == NULL)
		fatal("timer");
	if (ad.n == 1)
		(void)evtimer_add(ad.timer, &second);
}

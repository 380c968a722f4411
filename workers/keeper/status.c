/*
 * Status and log levels: questions passed on for an admin.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front, supervisor.
 */
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "agent.h"
#include "keeper.h"
#include "limits.h"
#include "log.h"
#include "move.h"
#include "worker.h"

#define ASK_MS		10000
#define WORKERS_MAX	32

/* A question under way. */
struct asked {
	struct client	 client;
	struct jbuf	 jb;
	unsigned	 rows;
	uint64_t	 uptime_ms;	/* of the oldest worker */
};

static struct asked *
asked_new(struct client c, size_t max)
{
	struct asked	*q;

	if ((q = calloc(1, sizeof(*q))) == NULL)
		fatal("request");
	q->client = c;
	jbuf_init(&q->jb, max);
	return q;
}

static void
asked_free(struct asked *q)
{
	jbuf_free(&q->jb);
	free(q);
}

/* ---- status ---- */

static void
worker_json(struct jbuf *jb, const struct m_worker_row *w)
{
	jb_obj(jb);
	jb_kstr(jb, "name", w->name);
	jb_kstr(jb, "state", w->state);
	jb_kint(jb, "pid", w->pid);
	jb_kint(jb, "uptime_ms", (int64_t)w->uptime_ms);
	jb_kint(jb, "restarts", w->restarts);
	jb_kstr(jb, "cause", w->cause);
	jb_kstr(jb, "level", log_level_name((enum log_level)w->level));
	jb_kbool(jb, "alarm", w->alarm != 0);
	jb_end(jb);
}

static void
status_end(struct asked *q)
{
	uint32_t	 total, running, connected;

	jb_end(&q->jb);
	agent_counts(&total, &running, &connected);
	jb_kint(&q->jb, "uptime_s", (int64_t)(q->uptime_ms / 1000));
	jb_key(&q->jb, "agents");
	jb_obj(&q->jb);
	jb_kint(&q->jb, "total", total);
	jb_kint(&q->jb, "running", running);
	jb_kint(&q->jb, "connected", connected);
	jb_end(&q->jb);
	storage_json(&q->jb);
	jb_end(&q->jb);
	reply_doc(q->client, 200, &q->jb);
	asked_free(q);
}

static void
on_worker(struct msg *m, void *arg)
{
	struct asked	*q = arg;

	if (m == NULL) {
		reply_error(q->client, 503, LOST_SUPER);
		asked_free(q);
		return;
	}
	if (m->type == MSG_WORKER_ROW && q->rows < WORKERS_MAX &&
	    m->u.worker_row.name[0] != '\0') {
		worker_json(&q->jb, &m->u.worker_row);
		q->rows++;
		if (m->u.worker_row.uptime_ms > q->uptime_ms)
			q->uptime_ms = m->u.worker_row.uptime_ms;
	}
	if (!m->more)
		status_end(q);
}

int
h_api_status(struct peer *p, struct msg *m)
{
	struct m_none	 none;
	struct asked	*q;
	char		 hex[2 * SERVER_KEY_LEN + 1];
	struct pass	 who;

	(void)p;
	if (auth_request(m, &m->u.api.pass, ROLE_USER, &who) == -1)
		return 0;
	q = asked_new(client_of(m), 65536);
	jb_obj(&q->jb);
	jb_kstr(&q->jb, "version", PACKAGE_VERSION);
	jb_kstr(&q->jb, "node", worker_conf()->node_id);
	jb_kstr(&q->jb, "server_key", serverkey_hex(hex));
	jb_kstr(&q->jb, "principal", who.principal);
	jb_key(&q->jb, "workers");
	jb_arr(&q->jb);
	if (peer_request(worker_super(), MSG_STATUS, &none, ASK_MS, on_worker,
	    q) == 0)
		on_worker(NULL, q);
	return 0;
}

/* ---- answers that are a status and a sentence ---- */

static void
on_level(struct msg *m, void *arg)
{
	struct asked	*q = arg;
	const char	*error;
	uint32_t	 status = answer_status(m, LOST_SUPER, &error);

	if (status >= 300)
		reply_error(q->client, status, "%s", error);
	else
		reply_doc(q->client, 200, &q->jb);
	asked_free(q);
}

int
h_api_log_level(struct peer *p, struct msg *m)
{
	const struct m_api_log_level	*in = &m->u.api_log_level;
	struct m_log_set		 set;
	struct asked			*q;
	struct pass			 who;

	(void)p;
	if (auth_request(m, &in->pass, ROLE_ADMIN, &who) == -1)
		return 0;
	if (in->level > LOG_L_DEBUG) {
		reply_error(client_of(m), 422, "level: must be error, warn, "
		    "info or debug");
		return 0;
	}
	audit_add(&who, "API_LOG_LEVEL", in->worker, 200,
	    log_level_name((enum log_level)in->level));
	q = asked_new(client_of(m), 1024);
	jb_obj(&q->jb);
	jb_kstr(&q->jb, "status", "updated");
	jb_kstr(&q->jb, "worker", in->worker);
	jb_kstr(&q->jb, "level",
	    log_level_name((enum log_level)in->level));
	jb_end(&q->jb);
	set.worker = in->worker;
	set.level = in->level;
	if (peer_request(worker_super(), MSG_LOG_SET, &set, ASK_MS, on_level,
	    q) == 0)
		on_level(NULL, q);
	return 0;
}

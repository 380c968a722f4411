/*
 * keeper's handlers, and what happens when other workers come and go.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: all but dialer.
 *
 * It never parses a byte from outside: what clients and agents wrote comes as
 * typed messages of front and gateway.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <sodium.h>

#include "agent.h"
#include "archive.h"
#include "keeper.h"
#include "limits.h"
#include "log.h"
#include "move.h"
#include "network.h"
#include "prepare.h"
#include "saga.h"
#include "snapshot.h"
#include "tell.h"
#include "worker.h"

static struct {
	struct db	*db;
	bool		 started;
} kp;

struct db *
keeper_db(void)
{
	return kp.db;
}

static int
h_cancel(struct peer *p, struct msg *m)
{
	struct client	 c = client_of(m);

	if (peer_proc(p) == PROC_GATEWAY)
		(void)bridge_cancel(m->id);
	else if (!watch_cancel(c) && !export_cancel(c) && !import_cancel(c))
		(void)job_unfollow(c);
	return 0;
}

static const struct msg_handler handlers[] = {
	{ MSG_AUTH_PEER, h_auth_peer },
	{ MSG_AUTH_TOKEN, h_auth_token },
	{ MSG_CANCEL, h_cancel },
	{ MSG_API_STATUS, h_api_status },
	{ MSG_API_LOG_LEVEL, h_api_log_level },
	{ MSG_API_FRAMEWORKS, h_api_frameworks },
	{ MSG_AGENT_DEPLOY, h_agent_deploy },
	{ MSG_AGENT_LIST, h_agent_list },
	{ MSG_AGENT_EXPORT, h_agent_export },
	{ MSG_AGENT_IMPORT, h_agent_import },
	{ MSG_SERVER_KEY, h_server_key },
	{ MSG_AGENT_GET, h_agent_get },
	{ MSG_AGENT_ACTION, h_agent_action },
	{ MSG_AGENT_BULK, h_agent_bulk },
	{ MSG_AGENT_SET, h_agent_set },
	{ MSG_AGENT_REMOVE, h_agent_remove },
	{ MSG_AGENT_REBUILD, h_agent_rebuild },
	{ MSG_AGENT_FORK, h_agent_fork },
	{ MSG_ARCHIVE_LIST, h_archive_list },
	{ MSG_ARCHIVE_ACTION, h_archive_action },
	{ MSG_SNAP_LIST, h_snap_list },
	{ MSG_SNAP_ACTION, h_snap_action },
	{ MSG_SNAP_SCHEDULE, h_snap_schedule },
	{ MSG_DEPLOY_STATUS, h_deploy_status },
	{ MSG_IMAGE_PUT, h_image_put },
	{ MSG_IMAGE_LIST, h_image_list },
	{ MSG_IMAGE_VERIFY, h_image_verify },
	{ MSG_IMAGE_DELETE, h_image_delete },
	{ MSG_IMAGE_PRUNE, h_image_prune },
	{ MSG_PROVIDER_ADD, h_provider_add },
	{ MSG_PROVIDER_DELETE, h_provider_delete },
	{ MSG_CHAT_POST, h_chat_post },
	{ MSG_CHAT_CHANNELS, h_chat_channels },
	{ MSG_CHAT_HISTORY, h_chat_history },
	{ MSG_CHAT_WATCH, h_chat_watch },
	{ MSG_AGENT_EXEC, h_agent_exec },
	{ MSG_AGENT_LOGS, h_agent_logs },
	{ MSG_RECYCLE, h_recycle },
	{ MSG_RECYCLE_AGENTS, h_recycle_agents },
	{ MSG_CT_EVENT, h_ct_event },
	{ MSG_POOL_LIST, h_pool_list },
	{ MSG_AGENT_READY, h_agent_ready },
	{ MSG_AGENT_IDLE, h_agent_idle },
	{ MSG_API_DRIFT, h_api_drift },
	{ MSG_API_REPAIR, h_api_repair },
	{ MSG_BRIDGE_SUB, h_bridge_sub },
	{ MSG_BRIDGE_ACK, h_bridge_ack },
	{ MSG_BRIDGE_PREPARED, h_bridge_prepared },
	{ MSG_BRIDGE_REPLY, h_bridge_reply },
	{ MSG_AGENT_LIMITS, h_agent_limits },
	{ MSG_AGENT_NETWORK, h_agent_network },
	{ MSG_AGENT_DISK, h_agent_disk },
	{ MSG_DISK_SCAN, h_disk_scan },
	{ MSG_CT_POOL, h_ct_pool },
	{ MSG_NONE, NULL },
};

static void
on_fd(const char *role, int fd)
{
	if (strcmp(role, "local-token") == 0) {
		if (auth_set_token(fd) == -1)
			log_warnx("the local token is not 64 hex digits: it "
			    "is not accepted");
	} else if (strcmp(role, "state-key") == 0) {
		if (provider_set_key(fd) == -1)
			log_warnx("the state key is not 32 bytes: secrets "
			    "cannot be stored or read");
	} else {
		log_warnx("a descriptor of unknown role %s", role);
		(void)close(fd);
	}
}

static void
init(void)
{
	const struct worker_conf	*conf = worker_conf();
	char				 path[1100];

	if (sodium_init() == -1)
		fatalx("cannot initialise libsodium");
	(void)umask(077);
	(void)snprintf(path, sizeof(path), "%s/state.db", conf->state_dir);
	if ((kp.db = db_open(path, &keeper_schema)) == NULL)
		fatal("%s", path);
	auth_init();
	serverkey_init();
	agent_load();
	pool_load();
	disk_load();
	tracebox_init();
}

/* In the loop, after READY: only now may other workers be asked. */
static void
on_start(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	reconcile_start();
	schedule_start();
}

static void
on_conf(const struct worker_conf *conf)
{
	struct timeval	 now = { 0, 0 };
	struct agent	*a;

	(void)conf;
	frameworks_done();
	pool_conf();
	disk_start();
	if (!kp.started) {
		kp.started = true;
		if (event_base_once(worker_base(), -1, EV_TIMEOUT, on_start,
		    NULL, &now) == -1)
			fatal("timer");
		return;
	}
	/* Limits of a framework may have changed. */
	for (a = agent_first(); a != NULL; a = agent_next(a))
		keeper_tell_gateway(a);
}

static void
tell_names(void)
{
	struct agent	*a;

	for (a = agent_first(); a != NULL; a = agent_next(a))
		tracebox_agent(a);
}

static void
on_peer_up(struct peer *p)
{
	switch (peer_proc(p)) {
	case PROC_GATEWAY:
		bridge_up();
		break;
	case PROC_TRACE:
		auth_push_key(p);
		tell_names();
		tracebox_up();
		break;
	case PROC_PROXY:
		auth_push_key(p);
		provider_proxy_up();
		tell_policies();
		job_peer_up();
		teardown_kick();
		saga_kick();
		break;
	case PROC_UPSTREAM:
		provider_upstream_up();
		break;
	case PROC_CONTAINER:
		pool_images_changed();
		reconcile_container_up();
		job_peer_up();
		disk_container_up();
		saga_kick();
		import_container_up();
		break;
	default:
		break;
	}
}

static void
on_peer_down(struct peer *p)
{
	switch (peer_proc(p)) {
	case PROC_FRONT:
		export_front_down();
		import_front_down();
		client_new_front();
		watch_down();
		job_unfollow_all();
		break;
	case PROC_GATEWAY:
		bridge_down();
		break;
	case PROC_TRACE:
		tracebox_down();
		break;
	default:
		break;
	}
}

static void
on_peer_drained(struct peer *p)
{
	if (peer_proc(p) == PROC_GATEWAY)
		bridge_drained();
	else if (peer_proc(p) == PROC_FRONT)
		watch_drained();
}

void
keeper_close(void)
{
	audit_flush();
	db_close(kp.db);
	kp.db = NULL;
}

const struct worker_ops keeper_ops = {
	.proc = PROC_KEEPER,
	.handlers = handlers,
	.init = init,
	.fd = on_fd,
	.framework = frameworks_add,
	.conf = on_conf,
	.peer_up = on_peer_up,
	.peer_down = on_peer_down,
	.peer_drained = on_peer_drained,
};

/*
 * The container worker: a closed list of verbs against Incus.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: keeper, Incus.
 *
 * Who may use Incus is root on this machine.  So this program does nothing
 * but what its verbs say, checks every string again, and never sees a byte
 * that a client or an agent wrote.
 */
#include <sys/types.h>

#include "container.h"
#include "log.h"
#include "worker.h"

static int
h_create(struct peer *p, struct msg *m)
{
	(void)p;
	create_start(m->id, &m->u.ct_create);
	return 0;
}

static int
h_action(struct peer *p, struct msg *m)
{
	(void)p;
	action_start(m->id, &m->u.ct_action);
	return 0;
}

static int
h_adopt(struct peer *p, struct msg *m)
{
	(void)p;
	adopt_start(m->id, &m->u.ct_adopt);
	return 0;
}

static int
h_list(struct peer *p, struct msg *m)
{
	(void)p;
	list_start(m->id);
	return 0;
}

static int
h_images(struct peer *p, struct msg *m)
{
	(void)p;
	images_start(m->id);
	return 0;
}

static int
h_image_put(struct peer *p, struct msg *m)
{
	(void)p;
	image_put_start(m->id, &m->u.ct_image, m->fd);
	m->fd = -1;
	return 0;
}

static int
h_copy(struct peer *p, struct msg *m)
{
	(void)p;
	copy_start(m->id, &m->u.ct_copy);
	return 0;
}

static int
h_snap(struct peer *p, struct msg *m)
{
	(void)p;
	snap_start(m->id, &m->u.ct_snap);
	return 0;
}

static int
h_probe(struct peer *p, struct msg *m)
{
	(void)p;
	probe_start(m->id, &m->u.ct_ref);
	return 0;
}

static int
h_tag(struct peer *p, struct msg *m)
{
	(void)p;
	tag_start(m->id, &m->u.ct_tag);
	return 0;
}

static int
h_image_verify(struct peer *p, struct msg *m)
{
	(void)p;
	image_verify_start(m->id, &m->u.ct_image_ref);
	return 0;
}

static int
h_limits(struct peer *p, struct msg *m)
{
	(void)p;
	limits_start(m->id, &m->u.ct_limits);
	return 0;
}

static int
h_image_delete(struct peer *p, struct msg *m)
{
	(void)p;
	image_delete_start(m->id, &m->u.ct_image_ref);
	return 0;
}

static int
h_image_prune(struct peer *p, struct msg *m)
{
	(void)p;
	image_prune_start(m->id, &m->u.ct_image_prune);
	return 0;
}

static int
h_usage(struct peer *p, struct msg *m)
{
	(void)p;
	usage_start(m->id, &m->u.ct_ref);
	return 0;
}

static int
h_backup(struct peer *p, struct msg *m)
{
	(void)p;
	backup_start(m->id, &m->u.ct_backup, m->fd);
	m->fd = -1;
	return 0;
}

static int
h_image_temp(struct peer *p, struct msg *m)
{
	(void)p;
	temp_image_start(m->id, &m->u.ct_temp, m->fd);
	m->fd = -1;
	return 0;
}

static int
h_temp_drop(struct peer *p, struct msg *m)
{
	(void)p;
	temp_drop_start(m->id, &m->u.ct_temp);
	return 0;
}

static int
h_net(struct peer *p, struct msg *m)
{
	(void)p;
	net_start(m->id, &m->u.ct_net);
	return 0;
}

static int
h_exec(struct peer *p, struct msg *m)
{
	(void)p;
	exec_start(m->id, &m->u.ct_exec, m->fd);
	m->fd = -1;
	return 0;
}

static const struct msg_handler handlers[] = {
	{ MSG_CT_NET, h_net },
	{ MSG_CT_LIMITS, h_limits },
	{ MSG_CT_USAGE, h_usage },
	{ MSG_CT_CREATE, h_create },
	{ MSG_CT_ACTION, h_action },
	{ MSG_CT_ADOPT, h_adopt },
	{ MSG_CT_LIST, h_list },
	{ MSG_CT_IMAGES, h_images },
	{ MSG_CT_BACKUP, h_backup },
	{ MSG_CT_IMAGE_TEMP, h_image_temp },
	{ MSG_CT_TEMP_DROP, h_temp_drop },
	{ MSG_CT_IMAGE_PUT, h_image_put },
	{ MSG_CT_IMAGE_VERIFY, h_image_verify },
	{ MSG_CT_IMAGE_DELETE, h_image_delete },
	{ MSG_CT_IMAGE_PRUNE, h_image_prune },
	{ MSG_CT_COPY, h_copy },
	{ MSG_CT_SNAP, h_snap },
	{ MSG_CT_PROBE, h_probe },
	{ MSG_CT_TAG, h_tag },
	{ MSG_CT_EXEC, h_exec },
	{ MSG_NONE, NULL },
};

static void
init(void)
{
	incus_init(worker_base());
	host_init();
	events_init();
}

static void
conf(const struct worker_conf *c)
{
	env_conf(c);
	events_conf();
}

static void
peer_up(struct peer *p)
{
	if (peer_proc(p) != PROC_KEEPER)
		return;
	events_keeper_up();
	env_tell_pool();
}

/*
 * What keeper asked for before is finished, but nobody hears of it: its new
 * connection counts its requests from the start.
 */
static void
peer_down(struct peer *p)
{
	if (peer_proc(p) == PROC_KEEPER) {
		op_orphan_all();
		exec_end_all();
	}
}

static const struct worker_ops ops = {
	.proc = PROC_CONTAINER,
	.handlers = handlers,
	.init = init,
	.conf = conf,
	.peer_up = peer_up,
	.peer_down = peer_down,
};

int
main(int argc, char **argv)
{
	return worker_main(argc, argv, &ops);
}

/*
 * The mover: writes the files in which agents leave, checks those in which
 * they come.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: keeper.
 *
 * It is the only one that parses such a file.  It has no network, no Incus,
 * no key; who takes it over can spoil the file at hand.
 */
#include <sys/types.h>
#include <sys/stat.h>

#include "mover.h"
#include "peer.h"
#include "worker.h"

static const struct msg_handler handlers[] = {
	{ MSG_NONE, NULL },
};

static void
init(void)
{
	(void)umask(077);
	spool_clear(worker_conf()->state_dir);
}

static const struct worker_ops ops = {
	.proc = PROC_MOVER,
	.handlers = handlers,
	.init = init,
};

int
main(int argc, char **argv)
{
	return worker_main(argc, argv, &ops);
}

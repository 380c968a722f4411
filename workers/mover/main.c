/*
 * The mover: writes the files in which agents leave, checks those in which
 * they come.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: keeper.
 *
 * It is the only one that parses such a file.  It has no network, no Incus,
 * no key; who takes it over can spoil the files at hand.
 */
#include <sys/types.h>
#include <sys/stat.h>

#include "log.h"
#include "mover.h"
#include "worker.h"

void
tell_done(uint64_t req, uint32_t status, const char *error)
{
	if (req != 0 && peer_done(worker_peer(PROC_KEEPER), req, status,
	    error == NULL ? NULL : "%s", error) == -1)
		log_warn("answer to keeper");
}

void
tell_pipe(uint64_t req, uint32_t status, const char *error, int fd)
{
	struct m_moved r = { .status = status, .error = error, .rows = 0 };

	if (peer_reply_id(worker_peer(PROC_KEEPER), req, MSG_MOVE_PIPE, false,
	    &r, fd) == -1)
		log_warn("pipe to keeper");
}

static int
h_drop(struct peer *p, struct msg *m)
{
	(void)p;
	if (!out_drop(m->u.move_id.id))
		(void)in_drop(m->u.move_id.id);
	return 0;
}

static const struct msg_handler handlers[] = {
	{ MSG_MOVE_OUT, h_out },
	{ MSG_MOVE_TEXT, h_text },
	{ MSG_MOVE_OPEN, h_open },
	{ MSG_MOVE_CLOSE, h_close },
	{ MSG_MOVE_LIST, h_list },
	{ MSG_MOVE_SIGN, h_sign },
	{ MSG_MOVE_IN, h_in },
	{ MSG_MOVE_CHECK, h_check },
	{ MSG_MOVE_CHAT, h_chat },
	{ MSG_MOVE_TRACE, h_trace },
	{ MSG_MOVE_IMAGE, h_image },
	{ MSG_MOVE_DROP, h_drop },
	{ MSG_NONE, NULL },
};

static void
init(void)
{
	if (sodium_init() == -1)
		fatalx("cannot initialise libsodium");
	(void)umask(077);
	spool_clear(worker_conf()->state_dir);
}

/* Whatever it was about, keeper does not know of it any more. */
static void
peer_down(struct peer *p)
{
	if (peer_proc(p) != PROC_KEEPER)
		return;
	out_drop_all();
	in_drop_all();
}

static const struct worker_ops ops = {
	.proc = PROC_MOVER,
	.handlers = handlers,
	.init = init,
	.peer_down = peer_down,
};

int
main(int argc, char **argv)
{
	return worker_main(argc, argv, &ops);
}

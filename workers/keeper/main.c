/*
 * keeper: identity, the registry of agents, deploys, chat, secrets, audit:
 * the state database.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: all but dialer.
 */
#include "keeper.h"
#include "worker.h"

int
main(int argc, char **argv)
{
	int	 rc;

	rc = worker_main(argc, argv, &keeper_ops);
	keeper_close();
	return rc;
}

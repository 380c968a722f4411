/*
 * Who may import what.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.  Talks to: front.
 */
#include <string.h>

#include "agent.h"
#include "archive.h"
#include "keeper.h"
#include "move.h"
#include "text.h"
#include "worker.h"

bool
import_may(struct client c, const struct pass *who,
    const struct m_agent_import *in)
{
	static const char *const networks[] = { "", "none", "egress",
	    "allow" };
	uint8_t		 key[SERVER_KEY_LEN];
	size_t		 i;

	for (i = 0; i < 4 && strcmp(in->network, networks[i]) != 0; i++)
		continue;
	if (!text_is_plain(in->model, false))
		reply_error(c, 422, "model: " TEXT_NOT_PLAIN);
	else if (i == 4)
		reply_error(c, 422, "network: must be none, egress or allow");
	else if (in->trust_key[0] != '\0' &&
	    sys_unhex(key, sizeof(key), in->trust_key) == -1)
		reply_error(c, 422, "trust_key: must be 64 lower-case hex "
		    "digits");
	else if (who->role != ROLE_ADMIN && (i > 1 ||
	    in->trust_key[0] != '\0'))
		reply_error(c, 403, "%s: only an admin may say that",
		    i > 1 ? "network" : "trust_key");
	else if (in->size > worker_conf()->import_limit)
		reply_error(c, 413, "the file has %llu bytes: "
		    "limits.import_size allows %llu",
		    (unsigned long long)in->size,
		    (unsigned long long)worker_conf()->import_limit);
	else
		return deploy_room(c, in->name);
	return false;
}

bool
import_id_free(const char *id)
{
	return agent_by_id(id) == NULL && !pool_knows(id) &&
	    !archive_knows(id) && !teardown_runs(id);
}

bool
import_may_keep(const struct pass *who, const struct m_move_record *r,
    bool ours)
{
	return import_id_free(r->agent_id) && (who->role == ROLE_ADMIN ||
	    (ours && strcmp(r->owner, who->principal) == 0));
}

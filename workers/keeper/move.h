/*
 * Agents that move: exports, imports, and the key that signs files.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef MOVE_H
#define MOVE_H

#include "job.h"
#include "peer.h"

#define SERVER_KEY_LEN	32
#define SIGNATURE_LEN	64
#define LOST_MOVE	"a worker has ended in the middle of it"

/* ---- serverkey.c ---- */

/* Reads or makes the key; without the state key there is none. */
void	serverkey_init(void);
/* NULL if there is none. */
const uint8_t *serverkey_public(void);
const char *serverkey_hex(char [2 * SERVER_KEY_LEN + 1]);
/*
 * Signs prefix and data, so that a signature is of use for one purpose only.
 * -1 if there is no key or memory.
 */
int	serverkey_sign(const char *prefix, const void *, size_t,
	    uint8_t [SIGNATURE_LEN]);
int	serverkey_verify(const char *prefix, const void *, size_t,
	    const uint8_t key[SERVER_KEY_LEN],
	    const uint8_t [SIGNATURE_LEN]);
/* Is the key, in hex, in a list with one a line? */
bool	serverkey_listed(const char *list, const char *key);
int	h_server_key(struct peer *, struct msg *);

/* ---- move_doc.c ---- */

/* What mover says of a section that it has written. */
struct move_section {
	char		 name[17];
	char		 sha256[65];
	uint64_t	 size, rows;
};

/* Text that grows; p is to be freed. */
struct move_text {
	char		*p;
	size_t		 len, size;
};

/* Adds a document and empties it: 0, or -1 if it is too long. */
int	move_text_add(struct move_text *, struct jbuf *, bool line);
/* The next messages behind *seq as lines: how many, or -1. */
int	move_text_page(struct move_text *, const char *channel_id,
	    int64_t *seq, bool *last);
void	movedoc_manifest(struct jbuf *, const struct agent *,
	    const struct move_section *, size_t);
void	movedoc_record(struct jbuf *, const struct agent *);
void	movedoc_policy(struct jbuf *, const struct agent *);
void	movedoc_message(struct jbuf *, const struct message *);
/*
 * An agent in memory of a record whose framework is known here, within the
 * limits of this server; name and network may be "".
 */
struct agent *movedoc_agent(const struct pass *, const struct m_move_record *,
	    const char *slug, const char *name, const char *network,
	    bool keep_id);

/* ---- move_out.c ---- */

int	h_agent_export(struct peer *, struct msg *);
bool	export_cancel(struct client);
void	export_front_down(void);
bool	export_active(void);

/* ---- move_may.c ---- */

/* May this be asked for?  Else the client has his refusal. */
bool	import_may(struct client, const struct pass *,
	    const struct m_agent_import *);

/* Nobody has it, and nothing of its last owner is still being removed. */
bool	import_id_free(const char *);
/*
 * Its own id, if that gives the importer nothing of somebody else's: what is
 * here under that id becomes his.  ours: this server has signed the file.
 */
bool	import_may_keep(const struct pass *, const struct m_move_record *,
	    bool ours);

/* ---- move_in.c ---- */

int	h_agent_import(struct peer *, struct msg *);
bool	import_cancel(struct client);
void	import_front_down(void);
/* What an earlier keeper has left in Incus goes. */
void	import_container_up(void);

/* ---- move_job.c: the instance of an import ---- */

struct import;

/* What a job has to know of an import whose ref it holds. */
struct import_use {
	char		 id[ID_LEN + 1];
	char		 fingerprint[65];	/* of its image */
	char		 server[65];
	char		 channel_id[ID_LEN + 1];	/* as it was there */
	uint64_t	 events, messages;
	uint64_t	 stored;	/* messages */
	bool		 chat_done;
};

/* NULL: keeper was restarted meanwhile. */
struct import_use *import_use(const char *id);
/* The job is through with it. */
void	import_end(const char *id);
/* Makes the instance of a JOB_BACKUP, with chat and trace. */
void	job_ask_backup(struct job *);

#endif /* MOVE_H */

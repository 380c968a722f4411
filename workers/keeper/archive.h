/*
 * Archived agents: their rows, files and ways in and out.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 *
 * An archived agent is a row of table archive (with all columns of agent), a
 * stopped instance that carries its id and a snapshot, its channel and an
 * export of it.  It is found by its id, never by a name: the name is free for
 * others.  Without an instance it is a tombstone.
 */
#ifndef ARCHIVE_H
#define ARCHIVE_H

#include <stdbool.h>

#include "agent.h"
#include "keeper.h"

#define STAMP_LEN	15		/* YYYYMMDDTHHMMSS */
#define SNAP_ARCHIVE	"agentd-archive-"
#define SNAP_MAX	63

struct saga;

/* ---- archive.c ---- */

/* Is an archived agent of that id?  True as well if that cannot be read. */
bool		 archive_knows(const char *id);
/* Now, as it stands in names. */
void		 archive_stamp(char out[STAMP_LEN + 1]);
/*
 * Moves the agent's row into the archive; the channel is marked, what the
 * agent has not answered will not be.  Part of the open transaction.  A row
 * that a restore has left there stays as it is.
 */
void		 archive_put(const struct agent *, const char *stamp,
		    const char *snapshot);
/*
 * Starts it; the agent's lock is held.  It is asked to finish first, and gets
 * so many seconds (0: PREPARE_S), unless force.
 */
void		 archive_begin(struct client, const struct pass *,
		    struct agent *, bool force, uint32_t seconds);
int		 h_agent_remove(struct peer *, struct msg *);

/* ---- archrow.c ---- */

struct archived {
	struct agent	*agent;		/* owned; not in the registry */
	char		 stamp[STAMP_LEN + 1];
	char		 snapshot[SNAP_MAX + 1];	/* "": a tombstone */
};

/* 0, or -1 if there is none of that id. */
int		 archive_get(const char *id, struct archived *);
void		 archived_free(struct archived *);
/* "SLUG-STAMP": the name of its directory below archive/. */
void		 archive_dir(const char *slug, const char *stamp, char *,
		    size_t);
int		 h_archive_list(struct peer *, struct msg *);

/* ---- archfile.c ---- */

#define ARCHIVE_PATH	1400

/* Path of the export, or of its directory. */
void		 archfile_path(char path[ARCHIVE_PATH], const char *slug,
		    const char *stamp, bool dir);
/* Steps: writes the channel's messages, one a line; removes it again. */
void		 archfile_export(struct saga *);
void		 archfile_unexport(struct saga *);
/* 0 also if it was not there. */
int		 archfile_remove(const char *slug, const char *stamp);

/* ---- archmodel.c ---- */

/* Step of a restore: leaves the model in arg[2], its fallbacks in arg[3]. */
void		 restore_models(struct saga *);

/* ---- archaim.c ---- */

/* "running", "stopped", "paused", or "": as it was. */
bool		 restore_state_ok(const char *);
/* Notes what the agent was, and what it shall be. */
void		 restore_aim(struct saga *, const struct agent *,
		    const char *state);
/* The state that it shall have at the end. */
enum agent_state restore_to(const struct saga *);
/* Sets the agent's state, and who has paused it. */
void		 restore_settle(struct saga *);

/* ---- purge.c ---- */

int		 h_archive_action(struct peer *, struct msg *);

#endif /* ARCHIVE_H */

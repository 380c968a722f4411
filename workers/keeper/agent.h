/*
 * The registry of agents: all of them in memory, written through to the
 * database.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef AGENT_H
#define AGENT_H

#include <sys/tree.h>

#include <stdbool.h>
#include <stdint.h>

#include "jbuf.h"
#include "msg.h"
#include "pass.h"
#include "peer.h"
#include "sys.h"

#define SLUG_MAX	52
#define INSTANCE_MAX	64

struct client;
struct db_stmt;
struct job;
struct prepare;
struct sub;

/* What an agent's disk holds; see disk.c. */
struct disk {
	bool		 known;
	uint64_t	 used;		/* bytes: own + base */
	uint64_t	 own, base;
	uint32_t	 snapshots;
	unsigned	 state;		/* enum disk_state */
	double		 checked_at, saved_at;
};

struct agent {
	RB_ENTRY(agent)	 by_id, by_slug;
	char		 id[ID_LEN + 1];
	char		 slug[SLUG_MAX + 1];
	char		 instance[INSTANCE_MAX + 1];
	char		 channel_id[ID_LEN + 1];	/* "": none yet */
	char		 owner[65];
	char		 framework[65];
	char		 model[257];
	char		 display_name[129];
	char		 emoji[33];
	char		 color[17];
	enum agent_state state;
	uint64_t	 memory, disk;		/* bytes */
	uint32_t	 cpus, processes;	/* processes 0: the framework's */
	char		 fallbacks[4096];	/* models, one a line */
	char		 network[16];		/* none, egress, allow */
	char		 domains[8193];		/* that it may reach, one a line */
	uint32_t	 idle;		/* seconds until it sleeps; 0: never */
	bool		 asleep;	/* a message wakes it */
	char		 paused_by[16];	/* "", "user", "quota" or "user,quota" */
	char		 snapshots[64];	/* schedule: "daily keep 7", or "" */
	char		 image[65];	/* fingerprint it was made from */
	char		 reason[256];	/* why it failed or was paused, or "" */
	uint32_t	 uid_base, uid_count;	/* 0, 0: not known */
	uint64_t	 next_event;		/* of its outbox */
	double		 created_at, started_at, last_seen;
	/* in memory only */
	double		 seen_saved;	/* last_seen as the database has it */
	struct disk	 dsk;		/* in a table of its own */
	uint64_t	 mem_used;	/* bytes, when last looked at */
	uint32_t	 queued;	/* rows in its outbox */
	uint64_t	 idle_since;	/* sys_now_ms() */
	struct job	*job;		/* its deploy, NULL: done */
	const char	*doing;		/* the verb that holds its lock, or NULL */
	struct sub	*sub;		/* its event stream, or NULL */
	struct prepare	*prepare;	/* it is asked to finish, or NULL */
	char		 instance_status[16];	/* Incus's word; "": not known */
	double		 instance_since;	/* when we heard of that */
	double		 mend_at;	/* not before: see state.c */
	unsigned	 mend_s;
};

/*
 * The columns of table agent.  Table archive has the same and some more: who
 * adds one here adds it to both.
 */
#define AGENT_COLS \
	"id, owner_id, slug, display_name, framework, model, emoji, color, " \
	"status, memory, cpus, disk, instance, channel_id, uid_base, " \
	"uid_count, next_event, created_at, started_at, last_seen, fallbacks, " \
	"processes, network, idle, asleep, paused_by, snapshots, image, reason, " \
	"domains"
#define AGENT_NCOLS	30

/* A row of AGENT_COLS; freed by the caller if it does not go to agent_add(). */
struct agent	*agent_from_row(struct db_stmt *);
/* Reads all rows; fatal if that fails (start only). */
void		 agent_load(void);
struct agent	*agent_by_id(const char *);
/* As this principal sees it: NULL if there is none or it is another's. */
struct agent	*agent_visible(const struct pass *, const char *slug);
/* The same for a request of a user; NULL: it was refused and answered. */
struct agent	*agent_request(const struct msg *,
		    const struct msg_bytes *pass, const char *slug,
		    struct pass *);
struct agent	*agent_by_slug(const char *);
struct agent	*agent_first(void);		/* in order of slugs */
struct agent	*agent_next(struct agent *);
bool		 agent_may(const struct pass *, const struct agent *);
/*
 * Takes the struct over and adds its row to the open transaction.  If that
 * does not commit: agent_forget().
 */
void		 agent_add(struct agent *);
void		 agent_forget(struct agent *);
/* Removes its row in the open transaction; agent_forget() after the commit. */
void		 agent_delete_row(const struct agent *);
/* Writes what changes in an agent's life. */
int		 agent_save(const struct agent *);
/*
 * The same in a transaction of its own, with its line of audit and its record
 * for trace: 0, or -1 and nothing is written (want.c).
 */
int		 agent_commit(const struct agent *, const struct pass *,
		    const char *action, const char *event, const char *detail);
const char	*agent_status(const struct agent *);
void		 agent_json(struct jbuf *, const struct agent *);
void		 agent_counts(uint32_t *total, uint32_t *running,
		    uint32_t *connected);
/*
 * Makes a slug of a display name: lower-case, [a-z0-9-], at most SLUG_MAX.
 * 0, or -1 if nothing is left of it.
 */
int		 agent_slug(const char *name, char out[SLUG_MAX + 1]);
/*
 * The same, and no live agent has it and it is not reserved: NAME, NAME-2 ...
 * NAME-100.  0, 400 (nothing is left of the name) or 409 (all are taken).
 */
int		 agent_free_slug(const char *name, char out[SLUG_MAX + 1]);
/* Is it a word of the API's paths? */
bool		 agent_slug_reserved(const char *);
/* In memory only; the slug must be free. */
void		 agent_rename(struct agent *, const char *slug);
/* A color is "" or #rrggbb. */
bool		 agent_color_ok(const char *);

/*
 * One thing at a time is done to an agent.  The verb is static text.  False,
 * and the client got its 409, if something else is under way (a deploy too).
 */
bool		 agent_lock(struct agent *, const char *verb, struct client);
void		 agent_unlock(struct agent *);

/* ctevent.c: Incus says that its instance is so now ("Gone": not there). */
void		 agent_instance_status(struct agent *, const char *status,
		    uint32_t uid_base, uint32_t uid_count);

int		 h_agent_list(struct peer *, struct msg *);
int		 h_agent_get(struct peer *, struct msg *);

#endif /* AGENT_H */

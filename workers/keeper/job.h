/*
 * A deploy under way: what job.c (drives it), jobrow.c (its rows) and
 * deploy.c (its beginning) share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef JOB_H
#define JOB_H

#include <sys/queue.h>

#include "agent.h"
#include "jobsm.h"
#include "keeper.h"

struct event;

#define JOB_STEPS	12

/* What the instance is made from. */
enum job_source {
	JOB_IMAGE,		/* the framework's image */
	JOB_POOL,		/* a warm instance; ref: its name */
	JOB_COPY,		/* a snapshot; ref: agent id/snapshot */
	JOB_BACKUP		/* an imported file; ref: its id */
};

struct job_mark {
	enum job_step	 step;
	double		 at;		/* epoch */
	uint64_t	 at_ms;		/* CLOCK_BOOTTIME */
};

struct follower {
	TAILQ_ENTRY(follower)	 entry;
	struct client		 client;
};

struct job {
	TAILQ_ENTRY(job)	 entry;
	char			 id[ID_LEN + 1];
	char			 agent_id[ID_LEN + 1];
	char			 instance[INSTANCE_MAX + 1];
	enum job_source		 source;
	char			 source_ref[128];
	struct agent		*agent;		/* NULL: its row is gone */
	struct jobsm		 sm;
	struct job_mark		 marks[JOB_STEPS];
	size_t			 nmarks, saved;	/* saved: are in the rows */
	bool			 accepted;	/* 202 was sent */
	bool			 policy_lost;	/* to be asked again */
	bool			 create_lost;
	bool			 create_again;	/* container was asked once */
	uint32_t		 resumed;	/* so many times, after a crash */
	double			 due;		/* epoch: then it has failed */
	uint64_t		 due_ms;	/* the same, CLOCK_BOOTTIME */
	struct client		 asker;		/* waits for the 202 */
	struct client		 deleter;	/* waits for the end */
	uint32_t		 status;	/* for the asker, if it fails */
	char			 error[512];
	struct event		*deadline;
	struct event		*patience;	/* 202 without proxy's word */
	struct event		*again;		/* what could not be done now */
	uint64_t		 began_ms;
	uint64_t		 policy_req, socket_req, create_req;
	TAILQ_HEAD(follower_list, follower)	 followers;
};

/* ---- job.c ---- */

struct job	*job_new(const char *id, const char *agent_id,
		    const char *instance, struct agent *);
/*
 * Its rows are committed: begin with these actions of JE_START or JE_RESUME.
 * May free the job.
 */
void		 job_start(struct job *, uint32_t actions);
/* Its rows are not committed: forget it. */
void		 job_abort(struct job *);
struct job	*job_by_id(const char *);
struct job	*job_next(struct job *);	/* NULL: the first */

/* Both may free the job. */
void		 job_event(struct job *, enum job_event);
/* The same with a reason; status is for who waits for the 202. */
void		 job_fail(struct job *, enum job_event, uint32_t status,
		    const char *, ...) __attribute__((format(printf, 4, 5)));

/* What could not be asked, or got no answer, is asked again in a while. */
void		 job_again(struct job *);
/* When a job that starts now has to be over; seconds since the epoch. */
double		 job_due(void);

/* ---- deploy.c ---- */

/*
 * Begins the deploy of an agent that was made up in memory (freed if that
 * fails): rows, audit, 202 or the refusal.
 */
void		 deploy_begin(struct client, const struct pass *,
		    struct agent *, enum job_source, const char *ref,
		    const char *idem_key);
/* The same key again: the answer is that of the first request. */
bool		 deploy_known(struct client, const struct pass *,
		    const char *idem_key);
/* May there be one more agent, of that display name?  Else it is refused. */
bool		 deploy_room(struct client, const char *name);
/* A new one with its id, instance name, owner and times; fatal without memory. */
struct agent	*deploy_agent(const struct pass *, const char *slug);
/* A new id, and the name of its instance. */
void		 deploy_id(struct agent *);

/* ---- jobask.c ---- */

/*
 * Each of these may be asked for again after a crash of keeper or of who was
 * asked: what is there already is a success.  Whatever makes an instance gets
 * job.id as its request and create_again if it was asked before.
 */

/*
 * The instance is made: it is there when it has the network of its row too.
 * Both may end the job.
 */
void		 job_ask_card(struct job *);
/* The answer to whatever makes the instance: CT_DONE; asks for the card. */
void		 job_on_created(struct msg *, void *job);

void		 job_ask_policy(struct job *);
void		 job_ask_socket(struct job *);
void		 job_ask_create(struct job *);

#define JOB_DIR		1100

/* A request for its instance; dir is room for what it points to. */
void		 job_fill_create(struct m_ct_create *, const struct agent *,
		    const char *image, const char *request, bool again,
		    char dir[JOB_DIR]);
/*
 * Asks for an instance from that image (NULL: the framework's): the request,
 * or 0.
 */
uint64_t	 job_ask_image(struct job *, const char *image, peer_reply_fn);

/* ---- pooljob.c ---- */

void		 job_ask_pool(struct job *);

/* ---- jobrow.c; the first three are part of the open transaction ---- */

void	jobrow_insert(struct job *, const char *idem_key);
/* The marks that are not in the rows yet, state and error. */
void	jobrow_write(struct job *, const char *status);
void	jobrow_delete(const struct job *);
/* Where the journal of a job that was cut ends; fatal if unreadable. */
void	jobrow_resume(struct job *);
/* Notes that a step has begun. */
void	job_mark(struct job *, enum job_step);
/* The document of deploy-status; -1 if there is no such job. */
int	jobrow_json(struct jbuf *, const char *job_id);
/* The document to all who follow; end: it is the last one. */
void	job_tell(struct job *, bool end);

#endif /* JOB_H */

/*
 * What the modules of keeper offer each other.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 */
#ifndef KEEPER_H
#define KEEPER_H

#include <stdbool.h>
#include <stdint.h>

#include "db.h"
#include "jbuf.h"
#include "msg.h"
#include "pass.h"
#include "peer.h"

struct agent;
struct worker_ops;

#define JSON_MAX	(8U * 1024 * 1024)	/* of one row for front */

/* ---- keeper.c ---- */

extern const struct worker_ops keeper_ops;
void		 keeper_close(void);
struct db	*keeper_db(void);
/* tell.c: what gateway has to know of an agent. */
void		 keeper_tell_gateway(const struct agent *);

/* ---- schema.c ---- */

extern const struct db_schema keeper_schema;

/* ---- reply.c: answers to front ---- */

/*
 * Who waits for an answer.  A new front counts its ids from the start again,
 * so an answer to the old one must not reach it: gen tells them apart.
 */
struct client {
	uint64_t	id;		/* 0: nobody */
	uint32_t	gen;
};

struct client	client_of(const struct msg *);
void		client_new_front(void);		/* the old one is gone */
/* Sends the document and empties the buffer. */
void	reply_doc(struct client, uint32_t status, struct jbuf *);
/* A row of a list or stream; -1 with errno if front cannot take it. */
int	reply_row(struct client, const char *event, uint64_t event_id,
	    struct jbuf *);
/* -1 with errno if front cannot take it; ENOTCONN: it is gone. */
int	reply_end(struct client);
/*
 * Sends what fn makes of each row of a query, and the end.  Ends the query;
 * NULL: the database has failed.
 */
void	reply_query(struct client, struct db_stmt *,
	    void (*fn)(struct jbuf *, struct db_stmt *, void *), void *);
void	reply_list_end(struct client, bool complete);
void	reply_error(struct client, uint32_t status, const char *, ...)
	    __attribute__((format(printf, 3, 4)));
/* RESULT to any peer, over several frames if it is long. */
int	reply_send(struct peer *, uint64_t id, bool more, uint32_t status,
	    const char *event, uint64_t event_id, struct jbuf *);
/* The database did not take it. */
void	reply_db_error(struct client);

/* ---- answer.c: what other workers answer ---- */

#define LOST_CONTAINER	"the container worker does not answer"
#define LOST_SUPER	"the supervisor does not answer"

/* The status and error of a DONE or CT_DONE; 503 and lost without one. */
uint32_t answer_status(const struct msg *, const char *lost,
	    const char **error);
/* Writes an instance's range of user ids; false if it is not known. */
bool	answer_uids(struct agent *, uint32_t base, uint32_t count);

/* ---- auth.c ---- */

void	auth_init(void);
/* The local token's file; the fd is consumed. */
int	auth_set_token(int);
int	auth_token_ok(const char *);
/* Tells trace or proxy the key of the passes for it. */
void	auth_push_key(struct peer *);
/*
 * Who sent this request: 0, or -1 after it was refused, and that audited.
 */
int	auth_request(const struct msg *, const struct msg_bytes *pass,
	    enum role least, struct pass *);
enum role auth_role(uint32_t uid, const uint32_t *gids, size_t ngids);
void	auth_test_admins(uint32_t gid, const uint32_t *uids, size_t n);
int	h_auth_peer(struct peer *, struct msg *);
int	h_auth_token(struct peer *, struct msg *);

/* ---- audit.c ---- */

/* A state-changing call; part of the open transaction, if there is one. */
void	audit_add(const struct pass *, const char *action, const char *target,
	    uint32_t status, const char *detail);
/* A refusal: written a little later, many at a time. */
void	audit_denied(const char *principal, uint64_t conn, const char *action,
	    const char *target, uint32_t status);
void	audit_flush(void);

/* ---- tracebox.c: records for trace, kept until it has them ---- */

void	tracebox_init(void);
/*
 * Adds a record to the open transaction; payload is a JSON object.  Times
 * and ids are made here.
 */
void	tracebox_add(const char *agent_id, const char *kind,
	    const char *trace_id, const char *channel_id, const char *error,
	    struct jbuf *payload);
void	tracebox_lifecycle(const char *agent_id, const char *event,
	    const char *detail, const char *error);
/* After the commit: sends what waits. */
void	tracebox_kick(void);
void	tracebox_up(void);
void	tracebox_down(void);
/* Do records still fit in?  Else the client has its 503. */
bool	tracebox_room(struct client);
/* Tells trace whose slug this is. */
void	tracebox_agent(const struct agent *);

/* ---- frameworks.c ---- */

struct framework {
	char		*id, *name, *description, *image, *runtime;
	char		*status, *reason, *verification;
	char		*version, *homepage, *license;
	uint64_t	 memory, disk;
	uint32_t	 cpus, processes, ready_timeout, turn_timeout;
	uint32_t	 max_calls_per_turn, refusal_status;
};

void	frameworks_add(const struct m_framework *);
void	frameworks_done(void);		/* the rows are all there */
/*
 * NULL if there is none of that id that works; valid until the next reload.
 * The other one finds those as well that are unavailable.
 */
const struct framework	*framework_get(const char *id);
const struct framework	*framework_any(const char *id);
/* It is listed, but cannot be deployed: reason says why. */
bool	framework_unavailable(const struct framework *);
/* "pi, openclaw" for error texts: those that work. */
const char	*framework_names(char *, size_t);
int	h_api_frameworks(struct peer *, struct msg *);

/* ---- status.c ---- */

int	h_api_status(struct peer *, struct msg *);
int	h_api_log_level(struct peer *, struct msg *);

/* ---- image.c: whose images are taken, and what becomes of them ---- */

int	h_image_put(struct peer *, struct msg *);
int	h_image_list(struct peer *, struct msg *);
int	h_image_verify(struct peer *, struct msg *);
int	h_image_delete(struct peer *, struct msg *);
int	h_image_prune(struct peer *, struct msg *);

/* ---- chat.c, history.c ---- */

int	h_chat_post(struct peer *, struct msg *);
int	h_chat_channels(struct peer *, struct msg *);
int	h_chat_history(struct peer *, struct msg *);
/* The DM channel of an agent; part of the open transaction. */
void	chat_channel_add(const struct agent *);
void	chat_channel_delete(const char *channel_id);

/* The agent of a channel that this principal may use, or NULL. */
struct agent	*chat_channel_agent(const struct pass *, const char *id);

struct message {
	uint64_t	 seq;
	const char	*id, *channel_id, *author_id, *author_type, *content;
	const char	*state, *trace_id, *error;
	double		 created_at, edited_at;
	const char	*note;		/* why it waits; NULL: nothing to say */
};

#define MESSAGE_COLS \
	"seq, id, channel_id, author_id, author_type, content, state, " \
	"trace_id, error, created_at, edited_at"
/* Reads MESSAGE_COLS; strings live until the next step. */
void	message_from_row(struct db_stmt *, struct message *);
void	message_json(struct jbuf *, const struct message *);

/* ---- watch.c: live streams of channels ---- */

int	h_chat_watch(struct peer *, struct msg *);
/* One event to all who watch the channel. */
void	watch_send(const char *channel_id, const char *event, uint64_t seq,
	    struct jbuf *);
void	watch_message(const struct message *);
void	watch_state(const char *channel_id, const char *message_id,
	    const char *state, const char *error);
/* The channel is gone: its streams end. */
void	watch_close(const char *channel_id);
bool	watch_cancel(struct client);
void	watch_down(void);
void	watch_drained(void);

/* ---- bridge.c: events to agents ---- */

int	h_bridge_sub(struct peer *, struct msg *);
int	h_bridge_ack(struct peer *, struct msg *);
/* An event that is no message; -1 if no link listens. */
int	bridge_event(struct agent *, const char *event, struct jbuf *);
/* Sends what the agent has not had yet. */
void	bridge_deliver(struct agent *);
/* The agent may not listen any more. */
void	bridge_close(struct agent *);
bool	bridge_cancel(uint64_t id);
void	bridge_up(void);		/* gateway is there (again) */
void	bridge_down(void);
void	bridge_drained(void);
void	bridge_turn(const struct agent *, const char *trace_id,
	    const char *channel_id, bool open);
/* A turn of this agent is over. */
void	bridge_closed_turn(struct agent *, uint64_t event_id);

/* ---- turn.c: answers of agents ---- */

int	h_bridge_reply(struct peer *, struct msg *);
void	turn_forget_agent(struct agent *);
void	turn_forget(struct agent *, const char *trace_id);
/* A new subscriber has seen events up to there only. */
void	turn_fresh(struct agent *, uint64_t last_id);
/* Tells a new watcher what is being written in the channel now. */
void	turn_replay(const char *channel_id,
	    void (*)(const struct message *, void *), void *);

/* ---- oom.c ---- */

/* The link says that memory ran out in this turn. */
void	oom_told(struct agent *, const char *trace_id, const char *channel_id);

/* ---- job.c: deploys ---- */

int	h_agent_deploy(struct peer *, struct msg *);
int	h_deploy_status(struct peer *, struct msg *);
void	job_connected(struct agent *, bool);
/* Undo a deploy that is under way; answers the client when that is done. */
void	job_cancel(struct agent *, struct client);
bool	job_unfollow(struct client);
void	job_unfollow_all(void);
void	job_resume(void);		/* at start: what was cut goes on */
void	job_peer_up(void);		/* proxy or container is back */

/* Without the blanks around it; cut if it does not fit (deploy.c). */
void	copy_trimmed(char *dst, const char *src, size_t size);

/* A deploy is under way. */
bool		 job_any(void);
/* What an agent of a framework gets that nobody said more of. */
void		 deploy_limits(const struct framework *, uint64_t *memory,
		    uint32_t *cpus, uint64_t *disk, uint32_t *processes);
/* Its processes, or the framework's; f may be NULL. */
uint32_t	 deploy_processes(const struct agent *,
		    const struct framework *);

/* ---- pool.c, poolfill.c: instances made ahead ---- */

void		 pool_load(void);	/* at init */
void		 pool_start(void);
void		 pool_conf(void);	/* the configuration is new */
void		 pool_gateway_up(void);
void		 pool_images_changed(void);
bool		 pool_knows(const char *agent_id);
/*
 * Gives the agent the id and instance of one that is ready, if there is one
 * for it; then pool_take() in the transaction and pool_taken() after it.
 */
bool		 pool_claim(struct agent *);
void		 pool_take(const char *agent_id);
void		 pool_taken(const char *agent_id, bool committed);
/* A row of CT_LIST, and its end. */
void		 pool_seen(const char *agent_id, bool frozen);
void		 pool_listed(double asked_at);
int		 h_pool_list(struct peer *, struct msg *);
int		 h_agent_ready(struct peer *, struct msg *);

/* ---- idle.c: agents that sleep ---- */

void		 idle_start(void);
/* It has something to do, or has just had. */
void		 idle_touch(struct agent *);
/* Seconds that somebody may ask for; 0: never. */
bool		 idle_ok(uint32_t seconds);
/* There is something to do: if it sleeps it is woken. */
void		 idle_wake(struct agent *);
/* How container puts one to sleep. */
const char	*idle_verb(void);
int		 h_agent_idle(struct peer *, struct msg *);

/* ---- doctor.c ---- */

int	h_api_drift(struct peer *, struct msg *);
int	h_api_repair(struct peer *, struct msg *);

/* ---- teardown.c ---- */

/*
 * Removes the instance (if told), the socket, the key and what gateway knows.
 * Tries until it has succeeded; then calls back.
 */
void	teardown_start(const char *agent_id, const char *instance_name,
	    bool instance, void (*)(void *), void *);
bool	teardown_runs(const char *agent_id);
void	teardown_kick(void);		/* a peer is back */

/* ---- lifecycle.c, reconcile.c ---- */

int	h_agent_action(struct peer *, struct msg *);
int	h_agent_rebuild(struct peer *, struct msg *);
int	h_agent_bulk(struct peer *, struct msg *);	/* bulk.c */
int	h_agent_set(struct peer *, struct msg *);	/* setting.c */
void	lifecycle_start(void);	/* ends deletes that were cut */
void	reconcile_start(void);
/* The instances are listed again within that time. */
void	reconcile_soon(unsigned ms);
void	reconcile_container_up(void);

/* ---- exec.c: commands in containers ---- */

int	h_agent_exec(struct peer *, struct msg *);
/* Somebody has a command running in it. */
bool	exec_runs(const struct agent *);
int	h_agent_logs(struct peer *, struct msg *);
int	h_recycle(struct peer *, struct msg *);
int	h_recycle_agents(struct peer *, struct msg *);

/* ---- ctevent.c ---- */

int	h_ct_event(struct peer *, struct msg *);

/* ---- provider.c ---- */

int	provider_set_key(int);		/* the state key's file; consumed */
int	h_provider_add(struct peer *, struct msg *);
int	h_provider_delete(struct peer *, struct msg *);
void	provider_proxy_up(void);
void	provider_upstream_up(void);

#endif /* KEEPER_H */

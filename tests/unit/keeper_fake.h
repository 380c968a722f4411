/*
 * keeper between scripted peers: the real program in its sandbox, with the
 * test as supervisor and as every other worker.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check.
 */
#ifndef KEEPER_FAKE_H
#define KEEPER_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "db.h"
#include "msg.h"
#include "peer.h"

#define FINGERPRINT	"0123456789abcdef0123456789abcdef" \
			"0123456789abcdef0123456789abcdef"

/* What the others answer, and whether they answer at all. */
struct fake_script {
	uint32_t	policy, listen, unlisten, create, destroy, drop;
	uint32_t	action;		/* start, stop, restart */
	uint32_t	trace, provider, secret;
	bool		hold_create;	/* until fake_release() */
	bool		hold_policy;
	bool		hold_list;
	bool		hold_prepare;	/* the link does not finish */
	uint32_t	deploy_timeout;
	const char	*warm_pool;	/* as in CONF */
	const char	*image;		/* CT_IMAGES: what agentd-pi is */
	uint32_t	adopt;
	uint32_t	idle;		/* seconds until new agents sleep */
	size_t		disk;		/* bytes a file may have, 0: any */
	const char	*hold;		/* this word of the log: no answer */
	const char	*fail;		/* this one: fail_status */
	uint32_t	fail_status;
	const char	*instance;	/* CT_LIST: one row, "" none */
	const char	*instance_agent;
	const char	*instance_status;
	const char	*held[PROC_MAX];	/* HELD_LIST: one row, NULL none */
	/* What belongs to imports: mover, its image, its trace. */
	int		(*move)(struct peer *, struct msg *);
};

/* What came back for a request of front. */
struct fake_answer {
	bool		 done;
	uint32_t	 status;
	unsigned	 rows;
	char		 text[65536];	/* all JSON, one a line */
	char		 events[4096];	/* their types, with blanks */
};

extern struct fake_script	 script;

/* keeper_peers.c for keeper_fake.c */
extern const struct msg_handler	 peers_handlers[];
void	peers_reset(void);
bool	peers_ready(void);

/* Who is played at this end of the channel. */
enum proc	fake_proc(const struct peer *);

/* A fresh state directory and all peers up; keeper has started. */
void	fake_start(void);
/* SIGKILL, and a new start over the same directory. */
void	fake_kill(void);
void	fake_begin(void);
void	fake_stop(void);
/* A peer goes, comes (back). */
void	fake_down(enum proc);
void	fake_up(enum proc);
void	fake_release(void);
/* The agent of the last CT_CREATE. */
const char	*fake_created(void);
/* As gateway: that one's runtime is ready. */
void	fake_warm(const char *agent_id);
/* The request of the last CT_CREATE: the job's id. */
const char	*fake_request(void);

/* Sends as front, with a good pass where the payload has one first. */
uint64_t	fake_send(uint32_t type, void *payload,
		    struct fake_answer *);
/* The same with a descriptor, which is consumed. */
uint64_t	fake_send_fd(uint32_t type, void *payload, int fd,
		    struct fake_answer *);
/* Says something to keeper as that one. */
void	fake_tell(enum proc, uint32_t type, const void *payload);
/* The same, and waits for the end of the answer. */
void	fake_ask(uint32_t type, void *payload, struct fake_answer *);
void	fake_cancel(uint64_t);
/* What AUTH_RES said: the pass for that audience; status for a token. */
const uint8_t	*fake_pass(enum proc);
uint32_t	fake_token(const char *);
/* As gateway. */
void	fake_subscribe(const char *agent_id);
void	fake_resubscribe(const char *agent_id, uint64_t last_id);
void	fake_unsubscribe(void);
/* As the link: it has finished. */
void	fake_prepared(void);
uint32_t	fake_reply(const char *agent_id, const char *kind,
	    const char *trace_id, uint64_t seq, uint32_t attempt,
	    const char *content);
uint32_t	fake_ack(const char *agent_id, uint64_t up_to);
/* What the subscription has received: "user_message:ID ..." */
const char	*fake_events(void);
bool	fake_sub_ended(void);

/* What keeper asked of the others, in order: "policy listen create ..." */
const char	*fake_log(void);
void	fake_log_clear(void);
/* Runs until the log has the word, or some time is over (false). */
bool	fake_until(const char *word);
/* The same for the subscription, an answer, the events of a stream. */
bool	fake_event(const char *id);
bool	fake_done(const struct fake_answer *);
bool	fake_watched(const struct fake_answer *, const char *events);
/* Runs for that long. */
void	fake_run(int ms);

/* Count of the rows that the SQL names, after fake_kill(). */
int64_t	fake_count(const char *sql);

#endif /* KEEPER_FAKE_H */

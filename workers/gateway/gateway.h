/*
 * What the modules of the gateway share: agents, requests, limits.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 */
#ifndef GATEWAY_H
#define GATEWAY_H

#include <sys/types.h>
#include <sys/queue.h>
#include <sys/tree.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budget.h"
#include "domain.h"
#include "httpd.h"
#include "msg.h"
#include "peer.h"
#include "sys.h"
#include "toolmap.h"

struct httpd;
struct jbuf;
struct json_object;
struct llm_call;

#define GW_CONNS_AGENT	32		/* connections of one agent */
#define GW_CALLS_AGENT	16		/* its LLM calls at one time */
#define GW_TURNS_AGENT	1000		/* its open turns */
#define GW_TOOLS_AGENT	16		/* turns whose tool calls we remember */
#define GW_REQUESTS_S	500		/* its requests a second */
#define GW_REPLIES_S	100		/* its bridge replies a second */
#define GW_EVENTS_S	100		/* its own trace events a second */
#define GW_REPLY_MAX	(256 * 1024)	/* bytes of a bridge reply */
#define GW_DELTA_MAX	(64 * 1024)	/* of a delta's content */
#define GW_TURN_MAX	(1024 * 1024)	/* of all deltas of an attempt */
#define GW_TRACE_MAX	(1024 * 1024)	/* of an event's payload */
#define GW_BODY_MAX	(32U * 1024 * 1024)	/* of an LLM request */
#define GW_BUDGET	(128U * 1024 * 1024)	/* of all of them */
#define GW_BUDGET_AGENT	(48U * 1024 * 1024)	/* of those of one agent */
#define GW_TUNNELS_AGENT 24		/* connections to the outside */
#define GW_DENIED	32		/* hosts remembered that were refused */
#define GW_ASK_MS	10000		/* until another worker must answer */
#define GW_KEY_PREFIX	"sk-agentd-"
#define GW_KEY_LEN	(sizeof(GW_KEY_PREFIX) - 1 + 64)
#define GW_KEYS		4		/* digests remembered per agent */
#define GW_ROUTES	8		/* routes remembered per agent */

/* A token bucket; all zero is a full one. */
struct rate {
	double		 used;
	uint64_t	 at;		/* ms */
};

/* One open turn of an agent: a user's message that waits for its answer. */
struct turn {
	TAILQ_ENTRY(turn) entry;
	char		 trace_id[65];
	char		 channel_id[65];
	bool		 stale;		/* keeper restarted, not yet named */
	bool		 refused;	/* the trace says so already */
	uint32_t	 calls;		/* LLM calls so far */
	uint32_t	 nmsgs;		/* messages in the last of them */
	uint32_t	 delta_attempt;
	uint64_t	 delta_seq;
	size_t		 delta_bytes;	/* accepted in that attempt */
	uint32_t	 told_attempt;	/* last reply for the trace */
	uint64_t	 told_seq;
	double		 told_at;
	uint32_t	 done_attempt;	/* last reply written to the trace */
	uint64_t	 done_seq;
	struct toolmap	 tools;
};
TAILQ_HEAD(turn_list, turn);

/* What proxy said about a model name. */
struct route {
	TAILQ_ENTRY(route) entry;
	char		 asked[257];
	char		 provider_id[33];
	char		 provider[65];
	char		 model[257];
};
TAILQ_HEAD(route_list, route);

TAILQ_HEAD(call_list, llm_call);
TAILQ_HEAD(tunnel_list, tunnel);

/* What an agent may reach: see net.c. */
enum net_policy { NET_NONE, NET_ALLOW, NET_EGRESS };

/* A refused host, so that it is not told of each time. */
struct denied {
	char		 host[DOMAIN_HOST_MAX + 1];
	uint16_t	 port;
	uint64_t	 at;		/* ms; 0: free */
};

struct agent {
	RB_ENTRY(agent)	 entry;
	char		 id[ID_LEN + 1];
	char		 slug[53];
	char		 framework[65];
	char		 model[257];
	enum agent_state state;
	bool		 known;		/* keeper has named it */
	bool		 stale;		/* not yet since keeper restarted */
	bool		 dead;		/* to be freed with its last request */
	bool		 held;		/* its runtime waits with its start */
	int		 listener;	/* httpd owns it; -1 = none */
	uint32_t	 uid_base;
	uint32_t	 uid_count;	/* 0 = not known yet */
	uint32_t	 max_calls;
	uint32_t	 refusal;	/* status the runtime takes as final */
	unsigned int	 nreqs;		/* requests that point here */
	unsigned int	 ncalls;
	struct call_list calls;
	struct greq	*events;	/* its event stream, or NULL */
	struct greq	*hello;		/* waits until it is somebody, or NULL */
	struct turn_list turns;
	unsigned int	 nturns;
	uint8_t		 keys[GW_KEYS][32];	/* digests known to be its */
	unsigned int	 nkeys;
	unsigned int	 nextkey;
	struct route_list routes;
	unsigned int	 nroutes;
	struct rate	 requests;
	struct rate	 replies;
	struct rate	 events_in;
	struct rate	 hellos;
	struct rate	 failures;	/* of authentication */
	struct rate	 thefts;	/* that reach the traces */
	size_t		 traced;	/* bytes in traceq */
	uint32_t	 gaps;		/* events that found no room there */
	struct budget_group bodies;	/* of LLM requests */
	enum net_policy	 net;
	char		 domains[DOMAINS_MAX + 1];
	struct tunnel_list tunnels;
	unsigned int	 ntunnels;
	struct denied	 denied[GW_DENIED];
	struct rate	 denials;	/* that reach the trace */
};

/* A row of the route table; the first member is httpd's. */
struct groute {
	struct httpd_route r;
	unsigned int	 flags;
	void		(*fn)(struct greq *);
};
#define GR_NOKEY	0x1	/* hello: the socket alone says who it is */
#define GR_OPENAI	0x2	/* errors as OpenAI spells them */

/* A request of an agent, from its head to the end of the answer. */
struct greq {
	struct httpd_req	*req;
	struct agent		*agent;
	const struct groute	*route;
	struct peer		*peer;	/* asked for it; with its id */
	uint64_t		 pending;
	bool			 stream; /* it answers until CANCEL */
	uint8_t			 digest[32];	/* of its key */
	uint64_t		 last_event;	/* sent on its event stream */
	char			 event_id[65];	/* of the event it writes */
	void			(*next)(struct greq *, char *, size_t);
	/* The client left: frees data.  May be NULL. */
	void			(*closed)(struct greq *);
	void			*data;
};

/* agent.c: the table */
struct agent	*agent_find(const char *);
void		 agent_each(void (*)(struct agent *));
void		 agent_free_all(void);
void		 agent_ref(struct agent *);
void		 agent_unref(struct agent *);
/* The turn, NULL if it is not open. */
struct turn	*turn_find(struct agent *, const char *);
/* Its memory of tool calls; older turns may lose theirs. */
struct toolmap	*turn_tools(struct agent *, struct turn *);
/* keeper is back: turns it does not name within some seconds are closed. */
void		 agent_keeper_up(void);
/* keeper is away or has just come: an unknown turn may still be named. */
bool		 agent_turns_unsure(void);
int		 agent_h_conf(struct peer *, struct msg *);
int		 agent_h_gone(struct peer *, struct msg *);
int		 agent_h_held_list(struct peer *, struct msg *);
int		 agent_h_turn(struct peer *, struct msg *);
int		 agent_h_listen(struct peer *, struct msg *);
int		 agent_h_unlisten(struct peer *, struct msg *);
/* One more within per_s a second, with bursts as large? */
bool		 rate_take(struct rate *, double per_s);

/* gateway.c: the server, and the worker's operations */
extern const struct msg_handler gw_handlers[];
void		 gw_init(void);
void		 gw_free(void);		/* for tests: as before gw_init */
void		 gw_peer_up(struct peer *);
void		 gw_peer_drained(struct peer *);
void		 gw_shutdown(uint32_t);
int		 gw_h_key_flush(struct peer *, struct msg *);
struct httpd	*gw_httpd(void);
struct budget	*gw_budget(void);

/* request.c */
void	 greq_head(struct httpd_req *, void *);
/* Collects a body of at most the route's size, then calls. */
void	 greq_collect(struct greq *, void (*)(struct greq *, char *, size_t));
/*
 * Asks another worker; a failure to ask is answered with 503 and -1 returned,
 * the greq is then gone.
 */
int	 greq_ask(struct greq *, enum proc, uint32_t, const void *,
	    peer_reply_fn);
/* To be called in the reply function: the question is over. */
void	 greq_asked(struct greq *);
/* Each of these answers and frees the greq. */
void	 greq_reply(struct greq *, int, struct jbuf *);
void	 greq_error(struct greq *, int, const char *, ...)
	    __attribute__((format(printf, 3, 4)));
void	 greq_abort(struct greq *);
/* httpd has answered by itself. */
void	 greq_gone(struct greq *);
void	 greq_end_stream(struct greq *);
/* 503 about a worker that is away. */
void	 greq_away(struct greq *, enum proc);
/* A header that may come once at most; -1 if it came more often. */
int	 greq_header(struct greq *, const char *, const char **);

/* auth.c: calls the route's function if the key is this agent's */
void	 auth_request(struct greq *);
void	 auth_flush(struct agent *);

/* hello.c, models.c, bridge.c, events.c, tracein.c: routes */
void	 hello_post(struct greq *);
/* keeper has said what it is, or that it is gone: what waited goes on. */
void	 hello_conf(struct agent *);
/*
 * A state or an event stream is another: runtimes that were asked to wait with
 * their start are told to go on if nothing is being deployed beside them.
 */
void	 hello_go(void);
void	 models_get(struct greq *);
void	 bridge_bootstrap(struct greq *);
void	 bridge_ack(struct greq *);
void	 bridge_prepared(struct greq *);
/*
 * Is this the session of the agent of this socket?  Its slug, or its id,
 * which stays when it is renamed; false: answered.
 */
bool	 bridge_session(struct greq *);
void	 bridge_reply(struct greq *);
void	 events_get(struct greq *);
/* Ends the agent's event stream, if any. */
void	 events_end(struct agent *);
/* keeper is back: subscribe again. */
void	 events_keeper_up(struct agent *);
/* An event of the gateway's own; false: there is no stream for it. */
bool	 events_say(struct agent *, const char *name);
void	 tracein_post(struct greq *);
/* A tool_call, tool_result or reasoning that the runtime reports. */
void	 tracein_reply(struct greq *, struct turn *,
	    const struct m_bridge_reply *, struct json_object *, const char *,
	    size_t);

/* llm.c, llm_stream.c */
void	 llm_post(struct greq *);
int	 llm_h_window(struct peer *, struct msg *);
/* Cuts all calls of an agent. */
void	 llm_cut(struct agent *);
/* There is room on the channel to upstream again. */
void	 llm_drained(void);

#endif /* GATEWAY_H */

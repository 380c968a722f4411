/*
 * A gateway in this process, with neighbours that do what a test says.
 * SPDX-License-Identifier: ISC
 *
 * The gateway's own code, the real channels and the real HTTP server; only
 * the neighbours are played.
 */
#ifndef GW_WORLD_H
#define GW_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway.h"

#define AGENT	"0123456789abcdef0123456789abcdef"
#define OTHER	"fedcba9876543210fedcba9876543210"
#define KEY	"sk-agentd-" \
	"00000000000000000000000000000000" \
	"11111111111111111111111111111111"
#define AUTH	"Authorization: Bearer " KEY "\r\n"
#define TURN	"x-agentd-turn: t1\r\n"

/* What the neighbours saw and how they answer. */
struct world {
	unsigned int	 readies, mints, checks, routes, subs, replies, acks, cancels;
	unsigned int	 opens, traces, windows;
	uint32_t	 check_status;
	uint32_t	 route_status;
	uint32_t	 reply_status;
	uint32_t	 trace_status;
	uint32_t	 sub_last;	/* last_id of the newest subscriber */
	uint64_t	 sub_id;	/* its request */
	uint64_t	 open_id;	/* of the newest LLM call */
	struct m_llm_open open;
	char		 asked[257];	/* model of the last LLM_ROUTE */
	char		 kind[17];	/* of the last BRIDGE_REPLY */
	char		 content[256];
	char		 body[1 << 20];	/* of the last LLM call */
	size_t		 bodylen;
	uint64_t	 bodytotal;
	bool		 bodyend;
	bool		 greedy;	/* gives credit back at once */
	char		 events[1 << 20]; /* "kind payload\n" of each event */
	size_t		 eventslen;
	char		 ids[64][65];
};
extern struct world w;

/* A gateway with one agent that runs and has an open turn t1. */
int	 world_setup(void **state);
int	 world_teardown(void **state);
#define T(f)	cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
/* A neighbour goes away, or comes (back). */
void	 world_down(enum proc);
void	 world_up(enum proc);
struct peer *world_peer(enum proc);
/* Tells the gateway of the agent: state, uid range; a listener; a turn. */
void	 world_agent(enum agent_state, uint32_t, uint32_t);
/* The same of a second agent, OTHER, which has no socket. */
void	 world_other(enum agent_state);
void	 world_turn(const char *, bool);

/* A client's connection and what came in on it. */
struct client {
	int	 fd;
	char	*in;
	size_t	 len, size;
	bool	 eof;
};
void	 client_open(struct client *);
void	 client_close(struct client *);
void	 client_send(struct client *, const char *, size_t);
void	 client_read(struct client *);
/* Waits until the text is there; false after two seconds. */
bool	 client_wait(struct client *, const char *);
/* Waits for the end of the connection. */
bool	 client_eof(struct client *);
/* One request with "Connection: close": the whole answer, static. */
const char *ask(const char *head, const char *body);
int	 status_of(const char *);
/* Runs the loop until the condition holds or two seconds are over. */
#define until(cond) ({							\
	int until_i;							\
	for (until_i = 0; until_i < 2000 && !(cond); until_i++)	\
		world_step();						\
	(cond);								\
})
void	 world_step(void);

#endif /* GW_WORLD_H */

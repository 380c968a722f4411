/*
 * What turn.c (the turns) and turn_send.c (their replies) share.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: gateway.
 */
#ifndef LINK_TURN_INT_H
#define LINK_TURN_INT_H

#include <stdint.h>

#include <event2/event.h>

#include "gw.h"
#include "turn.h"

enum turn_state {
	T_IDLE,
	T_RUN,
	T_PAUSE,
	T_END
};

struct turn {
	const struct conf *conf;
	struct gw *gw;
	struct inbox *inbox;
	const struct kind *kind;
	void *kstate;
	enum turn_state state;
	struct message *msg;		/* NULL when idle */
	unsigned int attempt;
	unsigned int ticket;		/* counts attempts of all turns */
	bool llm_broke;			/* at least once in this attempt */
	bool llm_broken;		/* the last LLM call of it was cut */
	uint64_t kills;			/* by want of memory, before it */
	uint64_t kills_told;		/* the host knows of so many */
	struct event *timer;		/* of the state; also the grace */
	struct event *start;		/* of the runtime, in a while */
	bool started;
	struct outq out;
	struct gw_req *req;		/* the reply on the wire */
	struct event *again;		/* when to send the next reply */
	unsigned int step;
	struct ack *ack;
	bool stopping;
	void (*on_done)(void *);
	void *on_done_arg;
	void (*on_held)(void *);	/* no turn may begin */
	void *on_held_arg;
	void (*on_room)(void *);
	void *on_room_arg;
	void (*on_ready)(void *);
	void *on_ready_arg;
	bool ready;			/* it was, at least once */
};

/* Sends the oldest reply, unless one is on the wire or waits for a retry. */
void	turn_pump(struct turn *);
void	turn_again(evutil_socket_t, short, void *);
/* Ends the turn at hand with an error; the host has its last reply. */
void	turn_end_error(struct turn *, const char *);
void	turn_over(struct turn *);

#endif /* LINK_TURN_INT_H */

/*
 * One LLM call of an agent, from its head to the end of the answer.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: gateway.
 */
#ifndef LLM_H
#define LLM_H

#include <sys/queue.h>
#include <sys/tree.h>

#include "budget.h"
#include "gateway.h"
#include "jbuf.h"
#include "llmreq.h"
#include "tap.h"

struct llm_call {
	TAILQ_ENTRY(llm_call) entry;	/* of the agent */
	RB_ENTRY(llm_call) node;	/* of those at upstream */
	struct greq	*g;
	struct agent	*agent;
	char		 trace_id[65];
	char		 channel_id[65];
	char		 event_id[ID_LEN + 1];
	uint32_t	 attempt;
	/* the request */
	char		*body;		/* owned; NULL once it is sent */
	size_t		 len, size;
	struct llmreq	 q;
	struct budget_use use;
	struct splice	 sp;
	struct jbuf	 request;	/* for the trace */
	/* where it goes */
	char		 provider_id[33];
	char		 provider[65];
	char		 model[257];
	uint64_t	 id;		/* at upstream; 0 = not there */
	uint64_t	 credit;	/* bytes of body it takes now */
	/* the answer */
	struct tap	 tap;
	int		 status;	/* 0 = no head yet */
	uint64_t	 owed;		/* credit not given back yet */
	uint64_t	 bytes;
	uint64_t	 started;	/* ms */
	uint64_t	 first;		/* ms, of the head */
	double		 at;		/* wall clock of the start */
};

/* llm_stream.c: to and from upstream.  Frees the call if that fails. */
void	llm_stream_open(struct llm_call *);
void	llm_free(struct llm_call *);
/* Answers with an error, records it, frees the call. */
void	llm_fail(struct llm_call *, int, const char *, ...)
	    __attribute__((format(printf, 3, 4)));

/* llm_seen.c */
/* Tool results in the request, and what the event will say about it. */
void	llm_trace_request(struct llm_call *);

/* llm_trace.c */
/* An event of this call's turn. */
void	llm_event_init(struct m_trace_event *, const struct llm_call *,
	    const char *);
/* The event of the call, and the model's tool calls. */
void	llm_trace_done(struct llm_call *, const char *status,
	    const char *error);
/* The call was refused: once a turn this goes into the trace. */
void	llm_trace_refusal(struct agent *, struct turn *, const char *);

#endif /* LLM_H */

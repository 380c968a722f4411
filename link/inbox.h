/*
 * Messages that wait for their turn, and the ids of those that had it.
 * SPDX-License-Identifier: ISC
 * Runs in: link. Talks to: nobody.
 */
#ifndef LINK_INBOX_H
#define LINK_INBOX_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INBOX_MAX	1000		/* waiting messages */
#define INBOX_BYTES	(4UL << 20)	/* of their texts together */
#define INBOX_SEEN	1000		/* ids remembered */
#define MSG_ID_LEN	64

struct message {
	TAILQ_ENTRY(message) entry;
	uint64_t event_id;		/* 0 = the frame had none */
	char id[MSG_ID_LEN + 1];
	char trace_id[MSG_ID_LEN + 1];
	char channel_id[MSG_ID_LEN + 1];
	bool aborted;			/* before its turn came */
	size_t len;
	char *text;	/* owned; NULL: it could not be read */
};

struct inbox;

enum inbox_verdict {
	INBOX_NEW,	/* queued */
	INBOX_WAITING,	/* delivered again, its turn is still to end */
	INBOX_OVER,	/* delivered again, its turn is over: ack it */
	INBOX_FULL	/* not taken; ask for redelivery later */
};

struct inbox *inbox_new(void);		/* NULL when out of memory */
void	 inbox_free(struct inbox *);

/* Owns the message after INBOX_NEW only. */
enum inbox_verdict inbox_add(struct inbox *, struct message *);

/* The oldest waiting message, to be given back to inbox_over(); or NULL. */
struct message *inbox_take(struct inbox *);

/* The turn of a taken message is over: remembers its id and frees it. */
void	 inbox_over(struct inbox *, struct message *);

/* Marks a waiting message as aborted; false if none has this trace id. */
bool	 inbox_abort(struct inbox *, const char *trace_id);

/* An event without a turn was seen: it is covered by a later ack. */
void	 inbox_saw(struct inbox *, uint64_t event_id);

/* Everything up to this event id is dealt with; 0 = nothing is. */
uint64_t inbox_acked(const struct inbox *);

/* The highest event taken in: what a new stream may start after. */
uint64_t inbox_last_event(const struct inbox *);

/* A message was refused, and there is room for at least half the queue. */
bool	 inbox_wants_redelivery(const struct inbox *);
void	 inbox_redelivery(struct inbox *);	/* a new stream has begun */

void	 message_free(struct message *);

#endif /* LINK_INBOX_H */

/*
 * WebSocket (RFC 6455): frames of both sides and the handshake, without IO.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container, front.  Talks to: nobody.
 */
#ifndef WS_H
#define WS_H

#include <sys/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_HEAD_MAX	14	/* bytes before a payload */
#define WS_CONTROL_MAX	125	/* bytes in a control frame */
#define WS_KEY_LEN	24	/* Sec-WebSocket-Key */
#define WS_ACCEPT_LEN	28	/* Sec-WebSocket-Accept */

enum ws_op {
	WS_CONT = 0,
	WS_TEXT = 1,
	WS_BINARY = 2,
	WS_CLOSE = 8,
	WS_PING = 9,
	WS_PONG = 10
};

/* Codes of a close frame. */
#define WS_NORMAL	1000
#define WS_GOING	1001
#define WS_PROTOCOL	1002
#define WS_TOO_BIG	1009

/* Which side's frames are read: only a client's are masked. */
enum ws_side { WS_FROM_SERVER, WS_FROM_CLIENT };

/* A reader; all of it is private but code and why. */
struct ws {
	enum ws_side	 side;
	uint64_t	 max;		/* bytes of a message */
	uint64_t	 had;		/* of the message so far */
	uint64_t	 left;		/* of the frame */
	uint64_t	 at;		/* in the frame: for the mask */
	uint8_t		 mask[4];
	uint8_t		 op;		/* of the message; 0: none open */
	bool		 body;		/* within a data frame */
	bool		 fin;		/* of that frame */
	unsigned int	 code;		/* after -1: what to close with */
	const char	*why;		/* and constant text */
};

/*
 * What was read: a piece of a message, or a whole control frame.  data points
 * into the caller's buffer, which was unmasked in place.
 */
struct ws_event {
	enum ws_op	 op;		/* TEXT, BINARY, CLOSE, PING, PONG */
	uint8_t		*data;
	size_t		 len;
	bool		 end;		/* of the message */
	unsigned int	 code;		/* of a CLOSE; 1005: it gave none */
};

/* max: bytes of a message, over which the reader fails with 1009. */
void	ws_init(struct ws *, enum ws_side, uint64_t max);
/*
 * Takes what it can from the start of buf.  Returns the bytes used, 0 if
 * there is too little for anything, -1 if the other side broke the rules;
 * *ev says what came, ev->op being WS_CONT when it was nothing yet.
 */
ssize_t	ws_read(struct ws *, uint8_t *buf, size_t len, struct ws_event *ev);

/*
 * Writes the head of a frame; mask is what a client makes up anew for each,
 * NULL for a server.  Returns its bytes.
 */
size_t	ws_head(uint8_t out[WS_HEAD_MAX], enum ws_op, bool fin, uint64_t len,
	    const uint8_t mask[4]);
/* Masks or unmasks what stands at that offset of a frame. */
void	ws_mask(uint8_t *, size_t, const uint8_t mask[4], uint64_t at);

/* The key of a handshake, of 16 random bytes; NUL-terminated. */
void	ws_key(const uint8_t random[16], char out[WS_KEY_LEN + 1]);
/* The answer to a key; -1 if it is not one. */
int	ws_accept(const char *key, char out[WS_ACCEPT_LEN + 1]);

#endif /* WS_H */

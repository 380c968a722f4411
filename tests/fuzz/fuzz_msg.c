/*
 * Fuzz target: the framing and the codec, as one worker sees another's bytes.
 *
 * SPDX-License-Identifier: ISC
 *
 * The first byte picks the edge; the rest is written to it.
 */
#include <sys/socket.h>

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "log.h"
#include "peer.h"

int	LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* Reads every byte of a payload, so that a wrong pointer is found. */
static int
touch(struct peer *p, struct msg *m)
{
	const struct msg_layout *l = msg_desc(m->type)->layout();
	static volatile size_t sum;
	struct msg_bytes b;
	const char *s;
	size_t i, k;

	(void)p;
	for (i = 0; i < l->nfields; i++) {
		const uint8_t *at = (const uint8_t *)&m->u +
		    l->fields[i].offset;

		if (l->fields[i].kind == MK_STR) {
			memcpy(&s, at, sizeof(s));
			sum = sum + strlen(s);
		} else if (l->fields[i].kind == MK_BYTES) {
			memcpy(&b, at, sizeof(b));
			for (k = 0; k < b.len; k++)
				sum = sum + ((const uint8_t *)b.ptr)[k];
		}
	}
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct msg_handler handlers[MSG_MAX + 1];
	static struct event_base *base;
	struct peer_ops ops = { .handlers = handlers };
	enum proc self, other;
	struct peer *p;
	uint32_t i;
	int fds[2];

	if (size < 1 || size > 100000)
		return 0;
	self = (enum proc)(data[0] % PROC_MAX);
	other = (enum proc)(data[0] / PROC_MAX % PROC_MAX);
	if (self == other)
		return 0;
	if (base == NULL) {
		log_init("fuzz", LOG_L_ERROR, 0);
		base = event_base_new();
		for (i = MSG_NONE + 1; i < MSG_MAX; i++) {
			handlers[i - 1].type = i;
			handlers[i - 1].fn = touch;
		}
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == -1)
		abort();
	p = peer_new(base, self, other, &ops);
	peer_attach(p, fds[1]);
	if (write(fds[0], data + 1, size - 1) == -1)
		abort();
	close(fds[0]);
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_base_loop(base, EVLOOP_NONBLOCK);
	peer_free(p);
	return 0;
}

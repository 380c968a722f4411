/*
 * Message types, payload structs and their codec, all made from msg.def.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: every process.
 */
#ifndef MSG_H
#define MSG_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The processes. */
enum proc {
	PROC_SUPER,
	PROC_FRONT,
	PROC_KEEPER,
	PROC_GATEWAY,
	PROC_UPSTREAM,
	PROC_DIALER,
	PROC_PROXY,
	PROC_CONTAINER,
	PROC_TRACE,
	PROC_MOVER,
	PROC_MAX
};

#define P_SUPER		(1U << PROC_SUPER)
#define P_FRONT		(1U << PROC_FRONT)
#define P_KEEPER	(1U << PROC_KEEPER)
#define P_GATEWAY	(1U << PROC_GATEWAY)
#define P_UPSTREAM	(1U << PROC_UPSTREAM)
#define P_DIALER	(1U << PROC_DIALER)
#define P_PROXY		(1U << PROC_PROXY)
#define P_CONTAINER	(1U << PROC_CONTAINER)
#define P_TRACE		(1U << PROC_TRACE)
#define P_MOVER		(1U << PROC_MOVER)
#define P_WORKERS	(P_FRONT | P_KEEPER | P_GATEWAY | P_UPSTREAM | \
			P_DIALER | P_PROXY | P_CONTAINER | P_TRACE | \
			P_MOVER)

/* Flags of a row of msg.def. */
#define M_REQ		0x01U
#define M_REP		0x02U
#define M_FD		0x04U
#define M_FDOPT		0x08U
#define M_SECRET	0x10U
#define M_ONE		(0x20U | M_REQ)

/* Roles of a principal, in auth_res.role and in a pass. */
enum role {
	ROLE_NONE,
	ROLE_USER,
	ROLE_ADMIN
};

/* What an agent is doing, in agent_conf.state. */
enum agent_state {
	AGENT_DEPLOYING,
	AGENT_RUNNING,
	AGENT_STOPPED,
	AGENT_DELETING,
	AGENT_FAILED,
	AGENT_PAUSED,		/* frozen: no message, no LLM call */
	AGENT_WARM		/* made ahead: it may only wait to be somebody */
};

struct msg_bytes {
	const void	*ptr;
	size_t		 len;
};

#define F_U32(n)	uint32_t n;
#define F_U64(n)	uint64_t n;
#define F_I64(n)	int64_t n;
#define F_F64(n)	double n;
#define F_STR(n, max)	const char *n;
#define F_BYTES(n, max)	struct msg_bytes n;
#define PAYLOAD(name, fields) struct m_##name { fields };
#define MSG(name, from, to, payload, flags)
#include "msg.def"
#undef F_U32
#undef F_U64
#undef F_I64
#undef F_F64
#undef F_STR
#undef F_BYTES

enum msg_type {
	MSG_NONE,
#define PAYLOAD(name, fields)
#define MSG(name, from, to, payload, flags) MSG_##name,
#include "msg.def"
	MSG_MAX
};

enum msg_kind { MK_U32, MK_U64, MK_I64, MK_F64, MK_STR, MK_BYTES };

struct msg_field {
	const char	*name;
	enum msg_kind	 kind;
	size_t		 offset;	/* in the payload struct */
	size_t		 max;		/* bytes of a string or of bytes */
};

/* How a payload lies in memory and on the wire. */
struct msg_layout {
	const char		*name;
	const struct msg_field	*fields;
	size_t			 nfields;
	size_t			 size;		/* of the payload struct */
	size_t			 max;		/* encoded bytes */
};

/* One row of the table. */
struct msg_desc {
	const char		*name;
	const struct msg_layout	*(*layout)(void);
	uint32_t		 from;		/* bits of enum proc */
	uint32_t		 to;
	uint32_t		 flags;
};

/* Largest payload struct; a decoder's buffer of this size fits any. */
union msg_any {
#define PAYLOAD(name, fields) struct m_##name name;
#define MSG(name, from, to, payload, flags)
#include "msg.def"
};

/* Row of a type, NULL if there is none. */
const struct msg_desc	*msg_desc(uint32_t);
/* Most bytes that the payload of this type may take, encoded. */
size_t		 msg_max(uint32_t);
/* Name of a type or of a process, never NULL. */
const char	*msg_name(uint32_t);
const char	*proc_name(enum proc);
/* Process of that name, or -1. */
int		 proc_by_name(const char *);
/* May this process send this type to that one? */
bool		 msg_allowed(uint32_t, enum proc, enum proc);
/* Do two processes share an edge, that is: is there a message for it? */
bool		 msg_edge(enum proc, enum proc);
/* SHA-256 of msg.def in hex: two programs of one digest may talk. */
const char	*msg_table_digest(void);

/*
 * Bytes that the payload of this type needs, or -1 with errno EMSGSIZE if a
 * field is over its maximum.  NULL strings count as "".
 */
ssize_t		 msg_encoded_size(uint32_t, const void *);
/* Encodes into buf of exactly msg_encoded_size() bytes. */
void		 msg_encode(uint32_t, const void *, uint8_t *);
/*
 * Decodes len bytes into out; strings point into buf.
 * Returns -1 with errno EBADMSG if a length, a terminator or the end is wrong.
 */
int		 msg_decode(uint32_t, const uint8_t *, size_t, union msg_any *);

#endif /* MSG_H */

/*
 * What the ways to make an instance share: from an image, from a copy.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 */
#ifndef CREATE_H
#define CREATE_H

#include "container.h"

struct jbuf;

struct create {
	struct op	 op;
	struct gate	 turn;
	char		 agent_id[33];
	char		 slug[53];
	char		 image[129];
	char		 sock_dir[1025];
	char		 fingerprint[65];
	char		 source_id[33];		/* of a copy, also below */
	char		 source[64];
	char		 snapshot[65];
	uint64_t	 memory, disk;
	uint64_t	 base;		/* bytes of the image, unpacked; 0: unknown */
	uint32_t	 cpus, processes;
	char		 request[33];	/* the job it is made for */
	bool		 resume;	/* look first: it may be there */
	bool		 again;		/* a leftover was removed once */
	bool		 undoing;
	gate_fn		 post;		/* asks Incus for it */
	struct incus_reply why;		/* of the failure; meta is unused */
};

/* The members "config" and "devices" of an instance as it must be. */
void	create_config(struct jbuf *, const struct create *);
void	create_devices(struct jbuf *, const struct create *);
/* The name of the first field that is not as it must be, or NULL. */
const char *create_bad_field(const struct m_ct_create *);
/* Does keeper still wait for it?  If not it is over. */
bool	create_wanted(struct create *);
/* Calls post when it is its turn, or answers with what is there already. */
void	create_enter(struct create *);
/*
 * The operation for a request whose fields are good; post asks Incus for the
 * instance.  NULL if nothing is to be started: another answers the request,
 * or there are too many.
 */
struct create *create_new(uint64_t id, const char *verb,
	    const struct m_ct_create *, void (*run)(struct op *), gate_fn post);
/*
 * Incus has made and started it, or has not: looks, answers keeper, and
 * removes what must not stay.
 */
void	create_ended(struct create *, const struct incus_reply *);

#endif /* CREATE_H */

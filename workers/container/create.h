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
	uint32_t	 cpus, processes;
	char		 request[33];	/* tells this try from older ones */
	bool		 again;		/* a leftover was removed once */
	gate_fn		 post;		/* asks Incus for it */
	struct incus_reply why;		/* of the failure; meta is unused */
};

/* The members "config" and "devices" of an instance as it must be. */
void	create_config(struct jbuf *, const struct create *);
void	create_devices(struct jbuf *, const struct create *);
/* The name of the first field that is not as it must be, or NULL. */
const char *create_bad_field(const struct m_ct_create *);
/*
 * Incus has made and started it, or has not: looks, answers keeper, and
 * removes what must not stay.
 */
void	create_ended(struct create *, const struct incus_reply *);

#endif /* CREATE_H */

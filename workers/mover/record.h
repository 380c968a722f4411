/*
 * The documents in a file: typed values from JSON that somebody wrote.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: mover.  Talks to: nobody.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "movefile.h"
#include "msg.h"

#define WHY_LEN		192
#define CONTENT_MAX	1100000

/* Of the sections manifest, record and policy. */
struct record {
	char	agent_id[33], owner[65], slug[53], display_name[129];
	char	framework[65], model[257], fallbacks[4096], emoji[33];
	char	color[17], network[17], snapshots[64], channel_id[33];
	char	domains[8193];		/* one a line */
	char	server[65], arch[33];
	int64_t	memory, disk, cpus, processes, idle;
	double	created_at;		/* of the agent */
	double	exported_at;
	uint64_t rows[MF_SECTIONS];
};

/* Texts of a message or an event; freed by record_texts_free(). */
struct texts {
	char	*v[14];
	size_t	 n;
};

/* All return 0, or -1 with a sentence in why. */
int	record_manifest(const char *, size_t, const struct mf *,
	    struct record *, char why[WHY_LEN]);
int	record_agent(const char *, size_t, struct record *,
	    char why[WHY_LEN]);
int	record_policy(const char *, size_t, struct record *,
	    char why[WHY_LEN]);
int	record_message(const char *, size_t, struct m_move_message *,
	    struct texts *, char why[WHY_LEN]);
/* payload of the event is left ""; the raw one is in the line. */
int	record_event(const char *, size_t, struct m_trace_event *,
	    struct texts *, const char **payload, size_t *payloadlen,
	    char why[WHY_LEN]);
void	record_texts_free(struct texts *);

#endif /* RECORD_H */

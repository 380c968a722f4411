/*
 * A strict subset of YAML as a small tree: maps, lists and scalars with their
 * places in the file; nothing else.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef YTREE_H
#define YTREE_H

#include <stdbool.h>
#include <stddef.h>

#include "diag.h"

#define YTREE_BYTES_MAX	(1024 * 1024)
#define YTREE_NODES_MAX	4096
#define YTREE_DEPTH_MAX	8

enum ynode_kind {
	YN_SCALAR,
	YN_MAP,
	YN_LIST,
	YN_BAD			/* an error about it is in the list already */
};

struct ynode {
	enum ynode_kind	 kind;
	bool		 plain;		/* a scalar without quotes */
	unsigned	 line, col;
	char		*text;		/* of a scalar; no NUL within */
	char		*key;		/* of an entry of a map, else NULL */
	unsigned	 key_line, key_col;
	struct ynode	*child;		/* first entry of a map or a list */
	struct ynode	*next;
};

/*
 * Reads one document.  Anchors, aliases, tags, merges, a second document,
 * duplicate keys, keys that are not text and anything over the bounds are
 * errors, which are added to the list; all that can be found are.  An empty
 * document is an empty map; one that cannot be read to its end is YN_BAD.
 * Never NULL.
 */
struct ynode	*ytree_parse(const char *, size_t, struct diags *);
void		 ytree_free(struct ynode *);
/* Entry of a map by its key, or NULL. */
const struct ynode *ytree_get(const struct ynode *, const char *);
/*
 * Reads a whole regular file of at most YTREE_BYTES_MAX bytes; NULL after
 * an error was added.  The text is the caller's to free.
 */
char		*ytree_read_file(const char *, size_t *, struct diags *);

#endif /* YTREE_H */

/*
 * Framework manifests: what agents there are.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef CATALOG_H
#define CATALOG_H

#include <stddef.h>
#include <stdint.h>

#include "diag.h"

#define CATALOG_MAX	64	/* frameworks */

struct framework {
	uint32_t	 schema_version;
	char		*id;
	char		*name;
	char		*description;
	char		*image;
	char		*runtime;
	char		*unit;
	uint64_t	 memory;		/* bytes */
	uint32_t	 cpus;
	uint64_t	 disk;			/* bytes */
	uint32_t	 processes;
	uint32_t	 ready_timeout;		/* seconds */
	uint32_t	 turn_timeout;		/* seconds */
	uint32_t	 max_calls_per_turn;
	uint32_t	 refusal;		/* index of a word */
	uint32_t	 refusal_status;
	uint32_t	 status;		/* enum framework_status */
	uint32_t	 verification;		/* index of a word */
	/* These may be NULL. */
	char		*version;
	char		*homepage;
	char		*license;
	char		*reason;		/* of what is unavailable, only */
};

enum framework_status {
	FW_WORKS,
	FW_UNAVAILABLE		/* image and all that follows it is unset */
};


struct catalog {
	struct framework	v[CATALOG_MAX];
	size_t			n;
	size_t			bad;	/* manifests left out */
};

/*
 * Reads the manifests DIR/frameworks/NAME.yaml in the order of their names.  A broken manifest
 * is left out, and each of its errors is told to the callback.  Never NULL.
 */
struct catalog	*catalog_load(const char *dir,
		    void (*)(const char *, void *), void *);
void		 catalog_free(struct catalog *);
/* One manifest; id is what it must be called.  0, or -1 with errors added. */
int		 catalog_parse(const char *, size_t, const char *id,
		    struct framework *, struct diags *);
void		 catalog_framework_free(struct framework *);
/* "works", "beta"...: words of the manifest. */
const char	*catalog_status(const struct framework *);
const char	*catalog_verification(const struct framework *);

#endif /* CATALOG_H */

/*
 * The configuration file agentd.yaml.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: supervisor.
 */
#ifndef CONF_H
#define CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "diag.h"
#include "schema.h"

struct sockaddr_storage;

#define CONF_KEYS_MAX	4096	/* bytes of trusted_exporters, joined */
#define CONF_HOSTS_MAX	1024	/* bytes of allowed_hosts, joined */
#define CONF_POOL_MAX	16	/* warm instances of one framework */
#define CONF_IDLE_MIN	10	/* seconds */
#define CONF_IDLE_MAX	(30U * 86400)

enum log_target {
	LOG_AUTO,		/* the journal under systemd, else files */
	LOG_JOURNAL,
	LOG_FILE
};

enum idle_mode {
	IDLE_STOP,		/* no memory, a slow start */
	IDLE_FREEZE		/* all its memory, awake at once */
};

struct conf {
	/* These are taken at start only; a reload keeps the old ones. */
	char		*node_id;	/* NULL: kept in the state directory */
	char		*state_dir;
	char		*run_dir;
	char		*log_dir;
	char		*libexec_dir;
	char		*user_prefix;
	char		*admin_group;
	uint32_t	 log_target;	/* enum log_target */

	uint32_t	 log_level;	/* enum log_level */
	char		*catalog_dir;
	char		*ca_file;	/* "none", or a bundle */
	char		*listen_http;	/* address:port or "none" */
	char		*listen_unix;	/* path */
	bool		 allow_remote;
	struct strlist	 allowed_hosts;
	struct strlist	 trusted_exporters;	/* keys in hex */
	struct strlist	 image_keys;	/* minisign public keys */
	char		*incus_socket;	/* path or "auto" */
	char		*incus_project;
	char		*incus_pool;	/* name or "auto" */
	uint32_t	 max_connections;
	uint32_t	 max_calls_per_turn;
	uint32_t	 deploy_timeout;	/* seconds */
	uint32_t	 disk_scan;		/* seconds */
	uint64_t	 import_limit;		/* bytes of a file */
	char		*warm_pool;	/* "framework number", one a line */
	uint32_t	 idle_suspend;	/* seconds, 0: never */
	uint32_t	 idle_mode;	/* enum idle_mode */
	uint32_t	 retention_days;	/* 0: for ever */
	uint32_t	 drain_timeout;		/* seconds */
};

/*
 * Reads the text; every error that can be found goes into the list.  The
 * configuration is complete (defaults) but of no use if there is any.
 */
struct conf	*conf_parse(const char *, size_t, struct diags *);
/* The same for a file.  Never NULL. */
struct conf	*conf_load(const char *, struct diags *);
void		 conf_free(struct conf *);
/*
 * For a reload: puts the old values back where a change needs a restart, and
 * logs each such key.
 */
void		 conf_keep_fixed(struct conf *, const struct conf *);
/* 0 and the address of listen_http; -1 if it is "none" or broken. */
int		 conf_http_addr(const char *, struct sockaddr_storage *,
		    unsigned *);
bool		 conf_is_loopback(const struct sockaddr_storage *);

#endif /* CONF_H */

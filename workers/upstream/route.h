/*
 * The providers that upstream may speak to, and their keys.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <sys/queue.h>
#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "msg.h"
#include "sys.h"
#include "url.h"

#define ROUTE_MAX	256

struct conn;
TAILQ_HEAD(conn_list, conn);

struct route {
	TAILQ_ENTRY(route)	 entry;
	unsigned		 refs;
	bool			 gone;	/* replaced or dropped: pool nothing */
	bool			 demo;	/* built in: url and ctx are unused */
	bool			 allow_private;
	char			 id[ID_LEN + 1];
	char			 name[65];
	struct url		 url;
	SSL_CTX			*ctx;	/* owned; NULL for http */
	struct conn_list	 idle;	/* see conn.c */
	unsigned		 nidle;
};

void		 route_init(void);
/*
 * Adds or replaces a provider; what runs on the old one ends on it.
 * 0, or -1 and a sentence in the buffer.
 */
int		 route_put(const struct m_provider_put *, char *, size_t);
/* Forgets a provider; no such one is no error. */
void		 route_drop(const char *);
/* Borrowed, or NULL. */
struct route	*route_find(const char *);
struct route	*route_ref(struct route *);
void		 route_unref(struct route *);

/* Keeps a copy; the old one is wiped. -1 when there are too many. */
int		 secret_put(const char *, const char *);
void		 secret_drop(const char *);
/* The key, borrowed; "" or NULL if there is none. */
const char	*secret_find(const char *);

#endif /* ROUTE_H */

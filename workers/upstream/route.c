/*
 * The providers that upstream may speak to, and their keys.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 *
 * A route comes from proxy and its key from keeper, in any order: proxy
 * never sees a key, and so they are kept apart here too.
 */
#include <sys/types.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"
#include "log.h"
#include "route.h"
#include "tls.h"

struct secret {
	TAILQ_ENTRY(secret)	 entry;
	char			 id[ID_LEN + 1];
	size_t			 size;
	char			*key;	/* owned, wiped when freed */
};

static struct {
	TAILQ_HEAD(, route)	 routes;
	TAILQ_HEAD(, secret)	 secrets;
	unsigned		 nroutes;
	unsigned		 nsecrets;
} self;

static int		 route_fill(struct route *,
			    const struct m_provider_put *, char *, size_t);
static struct secret	*secret_lookup(const char *);

void
route_init(void)
{
	TAILQ_INIT(&self.routes);
	TAILQ_INIT(&self.secrets);
}

int
route_put(const struct m_provider_put *m, char *error, size_t size)
{
	struct route *r;

	if (route_find(m->provider_id) == NULL && self.nroutes >= ROUTE_MAX) {
		(void)snprintf(error, size, "more than %d providers",
		    ROUTE_MAX);
		return -1;
	}
	if ((r = calloc(1, sizeof(*r))) == NULL)
		fatal("route");
	TAILQ_INIT(&r->idle);
	r->refs = 1;
	if (route_fill(r, m, error, size) == -1) {
		route_unref(r);
		return -1;
	}
	route_drop(r->id);
	TAILQ_INSERT_HEAD(&self.routes, r, entry);
	self.nroutes++;
	return 0;
}

static int
route_fill(struct route *r, const struct m_provider_put *m, char *error,
    size_t size)
{
	const char *why;

	(void)snprintf(r->id, sizeof(r->id), "%s", m->provider_id);
	(void)snprintf(r->name, sizeof(r->name), "%s", m->name);
	r->allow_private = m->allow_private != 0;
	if (strcmp(m->type, "demo") == 0) {
		r->demo = true;
		return 0;
	}
	if (strcmp(m->type, "openai") != 0) {
		(void)snprintf(error, size, "provider type \"%s\" is unknown",
		    m->type);
		return -1;
	}
	if (url_parse(m->url, &r->url, &why) == -1) {
		(void)snprintf(error, size, "%s", why);
		return -1;
	}
	if (!r->url.tls) {
		if (r->allow_private)
			return 0;
		(void)snprintf(error, size,
		    "http is allowed for private providers only");
		return -1;
	}
	r->ctx = tls_ctx_new(m->ca_pem, error, size);
	return r->ctx == NULL ? -1 : 0;
}

void
route_drop(const char *id)
{
	struct route *r;

	if ((r = route_find(id)) == NULL)
		return;
	TAILQ_REMOVE(&self.routes, r, entry);
	self.nroutes--;
	r->gone = true;
	conn_drop_idle(r);
	route_unref(r);
}

struct route *
route_find(const char *id)
{
	struct route *r;

	TAILQ_FOREACH(r, &self.routes, entry)
		if (strcmp(r->id, id) == 0)
			return r;
	return NULL;
}

struct route *
route_ref(struct route *r)
{
	r->refs++;
	return r;
}

void
route_unref(struct route *r)
{
	if (r == NULL || --r->refs > 0)
		return;
	SSL_CTX_free(r->ctx);
	free(r);
}

int
secret_put(const char *id, const char *key)
{
	struct secret *s;

	if ((s = secret_lookup(id)) == NULL) {
		if (self.nsecrets >= ROUTE_MAX)
			return -1;
		if ((s = calloc(1, sizeof(*s))) == NULL)
			fatal("secret");
		(void)snprintf(s->id, sizeof(s->id), "%s", id);
		TAILQ_INSERT_HEAD(&self.secrets, s, entry);
		self.nsecrets++;
	}
	freezero(s->key, s->size);
	s->size = strlen(key) + 1;
	if ((s->key = malloc(s->size)) == NULL)
		fatal("secret");
	memcpy(s->key, key, s->size);
	return 0;
}

void
secret_drop(const char *id)
{
	struct secret *s;

	if ((s = secret_lookup(id)) == NULL)
		return;
	TAILQ_REMOVE(&self.secrets, s, entry);
	self.nsecrets--;
	freezero(s->key, s->size);
	free(s);
}

const char *
secret_find(const char *id)
{
	struct secret *s = secret_lookup(id);

	return s == NULL ? NULL : s->key;
}

static struct secret *
secret_lookup(const char *id)
{
	struct secret *s;

	TAILQ_FOREACH(s, &self.secrets, entry)
		if (strcmp(s->id, id) == 0)
			return s;
	return NULL;
}

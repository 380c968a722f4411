/*
 * TLS towards providers: trust, names, versions.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 */
#ifndef TLS_H
#define TLS_H

#include <stddef.h>

#include <openssl/ssl.h>

#define TLS_BUNDLE_MAX	(4U * 1024 * 1024)	/* bytes of a CA bundle */

/* Makes OpenSSL ready, so that it opens nothing in the sandbox. Fatal. */
void	 tls_init(void);
/* Reads the CA bundle (PEM) and closes the fd. -1 (logged) keeps the old. */
int	 tls_bundle(int);
/*
 * A client context. A provider that has its own CA certificates is checked
 * against these alone, others against the bundle. NULL and a sentence.
 */
SSL_CTX	*tls_ctx_new(const char *, char *, size_t);
/* A client that accepts the certificate of this host (name or address). */
SSL	*tls_client(SSL_CTX *, const char *);
/* Why a handshake failed, in words. */
void	 tls_why(const SSL *, unsigned long, char *, size_t);

#endif /* TLS_H */

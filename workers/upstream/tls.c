/*
 * TLS towards providers: trust, names, versions.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: upstream. Talks to: nobody.
 *
 * The bundle is kept as text and parsed when the first provider with https
 * comes: the parsed form takes megabytes that a machine with local providers
 * alone need not spend.
 */
#include <sys/types.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "log.h"
#include "tls.h"

#define CHUNK	65536

static struct {
	char		*pem;		/* the bundle; NULL: none */
	size_t		 len;
	X509_STORE	*store;		/* of the bundle, made when needed */
} self;

static X509_STORE	*store_new(const char *, size_t, int *);
static X509_STORE	*store_bundle(void);

void
tls_init(void)
{
	unsigned char b;
	SSL_CTX *ctx;
	SSL *ssl;

	/* No configuration file: it could load modules. */
	if (OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG |
	    OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
	    NULL) != 1 || RAND_bytes(&b, 1) != 1)
		fatalx("cannot start OpenSSL");
	/* One of each, for what is fetched at the first use. */
	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL ||
	    (ssl = SSL_new(ctx)) == NULL)
		fatalx("cannot start OpenSSL");
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

int
tls_bundle(int fd)
{
	char *pem = NULL, *p;
	size_t len = 0;
	ssize_t n;

	do {
		if ((p = realloc(pem, len + CHUNK)) == NULL)
			fatal("CA bundle");
		pem = p;
		while ((n = read(fd, pem + len, CHUNK)) == -1 &&
		    errno == EINTR)
			continue;
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 && len <= TLS_BUNDLE_MAX);
	if (n != 0) {
		if (n == -1)
			log_warn("cannot read the CA bundle");
		else
			log_warnx("the CA bundle is over %u bytes",
			    TLS_BUNDLE_MAX);
		free(pem);
		close(fd);
		return -1;
	}
	close(fd);
	free(self.pem);
	self.pem = pem;
	self.len = len;
	X509_STORE_free(self.store);
	self.store = NULL;
	return 0;
}

SSL_CTX *
tls_ctx_new(const char *ca_pem, char *error, size_t size)
{
	static const unsigned char alpn[] = "\x08http/1.1";
	X509_STORE *store;
	SSL_CTX *ctx;
	int n;

	if (ca_pem[0] != '\0') {
		store = store_new(ca_pem, strlen(ca_pem), &n);
		if (n == 0) {
			X509_STORE_free(store);
			(void)snprintf(error, size, "the provider's CA text "
			    "has no valid certificate");
			return NULL;
		}
	} else if ((store = store_bundle()) == NULL) {
		(void)snprintf(error, size, "there is no CA bundle to check "
		    "the provider's certificate with");
		return NULL;
	}
	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL)
		fatalx("cannot make a TLS context");
	SSL_CTX_set_cert_store(ctx, store);	/* takes it */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION |
	    SSL_OP_NO_RENEGOTIATION);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0)
		fatalx("cannot set up a TLS context");
	return ctx;
}

SSL *
tls_client(SSL_CTX *ctx, const char *host)
{
	X509_VERIFY_PARAM *param;
	unsigned char addr[16];
	char name[256];
	SSL *ssl;
	int ok;

	if ((ssl = SSL_new(ctx)) == NULL)
		fatalx("cannot make a TLS client");
	param = SSL_get0_param(ssl);
	X509_VERIFY_PARAM_set_hostflags(param,
	    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, host, addr) == 1)
		ok = X509_VERIFY_PARAM_set1_ip(param, addr, 4);
	else if (inet_pton(AF_INET6, host, addr) == 1)
		ok = X509_VERIFY_PARAM_set1_ip(param, addr, 16);
	else
		/* The copy is for a macro that casts const away. */
		ok = strlcpy(name, host, sizeof(name)) < sizeof(name) &&
		    X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
		    SSL_set_tlsext_host_name(ssl, name) == 1;
	if (ok != 1)
		fatalx("cannot set the name that a certificate must have");
	return ssl;
}

void
tls_why(const SSL *ssl, unsigned long code, char *buf, size_t size)
{
	long verify = SSL_get_verify_result(ssl);
	const char *reason;

	if (verify != X509_V_OK) {
		(void)snprintf(buf, size, "its certificate is not valid: %s",
		    X509_verify_cert_error_string(verify));
		return;
	}
	reason = code == 0 ? NULL : ERR_reason_error_string(code);
	(void)snprintf(buf, size, "TLS failed: %s",
	    reason == NULL ? "the connection was closed" : reason);
}

/* A store of the certificates in the text; their number in *count. */
static X509_STORE *
store_new(const char *pem, size_t len, int *count)
{
	X509_STORE *store;
	X509 *cert;
	BIO *bio;

	*count = 0;
	if ((store = X509_STORE_new()) == NULL ||
	    (bio = BIO_new_mem_buf(pem, (int)len)) == NULL)
		fatalx("cannot make a certificate store");
	while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		if (X509_STORE_add_cert(store, cert) == 1)
			(*count)++;
		X509_free(cert);
	}
	ERR_clear_error();	/* the end of the text is an error, too */
	BIO_free(bio);
	return store;
}

/* One more reference to the bundle's store, or NULL. */
static X509_STORE *
store_bundle(void)
{
	int n;

	if (self.pem == NULL)
		return NULL;
	if (self.store == NULL) {
		self.store = store_new(self.pem, self.len, &n);
		log_info("CA bundle: %d certificates", n);
	}
	if (X509_STORE_up_ref(self.store) != 1)
		fatalx("cannot share the certificate store");
	return self.store;
}

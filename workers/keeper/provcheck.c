/*
 * Checks what somebody enters as a provider.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: keeper.
 *
 * Key and URL end up in an HTTP request: no byte may be able to end a line
 * or a field there.
 */
#include <string.h>

#include "provider.h"

#define MODELS_MAX	500
#define MODEL_MAX	256

/* Printable ASCII without blanks. */
static int
is_token(const char *s)
{
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s > '~')
			return 0;
	return 1;
}

static const char *
url_wrong(const struct m_provider_add *in)
{
	const char	*host;
	size_t		 len;

	if (strcmp(in->type, "demo") == 0)
		return in->url[0] == '\0' ? NULL :
		    "url: the demo type has none";
	if (strncmp(in->url, "https://", 8) == 0)
		host = in->url + 8;
	else if (strncmp(in->url, "http://", 7) == 0)
		host = in->url + 7;
	else
		return "url: must begin with https:// or http://";
	if (in->url[4] == ':' && !in->allow_private)
		return "url: http:// without TLS is only for private "
		    "addresses (allow_private)";
	if (!is_token(in->url) || strpbrk(in->url, "#?\\\"<>") != NULL)
		return "url: has a character that does not belong there";
	len = strcspn(host, "/");
	if (len == 0 || host[0] == ':')
		return "url: names no host";
	if (memchr(host, '@', len) != NULL)
		return "url: user and password do not belong there";
	return NULL;
}

static const char *
models_wrong(const char *s)
{
	size_t	 len = 0, n = 0;

	for (; *s != '\0'; s++) {
		if (*s == '\n') {
			len = 0;
			continue;
		}
		if ((unsigned char)*s <= ' ' || *s == 0x7f)
			return "models: a name has a blank or a control "
			    "character";
		if (len++ == 0)
			n++;
		if (len > MODEL_MAX)
			return "models: a name is over 256 bytes";
	}
	return n > MODELS_MAX ? "models: there are over 500" : NULL;
}

const char *
provider_wrong(const struct m_provider_add *in)
{
	static const char	 pem[] = "-----BEGIN CERTIFICATE-----";
	size_t			 len = strlen(in->name);
	const char		*why;

	if (len == 0 || len > 64 || strspn(in->name,
	    "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
		return "name: must be 1 to 64 of a-z, 0-9 and -";
	if (strcmp(in->type, "openai") != 0 && strcmp(in->type, "demo") != 0)
		return "type: must be openai or demo";
	if ((why = url_wrong(in)) != NULL ||
	    (why = models_wrong(in->models)) != NULL)
		return why;
	if (!is_token(in->api_key))
		return "api_key: has a blank or a control character";
	if (in->ca_pem[0] != '\0' && strstr(in->ca_pem, pem) == NULL)
		return "ca_pem: is not a PEM certificate";
	return NULL;
}

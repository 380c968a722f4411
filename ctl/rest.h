/*
 * What the files of the HTTP side of agentctl share.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: agentctl. Talks to: front.
 */
#ifndef REST_H
#define REST_H

#include <curl/curl.h>

#include "ctl.h"

struct transfer {
	CURL *curl;
	struct curl_slist *headers;
	struct reply *reply;
	char error[CURL_ERROR_SIZE];
};

/* A handle for one request; never follows a redirect, ignores proxies. */
void	 transfer_open(struct transfer *, const struct ctl *, const char *path);
void	 transfer_header(struct transfer *, const char *line);
CURLcode transfer_run(struct transfer *);
void	 transfer_close(struct transfer *);

/* A write function of libcurl: into a struct reply. */
size_t	 rest_body(char *, size_t, size_t, void *);
void	 reply_parse(struct reply *);
/* Both say why. */
void	 rest_unreachable(const struct ctl *, CURLcode, const char *why);
void	 rest_refused(struct ctl *, const struct reply *);

#endif /* REST_H */

/*
 * libcurl's transfers on libevent.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.
 */
#ifndef CURL_LOOP_H
#define CURL_LOOP_H

#include <curl/curl.h>

struct event_base;

/* A transfer is over; its handle is the caller's again. */
typedef void (*curl_done_fn)(CURL *, CURLcode);

/* Fatal without memory (start-up only). */
void	curl_loop_init(struct event_base *, curl_done_fn);
/* Starts a transfer. */
void	curl_loop_add(CURL *);
/* Looks again at transfers that were paused and are not any more. */
void	curl_loop_kick(void);

#endif /* CURL_LOOP_H */

/*
 * A server to test and a client to test it with, in one event loop.
 * SPDX-License-Identifier: ISC
 *
 * Runs in: make check. Talks to: itself.
 */
#ifndef HTTPD_UTIL_H
#define HTTPD_UTIL_H

#include <stdbool.h>
#include <stddef.h>

#include "httpd.h"

struct event_base;

/*
 * The server under test and what it has seen. Routes: /now replies at once;
 * /later, /stream and /sse leave the request in held; POST /echo collects;
 * PUT /raw/{name} streams, pausing when told; POST /refuse replies 401.
 */
struct httpd_lab {
	struct event_base	*base;
	struct httpd		*srv;
	struct httpd_req	*held;
	int			 heads, closed, writable, drained, accesses;
	size_t			 body;
	bool			 pause;
	char			 name[32];
};

extern struct httpd_lab t;
extern char answer[65536];	/* of the last hear() */

int	 setup(void **);
/* The same, but who does not read may take two seconds, not 0.1. */
int	 setup_patient(void **);
int	 teardown(void **);
/* Let the server work for so many milliseconds. */
void	 spin(int);
/* A connected client. */
int	 client(void);
void	 say(int, const char *);
/* Read what comes within ms (30); false: the server has closed. */
bool	 hear_for(int, int);
bool	 hear(int);
/* How often the text is in the answer. */
int	 count(const char *);

#endif

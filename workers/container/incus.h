/*
 * The Incus REST API over its Unix socket: non-blocking calls, bounded
 * replies, background operations awaited.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 */
#ifndef INCUS_H
#define INCUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct json_object;

#define INCUS_REPLY_MAX	(4U * 1024 * 1024)
#define INCUS_LIST_MAX	(32U * 1024 * 1024)	/* recursive lists */
#define INCUS_ERR_MAX	768

struct incus_reply {
	/*
	 * As in HTTP: 200, or why not.  503: no answer from Incus; 504: it
	 * was too slow; 502: its answer makes no sense.
	 */
	unsigned int		 status;
	char			 error[INCUS_ERR_MAX];	/* printable */
	/* The metadata of the answer or of the operation; may be NULL. */
	struct json_object	*meta;
	bool			 down;		/* Incus cannot be reached */
};

/* Called once for each call; the reply is gone when it returns. */
typedef void (*incus_fn)(const struct incus_reply *, void *);

/* Fatal without memory (start-up only). */
void	incus_init(struct event_base *);
/* Path of the socket; calls under way go on with the old one. */
void	incus_socket(const char *);
const char	*incus_socket_path(void);

/*
 * Starts a call; body may be NULL, else it is copied.  An operation that
 * Incus starts is awaited.  timeout: seconds for the whole.  The path is
 * ours: made from validated parts, never from raw input.
 */
void	incus_call(const char *method, const char *path, const char *body,
	    unsigned int timeout, size_t max, incus_fn, void *);
/*
 * A POST that begins an operation: the reply is the operation as it is then,
 * its end is not awaited.
 */
void	incus_begin(const char *path, const char *body, unsigned int timeout,
	    incus_fn, void *);
/*
 * POSTs exactly size bytes read from fd, which stays the caller's and must
 * be open until the callback; it may be a file, a pipe or a socket.
 * sink (may be NULL) sees each piece on its way.
 */
void	incus_upload(const char *path, int fd, uint64_t size,
	    unsigned int timeout, void (*sink)(const void *, size_t, void *),
	    incus_fn, void *);

/*
 * GETs a body that is no document: each piece goes to fd (-1: nowhere; else a
 * pipe or socket that stays the caller's) and then to sink (may be NULL).  Who
 * reads slowly slows Incus down.  More than max bytes are an error.
 */
void	incus_download(const char *path, int fd, uint64_t max,
	    unsigned int timeout, void (*sink)(const void *, size_t, void *),
	    incus_fn fn, void *arg);

/* Sets status and an error of printable bytes. */
void	reply_fail(struct incus_reply *, unsigned int status, const char *, ...)
	    __attribute__((format(printf, 3, 4)));
/*
 * Reads an answer (waiting: the end of an operation) into the reply, which
 * then borrows from doc.  Returns the id of an operation to wait for, or
 * NULL if this was all.
 */
const char	*reply_read(struct incus_reply *, struct json_object *doc,
		    long http, bool waiting);

/* Members of the answers; NULL, 0 or false when absent or of another type. */
const char	*meta_str(struct json_object *, const char *);
struct json_object *meta_obj(struct json_object *, const char *);
struct json_object *meta_arr(struct json_object *, const char *);
int64_t		 meta_int(struct json_object *, const char *);
/* The elements of an array; 0 if it is none. */
size_t		 meta_len(struct json_object *);

#endif /* INCUS_H */

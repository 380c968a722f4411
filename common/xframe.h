/*
 * Frames of an exec session: its streams, window size and end on one
 * connection.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container, front, agentctl.  Talks to: nobody.
 *
 * A frame is u8 stream, u32 length (network order) and the bytes.  This is
 * what "Upgrade: agentd-exec/1" speaks.
 */
#ifndef XFRAME_H
#define XFRAME_H

#include <sys/types.h>
#include <stddef.h>
#include <stdint.h>

#define XF_PROTO	"agentd-exec/1"
#define XF_HEAD		5
#define XF_MAX		32768	/* bytes in a frame */

enum xf_stream {
	XF_STDIN,	/* to the command; empty: its end */
	XF_STDOUT,
	XF_STDERR,
	XF_RESIZE,	/* to the command: u16 columns, u16 rows */
	XF_SIGNAL,	/* to the command: u8 */
	XF_EXIT,	/* the last one: u32 exit status */
	XF_ERROR,	/* the last one: a sentence why there is no status */
	XF_STREAMS
};

struct xf {
	enum xf_stream	 stream;
	const uint8_t	*data;		/* in the caller's buffer */
	size_t		 len;
};

/*
 * Reads one whole frame from the start of buf: the bytes it takes, 0 if it
 * is not all there, -1 if it is none.
 */
ssize_t	xf_read(const uint8_t *buf, size_t len, struct xf *);
void	xf_head(uint8_t out[XF_HEAD], enum xf_stream, size_t len);
/* Whole frames: bytes written. */
size_t	xf_resize(uint8_t out[XF_HEAD + 4], unsigned int cols,
	    unsigned int rows);
size_t	xf_exit(uint8_t out[XF_HEAD + 4], uint32_t status);
/* Of a frame's bytes; -1 if they are not that. */
int	xf_get_resize(const struct xf *, unsigned int *cols,
	    unsigned int *rows);
int	xf_get_exit(const struct xf *, uint32_t *status);

#endif /* XFRAME_H */

/*
 * What a client of a command sends: bytes for it, a window size, a signal.
 *
 * SPDX-License-Identifier: ISC
 *
 * Runs in: container.  Talks to: Incus.
 */
#include <sys/types.h>

#include <stdio.h>
#include <string.h>

#include "exec.h"
#include "xframe.h"

#define CONTROL_MAX	(16 * 1024)	/* queued, then signals are dropped */

static void
control(struct exec *x, const char *text)
{
	struct wsc *ws = x->ws[WS_CONTROL].ws;

	if (ws != NULL && wsc_queued(ws) < CONTROL_MAX)
		wsc_send(ws, true, text, strlen(text));
}

int
exec_take(struct exec *x, const struct xf *f)
{
	struct wsc *in = x->ws[WS_IN].ws;
	unsigned int cols, rows;
	char text[128];

	switch (f->stream) {
	case XF_STDIN:
		if (in == NULL)
			return 0;	/* it reads no more */
		if (f->len > 0)
			wsc_send(in, false, f->data, f->len);
		else if (!x->tty)
			wsc_send(in, true, "", 0);
		return 0;
	case XF_RESIZE:
		if (xf_get_resize(f, &cols, &rows) == -1)
			return -1;
		(void)snprintf(text, sizeof(text), "{\"command\":"
		    "\"window-resize\",\"args\":{\"width\":\"%u\","
		    "\"height\":\"%u\"}}", cols, rows);
		control(x, text);
		return 0;
	case XF_SIGNAL:
		if (f->len != 1 || f->data[0] == 0 || f->data[0] > 31)
			return -1;
		(void)snprintf(text, sizeof(text), "{\"command\":\"signal\","
		    "\"signal\":%u}", f->data[0]);
		control(x, text);
		return 0;
	default:
		return -1;
	}
}

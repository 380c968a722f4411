/*
 * Writes one valid frame of each message as a seed for fuzz_msg.
 *
 * SPDX-License-Identifier: ISC
 *
 * usage: mkseeds DIR
 */
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"
#include "msg.h"

static int
first(uint32_t mask)
{
	int i;

	for (i = 0; i < PROC_MAX; i++)
		if (mask & (1U << i))
			return i;
	return 0;
}

int
main(int argc, char **argv)
{
	union msg_any u;
	struct chan_hdr h;
	uint8_t buf[4096];
	uint32_t type;
	ssize_t len;
	char path[1024];
	FILE *f;

	if (argc != 2)
		errx(2, "usage: mkseeds DIR");
	memset(&u, 0, sizeof(u));
	for (type = MSG_NONE + 1; type < MSG_MAX; type++) {
		const struct msg_desc *d = msg_desc(type);

		if ((len = msg_encoded_size(type, &u)) == -1 ||
		    (size_t)len > sizeof(buf))
			errx(1, "%s", d->name);
		msg_encode(type, &u, buf);
		memset(&h, 0, sizeof(h));
		h.len = (uint32_t)len;
		h.type = (uint16_t)type;
		h.id = 1;
		snprintf(path, sizeof(path), "%s/%s", argv[1], d->name);
		if ((f = fopen(path, "w")) == NULL)
			err(1, "%s", path);
		fputc(first(d->to) + PROC_MAX * first(d->from), f);
		fwrite(&h, sizeof(h), 1, f);
		fwrite(buf, (size_t)len, 1, f);
		if (fclose(f) != 0)
			err(1, "%s", path);
	}
	return 0;
}
